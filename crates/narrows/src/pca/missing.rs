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
        Self { sweeps: 500, change: 1e-7 }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::{Purpose, generator, normal};
    use crate::data::stats::Measured;
    use crate::data::{Shape, Table, Values};
    use crate::pca::Pca;

    const TIGHT: Limits = Limits { sweeps: 20_000, change: 1e-15 };

    /// Rows of two factors with noise, a share of which is missing.
    fn rows(n: usize, d: usize, share: f64) -> Table {
        let mut stream = generator(3, Purpose::Picture, d as u64);
        let loadings: Vec<f64> = (0..2 * d).map(|_| normal(&mut stream)).collect();
        let mut values = Vec::new();
        for _ in 0..n {
            let (a, b) = (2.0 * normal(&mut stream), normal(&mut stream));
            for j in 0..d {
                let value =
                    10.0 * j as f64 + a * loadings[j] + b * loadings[d + j] + 0.5 * normal(&mut stream);
                // A normal number whose square is below that of the quantile is as good as a uniform one.
                let fate = normal(&mut stream) + 0.3 * normal(&mut stream);
                values.push(if fate < quantile(share) { f64::NAN } else { value });
            }
        }
        Table::with_missing(Values::F64(values), Shape::flat(d)).unwrap()
    }

    /// Of a normal number with variance 1.09; for the shares of these tests.
    fn quantile(share: f64) -> f64 {
        let of_unit = [(0.0, -99.0), (0.05, -1.645), (0.2, -0.842), (0.4, -0.253)];
        1.044 * of_unit.iter().find(|(known, _)| *known == share).unwrap().1
    }

    fn fit(table: &Table, k: usize, limits: Limits, threads: usize) -> (Moments, Sweeps) {
        let statistics = Statistics::measure(table).unwrap();
        let level = Level::detect();
        measure(table, &statistics, &Scaling::identity(), k, limits, level, threads).unwrap()
    }

    #[test]
    fn the_likelihood_never_falls_and_does_not_depend_on_threads() {
        for share in [0.05, 0.2, 0.4] {
            for (n, d) in [(300, 7), (40, 3), (9, 12)] {
                let table = rows(n, d, share);
                for k in [1, 2, 3, d.min(n)] {
                    let limits = Limits { sweeps: 200, ..Limits::default() };
                    let (moments, sweeps) = fit(&table, k, limits, 1);
                    let values = &sweeps.log_likelihoods;
                    for (before, after) in values.iter().zip(&values[1..]) {
                        // The floor of the noise leaves 7 digits of a row's squares.
                        let rounding = 1e-7 * after.abs().max(1.0);
                        assert!(after - before > -rounding, "{share} {n} x {d}, {k}: {before} to {after}");
                    }
                    let (again, same) = fit(&table, k, limits, 3);
                    assert_eq!((&again.mean, again.scatter()), (&moments.mean, moments.scatter()));
                    assert_eq!(same, sweeps);
                }
            }
        }
    }

    #[test]
    fn complete_rows_have_the_moments_they_have() {
        let table = rows(60, 5, 0.0);
        let level = Level::detect();
        let exact = Moments::measure(&Measured::new(&table), &Scaling::identity(), level, 1).unwrap();
        let (found, sweeps) = fit(&table, 2, Limits::default(), 1);
        assert!(sweeps.has_converged && sweeps.patterns == 0, "{sweeps:?}");
        for (got, want) in [(&found.mean[..], &exact.mean[..]), (found.scatter(), exact.scatter())] {
            got.iter().zip(want).for_each(|(got, want)| assert!((got - want).abs() < 1e-9, "{got} {want}"));
        }
        // The log-likelihood of complete rows, from their sums, is that of one row after the other.
        let principal = exact.about_mean(2, level).unwrap();
        let variances: Vec<f64> = principal.squares.iter().map(|square| square / 60.0).collect();
        let noise = (principal.total / 60.0 - variances.iter().sum::<f64>()) / 3.0;
        let by_rows =
            dense_log_likelihood(&table, &exact.mean, &covariance(&principal.directions, &variances, noise));
        assert!((sweeps.log_likelihoods[0] - by_rows).abs() < 1e-8, "{by_rows} {sweeps:?}");
    }

    /// At the end every difference quotient of the likelihood, of dense Gaussians, is nearly 0: by the mean, by each number of W, and
    /// by the noise.
    #[test]
    fn the_sweeps_end_at_a_maximum_of_the_likelihood() {
        for (k, share) in [(1, 0.2), (2, 0.05), (2, 0.4)] {
            let (n, d) = (80, 5);
            let table = rows(n, d, share);
            let (moments, sweeps) = fit(&table, k, TIGHT, 2);
            assert!(sweeps.has_converged);
            let principal = moments.about_mean(k, Level::detect()).unwrap();
            let weight = moments.rows as f64;
            let variances: Vec<f64> = principal.squares.iter().map(|square| square / weight).collect();
            let noise = (principal.total / weight - variances.iter().sum::<f64>()) / (d - k) as f64;
            let mut parameters = moments.mean.clone();
            for (direction, variance) in principal.directions.chunks_exact(d).zip(&variances) {
                parameters.extend(direction.iter().map(|value| value * (variance - noise).sqrt()));
            }
            parameters.push(noise);
            let likelihood = |parameters: &[f64]| {
                let (mean, rest) = parameters.split_at(d);
                let (w, noise) = rest.split_at(k * d);
                let mut c = vec![0.0; d * d];
                for i in 0..d {
                    c[i * d + i] = noise[0];
                    for j in 0..d {
                        c[i * d + j] += w.chunks_exact(d).map(|w| w[i] * w[j]).sum::<f64>();
                    }
                }
                dense_log_likelihood(&table, mean, &c)
            };
            let last = *sweeps.log_likelihoods.last().unwrap();
            assert!((likelihood(&parameters) - last).abs() < 1e-7, "{last}");
            for at in 0..parameters.len() {
                let step = 1e-5;
                let moved = |by: f64| {
                    let mut moved = parameters.clone();
                    moved[at] += by;
                    likelihood(&moved)
                };
                let slope = (moved(step) - moved(-step)) / (2.0 * step);
                assert!(slope.abs() < 1e-3, "k = {k}, share {share}: parameter {at}: {slope}");
                // A maximum by each of them, not a saddle.
                assert!(moved(0.05) < last && moved(-0.05) < last, "parameter {at}");
            }
        }
    }

    #[test]
    fn rows_without_any_number_have_no_weight() {
        let values = |empty: usize| {
            let mut values = vec![1.0, 2.0, 3.0, f64::NAN, 4.0, 7.5, 0.5, 1.0];
            values.extend(vec![f64::NAN; 2 * empty]);
            Table::with_missing(Values::F64(values), Shape::flat(2)).unwrap()
        };
        let (without, with) = (fit(&values(0), 1, TIGHT, 1), fit(&values(3), 1, TIGHT, 1));
        let pca = |moments: &Moments| Pca::from_moments(moments, Some(1), false).unwrap();
        assert_eq!((pca(&without.0), without.1.empty_rows), (pca(&with.0), 0));
        assert_eq!(with.1.empty_rows, 3);
    }

    /// V diag(l) V' + s (I - V V').
    fn covariance(directions: &[f64], variances: &[f64], noise: f64) -> Vec<f64> {
        let d = directions.len() / variances.len();
        let mut c = vec![0.0; d * d];
        for i in 0..d {
            c[i * d + i] = noise;
            for j in 0..d {
                for (v, variance) in directions.chunks_exact(d).zip(variances) {
                    c[i * d + j] += v[i] * v[j] * (variance - noise);
                }
            }
        }
        c
    }

    /// The log-likelihood of the observed numbers, by elimination in the covariance of those of each row.
    fn dense_log_likelihood(table: &Table, mean: &[f64], c: &[f64]) -> f64 {
        let d = mean.len();
        let values = table.values().clone().into_f64();
        let of_row = |row: &[f64]| {
            let o: Vec<usize> = (0..d).filter(|&j| !row[j].is_nan()).collect();
            // [C_oo | r], eliminated: the pivots multiply to the determinant, and r'C^-1 r is the sum of r_i^2 / pivot.
            let m = o.len();
            let mut a: Vec<Vec<f64>> = o.iter().map(|&i| o.iter().map(|&j| c[i * d + j]).collect()).collect();
            let mut r: Vec<f64> = o.iter().map(|&j| row[j] - mean[j]).collect();
            let (mut square, mut determinant) = (0.0, 0.0);
            for p in 0..m {
                let pivot = a[p][p];
                square += r[p] * r[p] / pivot;
                determinant += pivot.ln();
                let upper = a[p].clone();
                for i in p + 1..m {
                    let factor = a[i][p] / pivot;
                    (p..m).for_each(|j| a[i][j] -= factor * upper[j]);
                    r[i] -= factor * r[p];
                }
            }
            -0.5 * (m as f64 * std::f64::consts::TAU.ln() + determinant + square)
        };
        values.chunks_exact(d).map(of_row).sum()
    }
}
