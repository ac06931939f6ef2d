//! Files of each format version as they were once written: they open for ever, and are what the format says.

use super::damaged::refused;
use super::parts::Parts;
use super::*;

#[test]
fn the_files_are_signed_as_described() {
    for name in GOLDEN {
        let bytes = golden_bytes(name);
        let parts = Parts::of(&bytes);
        // Taken apart and put together again by other code: the same file.
        assert_eq!(parts.bytes(), bytes, "{name}");
    }
}

#[test]
fn tensors_have_the_names_shapes_and_types_that_others_read() {
    let list = |name: &str| -> Vec<String> {
        let parts = Parts::of(&golden_bytes(name));
        parts.tensors.iter().map(|(name, dtype, shape, _)| format!("{name} {dtype:?} {shape:?}")).collect()
    };
    assert_eq!(
        list(GOLDEN[0]),
        [
            "pca.components F64 [2, 4]",
            "pca.explained_variance F64 [2]",
            "scaling.offsets F64 [1]",
            "scaling.scales F64 [1]",
            "training_mean F64 [4]"
        ]
    );
    assert_eq!(
        list(GOLDEN[1]),
        [
            "decoder.1.bias F32 [3]",
            "decoder.1.weights F32 [2, 3]",
            "decoder.2.bias F32 [4]",
            "decoder.2.weights F32 [3, 4]",
            "encoder.1.bias F32 [3]",
            "encoder.1.weights F32 [4, 3]",
            "encoder.2.bias F32 [2]",
            "encoder.2.weights F32 [3, 2]",
            "scaling.offsets F64 [4]",
            "scaling.scales F64 [4]",
            "training_mean F64 [4]"
        ]
    );
}

/// Makes the golden files anew: `cargo test -p narrows --test model_file -- --ignored make_golden_files`. Only for a new
/// format version, under a new name: the old files stay, and must open.
#[test]
#[ignore = "makes the golden files that are missing"]
fn make_golden_files() {
    let iris = open("iris");
    let (bars, members, first) = (bars(), members(), [(PCA, &iris), (NETWORK, &iris)]);
    let later = [(IMAGES, &bars), (VARIATIONAL, &bars), (CLASSIFIER, &iris), (HALF_PRECISION, &iris)];
    let kinds = first.into_iter().chain(later).chain([(MIXED, &members)]);
    for ((text, rows), name) in kinds.zip(GOLDEN) {
        if !golden(name).exists() {
            fit(text, rows).save(&golden(name)).unwrap();
        }
    }
}

#[test]
fn the_golden_pca_encodes_as_it_always_did() {
    let model = Model::open(&golden(GOLDEN[0])).unwrap();
    let codes = encode(&model, &FLOWERS);
    // scikit-learn 1.x, PCA(2).fit_transform(load_iris().data), rows 0, 50 and 100.
    let published = [-2.68412563, 0.31939725, 1.28482569, 0.68516047, 2.53119273, -0.00984911];
    close(&codes, &published, 5e-9);
    // And from the tensors: each code is the inner product of a component and the row about the mean.
    let parts = Parts::of(&golden_bytes(GOLDEN[0]));
    let (mean, components) = (parts.f64("training_mean"), parts.f64("pca.components"));
    let mut by_hand = Vec::new();
    for flower in FLOWERS {
        for component in components.chunks(4) {
            by_hand.push((0..4).map(|j| component[j] * (flower[j] - mean[j])).sum::<f64>());
        }
    }
    close(&codes, &by_hand, 1e-14);
    assert!(model.summary().unwrap().verdict().starts_with("PCA-2 keeps 97.8 %"));
}

