//! Recipes as TOML files, and the built-in recipes.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::table_section::TableSection;
use crate::base::input_file;
use crate::error::{Error, Result};
use crate::recipe::{AutoencoderRecipe, ClassifierRecipe, PcaRecipe, Recipe, suggestion};

/// The built-in recipes: name and TOML text.
const BUILT_IN: [(&str, &str); 13] = [
    ("pca", include_str!("../../recipes/pca.toml")),
    ("linear", include_str!("../../recipes/linear.toml")),
    ("tied", include_str!("../../recipes/tied.toml")),
    ("single", include_str!("../../recipes/single.toml")),
    ("sparse", include_str!("../../recipes/sparse.toml")),
    ("deep", include_str!("../../recipes/deep.toml")),
    ("conv", include_str!("../../recipes/conv.toml")),
    ("denoising", include_str!("../../recipes/denoising.toml")),
    ("wide", include_str!("../../recipes/wide.toml")),
    ("stacked", include_str!("../../recipes/stacked.toml")),
    ("vae", include_str!("../../recipes/vae.toml")),
    ("table", include_str!("../../recipes/table.toml")),
    ("classifier", include_str!("../../recipes/classifier.toml")),
];

/// The longest file that is read as a recipe, in bytes. Recipes are a few lines; anything longer is another kind of file.
const LONGEST_FILE: usize = 1 << 20;

/// Fields of training, and those of their fields beside them that mean something for one value alone.
const DEPENDENTS: [(&str, &[&str]); 2] = [
    (
        "train.optimizer",
        &["learning_rate", "rho", "epsilon", "momentum", "nesterov", "beta1", "beta2", "weight_decay"],
    ),
    ("train.schedule", &["final_rate"]),
];

/// Two fields of training that say the same thing: where one is set, the recipe's other one goes.
const ALTERNATIVES: [&str; 2] = ["epochs", "updates"];

/// A recipe as a table of fields, which can be changed one by one before it is read.
#[derive(Debug, Clone)]
pub struct RecipeFile {
    /// The name of the recipe: `single`, or the name of the file without its extension.
    pub name: String,
    /// The place in error messages: `single`, or the path.
    place: String,
    table: toml::Table,
    /// The paths of fields that were set since.
    assigned: BTreeSet<String>,
}

impl RecipeFile {
    /// Opens a built-in recipe by its name, or a TOML file by its path.
    ///
    /// # Errors
    /// Where there is neither such a recipe nor such a file, or the file is not TOML.
    pub fn open(name: impl AsRef<Path>) -> Result<Self> {
        let path = name.as_ref();
        let name = &*path.to_string_lossy();
        if let Some((name, text)) = BUILT_IN.iter().find(|(built_in, _)| path.as_os_str() == *built_in) {
            return Self::parse(name, name, text);
        }
        if !path.exists() {
            let names = Self::names().collect::<Vec<_>>();
            let error = Error::recipe(format!("{name}: neither a recipe nor a file"));
            return Err(match suggestion(name, names.iter().copied()) {
                Some(close) => error.hint(format!("did you mean `{close}`? recipes: {}", names.join(", "))),
                None => error.hint(format!("recipes: {}; or the path of a TOML file", names.join(", "))),
            });
        }
        let text = String::from_utf8(input_file::read(path, "a recipe", LONGEST_FILE)?)
            .map_err(|_| Error::recipe(format!("{name}: not UTF-8 text")).hint("is it a recipe?"))?;
        let stem =
            path.file_stem().map_or_else(|| name.to_owned(), |stem| stem.to_string_lossy().into_owned());
        Self::parse(&stem, name, &text)
    }

