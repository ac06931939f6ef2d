//! Whether neighbours stay neighbours on the way from rows to codes.
//!
//! For n points let r(i, j) be the place of point j among all others in the order of their distance to point i, from 1,
//! and k the number of neighbours. A code that lies among the k nearest codes of another although its row does not is an
//! intruder, and counts the more the farther its row is away (Venna and Kaski 2001):
//!
//! ```text
//! trustworthiness = 1 - 2 / (n k (2n - 3k - 1)) * sum over i, intruders j at i of (r(i, j) - k)
//! ```
//!
//! with r among the rows. Continuity is the same with rows and codes exchanged: it counts neighbours that were torn away.
//! Both are 1 where all neighbours stay.

use narrows_kernels::gemm::{EpilogueF64, View, multiply_f64, scratch_len};

use super::{column_means, each};
use crate::compute::Compute;

/// Points whose distances to all others one thread holds at a time.
const BLOCK: usize = 32;

/// How well neighbours are kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbourhoods {
    /// 1 where all that are near as codes are near as rows.
    pub trustworthiness: f64,
    /// 1 where all that are near as rows are near as codes.
    pub continuity: f64,
    /// k: as many as asked for, or as n points allow (fewer than half of them).
    pub neighbours: usize,
}

/// Compares the neighbourhoods of rows (n x width) with those of their codes (n x code size); nothing for fewer than
/// three. The time grows with the square of n.
///
/// # Panics
/// Where the lengths do not fit.
pub fn neighbourhoods(
    rows: &[f32],
    width: usize,
    codes: &[f32],
    code_size: usize,
    neighbours: usize,
    compute: Compute,
) -> Option<Neighbourhoods> {
    let n = rows.len() / width;
    assert_eq!((rows.len(), codes.len()), (n * width, n * code_size), "one code for each row");
    let k = neighbours.min(n.saturating_sub(1) / 2);
    if k == 0 {
        return None;
    }
    let spaces = [Space::new(rows, width), Space::new(codes, code_size)];
    // Of each point: intruders among its codes, neighbours torn from its row.
    let mut penalties = vec![(0, 0); n];
    let state = || (vec![0.0; BLOCK * n], vec![0.0; scratch_len(width.max(code_size))]);
    each(&mut penalties, BLOCK, compute.threads, state, |(distances, scratch), piece, penalties| {
        let first = piece * BLOCK;
        let count = penalties.len();
        let [by_row, by_code] = spaces
            .each_ref()
            .map(|space| space.orders(first, count, compute, &mut distances[..count * n], scratch));
        let mut place = vec![0; n];
        // The places past k, in the order of one, of those that are the k nearest in the order of the other.
        let mut past = |order: &[usize], other: &[usize]| -> u64 {
            order.iter().zip(1..).for_each(|(&point, at)| place[point] = at);
            other[..k].iter().map(|&point| (place[point] as u64).saturating_sub(k as u64)).sum()
        };
        for (i, penalty) in penalties.iter_mut().enumerate() {
            *penalty = (past(&by_row[i], &by_code[i]), past(&by_code[i], &by_row[i]));
        }
    });
    let share = |sum: u64| {
        let (n, k) = (n as f64, k as f64);
        1.0 - 2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0)) * sum as f64
    };
    Some(Neighbourhoods {
        trustworthiness: share(penalties.iter().map(|penalty| penalty.0).sum()),
        continuity: share(penalties.iter().map(|penalty| penalty.1).sum()),
        neighbours: k,
    })
}

/// Points about their mean, with the square of each one's length.
struct Space {
    points: Vec<f64>,
    width: usize,
    squares: Vec<f64>,
}

impl Space {
    fn new(values: &[f32], width: usize) -> Self {
        let means = column_means(values, width);
        let row = |row: &[f32]| -> Vec<f64> {
            row.iter().zip(&means).map(|(&value, mean)| f64::from(value) - mean).collect()
        };
        let points: Vec<f64> = values.chunks_exact(width).flat_map(row).collect();
        let squares =
            points.chunks_exact(width).map(|point| point.iter().map(|value| value * value).sum()).collect();
        Self { points, width, squares }
    }

