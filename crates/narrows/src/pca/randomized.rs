//! The randomised solver: principal directions from passes over the rows, without their scatter matrix.
//!
//! A block Krylov method (Musco and Musco 2015): each pass multiplies the scatter matrix C with a block of vectors, row by row as
//! X'(X Q), and the Rayleigh-Ritz pairs of the subspace of all blocks approximate the leading eigenpairs from below. It takes
//! 4 n d (block) operations and one pass over the rows for a block, and memory for vectors of d numbers, where the exact solver takes
//! n d^2 operations and d^2 numbers.
//!
//! The error is estimated by the residuals: for each pair (s, v) there is an eigenvalue within the length of C v - s v (Parlett 1998,
//! theorem 4.5.1). That none is missed is as sure as that a random block has a part along each eigenvector.

use std::sync::{Mutex, RwLock};

use narrows_kernels::gemm::{EpilogueF64, View, multiply_f64, scratch_len};
use narrows_kernels::{Level, team};

use super::directions::{Leading, Passes, Principal};
use super::moments::{self, Moments, SecondMoments};
use crate::base::leading_eigen::Krylov;
use crate::base::linalg::fix_signs;
use crate::data::Source;
use crate::data::scaling::Scaling;
use crate::error::{Error, Result};

/// Rows of a product. Fixed, because it determines the order of the sums.
const BLOCK: usize = 128;

/// Sums that run beside each other: block i of the rows goes to sum i modulo this number. Fixed, so that the result does not depend on
/// the number of threads.
const LANES: usize = 8;

/// The residual, as a part of its eigenvalue, at which a pair is accurate enough: the error of the eigenvalue is about the square.
const TOLERANCE: f64 = 1e-5;

/// Passes over the rows, at most.
const MAX_PASSES: usize = 24;

/// Blocks of a subspace in which pairs have a chance to be accurate.
const LEAST_BLOCKS: usize = 4;

/// Vectors of a block beside those that are wanted.
const MORE_VECTORS: usize = 8;

/// Vectors of a block for `k` directions.
fn block_of(k: usize) -> usize {
    k.saturating_add(MORE_VECTORS).saturating_add(7) / 8 * 8
}

/// Vectors of the largest subspace: whole blocks.
fn most_of(k: usize, width: usize) -> usize {
    block_of(k).saturating_mul(MAX_PASSES.min(width / block_of(k)))
}

/// Whether rows are wide enough for some blocks. For narrow rows the exact solver takes little.
pub(crate) fn is_possible(width: usize, k: usize) -> bool {
    block_of(k).saturating_mul(LEAST_BLOCKS) <= width
}

/// Bytes that [`measure`] takes.
pub(crate) fn needed_bytes(width: usize, k: usize, threads: usize) -> usize {
    let (block, most) = (block_of(k), most_of(k, width));
    let krylov = Krylov::bytes(width, block, most).saturating_mul(2);
    // Sums and products for both subspaces, two buffers of rows.
    let numbers = width.saturating_mul(2 * block * (LANES + 2) + 2 * LANES * BLOCK);
    let scratch = threads.saturating_mul(scratch_len(width.max(BLOCK)) + BLOCK * 2 * block);
    krylov.saturating_add(numbers.saturating_add(scratch).saturating_mul(size_of::<f64>()))
}

/// The moments of scaled rows with `k` principal directions about the mean and about zero.
///
/// # Errors
/// Where rows cannot be read, or threads cannot be started.
///
/// # Panics
/// Where the rows are too narrow: see [`is_possible`].
pub(crate) fn measure(
    source: &dyn Source,
    scaling: &Scaling,
    k: usize,
    level: Level,
    threads: usize,
) -> Result<Moments> {
    let (n, width) = (source.rows(), source.shape().len());
    assert!(is_possible(width, k));
    let mean = moments::mean(source, scaling)?;
    let (block, most) = (block_of(k), most_of(k, width));
    let mut about_mean = Krylov::new(width, block, most, level);
    let mut about_zero = Krylov::new(width, block, most, level);
    let rows = CentredRows { source, scaling, mean: &mean, level, threads };
    let mut passes = 1;
    loop {
        let blocks = [about_mean.next_block(), about_zero.next_block()];
        let (products, total) = rows.multiply(&blocks)?;
        passes += 1;
        let [one, two] = blocks;
        let [products, mut products_about_zero] = products;
        // X'X = C + n m m' with the mean m.
        let along: Vec<f64> =
            two.chunks_exact(width).map(|q| q.iter().zip(&mean).map(|(q, m)| q * m).sum()).collect();
        for (row, m) in products_about_zero.chunks_exact_mut(block).zip(&mean) {
            row.iter_mut().zip(&along).for_each(|(sum, along)| *sum += n as f64 * m * along);
        }
        about_mean.add(one, products);
        about_zero.add(two, products_about_zero);
        let is_last = passes > MAX_PASSES || about_mean.is_full();
        if about_mean.rows() < 2 * block && !is_last {
            continue;
        }
        let (ritz, ritz_about_zero) = (about_mean.rayleigh_ritz()?, about_zero.rayleigh_ritz()?);
        let errors = [
            relative(&ritz.values, &about_mean.residuals(&ritz, k)),
            relative(&ritz_about_zero.values, &about_zero.residuals(&ritz_about_zero, k)),
        ];
        let error = errors[0].max(errors[1]);
        if error > TOLERANCE && !is_last {
            continue;
        }
        let principal = |krylov: &mut Krylov, ritz, total| {
            let pairs = krylov.eigenpairs(ritz, k);
            let mut directions = pairs.vectors;
            fix_signs(&mut directions, width);
            let squares = pairs.values.into_iter().map(|value| value.max(0.0)).collect();
            Principal { directions, squares, total }
        };
        let squared_mean: f64 = mean.iter().map(|m| m * m).sum();
        let leading = Leading {
            about_mean: principal(&mut about_mean, ritz, total),
            about_zero: principal(&mut about_zero, ritz_about_zero, total + n as f64 * squared_mean),
            passes: Passes { passes, error: errors[0] },
        };
        return Ok(Moments { rows: n, width, mean, spread: SecondMoments::Leading(Box::new(leading)) });
    }
}