    /// Reads TOML text. Error messages begin with `place`.
    ///
    /// # Errors
    /// Where the text is not TOML; the message gives line and column.
    pub fn parse(name: &str, place: &str, text: &str) -> Result<Self> {
        let table = text.parse::<toml::Table>().map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
            let number = text.get(before.len()..).and_then(too_large);
            let message = match number {
                Some(number) => format!("{}: {}", field_before(before), past_the_largest(number)),
                None => one_line(error.message()),
            };
            Error::recipe(format!("{place}: line {line}, column {column}: {message}"))
        })?;
        Ok(Self::new(name, place, table))
    }

    /// A recipe from its table of fields.
    pub(crate) fn from_table(place: &str, table: toml::Table) -> Self {
        Self::new(place, place, table)
    }

    fn new(name: &str, place: &str, table: toml::Table) -> Self {
        Self { name: name.to_owned(), place: place.to_owned(), table, assigned: BTreeSet::new() }
    }

    /// The names of the built-in recipes.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The table of a recipe, to change fields by their names.
    pub(crate) fn of(recipe: &Recipe) -> Result<Self> {
        let mut table = toml::Table::try_from(recipe).map_err(|error| Error::recipe(error.to_string()))?;
        if let Some(train) = table.get_mut("train").and_then(toml::Value::as_table_mut)
            && train.contains_key("updates")
        {
            train.remove("epochs");
        }
        Ok(Self::from_table("recipe", table))
    }

    /// Sets a field, named by its path such as `train.epochs`. Where other settings of the recipe belong to the value that is
    /// replaced, they are removed, unless they were set, too: another optimizer has its own learning rate.
    ///
    /// # Errors
    /// Where a name in the path is empty, the path goes through a field that is not a table, or the value has no TOML form.
    pub fn set_value(&mut self, path: &str, value: impl Serialize) -> Result<()> {
        let value = toml::Value::try_from(value)
            .map_err(|error| Error::recipe(format!("{path}: not a value of a recipe: {error}")))?;
        self.insert(path, value)
    }

    /// Sets a field by an assignment such as `train.learning_rate=0.5`. The value is read as TOML, or as text where it is not
    /// TOML.
    ///
    /// # Errors
    /// Where there is no `=`, or the path is invalid as for [`RecipeFile::set_value`].
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let (path, value) = assignment.split_once('=').ok_or_else(|| {
            Error::recipe(format!("`{assignment}`: expected FIELD=VALUE, such as train.learning_rate=0.5"))
        })?;
        let value = value.trim();
        if let Some(number) = too_large(value) {
            return Err(Error::recipe(format!("{}: {}", path.trim(), past_the_largest(number))));
        }
        let value = format!("value = {value}")
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| toml::Value::String(value.to_owned()));
        self.insert(path, value)
    }

    fn insert(&mut self, path: &str, value: toml::Value) -> Result<()> {
        let path = path.trim();
        self.remove_dependents(path, &value);
        self.remove_alternative(path);
        self.assigned.insert(path.to_owned());
        let mut table = &mut self.table;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if part.is_empty() {
                return Err(Error::recipe(format!("`{path}`: an empty field name")));
            }
            if parts.peek().is_none() {
                // A field that is set under one of its names must not remain under the other.
                if let Some(other) = other_name(part) {
                    table.remove(other);
                }
                table.insert(part.to_owned(), value);
                if matches!(part, "encoder" | "decoder") {
                    // The description is of the layers that are replaced.
                    table.remove("about");
                }
                break;
            }
            table = table
                .entry(part)
                .or_insert_with(|| toml::Value::Table(toml::Table::new()))
                .as_table_mut()
                .ok_or_else(|| Error::recipe(format!("`{path}`: {part} has no fields")))?;
        }
        Ok(())
    }

    /// Removes the settings that belong to the present value of a field, if another one is to replace it.
    fn remove_dependents(&mut self, path: &str, value: &toml::Value) {
        for (field, dependents) in DEPENDENTS {
            let Some(table) = self.table.get_mut("train").and_then(toml::Value::as_table_mut) else { return };
            let name = field.trim_start_matches("train.");
            if field != path || table.get(name) == Some(value) {
                continue;
            }
            for dependent in dependents {
                let names = std::iter::once(*dependent).chain(other_name(dependent));
                if !names.clone().any(|name| self.assigned.contains(&format!("train.{name}"))) {
                    names.for_each(|name| drop(table.remove(name)));
                }
            }
        }
    }

    /// Removes the field that says the same as the one that is set, unless both are set.
    fn remove_alternative(&mut self, path: &str) {
        let Some(name) = path.strip_prefix("train.") else { return };
        let [epochs, updates] = ALTERNATIVES;
        let other = match name {
            _ if name == epochs => updates,
            _ if name == updates => epochs,
            _ => return,
        };
        if !self.assigned.contains(&format!("train.{other}"))
            && let Some(train) = self.table.get_mut("train").and_then(toml::Value::as_table_mut)
        {
            train.remove(other);
        }
    }

    /// Removes a field of the outermost table.
    pub fn unset(&mut self, field: &str) {
        self.table.remove(field);
    }

    /// The value of the field `method`.
    pub fn method(&self) -> Option<&str> {
        self.table.get("method")?.as_str()
    }

    /// The choices about the columns of tables in the section `[table]`, for opening the data: no part of the recipe itself, since
    /// the model keeps the columns that were found.
    ///
    /// # Errors
    /// Where a field of the section is unknown or invalid.
    pub fn table_options(&self) -> Result<TableSection> {
        TableSection::read(self.table.get("table")).map_err(|error| error.at(&self.place))
    }

    /// Reads and validates the fields.
    ///
    /// # Errors
    /// Where a field is unknown or invalid, or fields contradict each other. The message names the recipe and the field.
    pub fn recipe(&self) -> Result<Recipe> {
        self.read_recipe()
            .and_then(|recipe| recipe.validate().map(|()| recipe))
            .map_err(|error| error.at(&self.place))
    }

    fn read_recipe(&self) -> Result<Recipe> {
        let mut table = self.table.clone();
        table.remove("table");
        let code_size = take_code_size(&mut table)?;
        if let Some(train) = table.get("train").and_then(toml::Value::as_table)
            && ALTERNATIVES.iter().all(|name| train.contains_key(*name))
        {
            return Err(Error::recipe(
                "train.updates: stands beside train.epochs, and both say how long to train",
            )
            .hint("leave out one of the two"));
        }
        let methods = ["pca", "autoencoder", "classifier"];
        let method = table
            .remove("method")
            .ok_or_else(|| Error::recipe(format!("method: missing (allowed: {})", methods.join(", "))))?;
        match method.as_str() {
            Some("pca") => read::<PcaRecipe>(table).map(Recipe::Pca),
            Some("autoencoder") => {
                let mut recipe = read::<AutoencoderRecipe>(table)?;
                code_size.map_or(Ok(()), |size| recipe.set_code_size(size))?;
                Ok(Recipe::Autoencoder(recipe))
            }
            Some("classifier") => {
                let mut recipe = read::<ClassifierRecipe>(table)?;
                code_size.map_or(Ok(()), |size| recipe.set_code_size(size))?;
                Ok(Recipe::Classifier(recipe))
            }
            other => {
                let wrong = other.map_or_else(|| method.to_string(), str::to_owned);
                let error = Error::recipe(format!(
                    "method: unknown method `{wrong}` (allowed: {})",
                    methods.join(", ")
                ));
                Err(match suggestion(&wrong, methods) {
                    Some(close) => error.hint(format!("did you mean `{close}`?")),
                    None => error,
                })
            }
        }
    }
}

