//! A model file in the hands of other code.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

/// A file taken apart by the plain `safetensors` crate, to be changed and signed again.
#[derive(Clone)]
pub struct Parts {
    pub tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    /// The description as text, signed as it stands.
    pub model: String,
    pub version: String,
}

impl Parts {
    pub fn of(bytes: &[u8]) -> Self {
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
    pub fn hash(&self) -> String {
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

    pub fn metadata(&self) -> String {
        format!(r#"{{"version":{},"sha256":"{}","model":{}}}"#, self.version, self.hash(), self.model)
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_with(Some(HashMap::from([("narrows".to_owned(), self.metadata())])))
    }

    pub fn bytes_with(&self, metadata: Option<HashMap<String, String>>) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
        });
        safetensors::serialize(views, metadata).unwrap()
    }

    pub fn f64(&self, name: &str) -> Vec<f64> {
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

    /// Replaces the numbers of a tensor, in its type.
    pub fn set_f64(&mut self, name: &str, values: &[f64]) {
        let (_, dtype, shape, bytes) = self.at(name);
        assert_eq!(values.len(), shape.iter().product::<usize>());
        *bytes = match dtype {
            Dtype::F32 => values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect(),
            Dtype::F64 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            other => panic!("{other:?}"),
        };
    }

    pub fn at(&mut self, name: &str) -> &mut (String, Dtype, Vec<usize>, Vec<u8>) {
        self.tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap()
    }
}
