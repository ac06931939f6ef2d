//! What is checked before a fit, and the rows and the state that training begins with.

use narrows_kernels::Level;

use super::Footprint;
use crate::data::scaling::{Scale, Scaling};
use crate::data::source::each_block;
use crate::data::stats::Measured;
use crate::data::{Dataset, Element, Source, Table};
use crate::error::{Error, Result};
use crate::model::{Fitted, Model, Part};
use crate::network::engine::{Engine, Rows};
use crate::network::plan::{Op, Plan};
use crate::recipe::{AutoencoderRecipe, Loss, Optimizer, Train};
use crate::train::State;
use crate::train::checkpoint::Checkpoints;

/// Refuses held-out rows of another length than the training rows, and none at all.
pub(super) fn check_lengths(training: &Dataset<'_>, held_out: &Dataset<'_>) -> Result<()> {
    for dataset in [training, held_out] {
        if dataset.rows.rows() == 0 || dataset.rows.shape().len() == 0 {
            return Err(Error::data(format!("{}: there are no rows", dataset.name)));
        }
    }
    let [own, other] = [training, held_out].map(|dataset| dataset.rows.shape().len());
    if own == other {
        return Ok(());
    }
    Err(Error::data(format!(
        "{}: its rows have {other} numbers, those of {} have {own}",
        held_out.name, training.name
    )))
}

/// The memory that training a network takes beside its rows, which all lie in memory too.
///
/// # Errors
/// Where the settings of the optimizer are not valid.
pub fn training_memory(plan: &Plan, train: &Train, threads: usize) -> Result<Footprint> {
    Ok(Engine::footprint(plan, train.optimizer()?, train.batch_size, threads))
}

/// Rows as training reads them: numbers in double precision are scaled and narrowed once, beforehand.
pub(super) struct Prepared<'a> {
    rows: Rows<'a>,
    table: Option<(Table, Scaling)>,
}

impl<'a> Prepared<'a> {
    pub fn new(rows: Rows<'a>, level: Level) -> Result<Self> {
        let table = rows.scaling.prepare(rows.source, level)?;
        Ok(Self { rows, table: table.map(|table| (table, Scaling::identity())) })
    }

    pub fn rows(&self) -> Rows<'_> {
        match &self.table {
            Some((source, scaling)) => Rows { source, scaling, classes: self.rows.classes },
            None => self.rows,
        }
    }
}

/// Where training begins: at the newest checkpoint where a run goes on, else at `first`.
pub(super) fn begin(
    files: Option<&mut Checkpoints>,
    resume: bool,
    plan: &Plan,
    optimizer: Optimizer,
    epochs: usize,
    first: impl FnOnce() -> Result<State>,
) -> Result<State> {
    let Some(files) = files else { return first() };
    if !resume {
        // What an older run left must not be taken for this one's.
        files.remove();
        return first();
    }
    let state = files.newest(plan, optimizer)?;
    let done = state.history.len();
    if done > epochs {
        return Err(Error::recipe(format!(
            "train.epochs: the checkpoint has {done} epochs already, {epochs} are asked for"
        )));
    }
    Ok(state)
}

/// Refuses to train on from a model what would silently become something else. `asked` is the recipe's scale.
pub(super) fn check_start(asked: Scale, model: &Model, rows: &dyn Source) -> Result<()> {
    model.check_rows(rows)?;
    let own = model.recipe.scale();
    // The default is no wish.
    if asked != own && !matches!(asked, Scale::Unit | Scale::Auto) {
        return Err(Error::recipe(format!(
            "scale: the model that training starts from has `{}`, the recipe says `{}`",
            own.name(),
            asked.name()
        )));
    }
    let learned_bytes = model.element == Element::U8;
    if matches!(own, Scale::Unit | Scale::Center) && learned_bytes != (rows.element() == Element::U8) {
        let kind = |bytes| if bytes { "bytes" } else { "numbers that are no bytes" };
        return Err(Error::data(format!(
            "the model that training starts from was fitted on {}, these rows are {}",
            kind(learned_bytes),
            kind(!learned_bytes)
        )));
    }
    Ok(())
}

/// Refuses a network whose training does not fit into what memory is free, where the system tells.
pub(super) fn check_memory(
    plan: &Plan,
    optimizer: Optimizer,
    batch: usize,
    threads: usize,
    free: Option<usize>,
) -> Result<()> {
    // Beside the engine's own: where training starts, where it is, and the best so far.
    let copies = plan.buffer_len * size_of::<f32>() * (3 + 2 * optimizer.state_slots());
    let needed = Engine::footprint(plan, optimizer, batch, threads).total() + copies;
    let Some(free) = free else { return Ok(()) };
    if needed <= free {
        return Ok(());
    }
    let gibibytes = |bytes: usize| bytes as f64 / f64::from(1 << 30);
    Err(Error::recipe(format!(
        "training takes {:.1} GiB of memory, and {:.1} GiB are free",
        gibibytes(needed),
        gibibytes(free)
    ))
    .hint("fewer units, or a smaller train.batch_size"))
}

