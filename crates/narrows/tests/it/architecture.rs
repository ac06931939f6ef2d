//! Keeps the shape of the code: which part may know of which, and which words stay in one place.

use std::path::{Path, PathBuf};

/// The rooms of the library, in order: each may use those before it. `lib.rs` declares them in the same order.
const ROOMS: &[&str] = &[
    "error",
    "base",
    "compute",
    "progress",
    "data",
    "recipe",
    "network",
    "pca",
    "train",
    "model",
    "evaluation",
    "fit",
    "experiments",
];

/// The crates: each may use those before it.
const CRATES: &[(&str, &[&str])] = &[
    ("narrows-kernels", &[]),
    ("narrows", &["narrows_kernels"]),
    ("narrows-datasets", &["narrows"]),
    ("narrows-report", &["narrows"]),
    ("narrows-files", &["narrows"]),
    ("narrows-cli", &["narrows", "narrows_datasets", "narrows_report", "narrows_files"]),
];

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A source file without comments, texts and tests.
struct Source {
    /// `narrows/src/data/csv.rs`
    path: String,
    code: String,
}

/// All files of Rust below a folder.
fn rust_files(root: &Path) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    files
}

fn sources(krate: &str) -> Vec<Source> {
    let root = crates().join(krate).join("src");
    let mut found: Vec<Source> = rust_files(&root)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(crates()).unwrap().to_str().unwrap().replace('\\', "/");
            Source { path: name, code: std::fs::read_to_string(&path).unwrap() }
        })
        .collect();
    assert!(!found.is_empty(), "{} has no sources", root.display());
    // Files that a `#[cfg(test)] mod name;` brings in are tests, not code.
    let mut tests = Vec::new();
    for source in &mut found {
        let (code, modules) = strip(&source.code);
        let folder = ["/mod.rs", "/lib.rs", "/main.rs", ".rs"]
            .iter()
            .find_map(|ending| source.path.strip_suffix(ending))
            .unwrap();
        tests.extend(modules.into_iter().map(|module| format!("{folder}/{module}")));
        source.code = code;
    }
    let is_of = |source: &Source, test: &String| {
        source.path.strip_prefix(test.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    };
    for test in &tests {
        assert!(found.iter().any(|source| is_of(source, test)), "{test} is not there");
    }
    found.retain(|source| !tests.iter().any(|test| is_of(source, test)));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Takes comments, texts in quotes and `#[cfg(test)]` items out. Answers the names of test modules in their own files too.
fn strip(text: &str) -> (String, Vec<String>) {
    let (mut code, mut modules) = (String::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            code.push_str(&without_comments_and_texts(line));
            code.push('\n');
            continue;
        }
        // An item ends with `;` on its first line, or where its indentation is met again.
        let Some(first) = lines.next() else { break };
        if let Some(module) = first.trim().strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
            modules.push(module.to_owned());
        }
        if first.trim_end().ends_with(';') {
            continue;
        }
        let indentation = &first[..first.len() - first.trim_start().len()];
        for line in lines.by_ref() {
            if line == format!("{indentation}}}") {
                break;
            }
        }
    }
    (code, modules)
}

fn without_comments_and_texts(line: &str) -> String {
    let mut out = String::new();
    let mut characters = line.chars().peekable();
    let mut in_text = false;
    while let Some(c) = characters.next() {
        match c {
            '\\' if in_text => drop(characters.next()),
            '"' if !out.ends_with('\'') || in_text => in_text = !in_text,
            '/' if !in_text && characters.peek() == Some(&'/') => break,
            c if !in_text => out.push(c),
            _ => {}
        }
    }
    out
}

