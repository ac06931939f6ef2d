//! The model file: what is written comes back, others can read it, and nothing that is damaged or foreign gets in.
//!
//! `golden/` holds files of each format version as they were once written. They must open for ever; see `golden_files`.

use std::path::PathBuf;

use crate::common::{self, fit_on, made, open, parameters, parse, wide};
use narrows::data::{Format, OpenOptions, read_bytes};
use narrows::{Dataset, Model, Shape};

mod damaged;
mod golden_files;
pub mod parts;

const PCA: &str = "method = 'pca'\ncode_size = 2";
const NETWORK: &str = "method = 'autoencoder'
scale = 'min_max'
encoder = [{ dense = 3 }, 'relu', { dense = 2 }, 'tanh']
decoder = [{ dense = 3 }, 'relu', { dense = 'input' }, 'sigmoid']
loss = 'bce'
train = { optimizer = 'adam', rate = 0.02, epochs = 40, batch = 16, seed = 4 }";

const IMAGES: &str = "method = 'autoencoder'
scale = 'unit'
encoder = [{ gaussian_noise = 0.1, clip = [0, 1] }, { conv = 2 }, 'relu', { max_pool = 2 }]
decoder = [{ upsample = 2 }, { conv = 'input', padding = 'auto' }, 'sigmoid']
loss = 'bce'
train = { optimizer = 'adam', rate = 0.05, epochs = 30, batch = 8, seed = 1, keep = 'best' }";

/// What version 3 brought: a tied convolution, functions that stand alone, dropout, a code that is drawn in training.
const VARIATIONAL: &str = "method = 'autoencoder'
scale = 'unit'
encoder = [{ conv = 2, stride = 2 }, 'gelu', 'flatten', { dropout = 0.05 }, { variational = 2, kl = 0.1 }]
decoder = [{ dense = 'flatten' }, 'elu', 'unflatten', { transposed_conv = 'tied' }, 'sigmoid']
loss = 'bce'
weights = { start = 'orthogonal', l2 = 1e-5 }
train = { optimizer = 'adam', rate = 0.05, epochs = 60, batch = 8, seed = 1, patience = 40, clip_norm = 5.0 }";

/// The first flower of each species.
const FLOWERS: [[f64; 4]; 3] = [[5.1, 3.5, 1.4, 0.2], [7.0, 3.2, 4.7, 1.4], [6.3, 3.3, 6.0, 2.5]];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn golden_bytes(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What version 4 brought: classes.
const CLASSIFIER: &str = "method = 'classifier'
scale = 'standard'
encoder = [{ dense = 4 }, 'tanh']
train = { optimizer = 'adam', rate = 0.02, epochs = 3, batch = 16, seed = 2 }";

/// What version 5 brought: the precision of training.
const HALF_PRECISION: &str = "method = 'autoencoder'
scale = 'standard'
encoder = [{ dense = 3 }, 'tanh', { dense = 2 }]
decoder = [{ dense = 'input' }]
loss = 'mse'
train = { optimizer = 'adam', rate = 0.02, epochs = 3, batch = 16, seed = 2, precision = 'bf16' }";

const MIXED: &str = "method = 'autoencoder'
scale = 'standard'
encoder = [{ dense = 2 }]
decoder = [{ dense = 'input' }]
loss = 'mixed'
train = { optimizer = 'adam', learning_rate = 0.02, updates = 60, batch_size = 8, seed = 3 }";

/// A table of each kind of column, with gaps.
fn members() -> Dataset<'static> {
    let kinds = ["oak", "elm", "oak", "ash", "oak", "elm"];
    let mut text = "name,joined,kind,member,height,weight\n".to_owned();
    for row in 0..36usize {
        let height = if row % 9 == 4 { String::new() } else { format!("{}.5", row * row % 23) };
        let (day, member) = (row % 28 + 1, if row * 5 % 7 < 3 { "yes" } else { "no" });
        text += &format!("N{row},2024-02-{day:02},{},{member},{height},{}\n", kinds[row % 6], row * 7 % 31);
    }
    read_bytes("members", text.as_bytes(), Format::Csv, &OpenOptions::default()).unwrap()
}

const GOLDEN: [&str; 7] = [
    "pca-iris-1.narrows",
    "network-iris-1.narrows",
    "images-2.narrows",
    "variational-3.narrows",
    "classifier-iris-4.narrows",
    "half-precision-5.narrows",
    "members-6.narrows",
];

/// Bytes of 24 images of 5 x 6: a bright bar that wanders.
fn bars() -> Dataset<'static> {
    let image = |i: usize| (0..30).map(move |at| if at % 6 == i % 6 || at / 6 == i / 6 { 220 } else { 20 });
    made((0..24).flat_map(image).collect::<Vec<u8>>(), Shape::image(5, 6, 1))
}

fn fit(text: &str, dataset: &Dataset<'_>) -> Model {
    common::fit(&parse(text), dataset, dataset).model
}

/// Rows without structure: the numbers of a linear congruence.
fn noise(len: usize) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(12345u32), |x| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)))
        .map(|x| x >> 8)
        .take(len)
}

