//! Trustworthiness and continuity: whether neighbours among the rows are neighbours among the codes (Venna and Kaski 2001).
//!
//! For n points let r(i, j) be the rank of point j among all others by their distance to point i, from 1, and k the number
//! of neighbours. Point j intrudes into the neighbourhood of point i if its code is among the k nearest to the code of i
//! while its row is not among the k nearest to the row of i. An intruder counts by the rank of its row:
//!
//! ```text
//! trustworthiness = 1 - 2 / (n k (2n - 3k - 1)) * sum over i, intruders j at i of (r(i, j) - k)
//! ```
//!
//! with the ranks r among the rows. Continuity exchanges rows and codes: it counts the neighbours that the codes tear away.
//! Both are 1 if all neighbours stay.

use narrows_kernels::gemm::{EpilogueF64, View, multiply_f64, scratch_len};

use super::{column_means, each};
use crate::compute::Compute;

/// Points whose distances to all others a thread holds at a time.
const BLOCK: usize = 32;

/// The preservation of neighbourhoods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbourhoods {
    /// 1 if all neighbours among the codes are neighbours among the rows.
    pub trustworthiness: f64,
    /// 1 if all neighbours among the rows are neighbours among the codes.
    pub continuity: f64,
    /// k: the requested number, or the largest below n / 2.
    pub neighbours: usize,
}

/// Compares the neighbourhoods of rows (n x width) with those of their codes (n x code size). None for fewer than three
/// points. The time grows with the square of n.
///
/// # Panics
/// If the numbers of rows and codes differ.
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
    let spaces = [PointCloud::new(rows, width), PointCloud::new(codes, code_size)];
    // For each point the penalties of trustworthiness and of continuity.
    let mut penalties = vec![(0, 0); n];
    let state = || (vec![0.0; BLOCK * n], vec![0.0; scratch_len(width.max(code_size))]);
    each(&mut penalties, BLOCK, compute.threads, state, |(distances, scratch), piece, penalties| {
        let first = piece * BLOCK;
        let count = penalties.len();
        let [by_row, by_code] = spaces
            .each_ref()
            .map(|space| space.orders(first, count, compute, &mut distances[..count * n], scratch));
        let mut ranks = vec![0; n];
        // The sum of max(rank - k, 0), with the ranks in `order`, over the k nearest points in `other`.
        let mut excess = |order: &[usize], other: &[usize]| -> u64 {
            order.iter().zip(1..).for_each(|(&point, rank)| ranks[point] = rank);
            other[..k].iter().map(|&point| (ranks[point] as u64).saturating_sub(k as u64)).sum()
        };
        for (i, penalty) in penalties.iter_mut().enumerate() {
            *penalty = (excess(&by_row[i], &by_code[i]), excess(&by_code[i], &by_row[i]));
        }
    });
    let quality = |sum: u64| {
        let (n, k) = (n as f64, k as f64);
        1.0 - 2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0)) * sum as f64
    };
    Some(Neighbourhoods {
        trustworthiness: quality(penalties.iter().map(|penalty| penalty.0).sum()),
        continuity: quality(penalties.iter().map(|penalty| penalty.1).sum()),
        neighbours: k,
    })
}

/// Centred points.
struct PointCloud {
    /// n x width.
    points: Vec<f64>,
    width: usize,
    /// The squared norm of each point: n.
    squares: Vec<f64>,
}

impl PointCloud {
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

    /// For each of `count` points from `first` on, the indices of all others from the nearest to the farthest; equally near
    /// ones in order. `distances` (count x n) is a buffer.
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
            // |a - b|^2 = |a|^2 + |b|^2 - 2 a'b; the order does not depend on |a|^2.
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
