//! Rows with missing values: fitted, encoded, imputed and evaluated by a PCA.

use std::path::Path;

use narrows::data::{OpenOptions, Values};
use narrows::model::metrics::Evaluation;
use narrows::ndarray::{Array2, array, s};
use narrows::{Compute, Dataset, Fit, FitOptions, HeldOut, Model, Pca, Recipe, Scale, Shape, Table};

use crate::common::recipe;

fn iris() -> Array2<f64> {
    let rows = narrows_datasets::iris();
    let mut values = vec![0.0; rows.rows.rows() * 4];
    rows.rows.read_f64(0, &mut values).unwrap();
    Array2::from_shape_vec((values.len() / 4, 4), values).unwrap()
}

/// Each number is missing with a probability, independently of the others; no row loses all.
fn with_gaps(rows: &Array2<f64>, share: f64, seed: u64) -> Array2<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / 2f64.powi(31)
    };
    let mut spoilt = rows.clone();
    for mut row in spoilt.rows_mut() {
        for value in &mut row {
            if uniform() < share {
                *value = f64::NAN;
            }
        }
        if row.iter().all(|value| value.is_nan()) {
            row[0] = 5.0;
        }
    }
    spoilt
}

/// Fits to all rows, which are held out too.
fn fit(recipe: &Recipe, rows: &Array2<f64>) -> Fit {
    let dataset = Dataset::from(rows);
    let options = FitOptions { held_out: HeldOut::Rows(&dataset), ..FitOptions::default() };
    narrows::fit(recipe, &dataset, options).unwrap()
}

fn pca(k: usize, scale: &str) -> Recipe {
    Recipe::pca(k).with("scale", scale).unwrap()
}

fn close(got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance * want.abs().max(1.0), "{got}, want {want}");
}

/// Solves A x = b by elimination with pivoting.
fn solve(mut a: Array2<f64>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for p in 0..n {
        let best = (p..n).max_by(|&i, &j| a[(i, p)].abs().total_cmp(&a[(j, p)].abs())).unwrap();
        for j in 0..n {
            a.swap((p, j), (best, j));
        }
        b.swap(p, best);
        for i in p + 1..n {
            let factor = a[(i, p)] / a[(p, p)];
            for j in p..n {
                a[(i, j)] -= factor * a[(p, j)];
            }
            b[i] -= factor * b[p];
        }
    }
    for p in (0..n).rev() {
        let known: f64 = (p + 1..n).map(|j| a[(p, j)] * b[j]).sum();
        b[p] = (b[p] - known) / a[(p, p)];
    }
    b
}

/// The conditional Gaussian of a row on the model's scale, from the whole covariance: filled row and standard deviations.
fn oracle(pca: &Pca, row: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (d, k) = (pca.mean.len(), pca.code_size());
    let noise = pca.noise_variance();
    let mut c = Array2::from_diag_elem(d, noise);
    for (i, variance) in pca.explained_variance.iter().enumerate().take(k) {
        let v = &pca.components[i * d..][..d];
        for a in 0..d {
            for b in 0..d {
                c[(a, b)] += (variance - noise) * v[a] * v[b];
            }
        }
    }
    let (gaps, observed): (Vec<usize>, Vec<usize>) = (0..d).partition(|&j| row[j].is_nan());
    let of_observed =
        || Array2::from_shape_fn((observed.len(), observed.len()), |(i, j)| c[(observed[i], observed[j])]);
    let (mut filled, mut spread) = (row.to_vec(), vec![0.0; d]);
    for &gap in &gaps {
        let beside: Vec<f64> = observed.iter().map(|&j| c[(gap, j)]).collect();
        let weights = solve(of_observed(), beside.clone());
        filled[gap] = pca.mean[gap]
            + weights.iter().zip(&observed).map(|(w, &j)| w * (row[j] - pca.mean[j])).sum::<f64>();
        let explained: f64 = weights.iter().zip(&beside).map(|(w, c)| w * c).sum();
        spread[gap] = (c[(gap, gap)] - explained).sqrt();
    }
    (filled, spread)
}