fn encode(model: &Model, rows: &[[f64; 4]]) -> Vec<f64> {
    wide(model.encode(made(rows.concat(), Shape::flat(4))).unwrap())
}

#[track_caller]
fn close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= tolerance, "{got} is not {want}");
    }
}

// ---------------------------------------------------------------------------------------------- there and back

#[test]
fn every_kind_of_model_comes_back_equal_and_gives_the_same_bytes() {
    let iris = open("iris");
    let images = made(noise(60 * 24).map(|x| x as u8).collect(), Shape::image(4, 2, 3));
    let wide_rows = made(noise(5 * 40).map(|x| x as f32 / 1e6).collect(), Shape::flat(40));
    let network = |scale: &str, encoder: &str, decoder: &str, loss: &str| {
        format!(
            "method = 'autoencoder'\nabout = 'a \"name\" with \\\\ and \u{e9}'\nscale = '{scale}'\nencoder = [{encoder}]\n\
             decoder = [{decoder}]\nloss = '{loss}'\ntrain = {{ epochs = 2, batch = 32 }}"
        )
        .replace("about = '", "about = '''")
        .replace("\u{e9}'", "\u{e9}'''")
    };
    let mut cases = Vec::new();
    for scale in ["none", "unit", "min_max", "standard"] {
        for whiten in [false, true] {
            for size in 1..=4 {
                cases.push((
                    format!("method = 'pca'\nscale = '{scale}'\nwhiten = {whiten}\ncode_size = {size}"),
                    &iris,
                ));
            }
        }
        cases.push((
            network(
                scale,
                "{dense=3}, 'tanh', {dense=2}",
                "'relu', {dense=5, bias=false}, {dense='input'}",
                "mse",
            ),
            &iris,
        ));
    }
    cases.push((network("min_max", "{dense=1, bias=false}", "{dense='input'}, 'sigmoid'", "bce"), &iris));
    cases.push((network("unit", "{dense=7}, 'relu'", "{dense='input'}, 'sigmoid'", "bce"), &images));
    cases.push((
        network("unit", "'softmax', {dense=30}, 'tanh'", "{dense='input'}, 'softmax'", "cross_entropy"),
        &images,
    ));
    cases.push((network("standard", "{dense=17}, 'sigmoid'", "{dense='input'}", "mse"), &wide_rows));
    cases.push(("method = 'pca'\ncode_size = 4\nwhiten = true".into(), &wide_rows));
    cases.push(("method = 'pca'".into(), &images));
    cases.push((
        VARIATIONAL.replace("epochs = 60, batch = 8, seed = 1, patience = 40", "epochs = 2"),
        &images,
    ));
    cases.push((network("center", "{dense=3}, 'silu'", "{dense='tied'}, 'softplus'", "huber"), &iris));
    for (text, dataset) in cases {
        let model = fit(&text, dataset);
        let bytes = model.to_bytes().unwrap();
        let again = Model::from_bytes(&bytes).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(model, again, "{text}");
        assert_eq!(bytes, again.to_bytes().unwrap(), "{text}");
        assert_eq!(model.encode(dataset).unwrap(), again.encode(dataset).unwrap(), "{text}");
        // Another fit of the same, with another number of threads, is the same file.
        let twin = fit_on(3, &parse(&text), dataset, dataset);
        assert_eq!(bytes, twin.model.to_bytes().unwrap(), "{text}");
    }
}

#[test]
fn a_file_on_disk_is_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.narrows");
    let model = fit(PCA, &open("iris"));
    model.save(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), model.to_bytes().unwrap());
    assert_eq!(Model::open(&path).unwrap(), model);
    let missing = Model::open(&folder.path().join("absent.narrows")).unwrap_err().to_string();
    assert!(missing.contains("absent.narrows: cannot read: "), "{missing}");
    assert_eq!(missing.matches("os error").count(), 1, "the reason is said once: {missing}");
}

#[test]
fn a_model_whose_network_ran_away_can_still_be_opened() {
    // Sums of such rows overflow single precision: no figure of the fit is finite, but its file must be readable.
    let noise: Vec<f64> = noise(40).map(f64::from).collect();
    let largest = noise.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    let rows: Vec<f64> = noise.iter().map(|x| x / largest * 3.4e38).collect();
    let dataset = made(rows, Shape::flat(4));
    let text = "method='autoencoder'\nscale='none'\nloss='mse'\nencoder=[{dense=2}]\ndecoder=[{dense='input'}]\ntrain={epochs=1}";
    let fit = fit_on(1, &parse(text), &dataset, &dataset);
    assert!(
        matches!(&fit.ended, narrows::progress::Ended::Diverged(reason) if reason.contains("epoch 1, step 1")),
        "{:?}",
        fit.ended
    );
    let bytes = fit.model.to_bytes().unwrap();
    let again = Model::from_bytes(&bytes).unwrap();
    assert_eq!(parameters(&again), parameters(&fit.model));
    assert_eq!(again.to_bytes().unwrap(), bytes);
    let found = again.summary().unwrap().reconstruction().unwrap();
    assert!(!found.evaluation.squared_error_per_row.is_finite());
    assert!(found.verdict.starts_with("no verdict") && found.verdict.contains(": row "), "{}", found.verdict);
}
