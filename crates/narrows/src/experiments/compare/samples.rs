//! The rows on which the codes of all methods are evaluated.

use std::sync::Arc;

use crate::compute::Compute;
use crate::data::{Dataset, Labels, Source};
use crate::evaluation::codes::{Classified, linear_probe_accuracy, nearest_neighbour_accuracy};

/// The largest numbers of training and held-out rows for the accuracies, evenly spaced over the rows.
const CLASSIFIED: (usize, usize) = (60_000, 10_000);
/// The largest number of held-out rows whose neighbourhoods are compared, evenly spaced over the rows: the time grows with
/// its square.
const NEIGHBOURHOODS: usize = 2000;
/// Held-out rows that are reconstructed as examples.
const EXAMPLES: usize = 10;

/// Indices of rows.
pub(super) struct Samples {
    /// The rows for the accuracies, if the rows have classes.
    pub classified: Option<ClassifiedRows>,
    /// The held-out rows whose neighbourhoods are compared.
    pub neighbourhoods: Vec<usize>,
    /// The held-out rows that are reconstructed as examples.
    pub examples: Vec<usize>,
}

impl Samples {
    pub fn new(training: &Dataset<'_>, held_out: &Dataset<'_>) -> Self {
        let rows = held_out.rows.rows();
        Self {
            classified: ClassifiedRows::new(training, held_out),
            neighbourhoods: evenly_spaced(rows, NEIGHBOURHOODS),
            examples: (0..rows.min(EXAMPLES)).collect(),
        }
    }
}

/// Indices of rows, and their classes as the training rows number them.
pub(super) struct ClassifiedRows {
    pub training: (Vec<usize>, Vec<u32>),
    pub held_out: (Vec<usize>, Vec<u32>),
}

impl ClassifiedRows {
    fn new(training: &Dataset<'_>, held_out: &Dataset<'_>) -> Option<Self> {
        let (Some(training_labels), Some(held_out_labels)) = (&training.labels, &held_out.labels) else {
            return None;
        };
        // Classes are matched by name, because two files may number them differently. A class that no training row has gets
        // a number that is never predicted.
        let number = |labels: &Labels, row: usize| -> u32 {
            let name = &labels.names[labels.classes[row] as usize];
            training_labels
                .names
                .iter()
                .position(|other| other == name)
                .map_or(u32::MAX, |class| class as u32)
        };
        let sample = |labels: &Labels, rows: &Arc<dyn Source + '_>, most: usize| {
            let rows = evenly_spaced(rows.rows(), most);
            let classes = rows.iter().map(|&row| number(labels, row)).collect();
            (rows, classes)
        };
        Some(Self {
            training: sample(training_labels, &training.rows, CLASSIFIED.0),
            held_out: sample(held_out_labels, &held_out.rows, CLASSIFIED.1),
        })
    }

    /// The accuracies of the nearest neighbour and of the linear probe, for codes of these rows (n x width).
    pub fn accuracies(
        &self,
        training: &[f32],
        held_out: &[f32],
        width: usize,
        compute: Compute,
    ) -> [Option<f64>; 2] {
        let training = Classified { codes: training, classes: &self.training.1 };
        let held_out = Classified { codes: held_out, classes: &self.held_out.1 };
        [nearest_neighbour_accuracy, linear_probe_accuracy]
            .map(|accuracy| accuracy(training, held_out, width, compute))
    }
}

/// At most `most` indices of `rows` rows at even distances, from the first on.
fn evenly_spaced(rows: usize, most: usize) -> Vec<usize> {
    let count = rows.min(most);
    (0..count).map(|at| (at as u128 * rows as u128 / count as u128) as usize).collect()
}