/// The largest residual, as a part of its value. Values at the level of rounding do not count.
fn relative(values: &[f64], residuals: &[f64]) -> f64 {
    let rounding = values[0].abs() * f64::EPSILON * 1e3;
    let pairs = values.iter().zip(residuals).filter(|(value, _)| **value > rounding);
    pairs.map(|(value, residual)| residual / value).fold(0.0, f64::max)
}

/// Rows about their mean.
struct CentredRows<'a> {
    source: &'a dyn Source,
    scaling: &'a Scaling,
    mean: &'a [f64],
    level: Level,
    threads: usize,
}

/// The sums of some blocks of the rows.
struct Lane {
    /// X'(X Q') for both blocks of vectors side by side: width x 2 block.
    products: Vec<f64>,
    squares: f64,
}

impl CentredRows<'_> {
    /// The products C Q' (width x block) of two blocks of vectors (block x width), and the sum of squares of all rows. One thread
    /// reads a group of rows while all multiply the group before.
    fn multiply(&self, blocks: &[Vec<f64>; 2]) -> Result<([Vec<f64>; 2], f64)> {
        let Self { source, scaling, mean, level, threads } = *self;
        let (rows, width) = (source.rows(), mean.len());
        let vectors = blocks.concat();
        let columns = vectors.len() / width;
        let group = BLOCK * LANES;
        let lanes =
            [(); LANES].map(|()| Mutex::new(Lane { products: vec![0.0; width * columns], squares: 0.0 }));
        let buffers = [(); 2].map(|()| RwLock::new(Vec::<f64>::new()));
        let failure = Mutex::new(None);
        team::run(threads.clamp(1, LANES), (), |member, lead| {
            let mut scratch = vec![0.0; scratch_len(width.max(BLOCK))];
            let mut along = vec![0.0; BLOCK * columns];
            for (turn, first) in (0..rows).step_by(group).enumerate() {
                let buffer = &buffers[turn % 2];
                if lead.is_some() {
                    let mut out = buffer.write().expect("no thread panics with a buffer");
                    out.resize(group.min(rows - first) * width, 0.0);
                    if let Err(error) = source.read_f64(first, &mut out) {
                        *failure.lock().expect("no thread panics with it") = Some(error);
                    }
                    scaling.apply_f64(&mut out, width);
                    moments::subtract(&mut out, mean);
                }
                member.wait();
                if failure.lock().expect("no thread panics with it").is_some() {
                    return;
                }
                let read = buffer.read().expect("no thread panics with a buffer");
                for (index, block) in read.chunks(BLOCK * width).enumerate() {
                    if index % member.threads() != member.index() {
                        continue;
                    }
                    let mut lane = lanes[index].lock().expect("each lane has one thread");
                    let count = block.len() / width;
                    let (x, q) = (View::new(block, count, width), View::new(&vectors, columns, width));
                    let along = &mut along[..count * columns];
                    multiply_f64(level, along, x, q.transposed(), EpilogueF64::Store, &mut scratch);
                    let along = View::new(along, count, columns);
                    let sums = &mut lane.products;
                    multiply_f64(level, sums, x.transposed(), along, EpilogueF64::Accumulate, &mut scratch);
                    lane.squares += block.iter().map(|value| value * value).sum::<f64>();
                }
            }
        })
        .map_err(Error::threads)?;
        if let Some(error) = failure.into_inner().expect("no thread panics with it") {
            return Err(error);
        }
        let mut products = [(); 2].map(|()| Vec::with_capacity(width * columns / 2));
        let mut lanes = lanes.into_iter().map(|lane| lane.into_inner().expect("each lane has one thread"));
        let mut all = lanes.next().expect("there are lanes");
        for lane in lanes {
            all.products.iter_mut().zip(&lane.products).for_each(|(sum, part)| *sum += part);
            all.squares += lane.squares;
        }
        for row in all.products.chunks_exact(columns) {
            let (one, two) = row.split_at(columns / 2);
            products[0].extend_from_slice(one);
            products[1].extend_from_slice(two);
        }
        Ok((products, all.squares))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::{Purpose, generator, normal};
    use crate::data::stats::Measured;
    use crate::data::{Shape, Table, Values};

    /// Rows whose standard deviations fall like 1 / (1 + j / 4) along random directions, about a mean of `mean`.
    fn rows(n: usize, d: usize, mean: f64) -> Table {
        let mut random = generator(3, Purpose::Noise, (n * d) as u64);
        let values = (0..n * d).map(|at| normal(&mut random) / (1.0 + (at % d) as f64 / 4.0) + mean);
        // Each row is mixed with its neighbours, so that the directions are not the axes.
        let values: Vec<f64> = values.collect();
        let mixed =
            values.chunks_exact(d).flat_map(|row| (0..d).map(move |j| row[j] + 0.5 * row[(j + 1) % d]));
        Table::new(Values::F64(mixed.collect()), Shape::flat(d)).unwrap()
    }

    #[test]
    fn pairs_are_those_of_the_exact_solver_within_the_error_that_is_told() {
        let (level, scaling) = (Level::detect(), Scaling::identity());
        for (n, d, k, mean) in [(3000, 200, 10, 0.0), (300, 900, 7, 5.0), (2500, 80, 3, 1e6)] {
            let table = rows(n, d, mean);
            let found = measure(&table, &scaling, k, level, 2).unwrap();
            let passes = found.passes().unwrap();
            assert!(passes.error <= TOLERANCE && passes.passes <= MAX_PASSES, "{passes:?}");
            let exact = Moments::measure(&Measured::new(&table), &scaling, level, 2).unwrap();
            // About zero, a mean of a million leaves the others no digits.
            for about_zero in [false, true].into_iter().filter(|about_zero| !about_zero || mean < 1e3) {
                let both = [&found, &exact].map(|moments| match about_zero {
                    true => moments.about_zero(k, level).unwrap(),
                    false => moments.about_mean(k, level).unwrap(),
                });
                let [found, exact] = both;
                assert!((found.total / exact.total - 1.0).abs() < 1e-9, "{} {}", found.total, exact.total);
                for (i, (found, exact)) in found.squares.iter().zip(&exact.squares).enumerate() {
                    let error = (found / exact - 1.0).abs();
                    assert!(error <= passes.error.max(1e-9), "{n} x {d}, {i}: {found}, want {exact}");
                }
                for (a, b) in found.directions.chunks_exact(d).zip(exact.directions.chunks_exact(d)) {
                    let along: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                    assert!(along > 1.0 - 1e-6, "{n} x {d}: {along}");
                }
            }
        }
    }

    #[test]
    fn threads_change_nothing() {
        let table = rows(2000, 70, 1.0);
        let of = |threads| {
            let moments = measure(&table, &Scaling::identity(), 5, Level::detect(), threads).unwrap();
            let principal = moments.about_mean(5, Level::detect()).unwrap();
            (principal.directions, principal.squares, moments.mean)
        };
        let one = of(1);
        assert!([2, 3, 8, 11].into_iter().all(|threads| of(threads) == one));
    }

    #[test]
    fn rows_with_fewer_directions_than_asked_for_have_zeros() {
        let values = (0..1400).map(|at| ((at / 70) % 7) as f64 * (at % 70) as f64).collect();
        let table = Table::new(Values::F64(values), Shape::flat(70)).unwrap();
        let moments = measure(&table, &Scaling::identity(), 3, Level::detect(), 2).unwrap();
        let found = moments.about_mean(3, Level::detect()).unwrap();
        assert!(found.squares[1] < found.squares[0] * 1e-12 && found.squares[0] > 0.0, "{:?}", found.squares);
        let constant = Table::new(Values::F64(vec![4.0; 1400]), Shape::flat(70)).unwrap();
        let moments = measure(&constant, &Scaling::identity(), 3, Level::detect(), 2).unwrap();
        let found = moments.about_mean(3, Level::detect()).unwrap();
        assert!(
            found.squares.iter().all(|&square| square == 0.0)
                && found.directions.iter().all(|x| x.is_finite())
        );
    }
}
