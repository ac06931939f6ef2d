//! `narrows show`

use std::path::Path;
use std::process::ExitCode;

use narrows::compute::Compute;
use narrows::data::Shape;
use narrows::fit::training_memory;
use narrows::model::{Model, Part, pca_table};
use narrows::network::plan::{LayerTable, Plan};
use narrows::recipe::{Recipe, RecipeFile, to_toml};
use serde_json::json;

use super::fit::apply_options;
use crate::arguments::ShowArguments;
use crate::output;

/// The classes that a classifier's recipe is shown for where `--layers` does not say.
const SHOWN_CLASSES: usize = 10;

/// Shows a model, or the layers of a recipe.
pub fn run(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let name = &arguments.name;
    let is_recipe = RecipeFile::names().any(|recipe| recipe == name)
        || name.ends_with(".toml")
        || !Path::new(name).exists();
    if is_recipe { recipe(arguments) } else { model(arguments) }
}

fn recipe(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let mut recipe = RecipeFile::open(&arguments.name)?;
    for assignment in &arguments.recipe_options.set {
        recipe.set(assignment)?;
    }
    let shape = Shape::parse(&arguments.shape)?;
    let mut spec = recipe.recipe()?;
    let last = arguments.recipe_options.layers.as_deref().and_then(|layers| layers.rsplit('-').next());
    let classes = last.and_then(|width| width.parse().ok()).unwrap_or(SHOWN_CLASSES);
    apply_options(&mut spec, &arguments.recipe_options, shape, Some(classes))?;
    let threads = Compute::new(None).threads;
    let (table, parameters, code, training) = match &spec {
        Recipe::Autoencoder(network) => {
            let plan = Plan::new(network, shape).map_err(|error| error.at(&arguments.name))?;
            let memory = training_memory(&plan, &network.train, threads)?;
            (plan.table(), plan.parameter_count(), plan.code(), Some((plan.multiply_adds(), memory)))
        }
        Recipe::Classifier(classifier) => {
            let plan =
                Plan::classifier(classifier, shape, classes).map_err(|error| error.at(&arguments.name))?;
            let memory = training_memory(&plan, &classifier.train, threads)?;
            (plan.table(), plan.parameter_count(), plan.code(), Some((plan.multiply_adds(), memory)))
        }
        Recipe::Pca(pca) => {
            let k = pca.code_size.unwrap_or(32.min(shape.len()));
            (pca_table(shape, k), shape.len() * (k + 1), Shape::flat(k), None)
        }
    };
    if arguments.json {
        output::line(json!({
            "event": "recipe", "recipe": recipe.name, "shape": shape, "parameters": parameters,
            "code_size": code.len(), "layers": table_json(&table), "spec": spec,
            "multiply_adds": training.map(|(count, _)| count),
            "training_memory": training.map(|(_, memory)| memory.total()),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(about) = spec.about() {
        output::line(format!("{}: {about}\n", recipe.name))?;
    }
    output::layers(&table)?;
    output::line(format!("\n{parameters} parameters, for rows of {shape} (--shape shows others)"))?;
    if matches!(spec, Recipe::Classifier(_)) {
        output::line(format!("for rows of {classes} classes; the data say how many there are"))?;
    } else if code.len() >= shape.len() {
        let (code, row) = (code.len(), shape.len());
        output::line(format!("the code has {code} numbers for the {row} of a row: it does not compress"))?;
    }
    if let (Some((count, memory)), Some(train)) = (training, spec.train()) {
        let mebibytes = |bytes: usize| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
        output::line(format!(
            "{:.2} million multiply-adds a row; training in batches of {} on {threads} threads takes {} beside the rows:\n\
             {} parameters and optimizer, {} shared by all threads, {} for each thread",
            count as f64 / 1e6,
            train.batch,
            mebibytes(memory.total()),
            mebibytes(memory.parameters),
            mebibytes(memory.shared),
            mebibytes(memory.each_thread)
        ))?;
    }
    output::line("")?;
    output::line(to_toml(&spec).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn model(arguments: &ShowArguments) -> anyhow::Result<ExitCode> {
    let model = Model::open(Path::new(&arguments.name))?;
    let table = model.table();
    if arguments.json {
        output::line(json!({
            "event": "model", "model": arguments.name, "shape": model.shape, "parameters": model.parameter_count(),
            "code_size": model.code_shape().len(), "layers": table_json(&table), "spec": model.recipe,
            "summary": model.summary,
            "classes": model.classes.as_ref().map(|classes| &classes.names),
            "classifier_summary": model.classes.as_ref().and_then(|classes| classes.summary.as_ref()),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::layers(&table)?;
    if model.part != Part::Whole {
        output::line(format!("\nthe model is {}; the layers are those of the whole", model.part.title()))?;
    }
    output::line(format!("\n{} parameters, for rows of {}", model.parameter_count(), model.shape))?;
    if let Some(summary) = &model.summary {
        let trained =
            if summary.epochs > 0 { format!(" in {} epochs", summary.epochs) } else { String::new() };
        output::line(format!(
            "fitted on {} rows{trained}, judged on {}:",
            summary.training_rows, summary.evaluation.rows
        ))?;
        output::line(&summary.verdict)?;
    }
    if let Some(classes) = &model.classes {
        output::line(format!("classes: {}", classes.names.join(", ")))?;
        if let Some(summary) = &classes.summary {
            output::line(format!(
                "fitted on {} rows, {} of them labelled, in {} epochs, judged on {}:",
                summary.training_rows, summary.labelled_rows, summary.epochs, summary.evaluation.rows
            ))?;
            output::line(&summary.verdict)?;
        }
    }
    output::line("")?;
    output::line(to_toml(&model.recipe).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn table_json(table: &LayerTable) -> serde_json::Value {
    table
        .rows
        .iter()
        .map(|row| {
            let cells = table.header.iter().zip(row).map(|(name, cell)| {
                let value = cell.parse::<u64>().map_or_else(|_| json!(cell), |number| json!(number));
                (name.clone(), value)
            });
            serde_json::Value::Object(cells.collect())
        })
        .collect()
}
