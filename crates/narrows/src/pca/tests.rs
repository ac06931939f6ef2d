//! The laws of principal component analysis, and numbers that others published.

use super::single::SinglePca;
use super::*;
use crate::base::linalg::orthonormal_rows;
use crate::base::random::{Purpose, generator, normal};
use crate::data::scaling::Scaling;
use crate::data::stats::Measured;
use crate::data::{self, Shape, Source, Table, Values};
use crate::recipe::Scale;

fn fit(values: Vec<f64>, d: usize, k: Option<usize>, whiten: bool) -> Pca {
    let table = Table::new(Values::F64(values), Shape::flat(d)).unwrap();
    fit_source(&table, Scale::None, k, whiten)
}

fn fit_source(source: &dyn Source, scale: Scale, k: Option<usize>, whiten: bool) -> Pca {
    let scaling = Scaling::learn(scale, source).unwrap();
    Pca::from_moments(
        &Moments::measure(&Measured::new(source), &scaling, Level::detect(), 2).unwrap(),
        k,
        whiten,
    )
    .unwrap()
}

fn encode(pca: &Pca, rows: &[f64]) -> Vec<f64> {
    let mut codes = vec![0.0; rows.len() / pca.mean.len() * pca.code_size()];
    pca.encode_into(&mut codes, rows, Level::detect());
    codes
}

fn decode(pca: &Pca, codes: &[f64]) -> Vec<f64> {
    let mut rows = vec![0.0; codes.len() / pca.code_size() * pca.mean.len()];
    pca.decode_into(&mut rows, codes, Level::detect());
    rows
}

fn numbers(n: usize, d: usize) -> Vec<f64> {
    let mut state = 7u64;
    (0..n * d)
        .map(|i| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as f64 / 2f64.powi(31) - 0.5) * (1.0 + (i % d) as f64)
        })
        .collect()
}

#[track_caller]
fn close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= tolerance, "{got}, want {want}");
    }
}

#[test]
fn six_points_of_scikit_learn() {
    // The example of scikit-learn's documentation of PCA.
    let pca = fit(vec![-1.0, -1.0, -2.0, -1.0, -3.0, -2.0, 1.0, 1.0, 2.0, 1.0, 3.0, 2.0], 2, None, false);
    close(&pca.explained_variance_ratio(), &[0.992_442_89, 0.007_557_11], 1e-8);
    close(&pca.singular_values(), &[6.300_612_32, 0.549_803_96], 1e-8);
}

#[test]
fn nine_numbers() {
    let rows: Vec<f64> = (0..9).map(f64::from).collect();
    let pca = fit(rows.clone(), 3, Some(1), false);
    close(&encode(&pca, &rows), &[-5.196_152_42, 0.0, 5.196_152_42], 1e-8);
}

#[test]
fn iris_to_eight_digits() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../narrows-datasets/data/iris.csv");
    let iris = data::open(path, &data::OpenOptions::default()).unwrap();
    let pca = fit_source(&*iris.rows, Scale::Unit, None, false);
    close(&pca.explained_variance, &[4.228_241_71, 0.242_670_75, 0.078_209_50, 0.023_835_09], 5e-9);
    close(&pca.explained_variance_ratio(), &[0.924_618_72, 0.053_066_48, 0.017_102_61, 0.005_212_18], 5e-9);
    let scatter: Vec<f64> = pca.singular_values().iter().map(|value| value * value).collect();
    close(&scatter, &[630.008, 36.158, 11.653, 3.551], 5e-4);
    // Few components kept: the ratios stay shares of the total.
    let two = fit_source(&*iris.rows, Scale::Unit, Some(2), false);
    close(&two.explained_variance_ratio(), &pca.explained_variance_ratio()[..2], 1e-15);
}

#[test]
fn us_arrests_standardised_as_r_prints_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/tables/r-datasets/USArrests.csv");
    if !std::path::Path::new(path).exists() {
        eprintln!("skipped: {path} is not here");
        return;
    }
    let arrests = data::open(path, &data::OpenOptions::default()).unwrap();
    let pca = fit_source(&*arrests.rows, Scale::Standard, None, false);
    close(&pca.explained_variance_ratio(), &[0.620_060_39, 0.247_441_29, 0.089_140_80, 0.043_357_52], 5e-9);
}