    /// For each of `count` points from `first` on, all others from the nearest to the farthest (of equals the first).
    fn orders(
        &self,
        first: usize,
        count: usize,
        compute: Compute,
        distances: &mut [f64],
        scratch: &mut [f64],
    ) -> Vec<Vec<usize>> {
        let Self { points, width, squares } = self;
        let n = squares.len();
        let some = View::new(&points[first * width..][..count * width], count, *width);
        let all = View::new(points, n, *width).transposed();
        multiply_f64(compute.level, distances, some, all, EpilogueF64::Store, scratch);
        let order = |(i, products): (usize, &mut [f64])| {
            // |a - b|^2 = |a|^2 + |b|^2 - 2 a'b, of which |a|^2 is the same for all.
            products.iter_mut().zip(squares).for_each(|(product, square)| *product = square - 2.0 * *product);
            let mut order: Vec<usize> = (0..n).filter(|&point| point != first + i).collect();
            order.sort_by(|&a, &b| products[a].total_cmp(&products[b]));
            order
        };
        distances.chunks_exact_mut(n).enumerate().map(order).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::{Purpose, generator, uniform};

    fn compare(rows: &[f32], width: usize, codes: &[f32], code_size: usize, k: usize) -> Neighbourhoods {
        let found = [1, 3].map(|threads| {
            neighbourhoods(rows, width, codes, code_size, k, Compute::with_threads(threads)).unwrap()
        });
        assert_eq!(found[0], found[1]);
        found[0]
    }

    fn noise(count: usize, index: u64) -> Vec<f32> {
        let mut generator = generator(9, Purpose::Weights, index);
        (0..count).map(|_| uniform(&mut generator)).collect()
    }

    #[test]
    fn what_is_kept_is_one_and_what_is_shuffled_far_less() {
        let rows = noise(100 * 3, 1);
        let same = compare(&rows, 3, &rows, 3, 12);
        assert_eq!((same.trustworthiness, same.continuity, same.neighbours), (1.0, 1.0, 12));
        // A million away and a thousand times as large: the neighbours are the same.
        let moved: Vec<f32> = rows.iter().map(|value| value * 1024.0 + 65_536.0).collect();
        assert!(compare(&rows, 3, &moved, 3, 12).trustworthiness > 0.999);
        let mut shuffled = rows.clone();
        shuffled.rotate_left(3 * 37);
        let shuffled = compare(&rows, 3, &shuffled, 3, 12);
        assert!(shuffled.trustworthiness < 0.65 && shuffled.continuity < 0.65, "{shuffled:?}");
    }

    /// Five points on a line at 0, 1, 3, 7, 15, and a code that exchanges the two ends; k = 1. Nearest as rows: of 0 it is
    /// 1, of 1 it is 0, of 3 it is 1, of 7 it is 3, of 15 it is 7. The codes are 15, 1, 3, 7, 0: nearest of the first is
    /// the fourth, of the second the fifth, of the third the second, of the fourth the third, of the fifth the second.
    /// As rows these are in the places 3, 4, 1, 1, 3: the penalties are 2 + 3 + 0 + 0 + 2 = 7. The neighbours of the rows are,
    /// as codes, in the places 3 (of 15: 7, 3, 1), 4, 1, 1, 3: 7 again. 2 / (5 * 1 * 6) * 7 = 7/15.
    #[test]
    fn a_small_case_by_hand() {
        let found = compare(&[0.0, 1.0, 3.0, 7.0, 15.0], 1, &[15.0, 1.0, 3.0, 7.0, 0.0], 1, 1);
        assert!((found.trustworthiness - 8.0 / 15.0).abs() < 1e-12, "{found:?}");
        assert!((found.continuity - 8.0 / 15.0).abs() < 1e-12, "{found:?}");
    }

    /// Against the definition by sets: who is among the k nearest in one space and not in the other, and how many are
    /// nearer to the point than he is.
    #[test]
    fn the_figures_are_those_of_the_definition() {
        for (n, k) in [(3, 12), (30, 4), (77, 12)] {
            let (rows, codes) = (noise(n * 5, 2), noise(n * 2, 3));
            let found = compare(&rows, 5, &codes, 2, k);
            let k = found.neighbours;
            assert!(k < n.div_ceil(2));
            let far = |values: &[f32], width: usize, i: usize, j: usize| -> f64 {
                let point = |i: usize| &values[i * width..(i + 1) * width];
                point(i).iter().zip(point(j)).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
            };
            let place = |values: &[f32], width: usize, i: usize, j: usize| {
                let own = far(values, width, i, j);
                1 + (0..n).filter(|&l| l != i && l != j && far(values, width, i, l) < own).count()
            };
            let sum = |near: (&[f32], usize), ranked: (&[f32], usize)| -> usize {
                let pairs = (0..n).flat_map(|i| (0..n).map(move |j| (i, j))).filter(|(i, j)| i != j);
                let intruders = pairs.filter(|&(i, j)| place(near.0, near.1, i, j) <= k);
                intruders.map(|(i, j)| place(ranked.0, ranked.1, i, j).saturating_sub(k)).sum()
            };
            let worst = (n * k * (2 * n - 3 * k - 1)) as f64 / 2.0;
            let trustworthiness = 1.0 - sum((&codes, 2), (&rows, 5)) as f64 / worst;
            let continuity = 1.0 - sum((&rows, 5), (&codes, 2)) as f64 / worst;
            assert!((found.trustworthiness - trustworthiness).abs() < 1e-12, "{found:?}, {trustworthiness}");
            assert!((found.continuity - continuity).abs() < 1e-12, "{found:?}, {continuity}");
        }
        assert_eq!(neighbourhoods(&[1.0, 2.0], 1, &[1.0, 2.0], 1, 1, Compute::with_threads(1)), None);
    }
}