/// The numbers of a model, to train on from.
pub(super) fn parameters_of(model: &Model, plan: &Plan) -> Result<Vec<f32>> {
    let converted;
    let model = match &model.fitted {
        Fitted::Pca(_) => {
            converted = model.to_network(Train::default())?;
            &converted
        }
        Fitted::Network { .. } => model,
    };
    model.must_rebuild("be trained on as an autoencoder")?;
    model.must_have(Part::Whole, "be trained on")?;
    let Fitted::Network { plan: own, parameters } = &model.fitted else {
        unreachable!("made a network above")
    };
    // What is drawn or dropped, and what that costs, has no numbers of its own.
    let kind = |op: &Op| match op {
        Op::Dropout { .. } => Op::Dropout { share: 0.0 },
        Op::Sample { .. } => Op::Sample { divergence: 0.0 },
        op => op.clone(),
    };
    let chain =
        |plan: &Plan| plan.steps.iter().map(|step| (kind(&step.op), step.activation)).collect::<Vec<_>>();
    if chain(own) != chain(plan) || own.cut != plan.cut {
        let layers = |plan: &Plan| {
            let table = plan.table();
            table.rows.into_iter().map(|row| row.operation).collect::<Vec<_>>().join(" - ")
        };
        let error = Error::model(format!(
            "its layers ({}) are not those of the recipe ({})",
            layers(own),
            layers(plan)
        ));
        return Err(if plan.is_normalized() {
            error.hint("batch_norm is no part of a model: it became part of the layers beside it. Leave it out to train on")
        } else {
            error
        });
    }
    Ok(parameters.clone())
}

/// Refuses values outside 0..1 for a loss that needs them there, naming the first.
pub(super) fn check_unit_range(
    data: &Dataset<'_>,
    measured: &Measured<'_>,
    recipe: &AutoencoderRecipe,
    scaling: &Scaling,
) -> Result<()> {
    if is_in_unit_range(measured, scaling)? {
        return Ok(());
    }
    let width = measured.source.shape().len();
    let mut wrong = None;
    each_block(measured.source, |first, block| {
        let values = block.to_vec();
        scaling.apply_f64(block, width);
        if wrong.is_none()
            && let Some(at) = block.iter().position(|value| !UNIT_RANGE.contains(value))
        {
            wrong = Some((first + at / width + 1, at % width + 1, values[at], block[at]));
        }
        Ok(())
    })?;
    let Some((row, column, value, scaled)) = wrong else { return Ok(()) };
    let name = match recipe.loss {
        Loss::Bce => "bce",
        _ => "cross_entropy",
    };
    let after = if value == scaled { String::new() } else { format!(" ({scaled} after scaling)") };
    Err(Error::data(format!(
        "{}: row {row}, column {column}: {value}{after} lies outside 0..1, which loss = \"{name}\" needs",
        data.name
    ))
    .hint("scale the columns with scale = \"min_max\", or use loss = \"mse\" with a decoder that ends in \"linear\""))
}

/// 0..1 after scaling, which may round a little past the ends.
const UNIT_RANGE: std::ops::RangeInclusive<f64> = -1e-6..=1.0 + 1e-6;

/// Whether all values lie in 0..1 after scaling. Scaling is monotone: the ends of each column tell.
pub(super) fn is_in_unit_range(rows: &Measured<'_>, scaling: &Scaling) -> Result<bool> {
    if rows.source.element() == Element::U8 && scaling.offsets == [0.0] && scaling.scales == [255.0] {
        return Ok(true);
    }
    let statistics = rows.statistics()?;
    let mut ends = [statistics.least.clone(), statistics.most.clone()];
    for end in &mut ends {
        let width = end.len();
        scaling.apply_f64(end, width);
    }
    Ok(ends.iter().flatten().all(|value| UNIT_RANGE.contains(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Shape;
    use crate::recipe::Recipe;

    #[test]
    fn a_network_larger_than_memory_is_refused_before_it_is_made() {
        let Recipe::Autoencoder(mut recipe) = Recipe::open("single").unwrap() else { panic!() };
        recipe.set_code_size(2_000_000).unwrap();
        let plan = Plan::new(&recipe, Shape::flat(784)).unwrap();
        let optimizer = recipe.train.optimizer().unwrap();
        let check = |free| check_memory(&plan, optimizer, 128, 2, free);
        // 3.1 billion weights, and what training remembers of each.
        let error = check(Some(16 << 30)).unwrap_err().to_string();
        assert!(error.contains("GiB of memory, and 16.0 GiB are free"), "{error}");
        assert!(check(Some(1 << 40)).is_ok() && check(None).is_ok());
    }
}