#[test]
fn codes_are_uncorrelated_and_have_the_eigenvalues_as_variances() {
    for (n, d) in [(50, 7), (200, 33), (9, 40)] {
        for whiten in [false, true] {
            let rows = numbers(n, d);
            let k = n.min(d) - 1;
            let pca = fit(rows.clone(), d, Some(k), whiten);
            let codes = encode(&pca, &rows);
            for a in 0..k {
                for b in 0..k {
                    let mean = |j: usize| (0..n).map(|i| codes[i * k + j]).sum::<f64>() / n as f64;
                    let covariance = (0..n)
                        .map(|i| (codes[i * k + a] - mean(a)) * (codes[i * k + b] - mean(b)))
                        .sum::<f64>()
                        / (n - 1) as f64;
                    let want = if a != b {
                        0.0
                    } else if whiten {
                        1.0
                    } else {
                        pca.explained_variance[a]
                    };
                    assert!(
                        (covariance - want).abs() < 1e-10 * pca.total_variance.max(1.0),
                        "{n}x{d} {a},{b}: {covariance}"
                    );
                }
            }
        }
    }
}

#[test]
fn all_components_rebuild_the_rows_and_fewer_lose_the_dropped_eigenvalues() {
    for (n, d) in [(40, 6), (60, 21), (8, 30)] {
        let rows = numbers(n, d);
        let most = n.min(d);
        for whiten in [false, true] {
            let all = fit(rows.clone(), d, Some(most), whiten);
            close(&decode(&all, &encode(&all, &rows)), &rows, 1e-11);
            for k in [1, most / 2, most - 1] {
                let pca = fit(rows.clone(), d, Some(k), whiten);
                let rebuilt = decode(&pca, &encode(&pca, &rows));
                let error: f64 = rebuilt.iter().zip(&rows).map(|(a, b)| (a - b) * (a - b)).sum();
                let dropped: f64 = all.explained_variance[k..].iter().sum::<f64>() * (n - 1) as f64;
                assert!((error - dropped).abs() < 1e-9 * error.max(1.0), "{n}x{d} k={k}: {error} {dropped}");
                assert!((pca.training_error() * n as f64 - error).abs() < 1e-9 * error.max(1.0));
            }
        }
        // The sign rule.
        let pca = fit(rows, d, Some(most), false);
        for component in pca.components.chunks(d) {
            let largest =
                component.iter().copied().fold(0.0f64, |a, b| if b.abs() > a.abs() { b } else { a });
            assert!(largest > 0.0);
        }
    }
}

#[test]
fn a_mean_of_a_million_costs_no_digits() {
    let near = numbers(100, 5);
    let far: Vec<f64> = near.iter().map(|value| value + 1e6).collect();
    let (near, far) = (fit(near, 5, None, false), fit(far, 5, None, false));
    close(&far.explained_variance, &near.explained_variance, 1e-9);
    // In single precision the rows themselves are rounded to 0.06; bytes are exact.
    let bytes: Vec<u8> = (0..600u32).map(|i| (i * i * 7 % 251) as u8).collect();
    let wide = bytes.iter().map(|&byte| f64::from(byte)).collect();
    let table = Table::new(Values::U8(bytes), Shape::flat(6)).unwrap();
    close(
        &fit_source(&table, Scale::None, None, false).explained_variance,
        &fit(wide, 6, None, false).explained_variance,
        1e-11,
    );
}

#[test]
fn poor_data_work_and_no_data_are_refused() {
    // Constant columns, doubled columns, fewer rows than columns: finite, orthonormal, errors as defined.
    let constant: Vec<f64> =
        (0..20).flat_map(|i| [f64::from(i), 3.0, f64::from(i) * 2.0, f64::from(i % 3)]).collect();
    let pca = fit(constant.clone(), 4, Some(4), true);
    close(&decode(&pca, &encode(&pca, &constant)), &constant, 1e-11);
    assert!(pca.explained_variance[2..].iter().all(|&variance| variance < 1e-12));
    let same = fit(vec![1.0; 12], 3, None, true);
    assert_eq!(same.total_variance, 0.0);
    assert_eq!(same.explained_variance_ratio(), [0.0; 3]);
    let few = fit(numbers(3, 10), 10, Some(3), false);
    for a in 0..3 {
        for b in 0..3 {
            let product: f64 = (0..10).map(|j| few.components[a * 10 + j] * few.components[b * 10 + j]).sum();
            assert!((product - f64::from(u8::from(a == b))).abs() < 1e-12);
        }
    }
    let one = Table::new(Values::F64(vec![1.0, 2.0]), Shape::flat(2)).unwrap();
    let scaling = Scaling::learn(Scale::None, &one).unwrap();
    let moments = Moments::measure(&Measured::new(&one), &scaling, Level::detect(), 1).unwrap();
    let fitted = Pca::from_moments(&moments, None, false);
    assert!(fitted.unwrap_err().to_string().contains("at least 2 rows"));
    let two = Table::new(Values::F64(vec![1.0, 2.0, 3.0, 5.0]), Shape::flat(2)).unwrap();
    let moments = Moments::measure(&Measured::new(&two), &scaling, Level::detect(), 1).unwrap();
    for k in [0, 3] {
        assert!(Pca::from_moments(&moments, Some(k), false).is_err());
    }
}

