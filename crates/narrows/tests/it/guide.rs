//! Holds the guide in `docs` to the program: its links lead somewhere, its recipes and commands are valid, and its reference
//! names everything that a recipe can say. Its Rust blocks are doc tests (see `guide` in `lib.rs`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use narrows::recipe::RecipeFile;
use narrows::recipe::{PretrainKind, Recipe};

/// What `narrows` can be told to do.
const VERBS: &[&str] = &[
    "compare",
    "data",
    "decode",
    "encode",
    "evaluate",
    "fit",
    "impute",
    "interpolate",
    "predict",
    "recipes",
    "reconstruct",
    "reproduce",
    "show",
    "split",
];

/// A chapter of the guide.
struct Chapter {
    /// `pca.md`
    name: String,
    text: String,
}

/// A piece of code in a chapter.
struct Block<'a> {
    language: &'a str,
    text: String,
    /// The line of its fence, from 1.
    line: usize,
}

impl Chapter {
    /// The blocks between fences, and the text around them.
    fn parts(&self) -> (Vec<Block<'_>>, String) {
        let (mut blocks, mut prose) = (Vec::new(), String::new());
        let mut open: Option<Block<'_>> = None;
        for (number, line) in self.text.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(language)) => {
                    open = Some(Block { language, text: String::new(), line: number + 1 });
                }
                (None, None) => prose.extend([line, "\n"]),
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.text.extend([line, "\n"]),
            }
        }
        assert!(open.is_none(), "{}: a fence stays open", self.name);
        (blocks, prose)
    }

    /// The targets of its links and images.
    fn links(&self) -> Vec<String> {
        let (_, prose) = self.parts();
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        targets.map(|(target, _)| target.to_owned()).collect()
    }

    /// What links call its headings.
    fn anchors(&self) -> BTreeSet<String> {
        let (_, prose) = self.parts();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        let anchor = |heading: &str| {
            let words = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        headings.map(anchor).collect()
    }
}

/// The folder of the guide; none in a package of the crate alone.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src");
    if folder.exists() {
        return Some(folder);
    }
    println!("skipped: {} is not here", folder.display());
    None
}

/// The names of the files in a folder that end in `ending`.
fn files(folder: &Path, ending: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    entries.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(ending)).collect()
}

fn read(folder: &Path, name: &str) -> Chapter {
    let text = std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    Chapter { name: name.to_owned(), text }
}

/// All chapters, without the table of contents.
fn chapters(folder: &Path) -> Vec<Chapter> {
    let names = files(folder, ".md").into_iter().filter(|name| name != "SUMMARY.md");
    names.map(|name| read(folder, &name)).collect()
}

#[test]
fn every_chapter_is_in_the_table_of_contents() {
    let Some(folder) = folder() else { return };
    let listed: BTreeSet<String> = read(&folder, "SUMMARY.md").links().into_iter().collect();
    let there: BTreeSet<String> = chapters(&folder).into_iter().map(|chapter| chapter.name).collect();
    assert_eq!(listed, there);
}

#[test]
fn every_link_leads_somewhere_and_every_image_is_used() {
    let Some(folder) = folder() else { return };
    let chapters = chapters(&folder);
    let mut used = BTreeSet::new();
    for chapter in &chapters {
        for link in chapter.links() {
            if link.contains("://") {
                continue;
            }
            let place = format!("{}: {link}", chapter.name);
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            assert!(file.is_empty() || folder.join(file).is_file(), "{place}: no such file");
            used.extend(file.strip_prefix("images/").map(str::to_owned));
            if !anchor.is_empty() {
                let name = if file.is_empty() { &chapter.name } else { file };
                let target = chapters.iter().find(|chapter| chapter.name == name);
                assert!(
                    target.is_some_and(|target| target.anchors().contains(anchor)),
                    "{place}: no heading"
                );
            }
        }
    }
    assert_eq!(used, files(&folder.join("images"), ""), "images used, images there");
}

#[test]
fn every_block_says_its_language_and_every_recipe_is_valid() {
    let Some(folder) = folder() else { return };
    let mut recipes = 0;
    for chapter in chapters(&folder) {
        for block in chapter.parts().0 {
            let place = format!("{}: line {}", chapter.name, block.line);
            let languages = ["rust", "toml", "sh", "text"];
            assert!(languages.contains(&block.language), "{place}: which of {languages:?}?");
            if block.language == "toml" && block.text.contains("method =") {
                RecipeFile::parse(&chapter.name, &place, &block.text)
                    .and_then(|recipe| recipe.recipe())
                    .unwrap_or_else(|error| panic!("{error}"));
                recipes += 1;
            }
        }
    }
    assert!(recipes >= 5, "the guide has recipes");
}

