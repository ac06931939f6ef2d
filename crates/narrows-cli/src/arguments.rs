//! What can be typed. Parsing never acts.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Compact codes of data, and what they lose: PCA and autoencoders.
#[derive(Debug, Parser)]
#[command(name = "narrows", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "First steps:
  narrows fit single --data mnist          train an autoencoder on handwritten digits
  narrows fit pca --data iris --code-size 2
  narrows compare single deep pca --data mnist --epochs 3
  narrows recipes                          what can be fitted
  narrows data                             what it can be fitted on")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fit a recipe to data: writes a model and a report, and says what the model is worth
    Fit(FitArguments),
    /// Fit several recipes to the same data and judge them by the same figures
    Compare(CompareArguments),
    /// Write the codes of rows
    Encode(ApplyArguments),
    /// Write the rows of codes
    Decode(ApplyArguments),
    /// Write rows encoded and decoded again
    Reconstruct(ApplyArguments),
    /// Write the rows on the way from one row to another, through their codes
    Interpolate(InterpolateArguments),
    /// Write a model's encoder and its decoder as models of their own
    Split(SplitArguments),
    /// Write the class of each row that a classifier tells, and the share of each class
    Predict(PredictArguments),
    /// Measure what a model loses on data, or how many classes it tells wrong
    Evaluate(EvaluateArguments),
    /// Show a model, or the layers of a recipe
    Show(ShowArguments),
    /// Reproduce published figures: fits what a paper fitted, and prints both side by side
    Reproduce(ReproduceArguments),
    /// List the built-in recipes
    Recipes,
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
    #[arg(long, value_name = "COLUMN", conflicts_with = "labels")]
    pub label: Option<String>,
    /// File with one class per row
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
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
    /// Numbers in a code: width of the middle, components of a PCA
    #[arg(long, value_name = "K")]
    pub code_size: Option<usize>,
    /// Dense widths from the input to the code, the decoder mirrored (784-128-64-32); of a classifier to the classes
    #[arg(long, value_name = "WIDTHS")]
    pub layers: Option<String>,
    /// Train each layer alone first: with this function of the hidden layers (sigmoid, tanh, relu), denoising, sparse; or
    /// none. Several go together (relu,denoising)
    #[arg(long, value_name = "KIND[,KIND]")]
    pub pretrain: Option<String>,
    /// Set any field of the recipe, such as train.rate=0.5; may be given again
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
}

/// `narrows fit`
#[derive(Debug, Args)]
pub struct FitArguments {
    /// A built-in recipe (see `narrows recipes`) or a TOML file
    pub recipe: String,
    /// Training rows: mnist, mnist:test, iris, or a file (.idx, .npy, .csv, gzipped or not)
    #[arg(long)]
    pub data: String,
    /// Where the model goes [default: runs/RECIPE-DATA-N/model.narrows]
    #[arg(long, value_name = "MODEL")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub recipe_options: RecipeOptions,
    /// Times that all rows are seen
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Rows between two steps
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// Where all chance comes from
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub compute: ComputeOptions,
    /// Held-out rows: another data set, or a share of the training rows [default: mnist's test images, else 0.1]
    #[arg(long, value_name = "DATA|SHARE")]
    pub validation: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// File with one class per held-out row, where --validation names a data set
    #[arg(long, value_name = "FILE", requires = "validation")]
    pub validation_labels: Option<PathBuf>,
    /// Folder of the report [default: runs/RECIPE-DATA-N]
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Print one JSON object per line and nothing else
    #[arg(long)]
    pub json: bool,
    /// Train on from the numbers of a model with the same layers (a PCA is two dense layers); a classifier takes its encoder
    #[arg(long, value_name = "MODEL")]
    pub from: Option<PathBuf>,
    /// Of a classifier: learn from the labels of so many rows only, of each class its share
    #[arg(long, value_name = "ROWS")]
    pub labelled: Option<usize>,
    /// Of a classifier: only the softmax layer learns, the encoder stays as it is
    #[arg(long)]
    pub frozen: bool,
    /// Fit the same network from random starts too, with as many updates (whole epochs), and say whether pre-training paid
    #[arg(long)]
    pub twin: bool,
    /// With --twin: how many seeds each has, from the recipe's own on
    #[arg(long, value_name = "N", default_value_t = 1, requires = "twin", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub seeds: u16,
    /// Go on from the checkpoint beside --out, as if the run had never stopped
    #[arg(long, requires = "out")]
    pub resume: bool,
}