#[test]
fn threads_and_input_stay_out_of_the_result() {
    let rows = numbers(300, 101);
    let table = Table::new(Values::F64(rows.clone()), Shape::flat(101)).unwrap();
    let scaling = Scaling::learn(Scale::None, &table).unwrap();
    let results: Vec<Pca> = (1..=4)
        .map(|threads| {
            let moments =
                Moments::measure(&Measured::new(&table), &scaling, Level::detect(), threads).unwrap();
            Pca::from_moments(&moments, None, false).unwrap()
        })
        .collect();
    assert!(results.iter().all(|result| *result == results[0]));
    assert_eq!(table.values(), &Values::F64(rows), "the input is as it was");
}

#[test]
fn about_zero_the_first_direction_is_near_the_mean_and_on_centred_data_both_are_one() {
    let rows = numbers(80, 6);
    let centred: Vec<f64> = {
        let mean: Vec<f64> = (0..6).map(|j| (0..80).map(|i| rows[i * 6 + j]).sum::<f64>() / 80.0).collect();
        rows.iter().enumerate().map(|(i, value)| value - mean[i % 6]).collect()
    };
    let moments = |rows: Vec<f64>| {
        let table = Table::new(Values::F64(rows), Shape::flat(6)).unwrap();
        Moments::measure(
            &Measured::new(&table),
            &Scaling::from_parts(vec![0.0], vec![1.0]),
            Level::detect(),
            1,
        )
        .unwrap()
    };
    let level = Level::detect();
    let m = moments(centred);
    let (pca, linear) = (m.about_mean(3, level).unwrap(), m.about_zero(3, level).unwrap());
    close(&pca.directions, &linear.directions, 1e-9);
    let shifted = moments(rows.iter().map(|value| value + 20.0).collect());
    let linear = shifted.about_zero(1, level).unwrap();
    let length = shifted.mean.iter().map(|value| value * value).sum::<f64>().sqrt();
    let cosine: f64 = linear.directions.iter().zip(&shifted.mean).map(|(a, b)| a * b / length).sum();
    assert!(cosine.abs() > 0.999, "{cosine}");
}

/// Rows pushed in blocks, in two parts about other centres that are merged, have the moments of all rows.
#[test]
fn scatters_of_parts_merge_to_the_scatter_of_all_rows() {
    let (n, d) = (300, 101);
    let rows = numbers(n, d);
    let table = Table::new(Values::F64(rows.clone()), Shape::flat(d)).unwrap();
    let level = Level::detect();
    let whole = Moments::measure(&Measured::new(&table), &Scaling::identity(), level, 2).unwrap();
    let mut parts = [Scatter::about(rows[..d].to_vec()), Scatter::about(vec![0.5; d])];
    for (number, block) in rows.chunks(37 * d).enumerate() {
        parts[number % 2].push(&mut block.to_vec());
    }
    let [mut merged, other] = parts;
    merged.merge(&other).unwrap();
    let merged = merged.finish();
    assert_eq!((merged.rows(), merged.mean().len()), (n, d));
    close(merged.mean(), whole.mean(), 1e-12);
    let (a, b) = (merged.about_mean(5, level).unwrap(), whole.about_mean(5, level).unwrap());
    close(&a.directions, &b.directions, 1e-8);
    close(&a.squares, &b.squares, 1e-8 * b.total);
    assert!(Scatter::about(vec![0.0; 3]).merge(&other).is_err());
}

fn moments_of(source: &dyn Source, scaling: &Scaling, threads: usize) -> Moments {
    moments_at(Level::detect(), source, scaling, threads)
}

fn moments_at(level: Level, source: &dyn Source, scaling: &Scaling, threads: usize) -> Moments {
    Moments::measure(&Measured::new(source), scaling, level, threads).unwrap()
}

