//! Model files: valid ones, changed and signed again, so that what lies behind the hash is reached. A case is the file. A forged
//! model that is accepted is shown, written, read again, split and applied to rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use narrows::data::Values;
use narrows::model::ModelFile;
use narrows::{Compute, Dataset, FitOptions, Model, Recipe, Shape, Table};
use serde_json::Value;

use super::{Target, Verdict, check_message};
use crate::campaign::Journal;
use crate::container::{Container, Tensor};
use crate::memory::Meter;
use crate::mutate;
use crate::random::Random;

/// Memory for applying an accepted model to a few rows, beyond that of reading it.
const APPLYING: usize = 512 << 20;

/// Rows of more numbers are not made.
const WIDEST: usize = 1 << 16;

/// Questions that a forged file may put to the library while it is mended.
const MENDINGS: usize = 12;

/// Words that a description can say.
pub(super) const WORDS: &[&str] = &[
    "dense",
    "conv",
    "transposed_conv",
    "max_pool",
    "average_pool",
    "upsample",
    "reshape",
    "flatten",
    "unflatten",
    "dropout",
    "masking_noise",
    "gaussian_noise",
    "batch_norm",
    "variational",
    "relu",
    "sigmoid",
    "tanh",
    "softmax",
    "linear",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "softplus",
    "input",
    "tied",
    "same",
    "none",
    "auto",
    "kernel",
    "stride",
    "padding",
    "bias",
    "unit",
    "standard",
    "min_max",
    "bce",
    "mse",
    "mae",
    "huber",
    "cross_entropy",
    "encoder",
    "decoder",
    "autoencoder",
    "pca",
    "classifier",
    "u8",
    "f32",
    "f64",
    "best",
    "last",
    "spec",
    "shape",
    "part",
    "classes",
    "summary",
    "method",
    "height",
    "width",
    "channels",
    "element",
    "",
    "\u{1b}[2J",
];

/// Recipes of models to change, beside the golden ones.
const RECIPES: &[&str] = &[
    "method='pca'\ncode_size=2",
    "method='autoencoder'\nscale='standard'\nloss='mse'\nencoder=[{dense=3}, 'tanh', {dense=2}]\ndecoder=[{dense='tied'}, 'gelu', {dense='input'}]\ntrain={epochs=1}",
    "method='autoencoder'\nscale='standard'\nloss='huber'\nencoder=[{dense=3}, 'silu', {variational=2}]\ndecoder=[{dense='input'}]\ntrain={epochs=1}",
    "method='classifier'\nencoder=[{dense=3}, 'relu']\ntrain={epochs=1}",
];
const RECIPES_OF_IMAGES: &[&str] = &[
    "method='autoencoder'\nscale='none'\nloss='bce'\nencoder=[{conv=2}, 'relu', {max_pool=2}, {conv=3, stride=2}]\ndecoder=[{transposed_conv=2, stride=2}, 'relu', {upsample=2}, {conv='input'}, 'sigmoid']\ntrain={epochs=1}",
    "method='autoencoder'\nscale='none'\nloss='mse'\nencoder=[{conv=2, kernel=2, padding='none'}, {average_pool=2}, 'flatten', {dense=3}]\ndecoder=[{dense='flatten'}, 'unflatten', {upsample=2}, {transposed_conv='tied'}]\ntrain={epochs=1}",
];

/// The target.
pub struct Models {
    files: Vec<Vec<u8>>,
    containers: Vec<Container>,
}

impl Models {
    /// The target, with small models of every kind.
    ///
    /// # Errors
    /// Where one cannot be fitted.
    pub fn new() -> Result<Self, String> {
        let mut files = golden();
        let iris = narrows_datasets::iris();
        let images = images();
        let of_rows = RECIPES.iter().map(|text| (text, &iris));
        let of_images = RECIPES_OF_IMAGES.iter().map(|text| (text, &images));
        for (text, rows) in of_rows.chain(of_images) {
            let model = fitted(text, rows).map_err(|error| format!("{text}: {error}"))?;
            files.push(model.to_bytes().map_err(|error| error.to_string())?);
            if let Ok((encoder, decoder)) = model.split() {
                files.extend([encoder.to_bytes(), decoder.to_bytes()].into_iter().flatten());
            }
        }
        let containers: Vec<Container> = files.iter().filter_map(|bytes| Container::parse(bytes)).collect();
        if containers.len() < files.len() {
            return Err("models: a file of the library cannot be taken apart".to_owned());
        }
        Ok(Self { files, containers })
    }
}

/// The model files of all versions that the library's tests keep.
fn golden() -> Vec<Vec<u8>> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/narrows/tests/golden"));
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    paths.sort();
    paths
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "narrows"))
        .flat_map(std::fs::read)
        .collect()
}

/// A model of a recipe's text.
fn fitted(text: &str, rows: &Dataset<'_>) -> narrows::Result<Model> {
    let recipe: Recipe = narrows::recipe::RecipeFile::parse("model", "model", text)?.recipe()?;
    let options = FitOptions { compute: Compute::with_threads(1), ..FitOptions::default() };
    Ok(narrows::fit(&recipe, rows, options)?.model)
}

