//! The model file: safetensors with one metadata string. `FORMAT.md` is its specification.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::data::{Element, Shape};
use crate::durable;
use crate::error::{Error, Result};
use crate::model::{Fitted, Model};
use crate::pca::Pca;
use crate::plan::Plan;
use crate::scaling::Scaling;
use crate::spec::Spec;
use crate::summary::Summary;

/// The version this library writes.
const VERSION: u64 = 1;

/// The name of the metadata string.
const KEY: &str = "narrows";

/// The metadata string.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    version: u64,
    /// SHA-256 of `model` as it stands here, and of each tensor.
    sha256: String,
    #[serde(borrow)]
    model: &'a RawValue,
}

/// What is not a tensor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    spec: Spec,
    shape: Shape,
    element: Element,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pca: Option<PcaHead>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    summary: Option<Summary>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PcaHead {
    rows: usize,
    total_variance: f64,
}

/// A tensor on its way into or out of a file.
struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    fn f32(shape: Vec<usize>, values: &[f32]) -> Self {
        Self {
            dtype: Dtype::F32,
            shape,
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    fn f64(shape: Vec<usize>, values: &[f64]) -> Self {
        Self {
            dtype: Dtype::F64,
            shape,
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

impl Model {
    /// Writes the model to a file; see [`durable::write`]. The same model gives the same bytes.
    pub fn save(&self, path: &Path) -> Result<()> {
        durable::write(path, &self.to_bytes()?)
    }

    /// Reads a model from a file. A file that is damaged, foreign or of another version is refused with the reason.
    pub fn open(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, "read", error))?;
        Self::from_bytes(&bytes).map_err(|error| error.at(path.display()))
    }

    /// The model as the bytes of a file.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut tensors = BTreeMap::new();
        let vector = |values: &[f64]| Tensor::f64(vec![values.len()], values);
        tensors.insert("scaling.offsets".to_owned(), vector(&self.scaling.offsets));
        tensors.insert("scaling.scales".to_owned(), vector(&self.scaling.scales));
        tensors.insert("training_mean".to_owned(), vector(&self.training_mean));
        let mut pca_head = None;
        match &self.fitted {
            Fitted::Network { plan, parameters } => {
                for parameter in &plan.parameters {
                    let values = &parameters[parameter.range.clone()];
                    tensors.insert(parameter.name.clone(), Tensor::f32(parameter.shape.clone(), values));
                }
            }
            Fitted::Pca(pca) => {
                let shape = vec![pca.code_size(), pca.mean.len()];
                tensors.insert("pca.components".to_owned(), Tensor::f64(shape, &pca.components));
                tensors.insert("pca.explained_variance".to_owned(), vector(&pca.explained_variance));
                pca_head = Some(PcaHead { rows: pca.rows, total_variance: pca.total_variance });
            }
        }
        let head = Head {
            spec: self.spec.clone(),
            shape: self.shape,
            element: self.element,
            pca: pca_head,
            summary: self.summary.clone(),
        };
        let bug =
            |error: &dyn std::fmt::Display| Error::model(format!("this model cannot be written: {error}"));
        let head = serde_json::value::to_raw_value(&head).map_err(|error| bug(&error))?;
        let sha256 = content_hash(
            head.get(),
            tensors.iter().map(|(name, t)| (&**name, t.dtype, &*t.shape, &*t.bytes)),
        );
        let envelope = Envelope { version: VERSION, sha256, model: &head };
        let envelope = serde_json::to_string(&envelope).map_err(|error| bug(&error))?;
        let views = tensors
            .iter()
            .map(|(name, tensor)| {
                Ok((name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes)?))
            })
            .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|error| bug(&error))?;
        // One entry only: the encoder writes a map in random order.
        let metadata = HashMap::from([(KEY.to_owned(), envelope)]);
        safetensors::serialize(views, Some(metadata)).map_err(|error| bug(&error))
    }

    /// Reads a model from the bytes of a file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let foreign = || Error::model("not a Narrows model file");
        let (_, metadata) = SafeTensors::read_metadata(bytes)
            .map_err(|error| Error::model(format!("not a whole safetensors file: {error}")))?;
        let file = SafeTensors::deserialize(bytes)
            .map_err(|error| Error::model(format!("not a whole safetensors file: {error}")))?;
        let text = metadata.metadata().as_ref().and_then(|map| map.get(KEY)).ok_or_else(foreign)?;

        /// Only what every version has.
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let damaged = |what: &str| {
            Error::model(format!("the file is damaged: {what}")).hint("fit the model again, or use a copy")
        };
        let Version { version } =
            serde_json::from_str(text).map_err(|_| damaged("its description cannot be read"))?;
        if version != VERSION {
            return Err(Error::model(format!(
                "the file has format version {version}; this program reads version {VERSION}"
            ))
            .hint("use a newer program for a newer file"));
        }
        let envelope: Envelope<'_> =
            serde_json::from_str(text).map_err(|_| damaged("its description cannot be read"))?;
        let mut views: Vec<_> = file.tensors();
        views.sort_by(|a, b| a.0.cmp(&b.0));
        let hash = content_hash(
            envelope.model.get(),
            views.iter().map(|(name, view)| (&**name, view.dtype(), view.shape(), view.data())),
        );
        if hash != envelope.sha256 {
            return Err(damaged("its content does not have the hash that it was written with"));
        }
        let head: Head = serde_json::from_str(envelope.model.get())
            .map_err(|error| Error::model(format!("the description of the model cannot be read: {error}")))?;
        let tensors = Tensors { views: views.into_iter().collect() };
        head.into_model(tensors)
    }
}