/// The sums of products about the mean of bytes are integers over n: each number is the nearest to the exact fraction.
#[test]
fn bytes_have_exact_moments_with_any_number_of_threads() {
    let (n, d) = (9001usize, 37usize);
    let bytes: Vec<u8> = (0..n * d).map(|at| ((at * at / 7 + at * 31) % 256) as u8).collect();
    let table = Table::new(Values::U8(bytes.clone()), Shape::flat(d)).unwrap();
    let moments = moments_of(&table, &Scaling::identity(), 1);
    let byte = |row: usize, j: usize| i128::from(bytes[row * d + j]);
    let sum = |j: usize| (0..n).map(|row| byte(row, j)).sum::<i128>();
    for i in [0, 5, 31, 32, 36] {
        assert_eq!(moments.mean()[i], sum(i) as f64 / n as f64);
        for j in 0..d {
            let products: i128 = (0..n).map(|row| byte(row, i) * byte(row, j)).sum();
            let exact = (products * n as i128 - sum(i) * sum(j)) as f64 / n as f64;
            assert_eq!(moments.scatter()[i * d + j], exact, "{i} {j}");
        }
    }
    for threads in 2..=4 {
        assert_eq!(moments_of(&table, &Scaling::identity(), threads).scatter(), moments.scatter());
    }
    // Rows that do not lie one after the other in memory are the same rows.
    let rows: std::sync::Arc<dyn Source> = std::sync::Arc::new(table);
    let picked = data::Subset::new(rows, (0..n).rev().collect());
    assert_eq!(moments_of(&picked, &Scaling::identity(), 2).scatter(), moments.scatter());
}

/// The scaling of rows is applied to the moments; the same rows scaled beforehand have the same moments.
#[test]
fn scaled_rows_have_the_moments_of_rows_scaled_before() {
    let (n, d) = (700, 20);
    let bytes: Vec<u8> = (0..n * d).map(|at| ((at * 131) % 251) as u8).collect();
    let scaling =
        Scaling::from_parts((0..d).map(|j| j as f64).collect(), (0..d).map(|j| 2.0 + j as f64).collect());
    let mut scaled: Vec<f64> = bytes.iter().map(|&byte| f64::from(byte)).collect();
    scaling.apply_f64(&mut scaled, d);
    let found = moments_of(&Table::new(Values::U8(bytes), Shape::flat(d)).unwrap(), &scaling, 2);
    let wanted =
        moments_of(&Table::new(Values::F64(scaled), Shape::flat(d)).unwrap(), &Scaling::identity(), 2);
    close(found.mean(), wanted.mean(), 1e-10);
    close(found.scatter(), wanted.scatter(), 1e-7);
}