/// Forty images of 5 x 4 pixels between 0 and 1.
fn images() -> Dataset<'static> {
    let values = (0..40 * 20).map(|number| ((number * 37 % 101) as f32) / 101.0).collect();
    let table = Table::new(Values::F32(values), Shape::image(5, 4, 1)).expect("the sizes agree");
    Dataset::new("images", std::sync::Arc::new(table))
}

impl Target for Models {
    fn generate(&mut self, random: &mut Random, journal: &Journal) -> Vec<u8> {
        if random.one_in(12) {
            // Without a new hash: the way to it must hold as well.
            let mut bytes = random.choose(&self.files);
            mutate::bytes(random, &mut bytes);
            return bytes;
        }
        let mut container = random.choose(&self.containers);
        let donor = random.choose(&self.containers);
        for _ in 0..1 + random.below(3) {
            change(random, &mut container, &donor);
        }
        if random.one_in(3) {
            return container.bytes();
        }
        mend(container, journal)
    }

    fn run(&mut self, case: &[u8]) -> Result<Verdict, String> {
        let meter = Meter::start();
        let read = ModelFile::from_bytes(case);
        // A part has room for the parameters of the whole network, which the system gives no memory to before they are used.
        let whole = match &read {
            Ok(ModelFile::Encoder(_) | ModelFile::Decoder(_)) => read.as_ref().map_or(0, |file| {
                file.model().table().rows.iter().map(|row| row.parameters * size_of::<f32>()).sum()
            }),
            Ok(ModelFile::Whole(_)) | Err(_) => 0,
        };
        let (memory, limit) = (meter.most(), 4 * case.len() + (16 << 20) + whole);
        if memory > limit {
            return Err(format!(
                "memory: reading takes {} MiB, allowed are {} MiB",
                memory >> 20,
                limit >> 20
            ));
        }
        let file = match read {
            Ok(file) => file,
            Err(error) => return check_message(&error.to_string(), "").map(|()| Verdict::Refused),
        };
        drop(file.model().table());
        let again = bytes_of(&file)?;
        let read_again =
            ModelFile::from_bytes(&again).map_err(|error| format!("bytes: not read again: {error}"))?;
        // Bytes are compared, because a summary may hold NaN, which is unlike itself.
        if bytes_of(&read_again)? != again {
            return Err("bytes: another model comes of them".to_owned());
        }
        apply(file)?;
        Ok(Verdict::Accepted)
    }

    fn memory(&self, case: &[u8]) -> usize {
        4 * case.len() + (16 << 20) + APPLYING
    }
}

/// The bytes of an accepted file.
fn bytes_of(file: &ModelFile) -> Result<Vec<u8>, String> {
    let bytes = match file {
        ModelFile::Whole(model) => model.to_bytes(),
        ModelFile::Encoder(part) => part.to_bytes(),
        ModelFile::Decoder(part) => part.to_bytes(),
    };
    bytes.map_err(|error| format!("bytes: an accepted model has none: {error}"))
}

/// Changes the description, a tensor or the version.
fn change(random: &mut Random, container: &mut Container, donor: &Container) {
    let names: Vec<String> = container.tensors.keys().cloned().collect();
    match random.below(8) {
        0 if !names.is_empty() => {
            let name = random.choose(&names);
            change_tensor(random, container, &name, donor);
        }
        1 if random.one_in(4) => container.version = Value::from(random.below(6)),
        2 => {
            // The part of the description that says the layers is the one with the most behind it.
            let side = random.choose(&["encoder", "decoder", "shape", "train"]);
            let model = &mut container.model;
            let place = match side {
                "shape" => model.get_mut(side),
                _ => model.get_mut("spec").and_then(|spec| spec.get_mut(side)),
            };
            if let Some(place) = place {
                mutate::json(random, place, &donor.model, WORDS);
            }
        }
        _ => mutate::json(random, &mut container.model, &donor.model, WORDS),
    }
}

fn change_tensor(random: &mut Random, container: &mut Container, name: &str, donor: &Container) {
    let mut tensor = container.tensors[name].clone();
    match random.below(7) {
        0 => drop(container.tensors.remove(name)),
        1 => {
            let other: Vec<&Tensor> = donor.tensors.values().collect();
            tensor = random.choose(&other).clone();
        }
        2 if !tensor.shape.is_empty() => {
            let side = random.below(tensor.shape.len());
            tensor.shape[side] =
                random.choose(&[0, 1, 2, tensor.shape[side].wrapping_add(1), 1 << 32, u64::MAX]);
        }
        3 => tensor.dtype = random.choose(&["F32", "F64", "I64", "BF16", "U8"]).to_owned(),
        4 => mutate::bytes(random, &mut tensor.bytes),
        _ => {
            let value =
                random.choose(&[0.0, 1.0, -1e30, 1e38, 1e-40, f64::MAX, f64::NAN, f64::INFINITY, 1e-310]);
            let one = if tensor.dtype == "F32" {
                (value as f32).to_le_bytes().to_vec()
            } else {
                value.to_le_bytes().to_vec()
            };
            let count = tensor.bytes.len() / one.len();
            if count > 0 {
                let at = random.below(count) * one.len();
                tensor.bytes[at..at + one.len()].copy_from_slice(&one);
            }
        }
    }
    if container.tensors.contains_key(name) {
        container.tensors.insert(name.to_owned(), tensor);
    }
}

