//! Decoded codes, whose images show the meaning of the code.

use narrows::data::{Table, Values};
use narrows::{Model, Result, Shape};

use super::{Figure, pictures};

/// Images along each side of a grid.
const GRID: usize = 15;

/// Number of sampled codes.
const SAMPLES: usize = 60;

/// The images that a model decodes from chosen codes; None where the rows are no images, or no codes are worth decoding.
/// `codes` are those of some rows.
pub(crate) fn images(model: &Model, codes: &[f32]) -> Result<Option<Figure>> {
    if !model.shape().is_image() {
        return Ok(None);
    }
    let Some(Chosen { codes, columns, what }) = chosen_codes(model, codes) else { return Ok(None) };
    let images = decode(model, codes)?;
    Ok(picture(model.shape(), &images, columns, &what))
}

fn picture(shape: Shape, images: &[f32], columns: usize, what: &str) -> Option<Figure> {
    let (png, size) = pictures::grid(shape, images, columns, pictures::UNIT)?;
    Some(Figure {
        name: "decoded".to_owned(),
        heading: "Decoded codes",
        caption: format!("{what} Fixed scale: 0 is black, 1 is white."),
        alternative: format!("Images of {shape} in {columns} columns. {what}"),
        svg: None,
        png,
        size,
    })
}

/// Codes to decode, and a description of them.
struct Chosen {
    /// n x code size.
    codes: Vec<f32>,
    /// Images in a row of the picture.
    columns: usize,
    /// A sentence that describes the choice of the codes.
    what: String,
}

/// Chooses codes to decode: a grid for codes of two numbers, else samples of the prior of a variational autoencoder. None for
/// other codes. `codes` are those of some rows; the grid covers their range.
fn chosen_codes(model: &Model, codes: &[f32]) -> Option<Chosen> {
    if model.code_shape().len() == 2 {
        return grid(codes, model.is_variational());
    }
    model.is_variational().then(|| Chosen {
        codes: model.sample_codes(SAMPLES),
        columns: 12,
        what: "Codes drawn from the standard normal: rows that there never were.".to_owned(),
    })
}

/// A grid of codes of two numbers: over the range of `codes`, or at equal steps of the standard normal's distribution.
fn grid(codes: &[f32], is_variational: bool) -> Option<Chosen> {
    let place = |at: usize| (at as f64 + 0.5) / GRID as f64;
    let value = |unit: usize, at: usize| {
        if is_variational {
            return normal_quantile(place(at)) as f32;
        }
        let column = || codes.iter().skip(unit).step_by(2).copied();
        let (low, high) =
            (column().fold(f32::INFINITY, f32::min), column().fold(f32::NEG_INFINITY, f32::max));
        low + (high - low) * place(at) as f32
    };
    // The axes point to the right and upwards, as in the chart of the codes.
    let rows = (0..GRID).rev();
    let places = rows.flat_map(|up| (0..GRID).flat_map(move |right| [(0, right), (1, up)]));
    let codes: Vec<f32> = places.map(|(unit, at)| value(unit, at)).collect();
    let what = if is_variational {
        "Codes on a grid, at equal steps of the standard normal's distribution: the first number grows to the right, the second upwards."
    } else {
        "Codes on a grid over the range of the rows' codes: the first number grows to the right, the second upwards."
    };
    let finite = codes.iter().all(|value| value.is_finite());
    finite.then(|| Chosen { codes, columns: GRID, what: what.to_owned() })
}

/// Decodes codes to images on the model's scale: n x row length.
fn decode(model: &Model, codes: Vec<f32>) -> Result<Vec<f32>> {
    let codes = Table::new(Values::F32(codes), model.code_shape())?;
    let mut images = model.decode(codes)?.into_values().into_f32();
    model.scale(&mut images);
    Ok(images)
}

/// The quantile function of the standard normal distribution.
fn normal_quantile(share: f64) -> f64 {
    // Bisection of the distribution function is fast enough for a picture.
    let below = |x: f64| 0.5 * (1.0 + error_function(x * std::f64::consts::FRAC_1_SQRT_2));
    let (mut low, mut high) = (-9.0, 9.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if below(middle) < share { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x, by its Maclaurin series.
fn error_function(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal() {
        for (share, want) in
            [(0.5, 0.0), (0.841_344_746, 1.0), (0.025, -1.959_963_985), (0.999, 3.090_232_306)]
        {
            assert!((normal_quantile(share) - want).abs() < 1e-6, "{share}");
        }
    }
}