#[test]
fn gaps_are_filled_and_encoded_as_the_dense_conditional_gaussian_says() {
    let rows = with_gaps(&iris(), 0.25, 1);
    for (k, scale) in [(1, "standard"), (2, "none"), (3, "min_max"), (4, "standard")] {
        let model = fit(&pca(k, scale), &rows).model;
        let fitted = model.pca().unwrap();
        let imputed = model.impute(&rows).unwrap();
        let (filled, codes) = (imputed.rows.to_array_f64(), model.encode(&rows).unwrap().to_array_f64());
        let rebuilt = model.reconstruct(&rows).unwrap().to_array_f64();
        let again = model.decode(model.encode(&rows).unwrap()).unwrap().to_array_f64();
        assert_eq!(rebuilt, again);
        let mut scaled = rows.as_slice().unwrap().to_vec();
        model.scaling().apply_f64(&mut scaled, 4);
        for (index, row) in scaled.chunks_exact(4).enumerate() {
            let (mut want, spread) = oracle(fitted, row);
            for (code, component) in codes.row(index).iter().zip(fitted.components.chunks_exact(4)) {
                let projected: f64 = (0..4).map(|j| component[j] * (want[j] - fitted.mean[j])).sum();
                close(*code, projected, 1e-9);
            }
            model.scaling().undo_f64(&mut want, 4);
            for j in 0..4 {
                let given = rows[(index, j)];
                if given.is_nan() {
                    close(filled[(index, j)], want[j], 1e-9);
                    let scales = &model.scaling().scales;
                    let unit = scales[if scales.len() == 1 { 0 } else { j }];
                    close(imputed.spread[index * 4 + j], spread[j] * unit, 1e-8);
                } else {
                    assert_eq!(filled[(index, j)].to_bits(), given.to_bits());
                    assert_eq!(imputed.spread[index * 4 + j], 0.0);
                }
            }
        }
        // In single precision too, where rows lie far from it.
        let narrow = rows.mapv(|value| value as f32);
        let of_narrow = model.encode(&narrow).unwrap().to_array_f32();
        of_narrow.iter().zip(&codes).for_each(|(got, want)| close(f64::from(*got), *want, 1e-4));
        let imputed = model.impute(&narrow).unwrap();
        assert!(matches!(imputed.rows.values(), Values::F32(_)));
        imputed.rows.to_array_f32().iter().zip(&narrow).for_each(|(filled, given)| {
            assert!(given.is_nan() || filled.to_bits() == given.to_bits());
        });
    }
}

#[test]
fn complete_rows_are_encoded_as_if_there_were_no_gaps_beside_them() {
    let clean = iris();
    let spoilt = with_gaps(&clean, 0.1, 2);
    let complete: Vec<usize> =
        (0..150).filter(|&i| spoilt.row(i).iter().all(|value| !value.is_nan())).collect();
    assert!(complete.len() > 50);
    for model in [fit(&pca(2, "standard"), &clean).model, fit(&pca(2, "standard"), &spoilt).model] {
        let (with, without) = (model.encode(&spoilt).unwrap(), model.encode(&clean).unwrap());
        let (with, without) = (with.to_array_f64(), without.to_array_f64());
        complete.iter().for_each(|&row| assert_eq!(with.row(row), without.row(row)));
        let narrow =
            |rows: &Array2<f64>| model.encode(&rows.mapv(|value| value as f32)).unwrap().to_array_f32();
        let (with, without) = (narrow(&spoilt), narrow(&clean));
        complete.iter().for_each(|&row| assert_eq!(with.row(row), without.row(row)));
        assert_eq!(model.impute(&clean).unwrap().rows.to_array_f64(), clean);
    }
    assert!(fit(&pca(2, "standard"), &clean).gaps.is_none());
}

