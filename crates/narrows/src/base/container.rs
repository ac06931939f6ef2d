//! The container of model files and checkpoints: safetensors with one metadata string, which contains a version, a content hash
//! and a description. The specification is `FORMAT.md`.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// A kind of file.
pub(crate) struct Kind {
    /// The key of the metadata string.
    pub key: &'static str,
    /// The name in error messages.
    pub name: &'static str,
    /// The newest version that is written; all versions from 1 on are read.
    pub newest: u64,
}

/// The metadata string.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    version: u64,
    /// SHA-256 of the text of `model` and of all tensors: see [`content_hash`].
    sha256: String,
    #[serde(borrow)]
    model: &'a RawValue,
}

/// A tensor to be written, with its bytes in little-endian order.
pub(crate) struct Tensor {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Tensor {
    pub fn f32(shape: Vec<usize>, values: &[f32]) -> Self {
        Self {
            dtype: Dtype::F32,
            shape,
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }

    pub fn f64(shape: Vec<usize>, values: &[f64]) -> Self {
        Self {
            dtype: Dtype::F64,
            shape,
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        }
    }
}

/// The bytes of a file. `version` must be one that can express all of the content. The same content gives the same bytes.
pub(crate) fn encode(
    kind: &Kind,
    version: u64,
    description: &impl Serialize,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<Vec<u8>> {
    let bug = |error: &dyn std::fmt::Display| {
        Error::model(format!("this {} cannot be written: {error}", kind.name))
    };
    let model = serde_json::value::to_raw_value(description).map_err(|error| bug(&error))?;
    let sha256 =
        content_hash(model.get(), tensors.iter().map(|(name, t)| (&**name, t.dtype, &*t.shape, &*t.bytes)));
    let envelope = Envelope { version, sha256, model: &model };
    let envelope = serde_json::to_string(&envelope).map_err(|error| bug(&error))?;
    let views = tensors
        .iter()
        .map(|(name, tensor)| Ok((name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|error| bug(&error))?;
    // A single entry, because the encoder writes a map in random order.
    let metadata = HashMap::from([(kind.key.to_owned(), envelope)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| bug(&error))
}

/// Reads the version, the description and the tensors of a file.
///
/// # Errors
/// Where the file is damaged, of another kind or of an unknown version.
pub(crate) fn decode<'a, T: DeserializeOwned>(kind: &Kind, bytes: &'a [u8]) -> Result<(u64, T, Tensors<'a>)> {
    /// The part that all versions have.
    #[derive(Deserialize)]
    struct Version {
        version: u64,
    }
    let torn = |error: safetensors::SafeTensorError| {
        Error::model(format!("not a {}, or a damaged one: {error}", kind.name))
            .hint("is it the right file? use a copy, or fit again")
    };
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(torn)?;
    let file = SafeTensors::deserialize(bytes).map_err(torn)?;
    let text = metadata
        .metadata()
        .as_ref()
        .and_then(|map| map.get(kind.key))
        .ok_or_else(|| Error::model(format!("a safetensors file, but not a {}", kind.name)))?;
    let damaged =
        |what: &str| Error::model(format!("the file is damaged: {what}")).hint("use a copy, or fit again");
    let Version { version } =
        serde_json::from_str(text).map_err(|_| damaged("its description cannot be read"))?;
    if !(1..=kind.newest).contains(&version) {
        let known = match kind.newest {
            1 => "version 1".to_owned(),
            newest => format!("versions 1 to {newest}"),
        };
        return Err(Error::model(format!("format version {version}; this program reads {known}"))
            .hint("use a newer program for a newer file"));
    }
    let envelope: Envelope<'_> =
        serde_json::from_str(text).map_err(|_| damaged("its description cannot be read"))?;
    let views: BTreeMap<String, TensorView<'a>> = file.tensors().into_iter().collect();
    let hash = content_hash(
        envelope.model.get(),
        views.iter().map(|(name, view)| (&**name, view.dtype(), view.shape(), view.data())),
    );
    if hash != envelope.sha256 {
        return Err(damaged("its content does not have the hash that it was written with"));
    }
    let description = serde_json::from_str(envelope.model.get()).map_err(|error| {
        Error::model(format!("the description of the {} cannot be read: {error}", kind.name))
    })?;
    Ok((version, description, Tensors { views }))
}

/// SHA-256 of the description and of the name, type, shape and bytes of each tensor, in the order of the names.
fn content_hash<'a>(
    head: &str,
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], &'a [u8])>,
) -> String {
    let mut hash = Sha256::new();
    // Each part is preceded by its length, so that different contents give different streams of bytes.
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
    hexadecimal(hash)
}

/// A hash as text: 64 lower-case hexadecimal digits.
pub(crate) fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tensors of a file that are still to be read.
pub(crate) struct Tensors<'a> {
    pub views: BTreeMap<String, TensorView<'a>>,
}

impl Tensors<'_> {
    /// Removes a tensor of this name, type and shape.
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

    /// Removes a tensor and returns its values, which must be finite.
    pub fn f32(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let bytes = self.take(name, Dtype::F32, shape)?;
        let (numbers, _) = bytes.as_chunks::<4>();
        finite(name, numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)), |value| value.is_finite())
    }

    /// Removes a tensor and returns its values, which must be finite.
    pub fn f64(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
        let bytes = self.take(name, Dtype::F64, shape)?;
        let (numbers, _) = bytes.as_chunks::<8>();
        finite(name, numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)), |value| value.is_finite())
    }

    /// Refuses tensors that were not read.
    pub fn finish(&self, kind: &Kind) -> Result<()> {
        match self.views.keys().next() {
            Some(name) => Err(Error::model(format!("tensor {name} has no place in this {}", kind.name))),
            None => Ok(()),
        }
    }

    /// The length of a vector that has one entry for all columns, or one for each.
    pub fn one_or(&self, name: &str, width: usize) -> usize {
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
