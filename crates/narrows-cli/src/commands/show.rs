//! `narrows show`

use std::path::Path;
use std::process::ExitCode;

use narrows::base::text::escaped;
use narrows::fit::{Footprint, training_memory};
use narrows::model::{ModelFile, Summary};
use narrows::network::plan::{LayerTable, Plan};
use narrows::pca;
use narrows::recipe::{RecipeFile, to_toml};
use narrows::{Compute, Recipe, Shape};
use serde::Serialize;

use crate::arguments::ShowArguments;
use crate::print::table;
use crate::shared::recipes;

/// The classes that a classifier's recipe is shown for where `--layers` does not say.
const SHOWN_CLASSES: usize = 10;

/// Shows a model, or the layers of a recipe.
pub fn run(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let name = Path::new(&arguments.name);
    let is_recipe = RecipeFile::names().any(|recipe| name.as_os_str() == recipe)
        || name.extension().is_some_and(|ending| ending == "toml")
        || !name.exists();
    if is_recipe { show_recipe(arguments) } else { show_model(arguments) }
}

/// A recipe compiled for rows of a shape.
#[derive(Serialize)]
struct Compiled<'a> {
    event: &'static str,
    name: &'a str,
    shape: Shape,
    parameters: usize,
    code_size: usize,
    #[serde(rename = "layers")]
    table: LayerTable,
    #[serde(serialize_with = "recipes::as_json")]
    recipe: &'a Recipe,
    /// Multiply-adds of one row, forward.
    multiply_adds: Option<usize>,
    /// Bytes that training takes beside the rows.
    training_memory: Option<usize>,
    #[serde(skip)]
    footprint: Option<Footprint>,
}

fn show_recipe(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let file = recipes::open(&arguments.name, &arguments.recipe_options)?;
    let shape = Shape::parse(&arguments.shape)?;
    let mut recipe = file.recipe()?;
    let last = arguments.recipe_options.layers.as_deref().and_then(|layers| layers.rsplit('-').next());
    let classes = last.and_then(|width| width.parse().ok()).unwrap_or(SHOWN_CLASSES);
    recipes::apply(&mut recipe, &arguments.recipe_options, shape, Some(classes))?;
    let compiled =
        compile(&file.name, &recipe, shape, classes).map_err(|error| error.at(arguments.name.display()))?;
    if arguments.output.json {
        table::json(&compiled)?;
        return Ok(ExitCode::SUCCESS);
    }
    print_compiled(&compiled, classes)?;
    Ok(ExitCode::SUCCESS)
}

fn compile<'a>(
    name: &'a str,
    recipe: &'a Recipe,
    shape: Shape,
    classes: usize,
) -> narrows::Result<Compiled<'a>> {
    let plan = match recipe {
        Recipe::Pca(pca) => {
            let k = pca.code_size.unwrap_or(32.min(shape.len()));
            return Ok(Compiled {
                event: "recipe",
                name,
                shape,
                parameters: shape.len() * (k + 1),
                code_size: k,
                table: pca::table(shape, k),
                recipe,
                multiply_adds: None,
                training_memory: None,
                footprint: None,
            });
        }
        Recipe::Autoencoder(network) => Plan::new(network, shape)?,
        Recipe::Classifier(network) => Plan::classifier(network, shape, classes)?,
    };
    let threads = Compute::default().threads();
    let footprint = recipe.train().map(|train| training_memory(&plan, train, threads)).transpose()?;
    Ok(Compiled {
        event: "recipe",
        name,
        shape,
        parameters: plan.parameter_count(),
        code_size: plan.code().len(),
        table: plan.table(),
        recipe,
        multiply_adds: Some(plan.multiply_adds()),
        training_memory: footprint.map(|memory| memory.total()),
        footprint,
    })
}

fn print_compiled(compiled: &Compiled<'_>, classes: usize) -> anyhow::Result<()> {
    let Compiled { name, shape, parameters, code_size, recipe, .. } = compiled;
    if let Some(about) = recipe.about() {
        table::line(format!("{}: {}\n", escaped(name), escaped(about)))?;
    }
    table::layers(&compiled.table)?;
    table::line(format!("\n{parameters} parameters, for rows of {shape} (--shape shows others)"))?;
    if matches!(recipe, Recipe::Classifier(_)) {
        table::line(format!("for rows of {classes} classes; the data say how many there are"))?;
    } else if *code_size >= shape.len() {
        let row = shape.len();
        table::line(format!(
            "the code has {code_size} numbers for the {row} of a row: it does not compress"
        ))?;
    }
    if let (Some(count), Some(memory), Some(train)) =
        (compiled.multiply_adds, compiled.footprint, recipe.train())
    {
        let mebibytes = |bytes: usize| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
        table::line(format!(
            "{:.2} million multiply-adds a row; training in batches of {} on {} threads takes {} beside the rows:\n\
             {} parameters and optimizer, {} shared by all threads, {} for each thread",
            count as f64 / 1e6,
            train.batch_size,
            memory.threads,
            mebibytes(memory.total()),
            mebibytes(memory.parameters),
            mebibytes(memory.shared),
            mebibytes(memory.each_thread)
        ))?;
    }
    table::line("")?;
    table::line(to_toml(recipe).trim_end())
}

fn show_model(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    #[derive(Serialize)]
    struct Line<'a> {
        event: &'static str,
        #[serde(serialize_with = "table::path")]
        model: &'a Path,
        part: &'static str,
        shape: Shape,
        parameters: usize,
        code_size: usize,
        layers: &'a LayerTable,
        #[serde(serialize_with = "recipes::as_json")]
        recipe: &'a Recipe,
        #[serde(skip_serializing_if = "Option::is_none")]
        classes: Option<&'a [String]>,
        #[serde(flatten)]
        summary: Option<&'a Summary>,
    }
    let file = ModelFile::open(Path::new(&arguments.name))?;
    let model = file.model();
    let layers = model.table();
    if arguments.output.json {
        let part = match &file {
            ModelFile::Whole(_) => "whole",
            ModelFile::Encoder(_) => "encoder",
            ModelFile::Decoder(_) => "decoder",
        };
        table::json(&Line {
            event: "model",
            model: Path::new(&arguments.name),
            part,
            shape: model.shape(),
            parameters: model.parameter_count(),
            code_size: model.code_shape().len(),
            layers: &layers,
            recipe: model.recipe(),
            classes: model.classes(),
            summary: model.summary(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    table::layers(&layers)?;
    if !matches!(file, ModelFile::Whole(_)) {
        table::line(format!("\nthe model is {}; the layers are those of the whole", file.title()))?;
    }
    table::line(format!("\n{} parameters, for rows of {}", model.parameter_count(), model.shape()))?;
    if let Some(classes) = model.classes() {
        table::line(format!("classes: {}", escaped(&classes.join(", "))))?;
    }
    if let Some(summary) = model.summary() {
        let (labelled, held_out) = match summary {
            Summary::Reconstruction(summary) => (String::new(), summary.evaluation.rows),
            Summary::Classification(summary) => {
                (format!(", {} of them labelled,", summary.labelled_rows), summary.evaluation.rows)
            }
        };
        let epochs = summary.epochs();
        let trained = if epochs > 0 { format!(" in {epochs} epochs") } else { String::new() };
        table::line(format!(
            "fitted on {} rows{labelled}{trained}, evaluated on {held_out} held-out rows:",
            summary.training_rows()
        ))?;
        table::line(escaped(summary.verdict()))?;
    }
    table::line("")?;
    table::line(to_toml(model.recipe()).trim_end())?;
    Ok(ExitCode::SUCCESS)
}