#[test]
fn imputed_numbers_are_nearer_than_the_means_of_columns() {
    let mut sets = vec![("iris", iris())];
    let wine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/tables/wine_data.csv");
    if wine.exists() {
        let wine = narrows::data::open(wine.to_str().unwrap(), &OpenOptions::default()).unwrap();
        let mut values = vec![0.0; 178 * 13];
        wine.rows.read_f64(0, &mut values).unwrap();
        sets.push(("wine", Array2::from_shape_vec((178, 13), values).unwrap()));
    } else {
        eprintln!("skipped: {} is absent", wine.display());
    }
    for (name, rows) in &sets {
        for share in [0.05, 0.2, 0.4] {
            let spoilt = with_gaps(rows, share, 5);
            let model = fit(&pca(2, "standard"), &spoilt).model;
            let filled = model.impute(&spoilt).unwrap();
            let (values, scaling) = (filled.rows.to_array_f64(), model.scaling());
            let (mut error, mut of_means, mut inside, mut count) = (0.0, 0.0, 0, 0);
            for ((i, j), given) in spoilt.indexed_iter() {
                if given.is_nan() {
                    let truth = rows[(i, j)];
                    error += ((values[(i, j)] - truth) / scaling.scales[j]).powi(2);
                    of_means += ((scaling.offsets[j] - truth) / scaling.scales[j]).powi(2);
                    count += 1;
                    let off = (values[(i, j)] - truth).abs();
                    inside += usize::from(off < 1.96 * filled.spread[i * rows.ncols() + j]);
                }
            }
            let [error, of_means] = [error, of_means].map(|sum| (sum / f64::from(count)).sqrt());
            println!("{name}, {share}: {error:.3} against {of_means:.3}");
            assert!(error < 0.9 * of_means, "{name}, {share}: {error} against {of_means}");
            // What the spread promises, but for estimated parameters and columns that are not Gaussian.
            let inside = inside as f64 / f64::from(count);
            assert!((0.82..=1.0).contains(&inside), "{name}, {share}: {inside} within two deviations");
        }
    }
}

#[test]
fn errors_are_measured_on_observed_numbers() {
    let rows = with_gaps(&iris(), 0.2, 3);
    let fit = fit(&pca(2, "standard"), &rows);
    let model = &fit.model;
    let Evaluation::Reconstruction(metrics) = model.evaluate(&rows).unwrap() else { panic!() };
    let scores = model.score_rows(&rows).unwrap().squared_error;
    let rebuilt = model.reconstruct(&rows).unwrap().to_array_f64();
    let (scaling, mean) = (model.scaling(), &model.pca().unwrap().mean);
    let (mut sum, mut of_mean, mut count) = (0.0, 0.0, 0);
    for (i, row) in rows.rows().into_iter().enumerate() {
        let mut of_row = 0.0;
        for (j, value) in row.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            of_row += ((value - rebuilt[(i, j)]) / scaling.scales[j]).powi(2);
            of_mean += ((value - scaling.offsets[j]) / scaling.scales[j] - mean[j]).powi(2);
            count += 1;
        }
        close(scores[i], of_row, 1e-9);
        sum += of_row;
    }
    close(metrics.squared_error_per_row, sum / 150.0, 1e-9);
    close(metrics.mse, sum / f64::from(count), 1e-9);
    close(metrics.mean_squared_error_per_row, of_mean / 150.0, 1e-9);
    let summary = fit.summary().unwrap().reconstruction().unwrap();
    close(summary.baselines.mean, of_mean / 150.0, 1e-9);
    // A PCA is its own baseline.
    close(summary.baselines.pca, sum / 150.0, 1e-9);
    assert!(summary.baselines.linear >= 0.0);
    assert_eq!(summary.evaluation, metrics);
}

#[test]
fn the_record_and_the_verdict_tell_of_the_gaps() {
    let mut rows = iris();
    rows.slice_mut(s![..30, 2]).fill(f64::NAN);
    rows.slice_mut(s![20..35, 0]).fill(f64::NAN);
    let fit = fit(&pca(2, "standard"), &rows);
    let gaps = fit.gaps.as_ref().unwrap();
    let columns: Vec<_> = gaps.columns.iter().map(|column| (column.column, column.missing)).collect();
    assert_eq!((gaps.missing, gaps.numbers, gaps.patterns, columns), (45, 600, 3, vec![(1, 15), (3, 30)]));
    assert!(gaps.converged && gaps.sweeps > 2, "{gaps:?}");
    assert!(fit.verdict().ends_with("; 7.5 % of the values were missing, in 2 columns"), "{}", fit.verdict());
    let record = serde_json::to_value(&fit).unwrap();
    assert_eq!(record["gaps"]["columns"][1]["missing"], 30);
    // The file has what imputing needs.
    let again = Model::from_bytes(&fit.model.to_bytes().unwrap()).unwrap();
    assert_eq!(again.impute(&rows).unwrap(), fit.model.impute(&rows).unwrap());
    // The rows' order of threads leaves no trace.
    let dataset = Dataset::from(&rows);
    let bytes = |threads| {
        let compute = Compute::with_threads(threads);
        let options = FitOptions { held_out: HeldOut::Rows(&dataset), compute, ..FitOptions::default() };
        narrows::fit(&pca(2, "standard"), &dataset, options).unwrap().model.to_bytes().unwrap()
    };
    assert_eq!(bytes(1), bytes(3));
}

