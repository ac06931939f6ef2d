//! A model applied to rows: encode, decode, reconstruct, predict.

use super::{Fitted, Model, Part};
use crate::compute::Compute;
use crate::data::scaling::Scale;
use crate::data::source::check_finite;
use crate::data::stats::Measured;
use crate::data::{Dataset, Element, Shape, Source, Table, Values};
use crate::error::{Error, Result};
use crate::network::engine::{Walk, each_chunk};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Encode,
    Decode,
    Both,
}

impl Model {
    /// The codes of rows: n rows of the code's shape. In f64 where a PCA is given f64 rows, else in f32.
    ///
    /// # Errors
    /// Where the rows have another length than the training rows, values are missing, or rows cannot be read.
    pub fn encode<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<Table> {
        let rows = rows.into();
        self.must_have(Part::Encoder, "encode rows")?;
        self.check_rows(&*rows.rows)?;
        self.map(&*rows.rows, Direction::Encode)
    }

    /// The rows of codes, in the units of the training rows. In f64 where a PCA is given f64 codes, else in f32.
    ///
    /// # Errors
    /// Where the codes have another length than the model's, values are missing, or the model is a classifier.
    pub fn decode<'a>(&self, codes: impl Into<Dataset<'a>>) -> Result<Table> {
        let codes = codes.into();
        self.must_rebuild("decode codes")?;
        self.must_have(Part::Decoder, "decode codes")?;
        self.check_length(&*codes.rows, self.code_shape(), "the model's codes have")?;
        self.map(&*codes.rows, Direction::Decode)
    }

    /// Rows encoded and decoded again: the same bits as [`Model::encode`], then [`Model::decode`].
    ///
    /// # Errors
    /// As [`Model::encode`]; where the model is a classifier.
    pub fn reconstruct<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<Table> {
        let rows = rows.into();
        self.must_rebuild("reconstruct rows")?;
        self.must_have(Part::Whole, "reconstruct rows")?;
        self.check_rows(&*rows.rows)?;
        self.map(&*rows.rows, Direction::Both)
    }

    /// The probability of each class for each row (n x classes); those of a row add up to 1.
    ///
    /// # Errors
    /// Where the model is no classifier, or as [`Model::encode`].
    pub fn predict<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<Table> {
        let rows = rows.into();
        if self.classes.is_none() {
            return Err(Error::model("the model is no classifier: it knows no classes")
                .hint("fit a classifier that starts from it"));
        }
        self.check_rows(&*rows.rows)?;
        let found = self.map(&*rows.rows, Direction::Both)?;
        let Values::F32(probabilities) = found.values() else { return Ok(found) };
        match probabilities.iter().position(|value| !value.is_finite()) {
            None => Ok(found),
            Some(at) => Err(Error::data(format!(
                "row {}: the model gives no number for it: its numbers are far from those of the training rows, or training diverged",
                at / found.shape().len() + 1
            ))),
        }
    }

    /// Refuses rows that the model cannot be applied to: of another length, or in 0..1 where it knows bytes.
    pub(crate) fn check_rows(&self, rows: &dyn Source) -> Result<()> {
        self.check_length(rows, self.shape, "the model was fitted on rows of")?;
        check_units(self.element, self.recipe.scale(), &Measured::new(rows))
    }

    fn check_length(&self, rows: &dyn Source, shape: Shape, reason: &str) -> Result<()> {
        if rows.shape().len() == shape.len() {
            return Ok(());
        }
        Err(Error::data(format!(
            "the rows have {} numbers; {reason} {} numbers",
            rows.shape().len(),
            shape.len()
        )))
    }

    fn map(&self, rows: &dyn Source, direction: Direction) -> Result<Table> {
        let shape = match direction {
            Direction::Encode => self.code_shape(),
            Direction::Decode | Direction::Both => {
                self.classes.as_ref().map_or(self.shape, |classes| Shape::flat(classes.len()))
            }
        };
        let (n, width) = (rows.rows(), shape.len());
        let len = n
            .checked_mul(width)
            .ok_or_else(|| Error::data(format!("{n} rows of {width} numbers are too many for memory")))?;
        let values = match &self.fitted {
            Fitted::Network { .. } => Values::F32(self.map_network(rows, direction, len, width)?),
            Fitted::Pca(_) => {
                let out = self.map_pca(rows, direction, len, width)?;
                match rows.element() {
                    Element::F64 => Values::F64(out),
                    Element::U8 | Element::F32 => {
                        Values::F32(out.into_iter().map(|value| value as f32).collect())
                    }
                }
            }
        };
        Ok(Table::of_output(values, shape))
    }

    fn map_network(
        &self,
        rows: &dyn Source,
        direction: Direction,
        len: usize,
        width: usize,
    ) -> Result<Vec<f32>> {
        let Fitted::Network { plan, parameters } = &self.fitted else { return Ok(Vec::new()) };
        let Compute { level, threads } = self.compute;
        let input = rows.shape().len();
        let mut out = vec![0.0f32; len];
        // Each packs its weights: only those are made that are needed.
        let state = || {
            let encoder = (direction != Direction::Decode).then(|| Walk::encoder(level, plan, parameters));
            let decoder = (direction != Direction::Encode).then(|| Walk::decoder(level, plan, parameters));
            (encoder, decoder, Vec::new())
        };
        each_chunk(&mut out, width, threads, state, |(encoder, decoder, buffer), first, chunk| {
            buffer.resize(chunk.len() / width * input, 0.0);
            if direction == Direction::Decode {
                rows.read_f32(first, buffer)?;
            } else {
                self.scaling.read(rows, first, buffer, level)?;
            }
            check_finite(buffer, first, input)?;
            let mut values = &buffer[..];
            if let Some(encoder) = encoder {
                values = encoder.forward(values, false);
            }
            if let Some(decoder) = decoder {
                values = decoder.forward(values, false);
            }
            chunk.copy_from_slice(values);
            if direction != Direction::Encode && self.classes.is_none() {
                self.scaling.undo(level, chunk, width);
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn map_pca(&self, rows: &dyn Source, direction: Direction, len: usize, width: usize) -> Result<Vec<f64>> {
        let Fitted::Pca(pca) = &self.fitted else { return Ok(Vec::new()) };
        let Compute { level, threads } = self.compute;
        let (input, d, k) = (rows.shape().len(), self.shape.len(), pca.code_size());
        let mut out = vec![0.0f64; len];
        each_chunk(&mut out, width, threads, Vec::new, |buffer, first, chunk| {
            let count = chunk.len() / width;
            buffer.resize(count * input, 0.0);
            rows.read_f64(first, buffer)?;
            check_finite(buffer, first, input)?;
            if direction != Direction::Decode {
                self.scaling.apply_f64(buffer, d);
            }
            match direction {
                Direction::Encode => pca.encode_into(chunk, buffer, level),
                Direction::Decode => pca.decode_into(chunk, buffer, level),
                Direction::Both => {
                    let mut codes = vec![0.0; count * k];
                    pca.encode_into(&mut codes, buffer, level);
                    if rows.element() != Element::F64 {
                        // As they would be written down.
                        codes.iter_mut().for_each(|value| *value = f64::from(*value as f32));
                    }
                    pca.decode_into(chunk, &codes, level);
                }
            }
            if direction != Direction::Encode {
                self.scaling.undo_f64(chunk, d);
            }
            Ok(())
        })?;
        Ok(out)
    }
}

/// Refuses rows in shares (0..1) where the rows that a method was fitted on were bytes: dividing them by 255 would leave
/// nothing, without a word.
pub(crate) fn check_units(fitted_on: Element, scale: Scale, rows: &Measured<'_>) -> Result<()> {
    if fitted_on != Element::U8 || scale != Scale::Unit || rows.source.element() == Element::U8 {
        return Ok(());
    }
    let largest = rows.statistics()?.largest();
    if largest > 0.0 && largest <= 1.0 {
        return Err(Error::data("the rows lie in 0..1; the model was fitted on bytes and divides by 255")
            .hint("multiply the rows by 255"));
    }
    Ok(())
}
