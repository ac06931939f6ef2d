//! What can be typed. Parsing never acts.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

/// Compact codes of data, and what they lose: PCA and autoencoders.
#[derive(Debug, Parser)]
#[command(name = "narrows", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "First steps:
  narrows fit single mnist                 train an autoencoder on handwritten digits
  narrows fit pca iris --code-size 2
  narrows compare single deep pca mnist --epochs 3
  narrows recipes                          what can be fitted
  narrows data                             what it can be fitted on")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// What the parser cannot see by itself.
    pub fn checked(self) -> Result<Self, clap::Error> {
        use clap::CommandFactory;
        use clap::error::ErrorKind;

        match &self.command {
            Command::Fit(fit) if fit.recipe_and_data().1.is_empty() => Err(Self::command().error(
                ErrorKind::MissingRequiredArgument,
                "which data? Name the training rows after the recipe: narrows fit pca iris",
            )),
            Command::Fit(FitArguments { data_flag: Some(_), recipe_and_data, .. })
                if recipe_and_data.len() > 1 =>
            {
                Err(Self::command().error(
                    ErrorKind::ArgumentConflict,
                    "the argument '--data <DATA>' cannot be used with [DATA]",
                ))
            }
            _ => Ok(self),
        }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fit a recipe to data: writes a model and a report, and says what the model is worth
    #[command(override_usage = "narrows fit [OPTIONS] [RECIPE] <DATA>")]
    Fit(FitArguments),
    /// Fit several recipes to the same data and compare them by the same metrics
    #[command(override_usage = "narrows compare [OPTIONS] <RECIPE>... <DATA>")]
    Compare(CompareArguments),
    /// Write the codes of rows
    #[command(override_usage = "narrows encode [OPTIONS] --out <FILE> <MODEL> <DATA>")]
    Encode(ApplyArguments),
    /// Write the rows of codes
    #[command(override_usage = "narrows decode [OPTIONS] --out <FILE> <MODEL> <CODES>")]
    Decode(ApplyArguments),
    /// Write rows encoded and decoded again
    #[command(override_usage = "narrows reconstruct [OPTIONS] --out <FILE> <MODEL> <DATA>")]
    Reconstruct(ApplyArguments),
    /// Write rows with their missing values filled, and how uncertain each filled number is
    #[command(override_usage = "narrows impute [OPTIONS] --out <FILE> <MODEL> <DATA>")]
    Impute(ApplyArguments),
    /// Write the rows on the line between the codes of two rows
    #[command(
        override_usage = "narrows interpolate [OPTIONS] --out <FILE> --from-row <ROW> --to-row <ROW> <MODEL> <DATA>"
    )]
    Interpolate(InterpolateArguments),
    /// Write a model's encoder and its decoder as models of their own
    Split(SplitArguments),
    /// Write the class that a classifier predicts for each row, and the probability of each class
    Predict(PredictArguments),
    /// Measure the loss of a model on data, or the error rate of a classifier
    Evaluate(EvaluateArguments),
    /// Show a model, or the layers of a recipe
    Show(ShowArguments),
    /// Reproduce published results: fits what a paper fitted, and prints both side by side
    Reproduce(ReproduceArguments),
    /// List the built-in recipes
    Recipes(RecipesArguments),
    /// List the built-in data sets, or describe one data set
    Data(DataArguments),
}

