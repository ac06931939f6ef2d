//! Shuffling: the order of the rows in an epoch.

use super::source::{Access, Source};
use crate::base::random::{Purpose, generator, shuffle};

/// Writes the order of the rows in an epoch, which depends only on the seed, the epoch and the source's number of rows and access.
///
/// Rows with random access are permuted as a whole. Rows that are streamed are permuted within windows that the source can
/// keep; the boundaries of the windows differ between epochs, so that rows mix across them.
pub(crate) fn epoch_order(order: &mut Vec<usize>, source: &dyn Source, seed: u64, epoch: usize) {
    let rows = source.rows();
    order.clear();
    order.extend(0..rows);
    let mut generator = generator(seed, Purpose::Shuffle, epoch as u64);
    match source.access() {
        Access::Random => shuffle(order, &mut generator),
        Access::Sequential { window } => {
            // A batch may cross a boundary, so that two windows of this size must fit into that of the source.
            let size = (window / 2).max(1);
            let first =
                crate::base::random::below(size.min(u32::MAX as usize) as u32, &mut generator) as usize;
            let (head, rest) = order.split_at_mut(first.min(rows));
            shuffle(head, &mut generator);
            rest.chunks_mut(size).for_each(|part| shuffle(part, &mut generator));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Element, Shape};
    use crate::error::Result;

    struct Rows(usize, Access);

    impl Source for Rows {
        fn rows(&self) -> usize {
            self.0
        }
        fn shape(&self) -> Shape {
            Shape::flat(1)
        }
        fn element(&self) -> Element {
            Element::F32
        }
        fn access(&self) -> Access {
            self.1
        }
        fn read_f64(&self, _: usize, _: &mut [f64]) -> Result<()> {
            unreachable!("only the order is asked for")
        }
    }

    #[test]
    fn every_epoch_visits_every_row_once_and_streams_stay_within_their_window() {
        for access in [Access::Random, Access::Sequential { window: 20 }, Access::Sequential { window: 1 }] {
            let source = Rows(103, access);
            let mut orders = Vec::new();
            for epoch in 1..=3 {
                let mut order = Vec::new();
                epoch_order(&mut order, &source, 5, epoch);
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..103).collect::<Vec<_>>());
                if let Access::Sequential { window } = access {
                    assert!(order.iter().enumerate().all(|(place, &row)| place.abs_diff(row) < window));
                }
                orders.push(order);
            }
            let is_moved = access != Access::Sequential { window: 1 };
            assert_eq!(orders[0] != orders[1] && orders[1] != orders[2], is_moved, "{access:?}");
        }
    }
}