/// Single precision against double precision on the same numbers: means far from 0, columns of very different sizes, one row
/// beyond all others, a constant column. Errors are relative to the standard deviations of the two columns.
#[test]
fn products_in_single_precision_have_the_moments_of_double_precision() {
    let (n, d) = (24_000usize, 160usize);
    let noise = |row: usize, j: usize| {
        let bits = (row as u64 * 160 + j as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bits = (bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (bits >> 40) as f64 / (1u64 << 24) as f64 - 0.5
    };
    let column = |row: usize, j: usize| match j % 5 {
        0 => 1e6 + noise(row, j) + noise(row, 1),
        1 => noise(row, j) + 0.5 * noise(row, 1),
        2 => 1e-20 * noise(row, j),
        3 => 1e20 * (noise(row, j) - 7.0),
        _ if j == 4 => 0.1,
        _ => {
            if row == 12_345 {
                1e30
            } else {
                noise(row, j)
            }
        }
    };
    let singles: Vec<f32> = (0..n * d).map(|at| column(at / d, at % d) as f32).collect();
    let doubles: Vec<f64> = singles.iter().map(|&value| f64::from(value)).collect();
    assert!(gram::is_worthwhile(n, d));
    let table = Table::new(Values::F32(singles), Shape::flat(d)).unwrap();
    let exact =
        moments_of(&Table::new(Values::F64(doubles), Shape::flat(d)).unwrap(), &Scaling::identity(), 2);
    for level in Level::available() {
        let found = moments_at(level, &table, &Scaling::identity(), 2);
        let scale = |j: usize| exact.scatter()[j * d + j].sqrt();
        let mut worst = 0.0f64;
        for i in 0..d {
            let spread = scale(i) / (n as f64).sqrt();
            assert!(
                (found.mean()[i] - exact.mean()[i]).abs() <= 1e-6 * spread + 1e-15 * exact.mean()[i].abs(),
                "{i}"
            );
            for j in 0..d {
                let error = (found.scatter()[i * d + j] - exact.scatter()[i * d + j]).abs();
                let size = scale(i) * scale(j);
                worst = worst.max(if size > 0.0 { error / size } else { error });
            }
        }
        assert!(worst < 1e-6, "{}: {worst}", level.name());
        for threads in [1, 3, 4] {
            assert_eq!(moments_at(level, &table, &Scaling::identity(), threads).scatter(), found.scatter());
        }
    }
}

/// Codes and rows in single precision against double precision on the same numbers, about a mean far from 0 and with a scaling:
/// each error is small beside the standard deviation of its code, or of its column.
#[test]
fn single_precision_encodes_and_decodes_as_double_precision() {
    let (n, d, k) = (500, 12, 5);
    let singles: Vec<f32> = numbers(n, d).iter().map(|value| (value + 1e6) as f32).collect();
    let rows: Vec<f64> = singles.iter().map(|&value| f64::from(value)).collect();
    for (scale, whiten) in [(Scale::None, false), (Scale::Standard, true), (Scale::MinMax, false)] {
        let table = Table::new(Values::F64(rows.clone()), Shape::flat(d)).unwrap();
        let scaling = Scaling::learn(scale, &table).unwrap();
        let moments = moments_of(&table, &scaling, 1);
        let pca = Pca::from_moments(&moments, Some(k), whiten).unwrap();
        let single = SinglePca::new(&pca, &scaling).expect("ordinary rows");
        let (mut work, level) = (single.work(), Level::detect());

        let (mut codes, mut raw) = (vec![0.0f32; n * k], singles.clone());
        single.encode(&mut codes, &mut raw, &mut work, level);
        let mut scaled = rows.clone();
        scaling.apply_f64(&mut scaled, d);
        let exact = encode(&pca, &scaled);
        for (code, exact) in codes.chunks(k).zip(exact.chunks(k)) {
            for i in 0..k {
                let deviation = if whiten { 1.0 } else { pca.explained_variance[i].sqrt() };
                assert!((f64::from(code[i]) - exact[i]).abs() < 1e-5 * deviation, "{scale:?} {i}");
            }
        }
        let mut decoded = vec![0.0f32; n * d];
        single.decode(&mut decoded, &codes, &mut work, level);
        let wide: Vec<f64> = codes.iter().map(|&code| f64::from(code)).collect();
        let mut exact = decode(&pca, &wide);
        scaling.undo_f64(&mut exact, d);
        // A number near a million is rounded to 0.06 in single precision.
        close(&decoded.iter().map(|&value| f64::from(value)).collect::<Vec<_>>(), &exact, 0.13);
    }
    // A component that double precision would find among much larger ones.
    let mut uneven = numbers(n, 3);
    uneven.chunks_exact_mut(3).for_each(|row| row[0] *= 1e4);
    let pca = fit(uneven, 3, Some(3), false);
    assert!(SinglePca::new(&pca, &Scaling::identity()).is_none());
}

/// Rows with known singular values, the largest of which is that of one column: about the mean, and about zero, where it is
/// the mean of the column. With fewer rows than columns, and with more.
#[test]
fn small_variances_are_found_beside_one_large_column() {
    let (rank, level) = (4, Level::detect());
    let singular = [3e7, 5.0, 2.0, 0.5];
    for (n, d, about_zero) in [(7, 40, false), (60, 5, false), (7, 40, true), (60, 5, true)] {
        let mut random = generator(2, Purpose::Noise, n as u64);
        // The first is constant, the others have no mean.
        let mut left = vec![1.0; n];
        left.extend((0..rank * n).map(|_| normal(&mut random)));
        orthonormal_rows(&mut left, n, 0);
        let left = if about_zero { &left[..rank * n] } else { &left[n..] };
        let mut right = vec![0.0; rank * d];
        right[0] = 1.0;
        for row in right.chunks_exact_mut(d).skip(1) {
            row[1..].iter_mut().for_each(|value| *value = normal(&mut random));
        }
        orthonormal_rows(&mut right, d, 0);
        let term = |i: usize, j: usize, r: usize| left[r * n + i] * singular[r] * right[r * d + j];
        let values = (0..n * d).map(|at| (0..rank).map(|r| term(at / d, at % d, r)).sum()).collect();
        let table = Table::new(Values::F64(values), Shape::flat(d)).unwrap();
        let moments = moments_of(&table, &Scaling::identity(), 1);
        let found = match about_zero {
            true => moments.about_zero(rank, level).unwrap(),
            false => moments.about_mean(rank, level).unwrap(),
        };
        for (found, wanted) in found.squares.iter().zip(singular) {
            assert!((found.sqrt() / wanted - 1.0).abs() < 1e-7, "{n} x {d}: {}, want {wanted}", found.sqrt());
        }
        for (found, wanted) in found.directions.chunks_exact(d).zip(right.chunks_exact(d)) {
            let along: f64 = found.iter().zip(wanted).map(|(a, b)| a * b).sum();
            assert!((along.abs() - 1.0).abs() < 1e-9, "{n} x {d}: {along}");
        }
    }
}