/// How a data set is read.
#[derive(Debug, Clone, Default, Args)]
pub struct DataOptions {
    /// Shape of an image, for rows that are flat in their file (28x28, 64x64x3)
    #[arg(long, value_name = "HxWxC")]
    pub shape: Option<String>,
    /// Column of a table that holds the class: its name, or its number from 1
    #[arg(long, value_name = "COLUMN", alias = "label", conflicts_with = "labels_file")]
    pub label_column: Option<String>,
    /// File with one class per row
    #[arg(long, value_name = "FILE", alias = "labels")]
    pub labels_file: Option<PathBuf>,
    /// Columns of a table to use, by name or by number from 1 [default: all]
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', help_heading = "Columns of tables")]
    pub columns: Vec<String>,
    /// Columns of a table to leave out
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', help_heading = "Columns of tables")]
    pub drop: Vec<String>,
    /// Columns that name the rows: kept beside codes, not learned
    #[arg(long, value_name = "A,B,...", value_delimiter = ',', help_heading = "Columns of tables")]
    pub id: Vec<String>,
    /// Kind of a column (number, yes_no, category, date, identifier, label, text), where `narrows data` shows another one
    #[arg(long, value_name = "COLUMN=KIND", value_delimiter = ',', help_heading = "Columns of tables")]
    pub kind: Vec<String>,
    /// Whether the first line of a text table has the names of the columns [default: found from the content]
    #[arg(long, value_name = "yes|no", help_heading = "Columns of tables")]
    pub header: Option<Answer>,
    /// Size of pictures (64x64); without it all pictures of a folder must have one size
    #[arg(long, value_name = "HxW", help_heading = "Pictures and archives")]
    pub size: Option<String>,
    /// Read pictures in grey
    #[arg(long, help_heading = "Pictures and archives")]
    pub grey: bool,
    /// How pictures of another form fit into --size [default: crop]
    #[arg(long, value_name = "crop|pad|stretch", requires = "size", help_heading = "Pictures and archives")]
    pub picture_fit: Option<PictureFit>,
    /// Array of an .npz archive that holds the rows [default: X, x, data or arr_0]
    #[arg(long, value_name = "NAME", help_heading = "Pictures and archives")]
    pub array: Option<String>,
    /// Memory for the rows of a file; larger ones are read from disk when they are needed [default: half of what is free]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Answer {
    /// Yes.
    Yes,
    /// No.
    No,
}

/// How a picture fits into another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PictureFit {
    /// Its middle is used.
    Crop,
    /// It is filled up with black.
    Pad,
    /// It is stretched.
    Stretch,
}