#[test]
fn what_is_at_the_edge_is_handled_or_refused() {
    let refused = |recipe: &Recipe, rows: &Array2<f64>| {
        narrows::fit(recipe, rows, FitOptions::default()).unwrap_err().to_string()
    };
    // A column without any number.
    let mut rows = iris();
    rows.column_mut(1).fill(f64::NAN);
    let error = refused(&pca(2, "auto"), &rows);
    assert!(error.contains("column 2: all its values are missing"), "{error}");
    // A row without any: the code of the mean.
    let mut rows = with_gaps(&iris(), 0.1, 4);
    rows.row_mut(7).fill(f64::NAN);
    let model = fit(&pca(2, "standard"), &rows).model;
    let codes = model.encode(&rows).unwrap().to_array_f64();
    assert!(codes.row(7).iter().all(|code| code.abs() < 1e-12), "{codes}");
    assert_eq!(model.score_rows(&rows).unwrap().squared_error[7], 0.0);
    let imputed = model.impute(&rows).unwrap();
    assert!(imputed.rows.to_array_f64().iter().chain(&imputed.spread).all(|value| value.is_finite()));
    // Infinite values are no gaps.
    rows[(9, 3)] = f64::INFINITY;
    for error in [
        model.encode(&rows).unwrap_err(),
        model.impute(&rows).unwrap_err(),
        model.evaluate(&rows).unwrap_err(),
    ] {
        assert!(error.to_string().contains("row 10, column 4: inf is not a finite number"), "{error}");
    }
    // Fewer rows than columns, all components, constant and repeated columns, a single column.
    let few = array![
        [1.0, f64::NAN, 2.0, 0.0, 1.0],
        [2.0, 4.0, 4.5, 0.0, 2.0],
        [3.0, 5.0, f64::NAN, 0.0, f64::NAN]
    ];
    for rows in [few, array![[1.0], [f64::NAN], [3.0], [7.0]]] {
        for k in 1..=rows.ncols().min(2) {
            let model = fit(&pca(k, "none"), &rows).model;
            let filled = model.impute(&rows).unwrap();
            assert!(filled.rows.to_array_f64().iter().all(|value| value.abs() < 10.0), "{filled:?}");
            assert!(filled.spread.iter().all(|value| value.is_finite()));
            assert!(model.encode(&rows).unwrap().to_array_f64().iter().all(|value| value.is_finite()));
        }
    }
    // More components than rows with numbers.
    let few = array![[1.0, f64::NAN, 2.0], [2.0, 4.0, 4.5], [f64::NAN, f64::NAN, f64::NAN]];
    let few = Dataset::from(&few);
    let options = FitOptions { held_out: HeldOut::Rows(&few), ..FitOptions::default() };
    let error = narrows::fit(&pca(3, "none"), &few, options).unwrap_err().to_string();
    assert!(error.contains("code size 3"), "{error}");
    // The randomised solver, networks, parts.
    let rows = with_gaps(&iris(), 0.1, 4);
    let error = refused(&pca(2, "none").with("solver", "randomized").unwrap(), &rows);
    assert!(error.contains("solver"), "{error}");
    let network = recipe("linear", &["code_size=2", "train.epochs=1"]);
    assert!(refused(&network, &rows).contains("NaN is not a finite number"));
    let network = narrows::fit(&network, &iris(), FitOptions::default()).unwrap().model;
    assert!(network.encode(&rows).is_ok(), "a network takes the mean for what is missing");
    assert!(network.impute(&rows).unwrap().rows.to_array_f64().iter().all(|value| value.is_finite()));
    let (encoder, _) = model.split().unwrap();
    assert_eq!(encoder.encode(&rows).unwrap(), model.encode(&rows).unwrap());
    // Bytes have no gaps.
    let bytes =
        Table::new(Values::U8((0..40).map(|value| value * 5 % 17).collect()), Shape::flat(4)).unwrap();
    let model = narrows::fit(&Recipe::pca(2), &bytes, FitOptions::default()).unwrap().model;
    assert_eq!(model.recipe().scale(), Scale::Unit);
    assert_eq!(model.impute(&bytes).unwrap().rows, bytes);
}
