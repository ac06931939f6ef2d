//! The quality of codes apart from reconstruction: nearest-neighbour accuracy, linear probe, trustworthiness and continuity.
//!
//! Pure functions of codes (n x k, row-major). No result depends on the number of threads.

mod nearest;
mod neighbourhoods;
mod probe;

pub use neighbourhoods::{Neighbourhoods, neighbourhoods};

use crate::compute::Compute;
use crate::network::engine::each_piece;

/// n codes of k numbers with their classes.
#[derive(Debug, Clone, Copy)]
pub struct Classified<'a> {
    /// The codes: n x k.
    pub codes: &'a [f32],
    /// The class of each code: n.
    pub classes: &'a [u32],
}

/// The accuracy of the nearest-neighbour classifier: the fraction of held-out codes whose nearest training code (Euclidean,
/// of equally near ones the first) has the same class. None if the training codes have fewer than two classes or there
/// are no held-out codes.
///
/// # Panics
/// If the numbers of codes and classes differ.
pub fn nearest_neighbour_accuracy(
    training: Classified<'_>,
    held_out: Classified<'_>,
    code_size: usize,
    compute: Compute,
) -> Option<f64> {
    if !can_be_classified(training, held_out, code_size) {
        return None;
    }
    let nearest = nearest::nearest(training.codes, held_out.codes, code_size, compute);
    Some(accuracy_of(held_out.classes, nearest.into_iter().map(|row| training.classes[row])))
}

/// The accuracy of a linear probe (Alain and Bengio 2016): the fraction of held-out codes that multinomial logistic
/// regression, fitted to the standardised training codes, classifies correctly. None if the training codes have fewer than
/// two classes or there are no held-out codes.
///
/// # Panics
/// If the numbers of codes and classes differ.
pub fn linear_probe_accuracy(
    training: Classified<'_>,
    held_out: Classified<'_>,
    code_size: usize,
    compute: Compute,
) -> Option<f64> {
    if !can_be_classified(training, held_out, code_size) {
        return None;
    }
    let predicted = probe::classify(training, held_out.codes, code_size, compute);
    Some(accuracy_of(held_out.classes, predicted.into_iter()))
}

fn can_be_classified(training: Classified<'_>, held_out: Classified<'_>, code_size: usize) -> bool {
    for Classified { codes, classes } in [training, held_out] {
        assert_eq!(codes.len(), classes.len() * code_size, "one class for each code of {code_size}");
    }
    let several = training.classes.iter().any(|class| *class != training.classes[0]);
    several && !held_out.classes.is_empty()
}

fn accuracy_of(classes: &[u32], predicted: impl Iterator<Item = u32>) -> f64 {
    let correct = classes.iter().zip(predicted).filter(|(class, predicted)| *class == predicted).count();
    correct as f64 / classes.len() as f64
}

/// [`each_piece`] for work that cannot fail.
fn each<T: Send, S>(
    out: &mut [T],
    size: usize,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize, &mut [T]) + Sync,
) {
    let mut on = |threads| {
        each_piece(out, size, threads, &state, |state, index, piece| {
            work(state, index, piece);
            Ok(())
        })
    };
    // Threads that cannot be started are the only failure; the result does not depend on their number.
    if on(threads).is_err() {
        on(1).expect("the calling thread is there already");
    }
}

/// The mean of each column of n x d values: d.
fn column_means(values: &[f32], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0; width];
    for row in values.chunks_exact(width) {
        sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    let rows = (values.len() / width).max(1) as f64;
    sums.into_iter().map(|sum| sum / rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_classes_to_tell_apart_there_is_no_accuracy() {
        let compute = Compute::with_threads(1);
        let one = Classified { codes: &[1.0, 2.0], classes: &[3, 3] };
        let two = Classified { codes: &[1.0, 2.0], classes: &[3, 4] };
        let none = Classified { codes: &[], classes: &[] };
        for accuracy in [nearest_neighbour_accuracy, linear_probe_accuracy] {
            assert_eq!(accuracy(one, two, 1, compute), None);
            assert_eq!(accuracy(two, none, 1, compute), None);
            assert_eq!(accuracy(none, two, 1, compute), None);
            assert_eq!(accuracy(two, two, 1, compute), Some(1.0));
            // A class that nothing was learned of is never found.
            assert_eq!(
                accuracy(two, Classified { codes: &[1.0, 2.0], classes: &[3, 9] }, 1, compute),
                Some(0.5)
            );
        }
    }
}
