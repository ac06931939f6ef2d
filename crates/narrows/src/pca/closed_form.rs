//! The linear autoencoder of least squared error, in closed form.

use narrows_kernels::Level;

use crate::error::{Error, Result};
use crate::network::plan::Plan;
use crate::pca::moments::Moments;

/// The parameters of the linear autoencoder of least squared error on the rows behind `moments` (Baldi and Hornik 1989): with
/// biases the PCA, h = P (x - m) and g = P'h + m; without, P are the leading eigenvectors of X'X.
///
/// # Errors
/// Where there are more code units than rows or columns, or the eigenvalue decomposition fails.
pub(crate) fn closed_form(plan: &Plan, moments: &Moments, level: Level) -> Result<Vec<f32>> {
    let k = plan.code().len();
    let most = moments.rows.min(moments.width);
    if k > most {
        return Err(Error::recipe(format!(
            "weights.init: {} rows of {} numbers allow a closed form of 1 to {most} code units, not {k}",
            moments.rows, moments.width
        ))
        .hint("a smaller `code_size`"));
    }
    let mut parameters = vec![0.0; plan.buffer_len];
    let mut set = |range: &std::ops::Range<usize>, numbers: &mut dyn Iterator<Item = f64>| {
        parameters[range.clone()].iter_mut().zip(numbers).for_each(|(to, from)| *to = from as f32);
    };
    let [encoder, decoder] = &plan.steps[..] else { unreachable!("the plan has a closed form") };
    let (Some((first, encoder_bias)), Some((second, decoder_bias))) =
        (encoder.op.parameters(), decoder.op.parameters())
    else {
        unreachable!("the plan has a closed form")
    };
    let principal =
        if encoder_bias.is_some() { moments.about_mean(k, level)? } else { moments.about_zero(k, level)? };
    let (directions, d) = (&principal.directions, moments.width);
    set(first, &mut (0..d * k).map(|at| directions[at % k * d + at / k]));
    if !decoder.op.is_tied() {
        set(second, &mut directions.iter().copied());
    }
    if let (Some(first), Some(second)) = (encoder_bias, decoder_bias) {
        let along = |direction: &[f64]| direction.iter().zip(&moments.mean).map(|(a, b)| a * b).sum::<f64>();
        set(first, &mut directions.chunks_exact(d).map(|direction| -along(direction)));
        set(second, &mut moments.mean.iter().copied());
    }
    Ok(parameters)
}
