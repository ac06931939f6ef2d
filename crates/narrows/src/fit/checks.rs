//! Checks before a fit: row lengths, the initial model, memory, the range of values.

use super::Footprint;
use crate::data::scaling::{Scale, Scaling};
use crate::data::source::each_block;
use crate::data::stats::Measured;
use crate::data::{Dataset, Element, Source};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::network::engine::Engine;
use crate::network::plan::Plan;
use crate::recipe::{AutoencoderRecipe, Function, Layer, Loss, Recipe, Train};

/// Refuses held-out rows of another length than the training rows, and empty data sets.
pub(super) fn check_lengths(training: &Dataset<'_>, held_out: &Dataset<'_>) -> Result<()> {
    for dataset in [training, held_out] {
        if dataset.rows.rows() == 0 || dataset.rows.shape().len() == 0 {
            return Err(Error::data(format!("{}: there are no rows", dataset.name)));
        }
    }
    let [training_width, held_out_width] = [training, held_out].map(|dataset| dataset.rows.shape().len());
    if training_width == held_out_width {
        return Ok(());
    }
    Err(Error::data(format!(
        "{}: its rows have {held_out_width} numbers, those of {} have {training_width}",
        held_out.name, training.name
    )))
}

/// The memory for training a network, without its rows.
///
/// # Errors
/// If the settings of the optimizer are invalid.
pub fn training_memory(plan: &Plan, train: &Train, threads: usize) -> Result<Footprint> {
    Ok(Engine::footprint(plan, train.optimizer()?, train.precision, train.batch_size, threads))
}

/// Refuses an initial model whose scaling differs from the recipe's, or that would see the rows in other units. `scale` is
/// that of the recipe.
pub(super) fn check_initial_model(scale: Scale, model: &Model, rows: &dyn Source) -> Result<()> {
    model.check_rows(rows)?;
    let model_scale = model.recipe.scale();
    // `unit` and `auto` are defaults, so they do not count as a request.
    if scale != model_scale && !matches!(scale, Scale::Unit | Scale::Auto) {
        return Err(Error::recipe(format!(
            "scale: the model that training starts from has `{}`, the recipe says `{}`",
            model_scale.name(),
            scale.name()
        )));
    }
    let fitted_on_bytes = model.element == Element::U8;
    if matches!(model_scale, Scale::Unit | Scale::Center)
        && fitted_on_bytes != (rows.element() == Element::U8)
    {
        let kind = |bytes| if bytes { "bytes" } else { "numbers that are no bytes" };
        return Err(Error::data(format!(
            "the model that training starts from was fitted on {}, these rows are {}",
            kind(fitted_on_bytes),
            kind(!fitted_on_bytes)
        )));
    }
    Ok(())
}

/// Refuses values outside 0..1 after scaling, for a loss that needs this range; the error names the first one.
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
    let mut outside = None;
    each_block(measured.source, |first, block| {
        let values = block.to_vec();
        scaling.apply_f64(block, width);
        if outside.is_none()
            && let Some(at) = block.iter().position(|value| !value.is_nan() && !UNIT_RANGE.contains(value))
        {
            outside =
                Some((measured.source.row_number(first + at / width), at % width + 1, values[at], block[at]));
        }
        Ok(())
    })?;
    let Some((row, column, value, scaled)) = outside else { return Ok(()) };
    let name = recipe.loss.name();
    let after = if value == scaled { String::new() } else { format!(" ({scaled} after scaling)") };
    Err(Error::data(format!(
        "{}: row {row}, column {column}: {value}{after} lies outside 0..1, which loss = \"{name}\" needs",
        data.name
    ))
    .hint("scale the columns with scale = \"min_max\", or use loss = \"mse\" with a decoder that ends in \"linear\""))
}

/// A clause on training rows that the outputs of a network cannot reach, since its last function has a range: None where it has none,
/// the loss refuses such rows itself, or the rows lie in it.
pub(super) fn out_of_reach(
    recipe: &Recipe,
    scaling: &Scaling,
    rows: &Measured<'_>,
) -> Result<Option<String>> {
    let Recipe::Autoencoder(network) = recipe else { return Ok(None) };
    let range = match network.decoder.last() {
        Some(Layer::Function(Function::Sigmoid | Function::Softmax)) => (0.0, 1.0),
        Some(Layer::Function(Function::Tanh)) => (-1.0, 1.0),
        Some(Layer::Function(Function::Relu | Function::Softplus)) => (0.0, f64::INFINITY),
        _ => return Ok(None),
    };
    if network.loss.needs_shares() || network.loss == Loss::Mixed {
        return Ok(None);
    }
    let (least, most) = (range.0 - 1e-6, range.1 + 1e-6);
    let width = rows.source.shape().len();
    let (mut outside, mut all) = (0usize, 0usize);
    each_block(rows.source, |_, block| {
        scaling.apply_f64(block, width);
        all += block.iter().filter(|value| !value.is_nan()).count();
        outside += block.iter().filter(|&&value| value < least || value > most).count();
        Ok(())
    })?;
    if outside == 0 {
        return Ok(None);
    }
    let what =
        if range.1.is_finite() { format!("{}..{}", range.0, range.1) } else { "0 and above".to_owned() };
    let percent = 100.0 * outside as f64 / all.max(1) as f64;
    let percent = if percent < 0.1 { "under 0.1".to_owned() } else { format!("{percent:.1}") };
    Ok(Some(format!(
        "its outputs lie in {what}, and {percent} % of the numbers do not: end the decoder in \"linear\", or scale = \"min_max\""
    )))
}

/// 0..1, with a tolerance for the rounding error of scaling.
pub(super) const UNIT_RANGE: std::ops::RangeInclusive<f64> = -1e-6..=1.0 + 1e-6;

/// Whether all values lie in 0..1 after scaling. Scaling is monotone, so the minimum and the maximum of each column decide.
pub(super) fn is_in_unit_range(rows: &Measured<'_>, scaling: &Scaling) -> Result<bool> {
    if rows.source.element() == Element::U8 && scaling.offsets == [0.0] && scaling.scales == [255.0] {
        return Ok(true);
    }
    let statistics = rows.statistics()?;
    let mut extremes = [statistics.least.clone(), statistics.most.clone()];
    for row in &mut extremes {
        let width = row.len();
        scaling.apply_f64(row, width);
    }
    Ok(extremes.iter().flatten().all(|value| UNIT_RANGE.contains(value)))
}