/// The first whole number of a text, if it is where the text begins or within it, that TOML cannot express.
fn too_large(text: &str) -> Option<&str> {
    let is_of_number = |c: char| c.is_ascii_alphanumeric() || "_.+-".contains(c);
    let mut is_quoted = false;
    text.split_inclusive(|c: char| !is_of_number(c)).find_map(|part| {
        let was_quoted = is_quoted;
        is_quoted ^= part.ends_with(['"', '\'']);
        let number = part.trim_end_matches(|c: char| !is_of_number(c));
        let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
        let is_whole = digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
        (!was_quoted && is_whole && number.replace('_', "").parse::<i64>().is_err()).then_some(number)
    })
}

fn past_the_largest(number: &str) -> String {
    let limit = if number.starts_with('-') {
        "-2^63 = -9223372036854775808, the least"
    } else {
        "2^63 - 1 = 9223372036854775807, the largest"
    };
    format!("{number} is past {limit} whole number of a recipe")
}

/// The field whose value follows a piece of TOML, with its table: `train.epochs`.
fn field_before(text: &str) -> String {
    let (before, _) = text.rsplit_once('=').unwrap_or((text, ""));
    let is_of_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    let before = before.trim_end();
    let name = &before[before.trim_end_matches(is_of_name).len()..];
    let table = before.lines().rev().find_map(|line| line.trim().strip_prefix('[')?.strip_suffix(']'));
    match table {
        Some(table) => format!("{}.{name}", table.trim()),
        None => name.to_owned(),
    }
}