/// How a model is computed.
#[derive(Debug, Clone, Args)]
pub struct ComputeOptions {
    /// Threads to use; the result does not depend on it [default: the processors available]
    #[arg(long, value_name = "T", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

/// Changes to a recipe.
#[derive(Debug, Clone, Args)]
pub struct RecipeOptions {
    /// Size of the code (latent dimension; components of a PCA)
    #[arg(long, value_name = "K")]
    pub code_size: Option<usize>,
    /// Dense widths from the input to the code, the decoder mirrored (784-128-64-32); of a classifier to the classes
    #[arg(long, value_name = "WIDTHS")]
    pub layers: Option<String>,
    /// Layer-wise pre-training: with this function of the hidden layers (sigmoid, tanh, relu), denoising, sparse; or none.
    /// Several go together (relu,denoising)
    #[arg(long, value_name = "KIND[,KIND]")]
    pub pretrain: Option<String>,
    /// Set any field of the recipe, such as train.learning_rate=0.5; may be given again
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
}

/// The rows that a model is measured on.
#[derive(Debug, Clone, Args)]
pub struct HeldOutOptions {
    /// Held-out rows: another data set, or a share of the training rows [default: mnist's test images, else 0.1]
    #[arg(long, value_name = "DATA|SHARE", alias = "validation")]
    pub held_out: Option<OsString>,
    /// File with one class per held-out row, where --held-out names a data set
    #[arg(long, value_name = "FILE", alias = "validation-labels", requires = "held_out")]
    pub held_out_labels: Option<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputOptions {
    /// Print one JSON object per line and nothing else
    #[arg(long)]
    pub json: bool,
}

/// How CSV files are written.
#[derive(Debug, Clone, Copy, Args)]
pub struct CsvOptions {
    /// In a .csv result, put an apostrophe in front of names that a spreadsheet would take for formulas
    #[arg(long)]
    pub safe_csv: bool,
}

/// `narrows fit`
#[derive(Debug, Args)]
pub struct FitArguments {
    /// A built-in recipe (see `narrows recipes`) or a TOML file [default: `table` for tables]; then the training rows: mnist,
    /// iris, customers, a file, a folder of pictures or a pattern
    #[arg(required = true, value_name = "[RECIPE] DATA")]
    pub recipe_and_data: Vec<OsString>,
    /// The older spelling of DATA
    #[arg(long = "data", id = "data_flag", value_name = "DATA", hide = true)]
    pub data_flag: Option<OsString>,
    /// Where the model goes [default: runs/RECIPE-DATA-N/model.narrows]
    #[arg(long, value_name = "MODEL")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub recipe_options: RecipeOptions,
    /// Passes over the training rows
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Batch size: rows of an optimizer step
    #[arg(long, value_name = "N", alias = "batch")]
    pub batch_size: Option<usize>,
    /// Random seed: initial weights, shuffling, noise, the held-out split
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub compute: ComputeOptions,
    #[command(flatten)]
    pub held_out: HeldOutOptions,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Folder of the report [default: runs/RECIPE-DATA-N]
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputOptions,
    /// Start from the parameters of a model with the same layers (a PCA is two dense layers); a classifier takes its encoder
    #[arg(long, value_name = "MODEL", alias = "from")]
    pub start_from: Option<PathBuf>,
    /// Of a classifier: use the labels of so many rows only, of each class its share
    #[arg(long, value_name = "ROWS", alias = "labelled")]
    pub labelled_rows: Option<usize>,
    /// Of a classifier: train the softmax layer only, the encoder stays as it is
    #[arg(long)]
    pub frozen: bool,
    /// Fit the same network from random initialisations too, with as many optimizer steps (whole epochs), and say whether
    /// pre-training paid
    #[arg(long, alias = "twin")]
    pub random_baseline: bool,
    /// With --random-baseline: the number of seeds of each, from the recipe's own on
    #[arg(long, value_name = "N", default_value_t = 1, requires = "random_baseline", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub seeds: u16,
    /// Go on from the checkpoint beside --out, as if the run had never stopped
    #[arg(long, requires = "out")]
    pub resume: bool,
}

impl FitArguments {
    /// The recipe, if one is named, and the names of the training rows.
    pub fn recipe_and_data(&self) -> (Option<&OsStr>, &[OsString]) {
        match (&self.data_flag, &self.recipe_and_data[..]) {
            (Some(data), [recipe, ..]) => (Some(recipe), std::slice::from_ref(data)),
            (None, [first, rest @ ..]) if is_recipe(first, rest) => (Some(first), rest),
            (_, all) => (None, all),
        }
    }
}

/// Whether the first position names a recipe, not data: a built-in one or a TOML file; before data also a file that is no usual
/// file of data, and what is neither a file nor built-in data, so that a misspelt recipe is told from data.
fn is_recipe(name: &OsStr, rest: &[OsString]) -> bool {
    let is_before_data = !rest.is_empty();
    let is_built_in = |name: &OsString| narrows_datasets::names().any(|known| name == known);
    let is_before_built_in = rest.iter().any(is_built_in);
    const DATA: [&str; 16] = [
        "csv", "tsv", "txt", "gz", "zst", "npy", "npz", "idx", "parquet", "arrow", "feather", "json",
        "jsonl", "ndjson", "png", "jpg",
    ];
    let path = Path::new(name);
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    if narrows::recipe::RecipeFile::names().any(|known| name == known) || extension.as_deref() == Some("toml")
    {
        return true;
    }
    let text = name.to_string_lossy();
    if is_before_built_in {
        return true;
    }
    let is_data = extension.is_some_and(|extension| DATA.contains(&&*extension))
        || narrows_datasets::names().any(|known| text == known)
        || text.contains(['*', '?'])
        || text == "-"
        || text.ends_with("-ubyte")
        || path.is_dir();
    is_before_data && !is_data
}

/// `narrows compare`
#[derive(Debug, Args)]
pub struct CompareArguments {
    /// Built-in recipes (see `narrows recipes`) or TOML files; then the training rows: mnist, iris, customers, a file, a folder of pictures or a pattern
    #[arg(required = true, value_name = "RECIPE... DATA")]
    pub recipes_and_data: Vec<OsString>,
    /// The older spelling of DATA
    #[arg(long = "data", value_name = "DATA", hide = true)]
    pub data_flag: Option<OsString>,
    /// Size of the code, for all recipes that can choose [default: each recipe's own; a quarter of narrow rows]
    #[arg(long, value_name = "K")]
    pub code_size: Option<usize>,
    /// Passes over the training rows
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Fits of each network, with the seeds from the recipe's own on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub seeds: u16,
    /// Measure the error at these code sizes too
    #[arg(long, value_name = "2,4,8", alias = "sweep")]
    pub code_sizes: Option<String>,
    /// Set any field of the recipes that have it, such as train.learning_rate=0.5 or scale=standard; may be given again
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub compute: ComputeOptions,
    #[command(flatten)]
    pub held_out: HeldOutOptions,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Folder of the report [default: runs/compare-DATA-N]
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputOptions,
    /// Go on with an interrupted comparison from the checkpoints in the folder of the report
    #[arg(long, requires = "report")]
    pub resume: bool,
}

impl CompareArguments {
    /// The recipes, and the name of the training rows: the last position, or the older `--data`.
    pub fn recipes_and_data(&self) -> (&[OsString], Option<&OsStr>) {
        match (&self.data_flag, &self.recipes_and_data[..]) {
            (Some(data), recipes) => (recipes, Some(data)),
            (None, [recipes @ .., data]) if !recipes.is_empty() => (recipes, Some(data)),
            (None, recipes) => (recipes, None),
        }
    }
}

/// `narrows encode`, `decode`, `reconstruct`
#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// A model file
    pub model: PathBuf,
    /// Rows (or codes, to decode): mnist, iris, customers, a file, a folder of pictures or a pattern
    #[arg(required_unless_present = "data_flag", conflicts_with = "data_flag")]
    pub data: Option<OsString>,
    /// The older spelling of DATA
    #[arg(long = "data", id = "data_flag", value_name = "DATA", hide = true)]
    pub data_flag: Option<OsString>,
    /// Where the result goes: .csv, .tsv, .parquet, .arrow, .npy, or for images .png
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub csv: CsvOptions,
    #[command(flatten)]
    pub compute: ComputeOptions,
    #[command(flatten)]
    pub data_options: DataOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

impl ApplyArguments {
    /// The name of the rows.
    pub fn data(&self) -> &OsStr {
        self.data.as_deref().or(self.data_flag.as_deref()).unwrap_or_default()
    }
}

/// `narrows predict`
#[derive(Debug, Args)]
pub struct PredictArguments {
    /// A model file of a classifier
    pub model: PathBuf,
    /// Rows: mnist, iris, customers, a file, a folder of pictures or a pattern
    pub data: OsString,
    /// Where the result goes: .csv (classes and probabilities), .npy (probabilities)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub csv: CsvOptions,
    #[command(flatten)]
    pub compute: ComputeOptions,
    #[command(flatten)]
    pub data_options: DataOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

/// `narrows interpolate`
#[derive(Debug, Args)]
pub struct InterpolateArguments {
    #[command(flatten)]
    pub apply: ApplyArguments,
    /// The first row, from 1
    #[arg(long, value_name = "ROW", alias = "from", value_parser = clap::value_parser!(u32).range(1..))]
    pub from_row: u32,
    /// The last row, from 1
    #[arg(long, value_name = "ROW", alias = "to", value_parser = clap::value_parser!(u32).range(1..))]
    pub to_row: u32,
    /// Rows on the way, the two included
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=1000))]
    pub steps: u16,
}

