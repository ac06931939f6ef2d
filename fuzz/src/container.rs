//! Model files and checkpoints taken apart, changed and signed again, by FORMAT.md and without the library.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// A tensor as it stands in a file.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// `F32` or `F64`.
    pub dtype: String,
    /// Its sides.
    pub shape: Vec<u64>,
    /// Its numbers, little endian.
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// Numbers of a tensor of this shape, as many as memory may hold; none where there would be too many.
    pub fn filled(dtype: &str, shape: Vec<u64>, value: f64) -> Option<Self> {
        let count = shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side))?;
        if count > 1 << 16 {
            return None;
        }
        let one =
            if dtype == "F32" { (value as f32).to_le_bytes().to_vec() } else { value.to_le_bytes().to_vec() };
        Some(Self { dtype: dtype.to_owned(), shape, bytes: one.repeat(count as usize) })
    }
}

/// The content of a file.
#[derive(Debug, Clone)]
pub struct Container {
    /// The key of the metadata string: `narrows` for a model.
    pub key: String,
    /// The version that the envelope says.
    pub version: Value,
    /// The description.
    pub model: Value,
    /// The tensors by their names.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Container {
    /// Takes a file apart; none where it is not one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let length = usize::try_from(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?)).ok()?;
        let header: Map<String, Value> =
            serde_json::from_slice(bytes.get(8..8usize.checked_add(length)?)?).ok()?;
        let data = &bytes[8 + length..];
        let (key, envelope) = header.get("__metadata__")?.as_object()?.iter().next()?;
        let envelope: Value = serde_json::from_str(envelope.as_str()?).ok()?;
        let mut tensors = BTreeMap::new();
        for (name, entry) in header.iter().filter(|(name, _)| *name != "__metadata__") {
            let at = |index: usize| usize::try_from(entry["data_offsets"][index].as_u64()?).ok();
            let shape = entry["shape"].as_array()?.iter().map(Value::as_u64).collect::<Option<_>>()?;
            let dtype = entry["dtype"].as_str()?.to_owned();
            tensors.insert(name.clone(), Tensor { dtype, shape, bytes: data.get(at(0)?..at(1)?)?.to_vec() });
        }
        Some(Self {
            key: key.clone(),
            version: envelope["version"].clone(),
            model: envelope["model"].clone(),
            tensors,
        })
    }

    /// The bytes of the file, with the hash that its content has.
    pub fn bytes(&self) -> Vec<u8> {
        let model = self.model.to_string();
        let sha256 = self.hash(&model);
        let envelope = format!(r#"{{"version":{},"sha256":"{sha256}","model":{model}}}"#, self.version);
        let mut header = Map::new();
        header.insert("__metadata__".to_owned(), json!({ self.key.clone(): envelope }));
        let mut data = Vec::new();
        for (name, tensor) in &self.tensors {
            let begin = data.len();
            data.extend_from_slice(&tensor.bytes);
            let entry =
                json!({"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [begin, data.len()]});
            header.insert(name.clone(), entry);
        }
        let mut header = Value::Object(header).to_string().into_bytes();
        header.resize(header.len().next_multiple_of(8), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&data);
        bytes
    }

    fn hash(&self, model: &str) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(model.as_bytes());
        for (name, tensor) in &self.tensors {
            part(name.as_bytes());
            part(format!("{} {:?}", tensor.dtype, tensor.shape).as_bytes());
            part(&tensor.bytes);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_taken_apart_and_signed_again_is_accepted_by_the_library() {
        let iris = narrows_datasets::iris();
        let model =
            narrows::fit(&narrows::Recipe::pca(2), &iris, narrows::FitOptions::default()).unwrap().model;
        let container = Container::parse(&model.to_bytes().unwrap()).unwrap();
        let again = narrows::Model::from_bytes(&container.bytes()).unwrap();
        assert_eq!(again.to_bytes().unwrap(), model.to_bytes().unwrap());
    }
}