/// SHA-256 over the description and, in the order of their names, each tensor's name, type, shape and bytes.
fn content_hash<'a>(
    head: &str,
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], &'a [u8])>,
) -> String {
    let mut hash = Sha256::new();
    // Lengths go in before what they measure, so that no two contents make one stream of bytes.
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(head.as_bytes());
    for (name, dtype, shape, bytes) in tensors {
        part(name.as_bytes());
        part(format!("{dtype:?} {shape:?}").as_bytes());
        part(bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tensors of a file, taken out one by one.
struct Tensors<'a> {
    views: BTreeMap<String, TensorView<'a>>,
}

impl Tensors<'_> {
    fn take(&mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<Vec<u8>> {
        let view =
            self.views.remove(name).ok_or_else(|| Error::model(format!("tensor {name} is missing")))?;
        if view.dtype() != dtype || view.shape() != shape {
            return Err(Error::model(format!(
                "tensor {name} is {:?} {:?}; the model needs {dtype:?} {shape:?}",
                view.dtype(),
                view.shape()
            )));
        }
        Ok(view.data().to_vec())
    }

    fn f32(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let bytes = self.take(name, Dtype::F32, shape)?;
        let (numbers, _) = bytes.as_chunks::<4>();
        finite(name, numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)), |value| value.is_finite())
    }

    fn f64(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
        let bytes = self.take(name, Dtype::F64, shape)?;
        let (numbers, _) = bytes.as_chunks::<8>();
        finite(name, numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)), |value| value.is_finite())
    }

    /// The length of a vector that may have one entry, or one for each column.
    fn one_or(&self, name: &str, width: usize) -> usize {
        if self.views.get(name).is_some_and(|view| view.shape() == [1]) { 1 } else { width }
    }
}

fn finite<T: Copy>(
    name: &str,
    values: impl Iterator<Item = T>,
    is_finite: impl Fn(T) -> bool,
) -> Result<Vec<T>> {
    let values: Vec<T> = values.collect();
    if values.iter().all(|&value| is_finite(value)) {
        Ok(values)
    } else {
        Err(Error::model(format!("tensor {name} holds numbers that are not finite")))
    }
}

impl Head {
    fn into_model(self, mut tensors: Tensors<'_>) -> Result<Model> {
        let Self { spec, shape, element, pca, summary } = self;
        let wrong = |what: &str| Error::model(format!("the description of the model makes no sense: {what}"));
        spec.validate().map_err(|error| error.at("the model's spec"))?;
        let sides = [shape.height, shape.width, shape.channels];
        let width = sides
            .iter()
            .try_fold(1usize, |product, &side| product.checked_mul(side))
            .filter(|&width| width > 0 && width <= u32::MAX as usize)
            .ok_or_else(|| wrong("the shape of a row"))?;
        let entries = tensors.one_or("scaling.offsets", width);
        let offsets = tensors.f64("scaling.offsets", &[entries])?;
        let scales = tensors.f64("scaling.scales", &[entries])?;
        if scales.contains(&0.0) {
            return Err(wrong("a scale of 0"));
        }
        let training_mean = tensors.f64("training_mean", &[width])?;
        let fitted = match &spec {
            Spec::Autoencoder(network) => {
                let plan = Plan::new(network, shape).map_err(|error| error.at("the model's spec"))?;
                // The tensors are as long as the file says they are; the buffer is made only when they are all there.
                let values = plan
                    .parameters
                    .iter()
                    .map(|parameter| tensors.f32(&parameter.name, &parameter.shape))
                    .collect::<Result<Vec<_>>>()?;
                let mut parameters = vec![0.0; plan.buffer_len];
                for (parameter, values) in plan.parameters.iter().zip(values) {
                    parameters[parameter.range.clone()].copy_from_slice(&values);
                }
                Fitted::Network { plan, parameters }
            }
            Spec::Pca(settings) => {
                let head = pca.ok_or_else(|| wrong("a PCA without its variance"))?;
                let k = tensors
                    .views
                    .get("pca.explained_variance")
                    .map_or(0, |view| view.shape().iter().product());
                if k == 0 || k > width || head.rows < 2 {
                    return Err(wrong("the number of components or rows"));
                }
                Fitted::Pca(Pca {
                    mean: training_mean.clone(),
                    explained_variance: tensors.f64("pca.explained_variance", &[k])?,
                    components: tensors.f64("pca.components", &[k, width])?,
                    total_variance: head.total_variance,
                    rows: head.rows,
                    whiten: settings.whiten,
                })
            }
        };
        if let Some(name) = tensors.views.keys().next() {
            return Err(Error::model(format!("tensor {name} has no place in this model")));
        }
        let scaling = Scaling::from_parts(offsets, scales);
        Ok(Model { spec, shape, element, scaling, training_mean, fitted, summary })
    }
}
