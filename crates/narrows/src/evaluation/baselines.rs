//! Baselines of reconstruction: the errors of the training mean, of a PCA and of the linear autoencoder in closed form, on
//! the same rows as the model's.

use std::ops::Range;

use narrows_kernels::Level;
use narrows_kernels::gemm::{EpilogueF64, View, multiply_f64, scratch_len};

use crate::compute::Compute;
use crate::data::Source;
use crate::data::scaling::Scaling;
use crate::error::Result;
use crate::model::gaps::{GapFiller, has_gaps};
use crate::model::metrics::Baselines;
use crate::model::{Fitted, Model};
use crate::network::engine::map_chunks;
use crate::network::noise::{Corruption, Mode};
use crate::pca::Pca;
use crate::pca::moments::Moments;
use crate::recipe::Noise;

impl Baselines {
    /// Fits the baselines to the training rows, given by their `moments`, and evaluates them on `rows` as `model` is.
    ///
    /// Beside a denoising model the baselines get the same noisy rows, and the number of components with the lowest error,
    /// because dropping components removes noise.
    ///
    /// Beside a PCA, gaps of the rows are filled as the model fills them, and errors are measured on the observed numbers.
    pub(crate) fn measure(moments: &Moments, model: &Model, rows: &dyn Source) -> Result<Self> {
        let width = moments.width;
        let noise: &[Noise] = match &model.fitted {
            Fitted::Network { plan, .. } => &plan.noise,
            Fitted::Pca(_) => &[],
        };
        let is_denoising = !noise.is_empty();
        let (code_size, most) = (model.code_shape().len(), width.min(moments.rows));
        let k = if is_denoising { most } else { code_size.min(most) };
        // A complete basis reconstructs every row exactly: no eigenvectors are needed.
        let is_exact = k == width && !is_denoising;
        let directions = if is_exact { 0 } else { k };
        let projections = Projection::baselines(moments, directions, model.pca(), model.compute.level)?;
        let [mean, pca, linear] = error_curves(&projections, model, noise, rows)?;

        let (components, pca, linear) = if is_denoising {
            let (components, pca) = lowest(&pca);
            (components, pca, lowest(&linear).1)
        } else if is_exact {
            (k, 0.0, 0.0)
        } else {
            (k, last(&pca), last(&linear))
        };
        let pca_components = (components != code_size).then_some(components);
        Ok(Self { mean: last(&mean), pca, linear, pca_components })
    }
}

/// The squared errors per row of PCAs with 0, 1, 2... up to `most` components on `rows`, after scaling; fitted to the
/// training rows, given by their `moments`. One eigen-decomposition serves all of them.
pub(crate) fn pca_errors(
    moments: &Moments,
    scaling: &Scaling,
    rows: &dyn Source,
    most: usize,
    compute: Compute,
) -> Result<Vec<f64>> {
    let k = most.min(moments.width).min(moments.rows);
    let pca = Projection::pca(moments, k, compute.level)?;
    let state = || vec![0.0; scratch_len(moments.width)];
    let chunks = map_chunks(rows.rows(), compute.threads, state, |scratch, range| {
        let x = read_scaled(rows, range, scaling)?;
        Ok([pca.error_curve(None, &x, compute.level, scratch)])
    })?;
    Ok(mean_curve(&chunks, 0, rows.rows()))
}

/// Reads rows in double precision and scales them: n x d.
pub(super) fn read_scaled(rows: &dyn Source, range: Range<usize>, scaling: &Scaling) -> Result<Vec<f64>> {
    let width = rows.shape().len();
    let mut values = vec![0.0; range.len() * width];
    rows.read_f64(range.start, &mut values)?;
    scaling.apply_f64(&mut values, width);
    Ok(values)
}

/// The error curve of each projection on rows, with the model's scaling and noise: the squared error per row with no
/// component, with one, with two...
fn error_curves(
    projections: &[Projection; 3],
    model: &Model,
    noise: &[Noise],
    rows: &dyn Source,
) -> Result<[Vec<f64>; 3]> {
    let (width, level) = (model.shape.len(), model.compute.level);
    let state = || (Corruption::new(noise, model.recipe.seed(), width), vec![0.0; scratch_len(width)]);
    let filler = GapFiller::new(model);
    let chunks = map_chunks(rows.rows(), model.compute.threads, state, |(corruption, scratch), range| {
        let x = read_scaled(rows, range.clone(), &model.scaling)?;
        if has_gaps(&x) {
            let mut filled = x.clone();
            filler.fill(&mut filled, None);
            return Ok(projections
                .each_ref()
                .map(|method| method.observed_curve(&x, &filled, level, scratch)));
        }
        let noisy = (!noise.is_empty()).then(|| add_noise(corruption, &x, range, width, level));
        Ok(projections.each_ref().map(|method| method.error_curve(noisy.as_deref(), &x, level, scratch)))
    })?;
    Ok([0, 1, 2].map(|method| mean_curve(&chunks, method, rows.rows())))
}

/// Noise as networks get it: in single precision, determined by the index of the row.
fn add_noise(
    corruption: &mut Corruption<'_>,
    x: &[f64],
    indices: Range<usize>,
    width: usize,
    level: Level,
) -> Vec<f64> {
    let mut noisy: Vec<f32> = x.iter().map(|&value| value as f32).collect();
    for (row, index) in noisy.chunks_exact_mut(width).zip(indices) {
        corruption.apply(level, row, index, Mode::Evaluate);
    }
    noisy.into_iter().map(f64::from).collect()
}