/// `narrows split`
#[derive(Debug, Args)]
pub struct SplitArguments {
    /// A model file
    pub model: PathBuf,
    /// Folder for NAME.encoder.narrows and NAME.decoder.narrows [default: that of the model]
    #[arg(long, value_name = "DIR", alias = "out")]
    pub out_dir: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputOptions,
}

/// `narrows evaluate`
#[derive(Debug, Args)]
pub struct EvaluateArguments {
    /// A model file
    pub model: PathBuf,
    /// Rows: mnist, iris, customers, a file, a folder of pictures or a pattern
    pub data: OsString,
    #[command(flatten)]
    pub compute: ComputeOptions,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Of a classifier: folder for a page with the confusion matrix and the worst rows
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub output: OutputOptions,
}

/// `narrows show`
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// A model file, a built-in recipe or a TOML file
    pub name: OsString,
    #[command(flatten)]
    pub recipe_options: RecipeOptions,
    /// Shape of a row that the layers of a recipe are shown for
    #[arg(long, value_name = "HxWxC", default_value = "28x28x1")]
    pub shape: String,
    #[command(flatten)]
    pub output: OutputOptions,
}

/// `narrows reproduce`
#[derive(Debug, Args)]
pub struct ReproduceArguments {
    /// A paper; without it they are listed
    pub name: Option<String>,
    #[command(flatten)]
    pub compute: ComputeOptions,
    #[command(flatten)]
    pub output: OutputOptions,
    /// Go on with an interrupted run
    #[arg(long)]
    pub resume: bool,
}

/// `narrows data`
#[derive(Debug, Args)]
pub struct DataArguments {
    /// A built-in data set or a file
    pub name: Option<OsString>,
    #[command(flatten)]
    pub data_options: DataOptions,
    #[command(flatten)]
    pub output: OutputOptions,
}

/// `narrows recipes`
#[derive(Debug, Args)]
pub struct RecipesArguments {
    #[command(flatten)]
    pub output: OutputOptions,
}