#[test]
fn the_golden_network_encodes_and_decodes_as_it_always_did() {
    let model = Model::open(&golden(GOLDEN[1])).unwrap();
    let codes = encode(&model, &FLOWERS);
    close(&codes, &NETWORK_CODES, 2e-6);
    // From the tensors, unit by unit.
    let parts = Parts::of(&golden_bytes(GOLDEN[1]));
    let dense = |layer: &str, x: &[f64], function: fn(f64) -> f64| -> Vec<f64> {
        let (weights, bias) = (parts.f64(&format!("{layer}.weights")), parts.f64(&format!("{layer}.bias")));
        let unit = |j: usize| bias[j] + (0..x.len()).map(|i| x[i] * weights[i * bias.len() + j]).sum::<f64>();
        (0..bias.len()).map(|j| function(unit(j))).collect()
    };
    let (low, range) = (parts.f64("scaling.offsets"), parts.f64("scaling.scales"));
    close(&low, &[4.3, 2.0, 1.0, 0.1], 0.0);
    close(&range, &[7.9 - 4.3, 4.4 - 2.0, 6.9 - 1.0, 2.5 - 0.1], 0.0);
    let relu = |x: f64| if x > 0.0 { x } else { 0.0 };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (mut by_hand, mut rebuilt) = (Vec::new(), Vec::new());
    for flower in FLOWERS {
        let x: Vec<f64> = (0..4).map(|j| (flower[j] - low[j]) / range[j]).collect();
        let code = dense("encoder.2", &dense("encoder.1", &x, relu), f64::tanh);
        let y = dense("decoder.2", &dense("decoder.1", &code, relu), sigmoid);
        rebuilt.extend((0..4).map(|j| low[j] + range[j] * y[j]));
        by_hand.extend(code);
    }
    close(&codes, &by_hand, 2e-6);
    let flowers = made(FLOWERS.concat(), Shape::flat(4));
    close(&wide(model.reconstruct(&flowers).unwrap()), &rebuilt, 2e-5);
    // It has learned something: the flowers come back nearer than their mean does.
    let mean = parts.f64("training_mean");
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
    for (i, flower) in FLOWERS.iter().enumerate() {
        let centre: Vec<f64> = (0..4).map(|j| low[j] + range[j] * mean[j]).collect();
        assert!(distance(&rebuilt[i * 4..][..4], flower) < 0.5 * distance(&centre, flower));
    }
}

#[test]
fn the_golden_network_on_images_is_what_the_format_says() {
    let model = Model::open(&golden(GOLDEN[2])).unwrap();
    let rows = bars();
    let got = wide(model.reconstruct(&rows).unwrap());
    let parts = Parts::of(&golden_bytes(GOLDEN[2]));
    // FORMAT.md: y[r, c, o] = b[o] + sum of x[r + k - 1, c + l - 1, i] w[k, l, i, o]; x is 0 outside.
    let convolve = |layer: &str,
                    x: &dyn Fn(isize, isize, usize) -> f64,
                    inputs: usize,
                    (r, c, o): (usize, usize, usize)| {
        let (weights, bias) = (parts.f64(&format!("{layer}.weights")), parts.f64(&format!("{layer}.bias")));
        let mut sum = bias[o];
        for k in 0..3 {
            for l in 0..3 {
                for i in 0..inputs {
                    let weight = weights[((k * 3 + l) * inputs + i) * bias.len() + o];
                    sum += weight * x((r + k) as isize - 1, (c + l) as isize - 1, i);
                }
            }
        }
        sum
    };
    let mut bytes = vec![0.0; 24 * 30];
    rows.rows.read_f64(0, &mut bytes).unwrap();
    for (image, got) in bytes.chunks(30).zip(got.chunks(30)) {
        let pixel = |r: isize, c: isize, _: usize| {
            let inside = (0..5).contains(&r) && (0..6).contains(&c);
            if inside { image[(r * 6 + c) as usize] / 255.0 } else { 0.0 }
        };
        // Squares of two by two, the last row of them half outside: 3 x 3 x 2.
        let mut code = [f64::NEG_INFINITY; 18];
        for r in 0..5 {
            for c in 0..6 {
                for o in 0..2 {
                    let y = convolve("encoder.1", &pixel, 1, (r, c, o)).max(0.0);
                    let largest = &mut code[((r / 2) * 3 + c / 2) * 2 + o];
                    *largest = largest.max(y);
                }
            }
        }
        // Each pixel repeated: 6 x 6, of which the last row is not wanted.
        let repeated = |r: isize, c: isize, i: usize| {
            let inside = (0..6).contains(&r) && (0..6).contains(&c);
            if inside { code[((r / 2 * 3 + c / 2) * 2) as usize + i] } else { 0.0 }
        };
        for r in 0..5 {
            for c in 0..6 {
                let y = 255.0 / (1.0 + (-convolve("decoder.1", &repeated, 2, (r, c, 0))).exp());
                assert!((got[r * 6 + c] - y).abs() < 1e-3, "({r}, {c}): {} is not {y}", got[r * 6 + c]);
            }
        }
    }
    let summary = model.summary().unwrap().reconstruction().unwrap();
    assert!(summary.evaluation.explained_variance > 0.2, "it has learned something");
}

