//! The model file: what is written comes back, others can read it, and nothing that is damaged or foreign gets in.
//!
//! `golden/` holds files of each format version as they were once written. They must open for ever; see [`make_golden_files`].

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use narrows::data::{self, Dataset, OpenOptions, Shape, Source, Table, Values};
use narrows::event::Flow;
use narrows::model::{Compute, Model};
use narrows::recipe::Recipe;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

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

const GOLDEN: [&str; 4] =
    ["pca-iris-1.narrows", "network-iris-1.narrows", "images-2.narrows", "variational-3.narrows"];

/// Bytes of 24 images of 5 x 6: a bright bar that wanders.
fn bars() -> Dataset {
    let image = |i: usize| (0..30).map(move |at| if at % 6 == i % 6 || at / 6 == i / 6 { 220 } else { 20 });
    dataset(Values::U8((0..24).flat_map(image).collect()), Shape::image(5, 6, 1))
}

fn iris() -> Dataset {
    data::open("iris", &OpenOptions::default()).unwrap()
}

fn fit(text: &str, dataset: &Dataset) -> Model {
    let spec = Recipe::parse("test", "test", text).unwrap().spec().unwrap();
    narrows::fit::fit(&spec, dataset, dataset, Compute::new(Some(2)), &mut |_| Flow::Continue).unwrap().model
}

fn dataset(values: Values, shape: Shape) -> Dataset {
    let rows = Arc::new(Table::new(values, shape).unwrap());
    Dataset { name: "made".into(), rows, labels: None, columns: None }
}

/// Rows without structure: the numbers of a linear congruence.
fn noise(len: usize) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(12345u32), |x| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)))
        .map(|x| x >> 8)
        .take(len)
}

fn encode(model: &Model, rows: &[[f64; 4]]) -> Vec<f64> {
    let table = Table::new(Values::F64(rows.concat()), Shape::flat(4)).unwrap();
    wide(model.encode(&table, Compute::new(Some(1))).unwrap())
}

fn wide(values: Values) -> Vec<f64> {
    match values {
        Values::U8(values) => values.into_iter().map(f64::from).collect(),
        Values::F32(values) => values.into_iter().map(f64::from).collect(),
        Values::F64(values) => values,
    }
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
    let iris = iris();
    let images = dataset(Values::U8(noise(60 * 24).map(|x| x as u8).collect()), Shape::image(4, 2, 3));
    let wide_rows = dataset(Values::F32(noise(5 * 40).map(|x| x as f32 / 1e6).collect()), Shape::flat(40));
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
        let compute = Compute::new(Some(2));
        let codes = model.encode(&*dataset.rows, compute).unwrap();
        assert_eq!(codes, again.encode(&*dataset.rows, compute).unwrap(), "{text}");
        // Another fit of the same, with another number of threads, is the same file.
        let spec = Recipe::parse("test", "test", &text).unwrap().spec().unwrap();
        let twin = narrows::fit::fit(&spec, dataset, dataset, Compute::new(Some(3)), &mut |_| Flow::Continue)
            .unwrap();
        assert_eq!(bytes, twin.model.to_bytes().unwrap(), "{text}");
    }
}

#[test]
fn a_file_on_disk_is_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.narrows");
    let model = fit(PCA, &iris());
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
    let dataset = dataset(Values::F64(rows), Shape::flat(4));
    let text = "method='autoencoder'\nscale='none'\nloss='mse'\nencoder=[{dense=2}]\ndecoder=[{dense='input'}]\ntrain={epochs=1}";
    let spec = Recipe::parse("test", "test", text).unwrap().spec().unwrap();
    let fit =
        narrows::fit::fit(&spec, &dataset, &dataset, Compute::new(Some(1)), &mut |_| Flow::Continue).unwrap();
    assert!(
        matches!(&fit.ended, narrows::event::Ended::Diverged(reason) if reason.contains("epoch 1, step 1")),
        "{:?}",
        fit.ended
    );
    let bytes = fit.model.to_bytes().unwrap();
    let again = Model::from_bytes(&bytes).unwrap();
    assert_eq!(again.fitted, fit.model.fitted);
    assert_eq!(again.to_bytes().unwrap(), bytes);
    let found = again.summary.unwrap();
    assert!(!found.evaluation.squared_error_per_row.is_finite());
    assert!(found.verdict.starts_with("learned nothing"), "{}", found.verdict);
}

