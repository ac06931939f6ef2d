//! The container of model files and checkpoints: safetensors with one metadata string, which contains a version, a content hash
//! and a description. The specification is `FORMAT.md`.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use safetensors::tensor::{Dtype, TensorView};
use serde::de::{self, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
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

/// The longest header of a file, in bytes: that of safetensors. The largest that is written is a classifier's with thousands of
/// classes, whose confusion matrix it has.
const LONGEST_HEADER: usize = 100_000_000;

/// The most tensors of a file: with the most layers that a recipe has, two for each, and room. Reading stops at the first one more.
const MOST_TENSORS: usize = 10_000;

/// The metadata string.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    let bug =
        |error: &dyn fmt::Display| Error::model(format!("this {} cannot be written: {error}", kind.name));
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
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| bug(&error))?;
    // What cannot be read must not be written.
    header(kind, &bytes).map(drop).map_err(|error| bug(&error))?;
    Ok(bytes)
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
    let (Header { metadata, tensors }, numbers) = header(kind, bytes)?;
    let not_this_kind = || Error::model(format!("a safetensors file, but not a {}", kind.name));
    let text = metadata.get(kind.key).ok_or_else(not_this_kind)?;
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
    if let Some(other) = metadata.keys().find(|key| *key != kind.key) {
        return Err(damaged(&format!("there is a metadata entry `{}`", other.escape_debug())));
    }
    let views = views(kind, tensors, numbers)?;
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

/// The header of a file.
struct Header {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, TensorEntry>,
}

/// A tensor as the header describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorEntry {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Its first byte and the one past its last, counted from the end of the header.
    data_offsets: (usize, usize),
}

/// The header of a file, and the bytes of its tensors.
fn header<'a>(kind: &Kind, bytes: &'a [u8]) -> Result<(Header, &'a [u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| torn(kind, "it is too short"))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > LONGEST_HEADER {
        let message = format!("its header is {length} bytes long; at most {LONGEST_HEADER} are read");
        return Err(torn(kind, &message));
    }
    let (text, numbers) =
        rest.split_at_checked(length).ok_or_else(|| torn(kind, "it ends within its header"))?;
    if text.first() != Some(&b'{') {
        return Err(torn(kind, "its header is no object"));
    }
    let header = serde_json::from_slice(text).map_err(|error| {
        // A damaged name may be part of the message, which is one line.
        torn(kind, &format!("its header: {error}").replace(char::is_control, " "))
    })?;
    Ok((header, numbers))
}

fn torn(kind: &Kind, what: &str) -> Error {
    Error::model(format!("not a {}, or a damaged one: {what}", kind.name))
        .hint("is it the right file? use a copy, or fit again")
}

/// Reads an object without building it twice, and stops at the first entry that has no place.
impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the tensors of a file")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
                let mut metadata: Option<Metadata> = None;
                let mut tensors = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    let is_twice = if name == "__metadata__" {
                        metadata.replace(map.next_value()?).is_some()
                    } else if tensors.len() == MOST_TENSORS {
                        map.next_value::<IgnoredAny>()?;
                        return Err(de::Error::custom(format_args!("more than {MOST_TENSORS} tensors")));
                    } else {
                        tensors.insert(name.clone(), map.next_value::<TensorEntry>()?).is_some()
                    };
                    if is_twice {
                        let name = name.escape_debug();
                        return Err(de::Error::custom(format_args!("`{name}` is named twice")));
                    }
                }
                Ok(Header { metadata: metadata.map(|found| found.0).unwrap_or_default(), tensors })
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// The metadata: text by name, no name twice.
struct Metadata(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("metadata")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Metadata, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((name, text)) = map.next_entry::<String, String>()? {
                    if entries.len() == MOST_TENSORS || entries.insert(name, text).is_some() {
                        return Err(de::Error::custom("a metadata entry is named twice, or there are many"));
                    }
                }
                Ok(Metadata(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// The tensors, which must lie one after the other and fill the rest of the file.
fn views<'a>(
    kind: &Kind,
    tensors: BTreeMap<String, TensorEntry>,
    numbers: &'a [u8],
) -> Result<BTreeMap<String, TensorView<'a>>> {
    let mut in_order: Vec<_> = tensors.into_iter().collect();
    in_order.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    let mut views = BTreeMap::new();
    for (name, TensorEntry { dtype, shape, data_offsets: (first, last) }) in in_order {
        let misplaced = || torn(kind, &format!("the place of tensor {} in it", name.escape_debug()));
        let bytes = numbers.get(first..last).filter(|_| first == end).ok_or_else(misplaced)?;
        end = last;
        // The product is formed unchecked below.
        shape.iter().try_fold(8usize, |product, &side| product.checked_mul(side)).ok_or_else(misplaced)?;
        let view = TensorView::new(dtype, shape, bytes).map_err(|_| misplaced())?;
        views.insert(name, view);
    }
    if end != numbers.len() {
        return Err(torn(kind, "its length is not that of its tensors"));
    }
    Ok(views)
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

impl<'a> Tensors<'a> {
    /// Refuses a tensor that is missing, or of another type or shape.
    pub fn expect_f32(&self, name: &str, shape: &[usize]) -> Result<()> {
        let view = self.views.get(name).ok_or_else(|| missing(name))?;
        expect(name, view, Dtype::F32, shape)
    }

    /// Removes a tensor of this name, type and shape.
    fn take(&mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<TensorView<'a>> {
        let view = self.views.remove(name).ok_or_else(|| missing(name))?;
        expect(name, &view, dtype, shape)?;
        Ok(view)
    }

    /// Removes a tensor and returns its values, which must be finite.
    pub fn f32(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let view = self.take(name, Dtype::F32, shape)?;
        let (numbers, _) = view.data().as_chunks::<4>();
        finite(name, numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)), |value| value.is_finite())
    }

    /// Removes a tensor and returns its values, which must be finite.
    pub fn f64(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
        let view = self.take(name, Dtype::F64, shape)?;
        let (numbers, _) = view.data().as_chunks::<8>();
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

fn missing(name: &str) -> Error {
    Error::model(format!("tensor {name} is missing"))
}

fn expect(name: &str, view: &TensorView<'_>, dtype: Dtype, shape: &[usize]) -> Result<()> {
    if view.dtype() == dtype && view.shape() == shape {
        return Ok(());
    }
    Err(Error::model(format!(
        "tensor {name} is {:?} {:?}; the model needs {dtype:?} {shape:?}",
        view.dtype(),
        view.shape()
    )))
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