/// The modules named behind `crate::` (or another prefix), also in lists: `crate::{error::Error, spec}`.
fn named(code: &str, prefix: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = 0;
            for (at, c) in list.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth > 0 => depth -= 1,
                    ',' | '}' if depth == 0 => {
                        found.push(word(list[start..at].trim()));
                        start = at + 1;
                        if c == '}' {
                            break;
                        }
                    }
                    _ => {}
                }
            }
        } else {
            found.push(word(rest));
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// The room that a file of the library belongs to.
fn room(path: &str) -> &str {
    path.strip_prefix("narrows/src/").unwrap().split(['/', '.']).next().unwrap()
}

#[test]
fn lib_declares_the_rooms_in_their_order() {
    let lib = std::fs::read_to_string(crates().join("narrows/src/lib.rs")).unwrap();
    let declared: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    assert_eq!(declared, ROOMS);
}

#[test]
fn rooms_use_only_those_before_them() {
    let place = |room: &str| ROOMS.iter().position(|name| *name == room);
    let (mut arrows, mut wrong) = (0, Vec::new());
    for source in sources("narrows") {
        let room = room(&source.path);
        if room == "lib" {
            continue;
        }
        let own = place(room).unwrap();
        for used in named(&source.code, "crate::") {
            // Types that `lib.rs` re-exports are known by the room they come from.
            let used = if ["Error", "ErrorKind", "Result"].contains(&&*used) { "error" } else { &used };
            let Some(other) = place(used) else { panic!("{}: crate::{used} is no room", source.path) };
            arrows += 1;
            if other > own {
                wrong.push(format!("{} uses {used}", source.path));
            }
        }
    }
    assert!(arrows > 50, "only {arrows} imports were found: the test reads wrongly");
    assert!(wrong.is_empty(), "against the order: {wrong:#?}");
}

/// The imports between the files of one folder: for each file the names of its siblings that it uses.
///
/// A folder's `mod.rs` declares its files and holds the types they share, so it is one with each of them and is left out.
fn imports_between_siblings(files: &[Source], folder: &str) -> Vec<(String, Vec<String>)> {
    let name = |file: &Source| {
        let rest = file.path.strip_prefix(folder)?.strip_prefix('/')?;
        let first = rest.split(['/', '.']).next()?;
        (first != "mod" && first != "lib" && first != "main").then(|| first.to_owned())
    };
    let mut names: Vec<String> = files.iter().filter_map(name).collect();
    names.sort();
    names.dedup();
    let (krate, inner) = folder.split_once("/src").unwrap();
    let path = format!("crate{}::", inner.replace('/', "::"));
    let mut imports: Vec<(String, Vec<String>)> =
        names.iter().map(|name| (name.clone(), Vec::new())).collect();
    for file in files.iter().filter(|file| file.path.starts_with(krate)) {
        let Some(own) = name(file) else { continue };
        let mut used = named(&file.code, &path);
        // In a file directly in the folder, or in the `mod.rs` of a folder in it, `super` is the folder.
        let depth = file.path[folder.len() + 1..].matches('/').count();
        if depth == 0 || (depth == 1 && file.path.ends_with("/mod.rs")) {
            used.extend(named(&file.code, "super::"));
        }
        let list = &mut imports.iter_mut().find(|(name, _)| *name == own).unwrap().1;
        list.extend(used.into_iter().filter(|used| *used != own && names.contains(used)));
    }
    imports
}

/// Takes away files that use none of those left until nothing changes; what remains is in a circle, or uses one.
fn circle(mut imports: Vec<(String, Vec<String>)>) -> Vec<String> {
    loop {
        let left: Vec<String> = imports.iter().map(|(name, _)| name.clone()).collect();
        imports.retain(|(_, used)| used.iter().any(|used| left.contains(used)));
        if imports.len() == left.len() {
            return left;
        }
    }
}

#[test]
fn files_of_a_folder_form_no_circle() {
    let mut arrows = 0;
    for (krate, _) in CRATES {
        let files = sources(krate);
        let mut folders: Vec<&str> = files.iter().map(|file| file.path.rsplit_once('/').unwrap().0).collect();
        folders.sort_unstable();
        folders.dedup();
        for folder in folders {
            let imports = imports_between_siblings(&files, folder);
            arrows += imports.iter().map(|(_, used)| used.len()).sum::<usize>();
            let circle = circle(imports.clone());
            assert!(circle.is_empty(), "{folder}: {circle:?} form a circle: {imports:#?}");
        }
    }
    assert!(arrows > 50, "only {arrows} imports were found: the test reads wrongly");
}

#[test]
fn the_test_of_circles_finds_one() {
    let imports = |list: &[(&str, &[&str])]| -> Vec<(String, Vec<String>)> {
        list.iter()
            .map(|(name, used)| (name.to_string(), used.iter().map(|used| used.to_string()).collect()))
            .collect()
    };
    assert_eq!(circle(imports(&[("a", &["b"]), ("b", &["a"]), ("c", &[])])), ["a", "b"]);
    assert!(circle(imports(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])])).is_empty());
}

#[test]
fn no_file_reaches_over_its_module() {
    for source in sources("narrows") {
        let depth = source.path.matches('/').count() - usize::from(source.path.ends_with("/mod.rs")) - 1;
        assert!(!source.code.contains("super::super::"), "{} reaches over its parent", source.path);
        assert!(depth > 1 || !source.code.contains("super::"), "{} reaches over its module", source.path);
    }
}