// ------------------------------------------------------------------------------------------------ read by others

/// A file taken apart by the plain `safetensors` crate, to be changed and signed again.
#[derive(Clone)]
struct Parts {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    /// The description as text, signed as it stands.
    model: String,
    version: String,
}

impl Parts {
    fn of(bytes: &[u8]) -> Self {
        let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
        let text = &metadata.metadata().as_ref().unwrap()["narrows"];
        let start = text.find(r#","model":"#).unwrap() + r#","model":"#.len();
        let model = text[start..text.len() - 1].to_owned();
        let mut tensors: Vec<_> = SafeTensors::deserialize(bytes)
            .unwrap()
            .tensors()
            .into_iter()
            .map(|(name, view)| (name, view.dtype(), view.shape().to_vec(), view.data().to_vec()))
            .collect();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        let version = text[r#"{"version":"#.len()..text.find(',').unwrap()].to_owned();
        Self { tensors, model, version }
    }

    /// The hash as the format describes it: each part after its length as eight bytes, the description first, then name,
    /// type with shape, and bytes of each tensor in the order of the names.
    fn hash(&self) -> String {
        let mut stream = Vec::new();
        let mut part = |bytes: &[u8]| {
            stream.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            stream.extend_from_slice(bytes);
        };
        part(self.model.as_bytes());
        let mut sorted: Vec<_> = self.tensors.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, dtype, shape, bytes) in sorted {
            let dtype = match dtype {
                Dtype::F32 => "F32",
                Dtype::F64 => "F64",
                other => panic!("{other:?} has no place in a model"),
            };
            let sides = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            part(name.as_bytes());
            part(format!("{dtype} [{sides}]").as_bytes());
            part(bytes);
        }
        let digest: [u8; 32] = Sha256::digest(&stream).into();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn metadata(&self) -> String {
        format!(r#"{{"version":{},"sha256":"{}","model":{}}}"#, self.version, self.hash(), self.model)
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes_with(Some(HashMap::from([("narrows".to_owned(), self.metadata())])))
    }

    fn bytes_with(&self, metadata: Option<HashMap<String, String>>) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, metadata).unwrap()
    }

    fn f64(&self, name: &str) -> Vec<f64> {
        let (_, dtype, shape, bytes) = self.tensors.iter().find(|tensor| tensor.0 == name).unwrap();
        let values: Vec<f64> = match dtype {
            Dtype::F32 => {
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect()
            }
            Dtype::F64 => bytes.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect(),
            other => panic!("{other:?}"),
        };
        assert_eq!(values.len(), shape.iter().product::<usize>());
        values
    }

    fn at(&mut self, name: &str) -> &mut (String, Dtype, Vec<usize>, Vec<u8>) {
        self.tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap()
    }
}

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

// ---------------------------------------------------------------------------------------------------- golden files

/// Makes the golden files anew: `cargo test -p narrows --test model_file -- --ignored make_golden_files`. Only for a new
/// format version, under a new name: the old files stay, and must open.
#[test]
#[ignore = "makes the golden files that are missing"]
fn make_golden_files() {
    let iris = iris();
    let kinds = [(PCA, &iris), (NETWORK, &iris), (IMAGES, &bars()), (VARIATIONAL, &bars())];
    for ((text, rows), name) in kinds.into_iter().zip(GOLDEN) {
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
    assert!(model.summary.unwrap().verdict.starts_with("PCA-2 keeps 97.8 %"));
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
    let table = Table::new(Values::F64(FLOWERS.concat()), Shape::flat(4)).unwrap();
    close(&wide(model.reconstruct(&table, Compute::new(Some(1))).unwrap()), &rebuilt, 2e-5);
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
    let got = wide(model.reconstruct(&*rows.rows, Compute::new(Some(1))).unwrap());
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
    rows.rows.read_f64(&(0..24).collect::<Vec<_>>(), &mut bytes);
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
    let summary = model.summary.unwrap();
    assert!(summary.evaluation.explained_variance > 0.2, "it has learned something");
}

#[test]
fn the_golden_variational_network_is_what_the_format_says() {
    let model = Model::open(&golden(GOLDEN[3])).unwrap();
    let rows = bars();
    let compute = Compute::new(Some(1));
    let (codes, rebuilt) = (
        wide(model.encode(&*rows.rows, compute).unwrap()),
        wide(model.reconstruct(&*rows.rows, compute).unwrap()),
    );
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
    rows.rows.read_f64(&(0..24).collect::<Vec<_>>(), &mut bytes);
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
    assert!(model.summary.unwrap().evaluation.explained_variance > 0.1, "it has learned something");
}

#[test]
fn a_file_has_the_lowest_version_that_knows_it() {
    let version = |bytes: &[u8]| Parts::of(bytes).version;
    for (name, want) in GOLDEN.iter().zip(["1", "1", "2", "3"]) {
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

// ------------------------------------------------------------------------------------------- damaged and foreign

#[track_caller]
fn refused(bytes: &[u8], parts: &[&str]) {
    let error = Model::from_bytes(bytes).expect_err("a file that must be refused");
    assert_eq!(error.kind(), narrows::ErrorKind::Model);
    let message = error.to_string();
    assert!(!message.is_empty() && !message.contains('\n'), "one line: {message}");
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn no_prefix_of_a_file_is_a_file() {
    for name in GOLDEN {
        let bytes = golden_bytes(name);
        for len in 0..bytes.len() {
            refused(&bytes[..len], &[]);
        }
        let longer = [&bytes[..], &[0]].concat();
        refused(&longer, &[]);
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for name in GOLDEN {
        let mut bytes = golden_bytes(name);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                bytes[at] ^= 1 << bit;
                match Model::from_bytes(&bytes) {
                    Ok(_) => panic!("{name}: bit {bit} of byte {at} can be flipped unnoticed"),
                    Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
                }
                bytes[at] ^= 1 << bit;
            }
        }
        assert_eq!(bytes, golden_bytes(name));
    }
}

#[test]
fn other_files_are_refused() {
    refused(b"", &["not a Narrows model"]);
    refused(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89", &[]);
    refused(b"sepal,petal\n1,2\n3,4\n", &[]);
    refused(&[0xff; 4096], &[]);
    refused(&[0; 4096], &[]);
    // A header said to be as long as memory, or one byte longer than the file.
    for len in [u64::MAX, u64::MAX / 2, 1 << 40, 100_000_001, 9] {
        let mut bytes = len.to_le_bytes().to_vec();
        bytes.extend(b"{}      ");
        refused(&bytes, &[]);
    }
    let parts = Parts::of(&golden_bytes(GOLDEN[0]));
    refused(&parts.bytes_with(None), &["not a Narrows model"]);
    refused(
        &parts.bytes_with(Some(HashMap::from([("format".into(), "pt".into())]))),
        &["not a Narrows model"],
    );
    for text in
        ["", "{}", "[]", "null", "{\"version\":\"1\"}", "{\"version\":-1}", "{\"version\":1}", "not json"]
    {
        refused(&parts.bytes_with(Some(HashMap::from([("narrows".into(), text.into())]))), &["damaged"]);
    }
    let unsigned = parts.metadata().replace(&parts.hash(), &"0".repeat(64));
    refused(&parts.bytes_with(Some(HashMap::from([("narrows".into(), unsigned)]))), &["damaged", "hash"]);
    for version in ["0", "4", "18446744073709551615"] {
        let other = Parts { version: version.into(), ..parts.clone() };
        refused(&other.bytes(), &["format version", version, "reads versions 1 to 3"]);
    }
}

#[test]
fn signed_files_with_wrong_tensors_are_refused_by_the_tensors_name() {
    for name in GOLDEN {
        let whole = Parts::of(&golden_bytes(name));
        Model::from_bytes(&whole.bytes()).unwrap();
        for at in 0..whole.tensors.len() {
            let tensor = whole.tensors[at].0.clone();
            let changed = |change: &dyn Fn(&mut Parts)| {
                let mut parts = whole.clone();
                change(&mut parts);
                parts.bytes()
            };
            let missing = changed(&|parts| drop(parts.tensors.remove(at)));
            // Without its spectrum a PCA has no size; the message says so instead.
            let size = tensor == "pca.explained_variance";
            refused(&missing, &[if size { "number of components" } else { &tensor }]);
            refused(
                &changed(&|parts| parts.tensors[at].0 += "s"),
                &[if size { "number of components" } else { &tensor }],
            );
            let wrong_type = changed(&|parts| {
                let (_, dtype, shape, bytes) = &mut parts.tensors[at];
                let count: usize = shape.iter().product();
                (*dtype, *bytes) = match dtype {
                    Dtype::F32 => (Dtype::F64, vec![0; count * 8]),
                    _ => (Dtype::F32, vec![0; count * 4]),
                };
            });
            refused(&wrong_type, &[&tensor, "F32", "F64"]);
            let wrong_shape = changed(&|parts| parts.tensors[at].2.insert(0, 1));
            refused(&wrong_shape, &[&tensor]);
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let not_finite = changed(&|parts| {
                    let (_, dtype, _, bytes) = &mut parts.tensors[at];
                    let end = bytes.len();
                    match dtype {
                        Dtype::F32 => bytes[end - 4..].copy_from_slice(&(bad as f32).to_le_bytes()),
                        _ => bytes[end - 8..].copy_from_slice(&bad.to_le_bytes()),
                    }
                });
                refused(&not_finite, &[&tensor, "not finite"]);
            }
        }
        let mut extra = whole.clone();
        extra.tensors.push(("zebra".into(), Dtype::F32, vec![1], vec![0; 4]));
        refused(&extra.bytes(), &["zebra", "no place"]);
    }
    // A row more or less.
    let mut parts = Parts::of(&golden_bytes(GOLDEN[1]));
    let (_, _, shape, bytes) = parts.at("encoder.1.weights");
    shape[0] = 3;
    bytes.truncate(36);
    refused(&parts.bytes(), &["encoder.1.weights", "[3, 3]", "[4, 3]"]);
    // A column scaled by nothing.
    let mut parts = Parts::of(&golden_bytes(GOLDEN[1]));
    parts.at("scaling.scales").3[..8].fill(0);
    refused(&parts.bytes(), &["scale of 0"]);
}

#[test]
fn signed_files_with_a_senseless_description_are_refused() {
    let changed = |name: &str, from: &str, to: &str| {
        let mut parts = Parts::of(&golden_bytes(name));
        assert!(parts.model.contains(from), "{from} is not in {}", parts.model);
        parts.model = parts.model.replacen(from, to, 1);
        parts.bytes()
    };
    let network = |from: &str, to: &str| changed(GOLDEN[1], from, to);
    refused(&network(r#""dense":3"#, r#""dense":4294967295"#), &["encoder[0]", "too many"]);
    refused(&network(r#""dense":3"#, r#""dense":100000000"#), &["encoder.1", "100000000"]);
    refused(&network(r#""dense":3"#, r#""dense":0"#), &["description"]);
    refused(&network(r#""dense":3"#, r#""dense":5"#), &["encoder.1", "[4, 5]"]);
    refused(&network(r#""width":4"#, r#""width":0"#), &["shape"]);
    refused(&network(r#""width":4"#, r#""width":18446744073709551615"#), &["shape"]);
    refused(&network(r#""height":1"#, r#""height":4294967295"#), &["shape"]);
    refused(&network(r#""width":4"#, r#""width":5"#), &["tensor"]);
    refused(&network(r#""batch":16"#, r#""batch":0"#), &["train.batch"]);
    refused(&network(r#""loss":"bce""#, r#""loss":"hinge""#), &["hinge"]);
    refused(&network(r#""shape""#, r#""shade""#), &["description"]);
    let pca = |from: &str, to: &str| changed(GOLDEN[0], from, to);
    refused(&pca(r#""rows":150"#, r#""rows":1"#), &["components or rows"]);
    refused(&pca(r#""pca":{"#, r#""pcb":{"#), &["pcb"]);
    refused(&pca(r#""method":"pca""#, r#""method":"ica""#), &["ica"]);
}

#[test]
fn sources_that_do_not_fit_are_refused_with_both_widths() {
    for name in &GOLDEN[..2] {
        let model = Model::open(&golden(name)).unwrap();
        let table = Table::new(Values::F32(vec![0.5; 9]), Shape::flat(3)).unwrap();
        assert_eq!(table.rows(), 3);
        for result in [
            model.encode(&table, Compute::new(None)),
            model.decode(&table, Compute::new(None)),
            model.reconstruct(&table, Compute::new(None)),
        ] {
            let message = result.unwrap_err().to_string();
            assert!(message.contains('3') && (message.contains('4') || message.contains('2')), "{message}");
        }
    }
}

/// The codes of the three flowers, computed from the golden network's file by a few lines of Python (struct, math).
const NETWORK_CODES: [f64; 6] = [-0.99234821, 0.35938655, -0.08497031, -0.81171212, 0.27163231, -0.87356378];