#[test]
fn the_golden_variational_network_is_what_the_format_says() {
    let model = Model::open(&golden(GOLDEN[3])).unwrap();
    let rows = bars();
    let (codes, rebuilt) = (wide(model.encode(&rows).unwrap()), wide(model.reconstruct(&rows).unwrap()));
    let parts = Parts::of(&golden_bytes(GOLDEN[3]));
    let (w, b) = (parts.f64("encoder.1.weights"), parts.f64("encoder.1.bias"));
    let (moments, shift) = (parts.f64("encoder.6.weights"), parts.f64("encoder.6.bias"));
    let (wide_weights, wide_bias) = (parts.f64("decoder.1.weights"), parts.f64("decoder.1.bias"));
    let last_bias = parts.f64("decoder.4.bias");
    assert!(parts.tensors.iter().all(|tensor| tensor.0 != "decoder.4.weights"), "shared weights stand once");
    // The normal distribution by the trapezoid rule.
    let normal = |x: f64| {
        let (steps, low) = (20_000, -10.0f64);
        let width = (x - low) / f64::from(steps);
        let density = |t: f64| (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt();
        let inner: f64 = (1..steps).map(|i| density(low + width * f64::from(i))).sum();
        width * (inner + 0.5 * (density(low) + density(x)))
    };
    let mut bytes = vec![0.0; 24 * 30];
    rows.rows.read_f64(0, &mut bytes).unwrap();
    for (index, image) in bytes.chunks(30).enumerate().step_by(5) {
        // Stride 2 from 5 x 6 to 3 x 3: one row of zeros above, no column before.
        let mut hidden = [0.0; 18];
        for (at, value) in hidden.iter_mut().enumerate() {
            let (r, c, o) = (at / 6, at / 2 % 3, at % 2);
            let mut sum = b[o];
            for k in 0..3 {
                for l in 0..3 {
                    let (i, j) = (2 * r + k, 2 * c + l);
                    if (1..=5).contains(&i) && j < 6 {
                        sum += image[(i - 1) * 6 + j] / 255.0 * w[(k * 3 + l) * 2 + o];
                    }
                }
            }
            *value = sum * normal(sum);
        }
        let mean =
            |unit: usize| (0..18).map(|i| hidden[i] * moments[i * 4 + unit]).sum::<f64>() + shift[unit];
        let code = [mean(0), mean(1)];
        for (got, want) in codes[index * 2..].iter().zip(code) {
            assert!((got - want).abs() < 1e-4, "{got} {want}");
        }
        let small: Vec<f64> = (0..18)
            .map(|j| {
                let x = code[0] * wide_weights[j] + code[1] * wide_weights[18 + j] + wide_bias[j];
                if x > 0.0 { x } else { x.exp() - 1.0 }
            })
            .collect();
        for r in 0..5 {
            for c in 0..6 {
                let mut sum = last_bias[0];
                for (at, value) in small.iter().enumerate() {
                    let (i, j, channel) = (at / 6, at / 2 % 3, at % 2);
                    // r = 2 i + k - 1 and c = 2 j + l, for a place (k, l) of the kernel.
                    if (2 * i..2 * i + 3).contains(&(r + 1)) && (2 * j..2 * j + 3).contains(&c) {
                        let (k, l) = (r + 1 - 2 * i, c - 2 * j);
                        sum += value * w[(k * 3 + l) * 2 + channel];
                    }
                }
                let y = 255.0 / (1.0 + (-sum).exp());
                let got = rebuilt[index * 30 + r * 6 + c];
                assert!((got - y).abs() < 1e-2, "({r}, {c}): {got} is not {y}");
            }
        }
    }
    let summary = model.summary().unwrap().reconstruction().unwrap();
    assert!(summary.evaluation.explained_variance > 0.1, "it has learned something");
}

#[test]
fn a_file_has_the_lowest_version_that_knows_it() {
    let version = |bytes: &[u8]| Parts::of(bytes).version;
    for (name, want) in GOLDEN.iter().zip(["1", "1", "2", "3", "4", "5", "6"]) {
        assert_eq!(version(&golden_bytes(name)), want, "{name}");
        assert_eq!(
            version(&Model::open(&golden(name)).unwrap().to_bytes().unwrap()),
            want,
            "{name}, written again"
        );
    }
    // What version 1 did not know is not in a file of version 1.
    let old = Parts { version: "1".into(), ..Parts::of(&golden_bytes(GOLDEN[2])) };
    refused(&old.bytes(), &["version 1 did not know"]);
    let high = Parts { version: "3".into(), ..Parts::of(&golden_bytes(GOLDEN[2])) };
    refused(&high.bytes(), &["says version 3", "nothing that version 2 did not know"]);
}

/// The codes of the three flowers, computed from the golden network's file by a few lines of Python (struct, math).
const NETWORK_CODES: [f64; 6] = [-0.99234821, 0.35938655, -0.08497031, -0.81171212, 0.27163231, -0.87356378];

#[test]
fn the_golden_classifier_tells_what_the_format_says() {
    let model = Model::open(&golden(GOLDEN[4])).unwrap();
    assert_eq!(model.classes().unwrap(), ["setosa", "versicolor", "virginica"]);
    let shares = wide(model.predict(made(FLOWERS.concat(), Shape::flat(4))).unwrap());
    let parts = Parts::of(&golden_bytes(GOLDEN[4]));
    let dense = |layer: &str, x: &[f64]| -> Vec<f64> {
        let (weights, bias) = (parts.f64(&format!("{layer}.weights")), parts.f64(&format!("{layer}.bias")));
        let unit = |j: usize| bias[j] + (0..x.len()).map(|i| x[i] * weights[i * bias.len() + j]).sum::<f64>();
        (0..bias.len()).map(unit).collect()
    };
    let (offsets, scales) = (parts.f64("scaling.offsets"), parts.f64("scaling.scales"));
    let mut by_hand = Vec::new();
    for flower in FLOWERS {
        let x: Vec<f64> = (0..4).map(|j| (flower[j] - offsets[j]) / scales[j]).collect();
        let hidden: Vec<f64> = dense("encoder.1", &x).into_iter().map(f64::tanh).collect();
        let powers: Vec<f64> = dense("decoder.1", &hidden).into_iter().map(f64::exp).collect();
        let sum: f64 = powers.iter().sum();
        by_hand.extend(powers.into_iter().map(|power| power / sum));
    }
    close(&shares, &by_hand, 1e-6);
    // The first flower of each species, and what the file says it was found to be worth.
    for (class, shares) in shares.chunks_exact(3).enumerate() {
        assert!(shares[class] > 0.5, "{shares:?}");
    }
    let summary = model.summary().unwrap().classification().unwrap();
    assert_eq!(summary.evaluation.confusion.iter().flatten().sum::<usize>(), 150);
}

/// A row with its columns in another order, a gap and a level that the model does not know, encoded by hand as the format says.
#[test]
fn the_golden_table_encodes_as_the_format_says() {
    let model = Model::open(&golden(GOLDEN[6])).unwrap();
    let parts = Parts::of(&golden_bytes(GOLDEN[6]));
    let description: serde_json::Value = serde_json::from_str(&parts.model).unwrap();
    let columns = description["columns"].as_array().unwrap();
    let kinds: Vec<&str> = columns.iter().map(|column| column["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["identifier", "date", "category", "yes_no", "number", "number"]);
    assert_eq!(columns[2]["levels"].as_array().unwrap().len(), 3);
    // 2024-03-10 by `date -d 2024-03-10 +%s` / 86400.
    let joined = 19_792.0 - columns[1]["first"].as_f64().unwrap();
    let row = [Some(joined), Some(0.0), Some(0.0), Some(0.0), Some(1.0), None, Some(12.0)];
    let (offsets, scales) = (parts.f64("scaling.offsets"), parts.f64("scaling.scales"));
    let (mean, weights, bias) =
        (parts.f64("training_mean"), parts.f64("encoder.1.weights"), parts.f64("encoder.1.bias"));
    let scaled: Vec<f64> = row
        .iter()
        .enumerate()
        .map(|(at, cell)| cell.map_or(mean[at], |cell| (cell - offsets[at]) / scales[at]))
        .collect();
    let by_hand: Vec<f64> = (0..2)
        .map(|unit| bias[unit] + (0..7).map(|at| scaled[at] * weights[2 * at + unit]).sum::<f64>())
        .collect();
    let text = "weight,member,height,name,kind,joined\n12,yes,,X,yew,2024-03-10\n3,no,4,Y,oak,2024-03-11\n";
    let rows = read_bytes("rows", text.as_bytes(), Format::Csv, &OpenOptions::default()).unwrap();
    close(&wide(model.encode(rows).unwrap())[..2], &by_hand, 1e-5);
}