/// The error curve of a method per row, from the curves that chunks of rows add up to. Rounding may leave a sum slightly
/// below 0; what is not finite stays so.
fn mean_curve<const METHODS: usize>(chunks: &[[Vec<f64>; METHODS]], method: usize, rows: usize) -> Vec<f64> {
    let mut sums = vec![0.0; chunks.first().map_or(1, |chunk| chunk[method].len())];
    for chunk in chunks {
        sums.iter_mut().zip(&chunk[method]).for_each(|(sum, part)| *sum += part);
    }
    sums.into_iter().map(|sum: f64| if sum < 0.0 { 0.0 } else { sum } / rows as f64).collect()
}

/// The number of components with the lowest error, and that error.
fn lowest(curve: &[f64]) -> (usize, f64) {
    let components = (0..curve.len()).min_by(|&a, &b| curve[a].total_cmp(&curve[b])).unwrap_or(0);
    (components, curve[components])
}

/// The error with all components.
fn last(curve: &[f64]) -> f64 {
    curve.last().copied().unwrap_or(0.0)
}

/// An orthogonal projection onto k directions through a centre.
struct Projection {
    /// d; subtracted before the projection and added after it.
    centre: Vec<f64>,
    /// k x d, orthonormal.
    directions: Vec<f64>,
}

impl Projection {
    /// The training mean, the PCA, and the linear autoencoder without biases. With k = 0 the latter two have no directions.
    /// `fitted` is the PCA of the same moments, where that is the model.
    fn baselines(moments: &Moments, k: usize, fitted: Option<&Pca>, level: Level) -> Result<[Self; 3]> {
        let mean = Self { centre: moments.mean.clone(), directions: Vec::new() };
        let linear = match k {
            0 => Vec::new(),
            k => moments.about_zero(k, level)?.directions,
        };
        let linear = Self { centre: vec![0.0; moments.width], directions: linear };
        // The eigenvalues are not computed twice.
        let pca = match fitted.filter(|fitted| fitted.code_size() >= k) {
            Some(fitted) => Self {
                centre: moments.mean.clone(),
                directions: fitted.components[..k * moments.width].to_vec(),
            },
            None => Self::pca(moments, k, level)?,
        };
        Ok([mean, pca, linear])
    }

    fn pca(moments: &Moments, k: usize, level: Level) -> Result<Self> {
        let directions = match k {
            0 => Vec::new(),
            k => moments.about_mean(k, level)?.directions,
        };
        Ok(Self { centre: moments.mean.clone(), directions })
    }

    /// The squared error, summed over rows `x` (n x d), with no direction, with the first, with the first two...: k + 1
    /// numbers. The reconstructions are those of `noisy` rows if there are any, else of `x`.
    fn error_curve(&self, noisy: Option<&[f64]>, x: &[f64], level: Level, scratch: &mut [f64]) -> Vec<f64> {
        let width = self.centre.len();
        let k = self.directions.len() / width;
        let x = self.centred(x);
        let targets = self.codes(&x, level, scratch);
        let codes = noisy.map(|noisy| self.codes(&self.centred(noisy), level, scratch));
        let codes = codes.as_ref().unwrap_or(&targets);
        // Directions are orthonormal: one with the code c for the target s changes the error by (c - s)^2 - s^2.
        let mut changes = vec![0.0; k + 1];
        changes[0] = x.iter().map(|value| value * value).sum();
        for (codes, targets) in codes.chunks_exact(k.max(1)).zip(targets.chunks_exact(k.max(1))) {
            for (change, (c, s)) in changes[1..].iter_mut().zip(codes.iter().zip(targets)) {
                *change += c * c - 2.0 * c * s;
            }
        }
        let mut error = 0.0;
        changes
            .iter()
            .map(|change| {
                error += change;
                error
            })
            .collect()
    }

    /// As [`Projection::error_curve`], of rows `x` (n x d) with gaps (NaN): the codes are those of the `filled` rows, the errors those
    /// of the observed numbers.
    fn observed_curve(&self, x: &[f64], filled: &[f64], level: Level, scratch: &mut [f64]) -> Vec<f64> {
        let width = self.centre.len();
        let k = self.directions.len() / width;
        let filled = self.centred(filled);
        let codes = self.codes(&filled, level, scratch);
        let mut errors = vec![0.0; k + 1];
        for (index, (x, filled)) in x.chunks_exact(width).zip(filled.chunks_exact(width)).enumerate() {
            let observed: Vec<usize> = (0..width).filter(|&j| !x[j].is_nan()).collect();
            let mut residual: Vec<f64> = observed.iter().map(|&j| filled[j]).collect();
            let square = |residual: &[f64]| residual.iter().map(|value| value * value).sum::<f64>();
            errors[0] += square(&residual);
            for (i, direction) in self.directions.chunks_exact(width).enumerate() {
                let code = codes[index * k + i];
                for (value, &j) in residual.iter_mut().zip(&observed) {
                    *value -= code * direction[j];
                }
                errors[i + 1] += square(&residual);
            }
        }
        errors
    }

    fn centred(&self, rows: &[f64]) -> Vec<f64> {
        let row = |row: &[f64]| row.iter().zip(&self.centre).map(|(x, c)| x - c).collect::<Vec<_>>();
        rows.chunks_exact(self.centre.len()).flat_map(row).collect()
    }

    /// The codes (n x k) of centred rows (n x d).
    fn codes(&self, rows: &[f64], level: Level, scratch: &mut [f64]) -> Vec<f64> {
        let width = self.centre.len();
        let (n, k) = (rows.len() / width, self.directions.len() / width);
        let mut codes = vec![0.0; n * k];
        let directions = View::new(&self.directions, k, width).transposed();
        multiply_f64(level, &mut codes, View::new(rows, n, width), directions, EpilogueF64::Store, scratch);
        codes
    }
}