/// `narrows compare`
#[derive(Debug, Args)]
pub struct CompareArguments {
    /// Built-in recipes (see `narrows recipes`) or TOML files
    #[arg(required = true, value_name = "RECIPE")]
    pub recipes: Vec<String>,
    /// Training rows: mnist, mnist:test, iris, or a file (.idx, .npy, .csv, gzipped or not)
    #[arg(long)]
    pub data: String,
    /// Numbers in a code, for all recipes that can choose [default: each recipe's own; a quarter of narrow rows]
    #[arg(long, value_name = "K")]
    pub code_size: Option<usize>,
    /// Times that all rows are seen
    #[arg(long, value_name = "N")]
    pub epochs: Option<usize>,
    /// Fits of each network, with the seeds from the recipe's own on
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub seeds: u16,
    /// Measure the error at several code sizes too
    #[arg(long, value_name = "code_size=2,4,8")]
    pub sweep: Option<String>,
    /// Set any field of the recipes that have it, such as train.rate=0.5 or scale=standard; may be given again
    #[arg(long, value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
    #[command(flatten)]
    pub compute: ComputeOptions,
    /// Held-out rows: another data set, or a share of the training rows [default: mnist's test images, else 0.1]
    #[arg(long, value_name = "DATA|SHARE")]
    pub validation: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Folder of the report [default: runs/compare-DATA-N]
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Print one JSON object per line and nothing else
    #[arg(long)]
    pub json: bool,
}

/// `narrows encode`, `decode`, `reconstruct`
#[derive(Debug, Args)]
pub struct ApplyArguments {
    /// A model file
    pub model: PathBuf,
    /// Rows (or codes, to decode): mnist, mnist:test, iris, or a file
    pub data: String,
    /// Where the result goes: .npy, .csv, or for images .png
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub compute: ComputeOptions,
    #[command(flatten)]
    pub data_options: DataOptions,
}

/// `narrows predict`
#[derive(Debug, Args)]
pub struct PredictArguments {
    /// A model file of a classifier
    pub model: PathBuf,
    /// Rows: mnist, mnist:test, iris, or a file
    pub data: String,
    /// Where the result goes: .csv (classes and shares), .npy (shares)
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    #[command(flatten)]
    pub compute: ComputeOptions,
    #[command(flatten)]
    pub data_options: DataOptions,
}

/// `narrows interpolate`
#[derive(Debug, Args)]
pub struct InterpolateArguments {
    #[command(flatten)]
    pub apply: ApplyArguments,
    /// The first row, from 1
    #[arg(long, value_name = "ROW", value_parser = clap::value_parser!(u32).range(1..))]
    pub from: u32,
    /// The last row, from 1
    #[arg(long, value_name = "ROW", value_parser = clap::value_parser!(u32).range(1..))]
    pub to: u32,
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
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

/// `narrows evaluate`
#[derive(Debug, Args)]
pub struct EvaluateArguments {
    /// A model file
    pub model: PathBuf,
    /// Rows: mnist, mnist:test, iris, or a file
    pub data: String,
    #[command(flatten)]
    pub compute: ComputeOptions,
    #[command(flatten)]
    pub data_options: DataOptions,
    /// Of a classifier: folder for a page with the confusions and the worst rows
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Print one JSON object per line and nothing else
    #[arg(long)]
    pub json: bool,
}

/// `narrows show`
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// A model file, a built-in recipe or a TOML file
    pub name: String,
    #[command(flatten)]
    pub recipe_options: RecipeOptions,
    /// Shape of a row that the layers of a recipe are shown for
    #[arg(long, value_name = "HxWxC", default_value = "28x28x1")]
    pub shape: String,
    /// Print one JSON object per line and nothing else
    #[arg(long)]
    pub json: bool,
}

/// `narrows reproduce`
#[derive(Debug, Args)]
pub struct ReproduceArguments {
    /// A paper; without it they are listed
    pub name: Option<String>,
    #[command(flatten)]
    pub compute: ComputeOptions,
    /// Print one JSON object per line and nothing else
    #[arg(long)]
    pub json: bool,
}

/// `narrows data`
#[derive(Debug, Args)]
pub struct DataArguments {
    /// A built-in data set or a file
    pub name: Option<String>,
    #[command(flatten)]
    pub data_options: DataOptions,
}