/// Fields with two names: the present one, and that of older recipes and of model files. Both are read.
const OTHER_NAMES: [(&str, &str); 3] =
    [("learning_rate", "rate"), ("batch_size", "batch"), ("init", "start")];

/// The second name of a field that has two.
fn other_name(field: &str) -> Option<&'static str> {
    OTHER_NAMES.iter().find_map(|&(name, old)| {
        if field == name {
            Some(old)
        } else if field == old {
            Some(name)
        } else {
            None
        }
    })
}

/// Removes `code_size` from the table of a network, where it is a short form for the units of the encoder's last layer.
fn take_code_size(table: &mut toml::Table) -> Result<Option<usize>> {
    if table.get("method").and_then(toml::Value::as_str) == Some("pca") {
        return Ok(None);
    }
    let Some(value) = table.remove("code_size") else { return Ok(None) };
    let size = value.as_integer().and_then(|size| usize::try_from(size).ok());
    size.map(Some).ok_or_else(|| {
        Error::recipe(format!("code_size: expected a whole number of at least 0, found {value}"))
    })
}

/// Replaces old names of fields by the present ones, in a table and all tables in it.
fn rename_fields(value: &mut toml::Value) {
    match value {
        toml::Value::Table(table) => {
            let mut old = std::mem::take(table);
            let is_variational = old.contains_key("variational");
            if old.contains_key("updates") {
                // Its default; a recipe has one of the two.
                old.remove("epochs");
            }
            for (key, mut value) in old {
                rename_fields(&mut value);
                table.insert(present_name(key, is_variational), value);
            }
        }
        toml::Value::Array(list) => list.iter_mut().for_each(rename_fields),
        _ => {}
    }
}

/// As [`rename_fields`], in JSON; fields that are not set are left out, as in TOML.
fn rename_json_fields(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(object) => {
            let mut old = std::mem::take(object);
            let is_variational = old.contains_key("variational");
            if old.get("updates").is_some_and(|updates| !updates.is_null()) {
                old.remove("epochs");
            }
            for (key, mut value) in old {
                if value.is_null() {
                    continue;
                }
                rename_json_fields(&mut value);
                object.insert(present_name(key, is_variational), value);
            }
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(rename_json_fields),
        _ => {}
    }
}

/// The present name of a field, of a table that may be that of a variational layer.
fn present_name(key: String, is_variational: bool) -> String {
    match OTHER_NAMES.iter().find(|(_, old)| *old == key) {
        Some((name, _)) => (*name).to_owned(),
        None if is_variational && key == "kl" => "beta".to_owned(),
        None => key,
    }
}

/// Reads a struct from a table; an error names the field by its path.
fn read<T: DeserializeOwned>(table: toml::Table) -> Result<T> {
    let mut track = serde_path_to_error::Track::new();
    let value = toml::Value::Table(table);
    T::deserialize(serde_path_to_error::Deserializer::new(value, &mut track)).map_err(|error| {
        let path = track.path().to_string();
        // `message()` leaves out the path, which the error gets as its place below.
        let message = plain_types(&one_line(error.message()));
        // `unknown field `epoch`, expected one of `rate`, `epochs`, ...`: name the nearest.
        let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let hint = match &names[..] {
            [wrong, valid @ ..] if message.starts_with("unknown") && !message.contains("did you mean") => {
                suggestion(wrong, valid.iter().copied())
            }
            _ => None,
        };
        let error = Error::recipe(if path == "." { message.clone() } else { format!("{path}: {message}") });
        match hint {
            Some(close) => error.hint(format!("did you mean `{close}`?")),
            None => error,
        }
    })
}

