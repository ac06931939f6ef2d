//! The encoder and the decoder of a model as types of their own.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Fitted, Model, ModelFile};
use crate::compute::Compute;
use crate::data::{Dataset, Shape, Table};
use crate::error::{Error, Result};
use crate::network::plan::{LayerTable, Parameter, Plan};

/// The part of a model that a [`Model`] has parameters for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// Encoder and decoder.
    #[default]
    Whole,
    /// The layers from the row to the code.
    Encoder,
    /// The layers from the code to the row.
    Decoder,
}

impl Part {
    /// The name with its article: `an encoder`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Whole => "a whole model",
            Self::Encoder => "an encoder",
            Self::Decoder => "a decoder",
        }
    }

    /// Whether this part of a network uses a parameter. Both parts use tied weights.
    pub fn needs(self, plan: &Plan, parameter: &Parameter) -> bool {
        let steps = match self {
            Self::Whole => return true,
            Self::Encoder => &plan.steps[..plan.cut],
            Self::Decoder => &plan.steps[plan.cut..],
        };
        steps
            .iter()
            .filter_map(|step| step.op.parameters())
            .any(|(weights, bias)| *weights == parameter.range || bias == Some(&parameter.range))
    }
}

/// The encoder of a model: maps rows to codes, with the same bits as the whole model.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoder(pub(super) Model);

/// The decoder of a model: maps codes to rows in the units of the training rows, with the same bits as the whole model.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoder(pub(super) Model);

impl Model {
    /// Splits the model into its encoder and its decoder, which can be saved separately.
    ///
    /// # Errors
    /// If the model is a classifier, which has no decoder, or a part of a model.
    pub fn split(&self) -> Result<(Encoder, Decoder)> {
        self.must_reconstruct("be split")?;
        self.must_have(Part::Whole, "be split")?;
        Ok((Encoder(self.part(Part::Encoder)), Decoder(self.part(Part::Decoder))))
    }

    /// A copy with the parameters that only the other part uses set to 0.
    fn part(&self, part: Part) -> Self {
        let mut model = Self { part, ..self.clone() };
        if let Fitted::Network { plan, parameters } = &mut model.fitted {
            for parameter in plan.parameters.iter().filter(|parameter| !part.needs(plan, parameter)) {
                parameters[parameter.range.clone()].fill(0.0);
            }
        }
        model
    }
}

macro_rules! part {
    ($Part:ident, $other:ident, $name:literal, $refusal:literal) => {
        impl $Part {
            #[doc = concat!("Opens the file of ", $name, ", or of a whole model, which contains one.")]
            ///
            /// # Errors
            /// As [`Model::open`], and if the file holds the other part.
            pub fn open(path: &Path) -> Result<Self> {
                Self::of_file(ModelFile::open(path)?).map_err(|error| error.at(path.display()))
            }

            /// Reads it from the bytes of a file.
            ///
            /// # Errors
            /// As [`Model::from_bytes`], and if the file holds the other part.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
                Self::of_file(ModelFile::from_bytes(bytes)?)
            }

            fn of_file(file: ModelFile) -> Result<Self> {
                match file {
                    ModelFile::Whole(model) => Ok(Self(model)),
                    ModelFile::$Part(part) => Ok(part),
                    ModelFile::$other(_) => {
                        Err(Error::model($refusal).hint("use the model that it was split from"))
                    }
                }
            }

            /// Writes it to a file.
            ///
            /// # Errors
            /// As [`Model::save`].
            pub fn save(&self, path: &Path) -> Result<()> {
                self.0.save(path)
            }

            /// The bytes of its file.
            ///
            /// # Errors
            /// As [`Model::to_bytes`].
            pub fn to_bytes(&self) -> Result<Vec<u8>> {
                self.0.to_bytes()
            }

            /// The shape of a row.
            pub fn shape(&self) -> Shape {
                self.0.shape()
            }

            /// The shape of a code.
            pub fn code_shape(&self) -> Shape {
                self.0.code_shape()
            }

            /// The scaling that is applied to rows before the method and undone after it.
            pub fn scaling(&self) -> &crate::data::scaling::Scaling {
                self.0.scaling()
            }

            /// The layer table of the whole model.
            pub fn table(&self) -> LayerTable {
                self.0.table()
            }

            /// The model; parameters that only the other part uses are 0.
            pub fn of_model(&self) -> &Model {
                &self.0
            }

            /// Sets the number of threads and the SIMD level; the default is all processors.
            #[must_use]
            pub fn with_compute(self, compute: Compute) -> Self {
                Self(self.0.with_compute(compute))
            }
        }
    };
}
part!(Encoder, Decoder, "an encoder", "the model is a decoder: it cannot encode rows");
part!(Decoder, Encoder, "a decoder", "the model is an encoder: it cannot decode codes");

impl Encoder {
    /// Encodes rows: see [`Model::encode`].
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn encode<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<Table> {
        self.0.encode(rows)
    }
}

impl Decoder {
    /// Decodes codes: see [`Model::decode`].
    ///
    /// # Errors
    /// As [`Model::decode`].
    pub fn decode<'a>(&self, codes: impl Into<Dataset<'a>>) -> Result<Table> {
        self.0.decode(codes)
    }
}
