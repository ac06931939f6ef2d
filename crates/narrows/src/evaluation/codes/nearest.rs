//! Nearest neighbours by exhaustive search.

use narrows_kernels::gemm::{Epilogue, View, multiply, scratch_len};

use super::{column_means, each};
use crate::compute::Compute;

/// Queries that a thread handles at a time, and codes that they are compared with at a time: their products fit into the
/// L1 cache.
const QUERIES: usize = 64;
const BLOCK: usize = 256;

/// The index of the code (n x width, n at least 1) nearest to each query (m x width): Euclidean in double precision, of
/// equally near ones the first.
///
/// |q - c|^2 = |q|^2 + (|c|^2 - 2 q'c), so the distances of all pairs follow from one matrix product, in single precision.
/// Both sides are centred first, which keeps the distances and saves digits. Rounding could still swap codes at almost
/// the same distance, so the product only selects candidates: each code within the rounding error of the best distance so
/// far is measured again in double precision. Few codes are.
pub(super) fn nearest(codes: &[f32], queries: &[f32], width: usize, compute: Compute) -> Vec<usize> {
    let mean = column_means(codes, width);
    let centred = |rows: &[f32]| -> Vec<f32> {
        let row = |row: &[f32]| -> Vec<f32> {
            row.iter().zip(&mean).map(|(&value, mean)| (f64::from(value) - mean) as f32).collect()
        };
        rows.chunks_exact(width).flat_map(row).collect()
    };
    let centred_codes = centred(codes);
    let norms: Vec<f32> = centred_codes.chunks_exact(width).map(|row| square(row) as f32).collect();
    let largest = norms.iter().fold(0.0f32, |largest, &norm| largest.max(norm));
    let mut nearest = vec![0; queries.len() / width];
    let state = || (vec![0.0; QUERIES * BLOCK], vec![0.0; scratch_len(width)]);
    each(&mut nearest, QUERIES, compute.threads, state, |(products, scratch), piece, nearest| {
        let queries = &queries[piece * QUERIES * width..][..nearest.len() * width];
        let centred_queries = centred(queries);
        // A code is measured if |c|^2 - 2 q'c does not exceed the limit of its query.
        let mut limits = vec![f32::INFINITY; nearest.len()];
        let mut best = vec![f64::INFINITY; nearest.len()];
        let blocks = centred_codes.chunks(BLOCK * width).zip(norms.chunks(BLOCK));
        for (block, (rows, norms)) in blocks.enumerate() {
            let count = norms.len();
            let products = &mut products[..nearest.len() * count];
            let left = View::new(&centred_queries, nearest.len(), width);
            let right = View::new(rows, count, width).transposed();
            multiply(compute.level, products, left, right, Epilogue::Store, scratch);
            for (i, products) in products.chunks_exact(count).enumerate() {
                if least(norms, products) > limits[i] {
                    continue;
                }
                for (j, (norm, product)) in norms.iter().zip(products).enumerate() {
                    // NaN is no candidate.
                    let is_candidate = norm - 2.0 * product <= limits[i];
                    if !is_candidate {
                        continue;
                    }
                    let row = block * BLOCK + j;
                    let distance = distance(&queries[i * width..][..width], &codes[row * width..][..width]);
                    if distance < best[i] {
                        (best[i], nearest[i]) = (distance, row);
                        let query_norm = square(&centred_queries[i * width..][..width]);
                        // Twice the rounding error of a sum of `width` products.
                        let slack =
                            f64::from(f32::EPSILON) * (width + 16) as f64 * (query_norm + f64::from(largest));
                        limits[i] = (distance - query_norm + slack) as f32;
                    }
                }
            }
        }
    });
    nearest
}

/// The minimum of norm - 2 product. The compiler keeps the sixteen running minima in vector registers.
fn least(norms: &[f32], products: &[f32]) -> f32 {
    let mut lanes = [f32::INFINITY; 16];
    let (mut norms, mut products) = (norms.chunks_exact(16), products.chunks_exact(16));
    for (norms, products) in norms.by_ref().zip(products.by_ref()) {
        for lane in 0..16 {
            let value = norms[lane] - 2.0 * products[lane];
            lanes[lane] = if value < lanes[lane] { value } else { lanes[lane] };
        }
    }
    for (norm, product) in norms.remainder().iter().zip(products.remainder()) {
        lanes[0] = lanes[0].min(norm - 2.0 * product);
    }
    lanes.into_iter().fold(f32::INFINITY, f32::min)
}

fn square(row: &[f32]) -> f64 {
    row.iter().map(|&value| f64::from(value) * f64::from(value)).sum()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::{Purpose, generator, uniform};

    fn noise(count: usize, index: u64) -> Vec<f32> {
        let mut generator = generator(5, Purpose::Weights, index);
        (0..count).map(|_| uniform(&mut generator) - 0.5).collect()
    }

    /// Against every distance in double precision, on codes whose mean is a thousand times their spread too, on small
    /// whole numbers with many equal distances, and with any number of threads.
    #[test]
    fn every_code_is_compared_with_every_other() {
        for (width, rows, asking, shift, whole) in [
            (1, 1, 3, 0.0, false),
            (7, 700, 130, 0.0, false),
            (33, 300, 70, 1000.0, false),
            (3, 600, 200, 0.0, true),
        ] {
            let values = |count: usize, index| -> Vec<f32> {
                let noise = noise(count * width, index);
                noise.into_iter().map(|x| if whole { (x * 6.0).round() } else { x + shift }).collect()
            };
            let (codes, asked) = (values(rows, 1), values(asking, 2));
            let wanted: Vec<usize> = asked
                .chunks_exact(width)
                .map(|q| {
                    let mut best = (f64::INFINITY, 0);
                    for (row, code) in codes.chunks_exact(width).enumerate() {
                        let gaps = q.iter().zip(code).map(|(&a, &b)| f64::from(a) - f64::from(b));
                        let far: f64 = gaps.map(|gap| gap * gap).sum();
                        if far < best.0 {
                            best = (far, row);
                        }
                    }
                    best.1
                })
                .collect();
            for threads in [1, 3] {
                assert_eq!(nearest(&codes, &asked, width, Compute::with_threads(threads)), wanted, "{width}");
            }
        }
    }

    #[test]
    fn numbers_that_are_none_do_no_harm() {
        let codes = [f32::NAN, f32::INFINITY, 1e30, 0.5];
        assert_eq!(nearest(&codes, &[0.0, f32::NAN], 1, Compute::with_threads(1)).len(), 2);
    }
}
