//! Missing numbers of rows: what the input has in their place, and how a loss leaves them out.
//!
//! The loss of a row with gaps is the mean over what it has: the sum is scaled up to a whole row, so that a mean over the rows of a
//! batch is still divided by whole rows. A gap has no error and no gradient.

use crate::data::{ColumnError, EncodedColumn};
use crate::recipe::Loss;

/// A logit so large that its cross-entropy with the target 1 is 0, and the gradient too.
const CERTAIN: f32 = 64.0;

/// Replaces what is missing of rows (n x d) by the numbers of `fill` (d).
pub(crate) fn fill_gaps(rows: &mut [f32], fill: &[f32]) {
    for row in rows.chunks_exact_mut(fill.len()) {
        for (value, &other) in row.iter_mut().zip(fill) {
            if value.is_nan() {
                *value = other;
            }
        }
    }
}

/// Makes the gaps of a row cost nothing in the kernel of a loss: changes `targets` and, where that is not enough, `outputs`.
/// Returns the factor that makes the sum over the rest one over a whole row: 1 for a row without gaps, 0 for one that has nothing.
pub(crate) fn leave_out(
    loss: Loss,
    columns: &[EncodedColumn],
    outputs: &mut [f32],
    targets: &mut [f32],
) -> f32 {
    if !targets.iter().fold(false, |found, target| found | target.is_nan()) {
        return 1.0;
    }
    if columns.is_empty() {
        let error = if loss == Loss::Bce { ColumnError::Binary } else { ColumnError::Squared };
        let gaps = outputs.iter_mut().zip(targets.iter_mut()).filter(|(_, target)| target.is_nan());
        let missing = gaps.map(|(output, target)| leave_out_number(error, output, target)).count();
        return factor(targets.len(), missing);
    }
    let mut missing = 0;
    for EncodedColumn { range, error, .. } in columns {
        let (outputs, targets) = (&mut outputs[range.clone()], &mut targets[range.clone()]);
        if targets.iter().any(|target| target.is_nan()) {
            missing += 1;
            let numbers = outputs.iter_mut().zip(targets);
            numbers.for_each(|(output, target)| leave_out_number(*error, output, target));
        }
    }
    factor(columns.len(), missing)
}

fn leave_out_number(error: ColumnError, output: &mut f32, target: &mut f32) {
    match error {
        ColumnError::Squared => *target = *output,
        ColumnError::Binary => (*output, *target) = (CERTAIN, 1.0),
        // Without a level that is meant, a distribution is wrong about nothing.
        ColumnError::Categorical => *target = 0.0,
    }
}

fn factor(all: usize, missing: usize) -> f32 {
    if missing == all { 0.0 } else { all as f32 / (all - missing) as f32 }
}
