//! Moments of rows with missing values, by expectation-maximisation.
//!
//! The model is that of probabilistic PCA (Tipping and Bishop 1999), and what it leaves out are the missing numbers alone: a
//! sweep replaces the sums over rows of x and x x' by their expectations given the observed numbers under the last model (the
//! conditional covariances of the gaps are added), and the model of greatest likelihood for given sums is known in closed form: their
//! mean, their leading eigenvectors, and the mean of the other eigenvalues as the noise. So the log-likelihood of the observed numbers
//! never falls (Dempster, Laird and Rubin 1977), without gaps one sweep gives the PCA, and no rotation is left to be done. As the code is not
//! among what is left out, fewer sweeps are needed than by the expectation-maximisation of Tipping and Bishop's section 3.3.
//!
//! Values are taken to be missing at random: whether one is missing may depend on the observed numbers of its row, not on itself
//! (Little and Rubin 2002).
//!
//! Rows without gaps are added up once. The others are kept, grouped by pattern, so that a sweep factorises a k x k matrix for each
//! pattern, not for each row. With all components (k = d) the noise is the least eigenvalue: the covariance is not restricted.

use std::collections::BTreeMap;
use std::ops::Range;

use narrows_kernels::Level;
use narrows_kernels::gemm::{EpilogueF64, View, multiply_f64, scratch_len};

use super::conditional::{FactorGaussian, Pattern, least_noise};
use super::moments::{Moments, Scatter, SecondMoments};
use crate::base::memory;
use crate::data::Source;
use crate::data::scaling::Scaling;
use crate::data::source::each_block;
use crate::data::stats::Statistics;
use crate::error::Result;
use crate::network::engine::each_piece;

/// Rows of a matrix product. Fixed, because it determines the order of the sums.
const BLOCK: usize = 128;

/// Sums that run beside each other, each over its part of the rows with gaps, at most. What they are does not depend on the number of
/// threads.
const LANES: usize = 16;

/// Bytes that the matrices of all lanes take, at most, where one of them takes less.
const LANE_BYTES: usize = 128 << 20;

/// Rows for which a lane is worthwhile.
const ROWS_OF_LANE: usize = 64;

/// When the sweeps end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Sweeps, at most.
    pub sweeps: usize,
    /// The rise of the log-likelihood in one sweep, as a part of it, that ends them.
    pub change: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sweeps: 1000, change: 1e-8 }
    }
}

/// What expectation-maximisation did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sweeps {
    /// Patterns of gaps.
    pub patterns: usize,
    /// Rows without any number, which have no weight.
    pub empty_rows: usize,
    /// Rows with numbers.
    pub weight: usize,
    /// The log-likelihood of the observed numbers before each sweep, in nats, on the model's scale.
    pub log_likelihoods: Vec<f64>,
    /// Whether the log-likelihood stood still.
    pub has_converged: bool,
}

/// The expected moments of the scaled rows for a PCA of `k` components. `statistics` are those of the rows; every column has numbers.
///
/// # Errors
/// Where rows cannot be read, there is too little memory, or the eigenvalue decomposition fails.
pub(crate) fn measure(
    source: &dyn Source,
    statistics: &Statistics,
    scaling: &Scaling,
    k: usize,
    limits: Limits,
    level: Level,
    threads: usize,
) -> Result<(Moments, Sweeps)> {
    let d = source.shape().len();
    let missing = statistics.missing.iter().sum();
    memory::require_part(
        needs(source.rows(), missing, d, 0),
        format_args!("the moments of {} rows of {d} numbers with missing values", source.rows()),
    )?;
    let mut centre = statistics.mean.clone();
    scaling.apply_f64(&mut centre, d);
    let rows = GroupedRows::read(source, scaling, centre, missing)?;
    // The last variance is a noise of its own.
    let k = k.min(d - 1).min(rows.weight());
    let mut moments = rows.sweep(None, level, threads)?.0;
    let principal = moments.about_mean(k.max(1), level)?;
    let least = least_noise(principal.squares[0] / moments.rows as f64);

    let mut log_likelihoods: Vec<f64> = Vec::new();
    let mut has_converged = false;
    while !has_converged && log_likelihoods.len() < limits.sweeps {
        let gaussian = gaussian(&moments, k, least, level)?;
        let (next, log_likelihood) = rows.sweep(Some(&gaussian), level, threads)?;
        moments = next;
        let unit = log_likelihood.abs().max(rows.observed as f64);
        has_converged =
            log_likelihoods.last().is_some_and(|before| log_likelihood - before <= limits.change * unit);
        log_likelihoods.push(log_likelihood);
    }
    moments.mean.iter_mut().zip(&rows.centre).for_each(|(mean, centre)| *mean += centre);
    let sweeps = Sweeps {
        patterns: rows.groups.len(),
        empty_rows: source.rows() - rows.weight(),
        weight: rows.weight(),
        log_likelihoods,
        has_converged,
    };
    Ok((moments, sweeps))
}