#[test]
fn crates_use_only_those_below_them() {
    let ours =
        ["narrows_kernels", "narrows", "narrows_datasets", "narrows_report", "narrows_files", "narrows_cli"];
    for (krate, allowed) in CRATES {
        let manifest = std::fs::read_to_string(crates().join(krate).join("Cargo.toml")).unwrap();
        // Tests may use crates above: they are packages of their own.
        let manifest = manifest.split("[dev-dependencies]").next().unwrap();
        for name in ours {
            let dashed = name.replace('_', "-");
            let depends = manifest
                .lines()
                .any(|line| line.split(['.', ' ', '=']).next() == Some(&dashed) && !line.starts_with("name"));
            assert!(!depends || allowed.contains(&name), "{krate} depends on {dashed}");
        }
        for source in sources(krate) {
            for name in ours.iter().filter(|name| !allowed.contains(name)) {
                let used = named(&source.code, &format!("{name}::"));
                assert!(used.is_empty(), "{} uses {name}::{used:?}", source.path);
            }
        }
    }
}

/// Files whose code has a word, of all crates.
fn files_with(word: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut files = Vec::new();
    for (krate, _) in CRATES {
        for source in sources(krate) {
            let mut uses = source.code.match_indices(word).filter(|(at, _)| {
                !source.code[..*at].ends_with(is_part) && !source.code[at + word.len()..].starts_with(is_part)
            });
            if uses.next().is_some() {
                files.push(source.path);
            }
        }
    }
    files
}

#[test]
fn unsafe_code_stays_in_the_kernels() {
    let files = files_with("unsafe");
    assert!(files.iter().all(|file| file.starts_with("narrows-kernels/")), "{files:?}");
    assert!(!files.is_empty(), "the kernels have unsafe code: the test reads wrongly");
    for root in [
        "narrows/src/lib.rs",
        "narrows-datasets/src/lib.rs",
        "narrows-report/src/lib.rs",
        "narrows-files/src/lib.rs",
        "narrows-cli/src/main.rs",
    ] {
        let text = std::fs::read_to_string(crates().join(root)).unwrap();
        assert!(text.lines().any(|line| line == "#![forbid(unsafe_code)]"), "{root}");
    }
}

#[test]
fn threads_are_made_in_one_place() {
    for word in ["thread::spawn", "thread::scope", "thread::Builder"] {
        let files = files_with(word);
        // The command listens for signals in a thread of its own; files are decoded ahead of what computes with them.
        let known = [
            "narrows-kernels/src/team.rs",
            "narrows-cli/src/shared/interrupt.rs",
            "narrows-files/src/ahead.rs",
            "narrows-files/src/pictures.rs",
        ];
        assert!(files.iter().all(|file| known.contains(&file.as_str())), "{word}: {files:?}");
    }
    // Asking how many processors there are is no thread.
    let mut files = files_with("std::thread");
    files.sort();
    assert_eq!(
        files,
        [
            "narrows-cli/src/shared/interrupt.rs",
            "narrows-files/src/ahead.rs",
            "narrows-files/src/pictures.rs",
            "narrows-kernels/src/team.rs",
            "narrows/src/compute.rs"
        ]
    );
}

/// A library does not know how its callers spell their options: hints name recipe fields and options of the call.
#[test]
fn the_library_speaks_of_no_command_line() {
    let is_flag = |line: &&str| {
        line.match_indices("--").any(|(at, _)| {
            let (before, after) = (line[..at].chars().last(), line[at + 2..].chars().next());
            matches!(before, Some('"' | ' ' | '(')) && after.is_some_and(|after| after.is_ascii_lowercase())
        })
    };
    for krate in ["narrows", "narrows-report", "narrows-datasets", "narrows-files"] {
        let root = crates().join(krate).join("src");
        for path in rust_files(&root) {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let found: Vec<&str> = code.filter(is_flag).collect();
            assert!(found.is_empty(), "{}: {found:#?}", path.display());
        }
    }
}

#[test]
fn files_are_made_in_one_place() {
    for word in [
        "fs::write",
        "File::create",
        "File::create_new",
        "fs::copy",
        "fs::rename",
        "OpenOptions::new",
        "NamedTempFile",
    ] {
        let files = files_with(word);
        assert!(files.iter().all(|file| file == "narrows/src/base/atomic_file.rs"), "{word}: {files:?}");
    }
    assert_eq!(files_with("tempfile"), ["narrows/src/base/atomic_file.rs"]);
    // The lock files of outputs.
    assert_eq!(files_with("File::options"), ["narrows/src/base/output.rs"]);
}

#[test]
fn the_test_itself_can_read() {
    let text = "use crate::a::B; // crate::comment\nlet s = \"crate::text\"; crate::inline::c();\nuse crate::{d, e::{f, g}, h::I};\n\
                #[cfg(test)]\nmod tests {\n    use crate::testing;\n}\nuse other_crate::z;\n#[cfg(test)]\nmod outside;\n";
    let (code, modules) = strip(text);
    assert_eq!(named(&code, "crate::"), ["a", "inline", "d", "e", "h"]);
    assert_eq!(modules, ["outside"]);
    assert_eq!(without_comments_and_texts(r#"let a = "x\"y"; b // c"#), "let a = ; b ");
}