#[test]
fn every_command_has_a_verb_and_settings_that_exist() {
    let Some(folder) = folder() else { return };
    let mut commands = 0;
    for chapter in chapters(&folder) {
        let (blocks, _) = chapter.parts();
        let lines = blocks.iter().filter(|block| block.language == "sh").flat_map(|block| block.text.lines());
        for line in lines {
            let words: Vec<&str> = line.split_whitespace().collect();
            let ["narrows", verb, rest @ ..] = &words[..] else { continue };
            let place = format!("{}: {line}", chapter.name);
            assert!(VERBS.contains(verb), "{place}: no such verb");
            commands += 1;
            // A built-in recipe with what the command sets; recipes in files are checked where they are printed.
            if let ("fit", [first, settings @ ..]) = (*verb, rest)
                && !first.ends_with(".toml")
            {
                // Data without a recipe before them are a table.
                let is_data = settings.first().is_none_or(|next| next.starts_with("--"));
                let name = if is_data { "table" } else { *first };
                let mut recipe = RecipeFile::open(name).unwrap_or_else(|error| panic!("{place}: {error}"));
                for pair in settings.windows(2).filter(|pair| pair[0] == "--set") {
                    recipe.set(pair[1]).unwrap_or_else(|error| panic!("{place}: {error}"));
                }
                let spec = recipe.recipe().unwrap_or_else(|error| panic!("{place}: {error}"));
                for pair in settings.windows(2).filter(|pair| pair[0] == "--pretrain") {
                    let Recipe::Autoencoder(mut network) = spec.clone() else { panic!("{place}: a PCA") };
                    PretrainKind::parse_list(pair[1])
                        .and_then(|kinds| network.set_pretrain(&kinds))
                        .unwrap_or_else(|error| panic!("{place}: {error}"));
                }
            }
        }
    }
    assert!(commands >= 20, "the guide has commands");
}

/// What the program says is allowed where `setting` gives a name that does not exist.
fn allowed(recipe: &str, setting: &str) -> Vec<String> {
    let mut recipe = RecipeFile::open(recipe).unwrap();
    recipe.set(setting).unwrap();
    let message = recipe.recipe().unwrap_err().to_string();
    // `(allowed: a, b, c)`, or: expected one of `a`, `b`, `c`
    let names: Vec<String> = match (message.split_once("(allowed: "), message.split_once("expected")) {
        (Some((_, list)), _) => {
            list.split(')').next().unwrap().split(", ").map(|name| name.trim().to_owned()).collect()
        }
        (None, Some((_, list))) => {
            let list = list.split(" (did you mean").next().unwrap();
            list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        }
        (None, None) => panic!("{setting}: {message}"),
    };
    assert!(names.len() > 1, "{setting}: {message}");
    names
}

#[test]
fn the_reference_names_all_that_a_recipe_can_say() {
    let Some(folder) = folder() else { return };
    let reference = read(&folder, "reference.md");
    let missing = |what: &str, names: Vec<String>, forms: &[&str]| {
        for name in names {
            let written = forms.iter().any(|form| reference.text.contains(&form.replace("NAME", &name)));
            assert!(written, "reference.md: the {what} {name} is missing");
        }
    };
    missing("recipe", RecipeFile::names().map(str::to_owned).collect(), &["| `NAME` |"]);

    let fields = ["`NAME`"];
    missing("field", allowed("pca", "nonsense=1"), &fields);
    missing("field", allowed("single", "nonsense=1"), &fields);
    missing("field", allowed("single", "weights.nonsense=1"), &["`weights.NAME`"]);
    missing("field", allowed("single", "sparsity.nonsense=1"), &["`sparsity.NAME`"]);
    missing("field", allowed("single", "train.nonsense=1"), &["`train.NAME`", "`NAME` "]);

    missing("field", allowed("stacked", "pretrain.nonsense=1"), &["`pretrain.NAME`"]);
    let kinds = PretrainKind::ALL.map(|kind| kind.name().to_owned());
    missing("kind of pre-training", kinds.into(), &["| `--pretrain NAME` |"]);

    let names = ["`\"NAME\"`"];
    for field in ["scale", "loss", "weights.init", "train.optimizer", "train.schedule", "train.keep"] {
        missing(field, allowed("single", &format!("{field}=nonsense")), &names);
    }
    missing("function", allowed("single", "encoder=['nonsense']"), &names);

    let layers = allowed("single", "encoder=[{ nonsense = 1 }]");
    missing("layer", layers.clone(), &["`{ NAME = "]);
    for layer in &layers {
        let mut recipe = RecipeFile::open("single").unwrap();
        recipe.set(&format!("encoder=[{{ {layer} = 1, nonsense = 1 }}]")).unwrap();
        if !recipe.recipe().unwrap_err().to_string().contains("has no settings") {
            let line = reference.text.lines().find(|line| line.starts_with(&format!("| `{{ {layer} =")));
            let line = line.unwrap_or_else(|| panic!("reference.md: no line for the layer {layer}"));
            let message = recipe.recipe().unwrap_err().to_string();
            let (_, settings) = message.split_once("(allowed: ").expect("a list of settings");
            for setting in settings.split(')').next().unwrap().split(", ") {
                let written = line.contains(setting) || line.contains("as for `max_pool`");
                assert!(written, "reference.md: {layer} has the setting {setting}");
            }
        }
    }
}