/// Bytes that [`measure`] takes for n rows of d numbers of which `missing` are not there, and with the principal directions of its
/// moments (none for k = 0).
pub(crate) fn needs(n: usize, missing: usize, d: usize, k: usize) -> usize {
    let rows = n.min(missing);
    let square = d.saturating_mul(d).saturating_mul(size_of::<f64>());
    let kept = rows.saturating_mul(d.saturating_mul(size_of::<f64>()).saturating_add(64));
    // The lanes' matrices, that of the complete rows in strips and whole, and the moments before and after.
    let matrices = square.saturating_mul(lanes(rows, d).saturating_add(5));
    // As many rows as columns: the scatter matrix is always formed here.
    let principal = Moments::needs(d, d, k).principal;
    kept.saturating_add(matrices).saturating_add(principal)
}

fn lanes(rows: usize, d: usize) -> usize {
    let square = d.saturating_mul(d).saturating_mul(size_of::<f64>()).max(1);
    (LANE_BYTES / square).min(rows.div_ceil(ROWS_OF_LANE)).clamp(1, LANES)
}

/// The Gaussian of greatest likelihood for moments: `k` components, and a noise of at least `least`.
fn gaussian(moments: &Moments, k: usize, least: f64, level: Level) -> Result<FactorGaussian> {
    let (d, n) = (moments.width, moments.rows as f64);
    if k == 0 {
        let SecondMoments::Scatter(scatter) = &moments.spread else { unreachable!("a scatter matrix") };
        let noise = (0..d).map(|j| scatter[j * d + j]).sum::<f64>() / n / d as f64;
        return Ok(FactorGaussian::new(moments.mean.clone(), &[], &[], noise, least));
    }
    let principal = moments.about_mean(k, level)?;
    let variances: Vec<f64> = principal.squares.iter().map(|square| square / n).collect();
    let noise = (principal.total / n - variances.iter().sum::<f64>()) / (d - k) as f64;
    Ok(FactorGaussian::new(moments.mean.clone(), &principal.directions, &variances, noise, least))
}

/// Rows, scaled and about a centre: sums of those without gaps, and the others by pattern.
struct GroupedRows {
    centre: Vec<f64>,
    /// The number of rows without gaps, the sum of x, and of x x' (d x d).
    complete: (usize, Vec<f64>, Vec<f64>),
    /// Rows with gaps and with numbers (any number x d).
    gapped: Vec<f64>,
    /// The numbers of the gapped rows, pattern after pattern.
    order: Vec<usize>,
    /// The patterns, and the part of `order` that has each.
    groups: Vec<(Pattern, Range<usize>)>,
    /// Numbers that are there.
    observed: usize,
}

impl GroupedRows {
    fn read(source: &dyn Source, scaling: &Scaling, centre: Vec<f64>, missing: usize) -> Result<Self> {
        let (n, d) = (source.rows(), centre.len());
        let mut complete = Scatter::about(centre.clone());
        let mut gapped = Vec::with_capacity(n.min(missing) * d);
        let mut by_pattern: BTreeMap<Pattern, Vec<usize>> = BTreeMap::new();
        let mut whole = Vec::new();
        each_block(source, |_, block| {
            scaling.apply_f64(block, d);
            whole.clear();
            for row in block.chunks_exact(d) {
                match Pattern::of(row) {
                    None => whole.extend_from_slice(row),
                    Some(_) if row.iter().all(|value| value.is_nan()) => {}
                    Some(pattern) => {
                        by_pattern.entry(pattern).or_default().push(gapped.len() / d);
                        gapped.extend(row.iter().zip(&centre).map(|(value, centre)| value - centre));
                    }
                }
            }
            complete.push(&mut whole);
            Ok(())
        })?;
        let mut order = Vec::with_capacity(gapped.len() / d);
        let mut groups = Vec::with_capacity(by_pattern.len());
        for (pattern, rows) in by_pattern {
            groups.push((pattern, order.len()..order.len() + rows.len()));
            order.extend(rows);
        }
        let observed = n * d - missing;
        Ok(Self { centre, complete: complete.into_sums(), gapped, order, groups, observed })
    }

    /// The number of rows that have numbers.
    fn weight(&self) -> usize {
        self.complete.0 + self.order.len()
    }