/// Replaces Rust types in a message of the parser by words.
fn plain_types(message: &str) -> String {
    let types = [
        ("a boolean", "true or false"),
        ("bool", "true or false"),
        ("usize", "a whole number of at least 0"),
        ("u64", "a whole number of at least 0"),
        ("f32", "a number"),
        ("f64", "a number"),
        ("a string", "text"),
        ("a sequence", "a list"),
        ("a map", "a table of fields"),
    ];
    for (name, words) in types {
        let end = format!("expected {name}");
        if let Some(start) = message.strip_suffix(&end) {
            return format!("{start}expected {words}");
        }
    }
    match message.split_once("expected struct ") {
        Some((start, _)) => format!("{start}expected a table of fields"),
        None => message.to_owned(),
    }
}

/// Joins the lines of a message of the parser: an error is one line.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// A recipe as a table with the present names of all fields. `Recipe` itself serialises with those of the model file.
fn to_value(recipe: &Recipe) -> std::result::Result<toml::Value, toml::ser::Error> {
    let mut value = toml::Value::try_from(recipe)?;
    rename_fields(&mut value);
    Ok(value)
}

/// The JSON object of a recipe, with the present names of all fields.
pub fn to_json(recipe: &Recipe) -> serde_json::Value {
    // Not by way of TOML, which has no whole numbers past 2^63.
    let mut value = serde_json::to_value(recipe).unwrap_or_default();
    rename_json_fields(&mut value);
    value
}