/// Gives a forged model the tensors that the library misses, as its messages say, so that more of them are accepted.
fn mend(mut container: Container, journal: &Journal) -> Vec<u8> {
    let mut bytes = container.bytes();
    for _ in 0..MENDINGS {
        journal.note(&bytes);
        let Ok(Err(error)) = catch_unwind(AssertUnwindSafe(|| ModelFile::from_bytes(&bytes).map(|_| ())))
        else {
            break;
        };
        if !mend_once(&mut container, &error.to_string()) {
            break;
        }
        bytes = container.bytes();
    }
    bytes
}

fn mend_once(container: &mut Container, message: &str) -> bool {
    if let Some((_, version)) = message.split_once("is what version ").or(message.split_once("that version "))
    {
        // A description with something that its version did not know, or a version with nothing new in it.
        let known = version.split(' ').next().and_then(|word| word.parse::<u64>().ok());
        let Some(known) = known else { return false };
        container.version =
            Value::from(if message.contains("says version") { known } else { known.wrapping_add(1) });
        return true;
    }
    if message.contains("has what version") {
        container.version = Value::from(container.version.as_u64().unwrap_or(0).wrapping_add(1));
        return true;
    }
    let Some((_, rest)) = message.split_once("tensor ") else { return false };
    let name = rest.split(' ').next().unwrap_or_default().to_owned();
    if rest.contains("is missing") {
        return Tensor::filled("F32", vec![1], 0.5)
            .is_some_and(|tensor| container.tensors.insert(name, tensor).is_none());
    }
    if rest.contains("has no place") {
        return container.tensors.remove(&name).is_some();
    }
    if let Some((_, needed)) = rest.split_once("the model needs ")
        && let Some((dtype, shape)) = needed.split_once(' ')
    {
        let shape =
            shape.trim_matches(['[', ']']).split(", ").map(str::parse::<u64>).collect::<Result<Vec<_>, _>>();
        if let Ok(shape) = shape
            && let Some(tensor) = Tensor::filled(dtype, shape, 0.5)
        {
            container.tensors.insert(name, tensor);
            return true;
        }
    }
    false
}

/// Applies a model to a few rows: small ones, none, and one that is very large.
fn apply(file: ModelFile) -> Result<(), String> {
    let compute = Compute::with_threads(1);
    let (shape, code) = (file.model().shape(), file.model().code_shape());
    match file {
        ModelFile::Whole(model) => {
            let model = model.with_compute(compute);
            let _ = model.split();
            for rows in rows_of(shape) {
                finite("encode", model.encode(&rows))?;
                if model.classes().is_some() {
                    finite("predict", model.predict(&rows))?;
                } else {
                    finite("reconstruct", model.reconstruct(&rows))?;
                    if let Err(error) = model.evaluate(&rows) {
                        check_message(&error.to_string(), "")?;
                    }
                }
            }
            for codes in rows_of(code) {
                finite("decode", model.decode(&codes))?;
            }
        }
        ModelFile::Encoder(part) => {
            let part = part.with_compute(compute);
            rows_of(shape).iter().try_for_each(|rows| finite("encode", part.encode(rows)))?;
        }
        ModelFile::Decoder(part) => {
            let part = part.with_compute(compute);
            rows_of(code).iter().try_for_each(|rows| finite("decode", part.decode(rows)))?;
        }
    }
    Ok(())
}

/// Rows of a shape, where they are not too long to be made.
fn rows_of(shape: Shape) -> Vec<Dataset<'static>> {
    let length = shape.height.saturating_mul(shape.width).saturating_mul(shape.channels);
    if length > WIDEST {
        return Vec::new();
    }
    let small = (0..2 * length).map(|number| (number % 7) as f64 / 7.0).collect();
    let large = (0..length).map(|number| if number % 2 == 0 { 1e30 } else { -1e300 }).collect();
    let table = |values| Table::new(Values::F64(values), shape).ok();
    [table(small), table(large)]
        .into_iter()
        .flatten()
        .map(|table| Dataset::new("rows", std::sync::Arc::new(table)))
        .collect()
}

/// Checks that numbers which were given out are numbers.
fn finite(verb: &str, result: narrows::Result<Table>) -> Result<(), String> {
    match result {
        Err(error) => check_message(&error.to_string(), ""),
        Ok(table) => {
            let is_finite = match table.values() {
                Values::U8(_) => true,
                Values::F32(values) => values.iter().all(|value| value.is_finite()),
                Values::F64(values) => values.iter().all(|value| value.is_finite()),
            };
            if is_finite {
                Ok(())
            } else {
                Err(format!("not finite: {verb} gives numbers that are not finite"))
            }
        }
    }
}