    /// The expected moments, about the centre, under a Gaussian about it, and the log-likelihood under it. Without a Gaussian, gaps are
    /// filled with the centre.
    fn sweep(
        &self,
        gaussian: Option<&FactorGaussian>,
        level: Level,
        threads: usize,
    ) -> Result<(Moments, f64)> {
        let d = self.centre.len();
        let (count, mut sums, mut squares) = self.complete.clone();
        let mut log_likelihood =
            gaussian.map_or(0.0, |gaussian| gaussian.log_likelihood(count, &sums, &squares));
        let rows = self.order.len();
        let lanes = lanes(rows, d);
        let mut found: Vec<Option<LaneSums>> = (0..lanes).map(|_| None).collect();
        each_piece(
            &mut found,
            1,
            threads,
            || (),
            |(), lane, out| {
                let range = rows * lane / lanes..rows * (lane + 1) / lanes;
                out[0] = Some(self.sums_of(range, gaussian, level));
                Ok(())
            },
        )?;
        for lane in found.into_iter().flatten() {
            sums.iter_mut().zip(&lane.sums).for_each(|(sum, part)| *sum += part);
            squares.iter_mut().zip(&lane.squares).for_each(|(sum, part)| *sum += part);
            log_likelihood += lane.log_likelihood;
        }
        let n = self.weight();
        let mean: Vec<f64> = sums.iter().map(|sum| sum / n as f64).collect();
        for (row, sum) in squares.chunks_exact_mut(d).zip(&sums) {
            row.iter_mut().zip(&mean).for_each(|(square, mean)| *square -= sum * mean);
        }
        Ok((Moments { rows: n, width: d, mean, spread: SecondMoments::Scatter(squares) }, log_likelihood))
    }

    /// The expected sums over a part of the order.
    fn sums_of(&self, range: Range<usize>, gaussian: Option<&FactorGaussian>, level: Level) -> LaneSums {
        let d = self.centre.len();
        let mut sums = LaneSums::new(d, level);
        let mut code = vec![0.0; gaussian.map_or(0, FactorGaussian::code_size)];
        let first = self.groups.partition_point(|(_, rows)| rows.end <= range.start);
        for (pattern, rows) in &self.groups[first..] {
            let rows = rows.start.max(range.start)..rows.end.min(range.end);
            if rows.is_empty() {
                break;
            }
            let given = gaussian.map(|gaussian| (gaussian, gaussian.given(|j| pattern.is_missing(j))));
            for &index in &self.order[rows.clone()] {
                let row = sums.next_row(&self.gapped[index * d..][..d]);
                match &given {
                    Some((gaussian, given)) => {
                        let log_likelihood = gaussian.expect(given, row, &mut code);
                        sums.log_likelihood += log_likelihood;
                    }
                    None => row.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0),
                }
            }
            if let Some((gaussian, given)) = &given {
                let weight = rows.len() as f64;
                gaussian.each_covariance(given, |i, j, covariance| {
                    sums.squares[i * d + j] += weight * covariance;
                    if i != j {
                        sums.squares[j * d + i] += weight * covariance;
                    }
                });
            }
        }
        sums.flush();
        sums
    }
}

/// Sums over a part of the rows.
struct LaneSums {
    sums: Vec<f64>,
    squares: Vec<f64>,
    log_likelihood: f64,
    /// Rows that are not added yet.
    block: Vec<f64>,
    scratch: Vec<f64>,
    level: Level,
}

impl LaneSums {
    fn new(d: usize, level: Level) -> Self {
        Self {
            sums: vec![0.0; d],
            squares: vec![0.0; d * d],
            log_likelihood: 0.0,
            block: Vec::with_capacity(BLOCK * d),
            scratch: vec![0.0; scratch_len(BLOCK)],
            level,
        }
    }

    /// A copy of a row, which is added when it has been filled.
    fn next_row(&mut self, row: &[f64]) -> &mut [f64] {
        if self.block.len() == BLOCK * row.len() {
            self.flush();
        }
        let first = self.block.len();
        self.block.extend_from_slice(row);
        &mut self.block[first..]
    }

    fn flush(&mut self) {
        let d = self.sums.len();
        if self.block.is_empty() {
            return;
        }
        for row in self.block.chunks_exact(d) {
            self.sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        let x = View::new(&self.block, self.block.len() / d, d);
        let transposed = x.transposed();
        multiply_f64(
            self.level,
            &mut self.squares,
            transposed,
            x,
            EpilogueF64::Accumulate,
            &mut self.scratch,
        );
        self.block.clear();
    }
}