/// The TOML text of a recipe, with the present names of all fields.
pub fn to_toml(recipe: &Recipe) -> String {
    let text = to_value(recipe).and_then(|value| toml::to_string(&value));
    text.unwrap_or_else(|error| format!("# this recipe has no TOML form: {error}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Layer, Units};

    #[test]
    fn built_in_recipes_are_valid_and_survive_their_own_text() {
        for name in RecipeFile::names() {
            let spec = RecipeFile::open(name).unwrap().recipe().unwrap();
            assert!(spec.about().is_some(), "{name} says what it is");
            let again = RecipeFile::parse(name, name, &to_toml(&spec)).unwrap().recipe().unwrap();
            assert_eq!(spec, again);
            let json = serde_json::to_string(&spec).unwrap();
            assert_eq!(spec, serde_json::from_str::<Recipe>(&json).unwrap());
        }
    }

    #[track_caller]
    fn refused(text: &str, parts: &[&str]) {
        let error = RecipeFile::parse("r", "r.toml", text)
            .and_then(|recipe| recipe.recipe())
            .unwrap_err()
            .to_string();
        for part in parts {
            assert!(error.contains(part), "`{part}` is not in: {error}");
        }
    }

    #[test]
    fn mistakes_are_named_with_the_field_and_the_nearest_name() {
        let whole = |change: &str| {
            format!(
                "method = 'autoencoder'\nloss = 'mse'\nencoder = [{{ dense = 2 }}]\ndecoder = [{{ dense = 'input' }}]\n{change}"
            )
        };
        refused("method = 'pcaa'", &["r.toml: method", "pcaa", "did you mean `pca`"]);
        refused("loss = 'mse'", &["r.toml: method: missing"]);
        refused("method = 'pca'\ncode_sise = 3", &["code_sise", "did you mean `code_size`"]);
        refused("method = 'pca'\ncode_size = -3", &["code_size"]);
        refused("method = 'pca'\ncode_size = 0", &["code_size", "at least one"]);
        refused("method = 'pca'\nscale = 'standart'", &["scale", "standart", "did you mean `standard`"]);
        refused(&whole("[train]\nepoch = 3"), &["train", "epoch", "did you mean `epochs`"]);
        refused(&whole("[train]\nepochs = 'many'"), &["train.epochs", "many"]);
        refused(&whole("[train]\nepochs = 0"), &["train.epochs", "at least 1"]);
        refused(&whole("[train]\noptimizer = 'adm'"), &["train.optimizer", "did you mean `adam`"]);
        refused(&whole("[train]\noptimizer = 'sgd'\nrho = 0.5"), &["train.rho", "sgd"]);
        refused(&whole("[train]\nrate = -1.0"), &["train.learning_rate", "-1"]);
        refused(&whole("[train]\nbeta1 = 1.0"), &["train.beta1", "below 1"]);
        let layers = |layers: &str| whole("").replace("{ dense = 2 }", layers);
        refused(&layers("'rellu'"), &["encoder[0]", "did you mean `relu`"]);
        refused(&layers("{ dens = 3 }"), &["encoder[0]", "did you mean `dense`"]);
        refused(&layers("{ dense = 0 }"), &["encoder[0]", "from 1 to"]);
        refused(&layers("{ bias = true }"), &["encoder[0]", "which layer"]);
        refused(&whole("").replace("'mse'", "'bce'"), &["loss", "sigmoid"]);
        refused("method = 'pca", &["r.toml", "line 1"]);
    }

    /// Every field with a mistake in it: the error names the field, and what is allowed or which name is nearest.
    #[test]
    fn a_mistake_in_each_field_is_named() {
        let number = "a number";
        let whole = "a whole number of at least 0";
        let cases: &[(&str, &str, &[&str])] = &[
            ("single", "method=autoencodr", &["method", "did you mean `autoencoder`", "pca"]),
            ("single", "about=3", &["about", "text"]),
            ("single", "scale=unti", &["scale", "did you mean `unit`", "min_max"]),
            ("single", "encoder=3", &["encoder", "a list"]),
            ("single", "encoder=[{dens=3}]", &["encoder[0]", "did you mean `dense`"]),
            ("single", "encoder=[{dense=3, bais=false}]", &["encoder[0]", "did you mean `bias`"]),
            ("single", "encoder=[{dense=3, bias=1}]", &["encoder[0]", "bias", "true or false"]),
            ("single", "decoder=[\"sigmiod\"]", &["decoder[0]", "did you mean `sigmoid`"]),
            ("single", "loss=bec", &["loss", "did you mean `bce`", "huber"]),
            ("single", "sparsity=3", &["sparsity", "a table of fields"]),
            ("single", "sparsity.l2=3", &["sparsity", "l2", "did you mean `l1`"]),
            ("single", "sparsity.l1=little", &["sparsity.l1", number]),
            ("single", "sparsity.kl=little", &["sparsity.kl", number]),
            ("single", "sparsity.target=little", &["sparsity.target", number]),
            ("single", "weights.strat=he", &["weights", "did you mean `start`"]),
            ("single", "weights.init=glorto", &["weights.init", "did you mean `glorot`", "lecun"]),
            ("single", "weights.l2=much", &["weights.l2", number]),
            ("single", "weights.elimination=much", &["weights.elimination", number]),
            ("single", "weights.max_norm=much", &["weights.max_norm", number]),
            ("single", "train=3", &["train", "a table of fields"]),
            ("single", "train.optimzer=adam", &["train", "did you mean `optimizer`"]),
            ("single", "train.optimizer=adaam", &["train.optimizer", "did you mean `adam`", "rmsprop"]),
            ("single", "train.learning_rate=fast", &["train.learning_rate", number]),
            ("single", "train.epochs=1.5", &["train.epochs", whole]),
            ("single", "train.batch_size=-3", &["train.batch_size", whole]),
            ("single", "train.seed=-1", &["train.seed", whole]),
            ("single", "train.keep=bset", &["train.keep", "did you mean `best`"]),
            ("single", "train.patience=long", &["train.patience", whole]),
            ("single", "train.min_delta=some", &["train.min_delta", number]),
            ("single", "train.schedule=one_cycel", &["train.schedule", "did you mean `one_cycle`"]),
            ("single", "train.final_rate=low", &["train.final_rate", number]),
            ("single", "train.warm_up=some", &["train.warm_up", whole]),
            ("single", "train.clip_norm=some", &["train.clip_norm", number]),
            ("single", "train.rho=some", &["train.rho", number]),
            ("single", "train.epsilon=some", &["train.epsilon", number]),
            ("single", "train.momentum=some", &["train.momentum", number]),
            ("single", "train.nesterov=some", &["train.nesterov", "true or false"]),
            ("single", "train.beta1=some", &["train.beta1", number]),
            ("single", "train.beta2=some", &["train.beta2", number]),
            ("single", "train.weight_decay=some", &["train.weight_decay", number]),
            ("single", "sclae=unit", &["sclae", "did you mean `scale`"]),
            ("pca", "code_size=many", &["code_size", whole]),
            ("pca", "whiten=much", &["whiten", "true or false"]),
            ("pca", "scale=3", &["scale"]),
            ("pca", "withen=true", &["withen", "did you mean `whiten`"]),
        ];
        for (name, assignment, parts) in cases {
            let mut recipe = RecipeFile::open(name).unwrap();
            recipe.set(assignment).unwrap();
            let error = recipe.recipe().unwrap_err().to_string();
            for part in *parts {
                assert!(error.contains(part), "{assignment}: `{part}` is not in: {error}");
            }
            assert!(error.starts_with(name) && !error.contains("struct "), "{error}");
        }
    }

    #[test]
    fn fields_can_be_set_by_path() {
        let mut recipe = RecipeFile::open("single").unwrap();
        for assignment in ["train.epochs=3", "train.learning_rate = 0.5", "loss=mse", "scale=\"none\""] {
            recipe.set(assignment).unwrap();
        }
        let Recipe::Autoencoder(spec) = recipe.recipe().unwrap() else { panic!("an autoencoder") };
        assert_eq!((spec.train.epochs, spec.train.learning_rate), (3, Some(0.5)));
        assert!(recipe.set("train.epochs").is_err());
        assert!(recipe.set("loss.deep=3").is_err());
        recipe.set("train.epohcs=3").unwrap();
        assert!(recipe.recipe().unwrap_err().to_string().contains("did you mean `epochs`"));
    }

    #[test]
    fn another_optimizer_has_its_own_settings_and_keeps_those_that_were_set() {
        let train = |assignments: &[&str]| {
            let mut recipe = RecipeFile::open("single").unwrap();
            assignments.iter().for_each(|assignment| recipe.set(assignment).unwrap());
            recipe.recipe().unwrap().train().unwrap().clone()
        };
        // The recipe's own: Adadelta with a learning rate of 1.
        assert_eq!(train(&["train.optimizer=adadelta"]).learning_rate, Some(1.0));
        assert_eq!(train(&["train.optimizer=adam"]).learning_rate, None);
        for both in [
            ["train.optimizer=adam", "train.learning_rate=0.5"],
            ["train.learning_rate=0.5", "train.optimizer=adam"],
            ["train.rate=0.5", "train.optimizer=adam"],
        ] {
            assert_eq!(train(&both).learning_rate, Some(0.5), "{both:?}");
        }
        let schedule = ["train.schedule=linear", "train.final_rate=0.1"];
        assert_eq!(train(&schedule).final_rate, Some(0.1));
        let text = "method='autoencoder'\nloss='mse'\nencoder=[{dense=2}]\ndecoder=[{dense='input'}]\ntrain={schedule='cosine',final_rate=0.1}";
        let mut recipe = RecipeFile::parse("t", "t", text).unwrap();
        recipe.set("train.schedule=constant").unwrap();
        assert_eq!(recipe.recipe().unwrap().train().unwrap().final_rate, None);
    }

    #[test]
    fn the_short_form_mirrors_itself() {
        let Recipe::Autoencoder(mut spec) = RecipeFile::open("single").unwrap().recipe().unwrap() else {
            panic!()
        };
        spec.set_layers("784-128-64-32", 784).unwrap();
        let widths = |layers: &[Layer]| {
            layers
                .iter()
                .filter_map(|layer| match layer {
                    Layer::Dense { units, .. } => Some(*units),
                    _ => None,
                })
                .collect::<Vec<_>>()
        };
        assert_eq!(widths(&spec.encoder), [128, 64, 32].map(Units::Count));
        assert_eq!(widths(&spec.decoder), [Units::Count(64), Units::Count(128), Units::Input]);
        assert_eq!(spec.decoder.last(), Some(&Layer::Function(crate::recipe::Function::Sigmoid)));
        for wrong in ["784", "783-32", "784-0", "784-a", "", "784--3"] {
            assert!(spec.set_layers(wrong, 784).is_err(), "{wrong}");
        }
    }
}
