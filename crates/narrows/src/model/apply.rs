//! Inference: encode, decode, reconstruct, predict.
//!
//! Rows with gaps are for a PCA: their gaps are filled (`gaps`), then they are encoded as complete rows are.

use std::sync::Arc;

use super::gaps::GapFiller;
use super::needs::Sides;
use super::{Fitted, Model, Part};
use crate::base::text::figure_text;
use crate::compute::Compute;
use crate::data::source::{Precision, check_finite, check_not_infinite, first_not_finite, result_not_finite};
use crate::data::stats::Measured;
use crate::data::{Columns, Content, Dataset, Element, FrameColumn, Shape, Source, Table, Values};
use crate::error::{Error, Result};
use crate::network::engine::{Inference, each_chunk};
use crate::network::gaps::fill_gaps;
use crate::pca::single::SinglePca;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Encode,
    Decode,
    Both,
}

impl Model {
    /// Encodes rows (n x d) to codes (n x k), in f64 for a PCA of f64 rows and in f32 otherwise. An autoencoder sees the mean of the
    /// training rows where a value is missing.
    ///
    /// A PCA takes rows with missing values (NaN): each gap is filled with its conditional expectation given the observed numbers of
    /// its row, as [`Model::impute`] does, and the filled row is projected as any other. The code of a row without any number is that
    /// of the mean. Codes of complete rows do not depend on other rows that have gaps.
    ///
    /// # Errors
    /// If the rows have another length than the training rows, a value is infinite, or missing and the model is no PCA, a code would
    /// not be finite, or rows cannot be read.
    pub fn encode<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<Table> {
        self.must_have(Part::Encoder, "encode rows")?;
        let rows = self.match_rows(&rows.into())?;
        self.check_rows(&*rows.rows)?;
        self.map(&*rows.rows, Direction::Encode)
    }

    /// Decodes codes (n x k) to rows (n x d) in the units of the training rows, in f64 for a PCA of f64 codes and in f32
    /// otherwise.
    ///
    /// # Errors
    /// If the codes have another length than the model's, a value is missing or infinite, a row would not be finite, or the model is
    /// a classifier.
    pub fn decode<'a>(&self, codes: impl Into<Dataset<'a>>) -> Result<Table> {
        self.must_reconstruct("decode codes")?;
        self.must_have(Part::Decoder, "decode codes")?;
        let codes = self.match_codes(&codes.into());
        self.check_length(&*codes.rows, self.code_shape(), "the model's codes have")?;
        self.map(&*codes.rows, Direction::Decode)
    }

    /// The codes among the columns of a table, as [`Model::encode`] names them in files: `code_1` and so on, beside identifiers and
    /// labels. Other rows are codes as they are.
    fn match_codes<'a>(&self, codes: &Dataset<'a>) -> Dataset<'a> {
        let Some(table) = &codes.table else { return codes.clone() };
        let frame = &table.frame;
        let find = |unit: usize| {
            let name = format!("code_{unit}");
            let named = |column: &FrameColumn| column.name.as_deref() == Some(&*name);
            frame.columns.iter().position(|column| named(column) && column.content == Content::Numbers)
        };
        let size = self.code_shape().len();
        let rows: Arc<dyn Source + 'a> = match (1..=size).map(find).collect::<Option<Vec<_>>>() {
            Some(units) => Arc::new(Columns::new(frame.cells.clone(), units)),
            None if frame.is_numeric() && frame.columns.len() == size => frame.cells.clone(),
            None => codes.rows.clone(),
        };
        Dataset { rows, table: None, encoded: None, ..codes.clone() }
    }

    /// Encodes and decodes rows: the same bits as [`Model::encode`] followed by [`Model::decode`].
    ///
    /// # Errors
    /// As [`Model::encode`], and if the model is a classifier.
    pub fn reconstruct<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<Table> {
        self.must_reconstruct("reconstruct rows")?;
        self.must_have(Part::Whole, "reconstruct rows")?;
        let rows = self.match_rows(&rows.into())?;
        self.check_rows(&*rows.rows)?;
        self.map(&*rows.rows, Direction::Both)
    }

    /// As [`Model::predict`], for a classifier; also probabilities that are not finite.
    pub(crate) fn any_probabilities(&self, rows: &dyn Source, classes: usize) -> Result<Vec<f32>> {
        self.check_rows(rows)?;
        let accept = |_: &[f32], _: usize| Ok(());
        self.map_network(rows, Direction::Both, rows.rows() * classes, classes, &accept)
    }

    /// The predicted probabilities of the classes (n x classes); those of a row sum to 1.
    ///
    /// # Errors
    /// As [`Model::encode`], and if the model is not a classifier.
    pub fn predict<'a>(&self, rows: impl Into<Dataset<'a>>) -> Result<Table> {
        if self.classes.is_none() {
            return Err(Error::model("the model is no classifier: it knows no classes")
                .hint("fit a classifier that starts from it"));
        }
        let rows = self.match_rows(&rows.into())?;
        self.check_rows(&*rows.rows)?;
        self.map(&*rows.rows, Direction::Both)
    }

    /// Refuses rows of another length or shape than the training rows, and rows in other units.
    pub(crate) fn check_rows(&self, rows: &dyn Source) -> Result<()> {
        self.check_length(rows, self.shape, "the model was fitted on rows of")?;
        let shape = rows.shape();
        if shape.is_image() && self.shape.is_image() && shape != self.shape {
            return Err(Error::data(format!(
                "the rows are images of {shape}; the model was fitted on {}",
                self.shape
            ))
            .hint("their numbers are in another order: height, width, channels"));
        }
        check_units(self.element, &Measured::new(rows))?;
        if self.schema.is_some() || self.element == Element::U8 {
            return Ok(());
        }
        let mut means = self.training_mean.clone();
        self.scaling.undo_f64(&mut means, self.shape.len());
        check_learned_range(&means, rows)
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
        let sides =
            Sides { encoder: direction != Direction::Decode, decoder: direction != Direction::Encode };
        self.require_memory(rows, width, sides)?;
        let values = match &self.fitted {
            Fitted::Network { .. } => {
                let check = |chunk: &[f32], first| self.check_result(chunk, width, rows, first, direction);
                Values::F32(self.map_network(rows, direction, len, width, &check)?)
            }
            Fitted::Pca(pca) => match (rows.element(), SinglePca::new(pca, &self.scaling)) {
                (Element::F64, _) => Values::F64(self.map_pca(rows, direction, len, width)?),
                (Element::U8 | Element::F32, Some(pca)) => {
                    Values::F32(self.map_single_pca(&pca, rows, direction, len, width)?)
                }
                (Element::U8 | Element::F32, None) => {
                    let out = self.map_pca(rows, direction, len, width)?;
                    Values::F32(out.into_iter().map(|value| value as f32).collect())
                }
            },
        };
        Ok(Table::of_output(values, shape))
    }

    /// `check` gets the results of a few rows and the number of the first.
    fn map_network(
        &self,
        rows: &dyn Source,
        direction: Direction,
        len: usize,
        width: usize,
        check: &(dyn Fn(&[f32], usize) -> Result<()> + Sync),
    ) -> Result<Vec<f32>> {
        let Fitted::Network { plan, parameters } = &self.fitted else { return Ok(Vec::new()) };
        let Compute { level, threads } = self.compute;
        let input = rows.shape().len();
        let mut out = vec![0.0f32; len];
        // Each part packs its weights: only the required parts are created.
        let state = || {
            let encoder =
                (direction != Direction::Decode).then(|| Inference::encoder(level, plan, parameters));
            let decoder =
                (direction != Direction::Encode).then(|| Inference::decoder(level, plan, parameters));
            (encoder, decoder, Vec::new())
        };
        let fill = if direction == Direction::Decode { None } else { self.fill() };
        each_chunk(&mut out, width, threads, state, |(encoder, decoder, buffer), first, chunk| {
            buffer.resize(chunk.len() / width * input, 0.0);
            if direction == Direction::Decode {
                rows.read_f32(first, buffer)?;
            } else {
                self.scaling.read(rows, first, buffer, level)?;
            }
            if let Some(fill) = &fill
                && first_not_finite(buffer).is_some()
            {
                fill_gaps(buffer, fill);
            }
            // The rows before the first that is beyond single precision: one of them may be refused for its result.
            let beyond = first_not_finite(buffer).map(|at| at / input);
            let sound = beyond.unwrap_or(chunk.len() / width);
            if sound > 0 {
                let mut values = &buffer[..sound * input];
                if let Some(encoder) = encoder {
                    values = encoder.forward(values, false);
                }
                if let Some(decoder) = decoder {
                    values = decoder.forward(values, false);
                }
                let chunk = &mut chunk[..sound * width];
                chunk.copy_from_slice(values);
                if direction != Direction::Encode && self.classes.is_none() {
                    self.scaling.undo(level, chunk, width);
                }
                check(chunk, first)?;
            }
            beyond.map_or(Ok(()), |row| Err(self.not_finite(rows, first + row, self.result(direction))))
        })?;
        Ok(out)
    }

    /// Refuses values that are not finite, naming the first row. They are `width` for each row of `rows` from `first` on, and still
    /// in the cache.
    fn check_result<T: Copy + Into<f64>>(
        &self,
        values: &[T],
        width: usize,
        rows: &dyn Source,
        first: usize,
        direction: Direction,
    ) -> Result<()> {
        match first_not_finite(values) {
            None => Ok(()),
            Some(at) => Err(self.not_finite(rows, first + at / width, self.result(direction))),
        }
    }

    /// What a row becomes, in messages.
    fn result(&self, direction: Direction) -> &'static str {
        match direction {
            Direction::Encode => "its code",
            Direction::Decode => "its decoded row",
            Direction::Both if self.classes.is_some() => "the probability of its class",
            Direction::Both => "its reconstruction",
        }
    }

    /// The error for a row (from 0) whose result is not finite.
    pub(crate) fn not_finite(&self, rows: &dyn Source, row: usize, result: &str) -> Error {
        let precision = match self.fitted {
            Fitted::Pca(_) => Precision::of_results(rows),
            Fitted::Network { .. } => Precision::Single,
        };
        result_not_finite(rows, row, result, precision)
    }

    fn map_single_pca(
        &self,
        pca: &SinglePca,
        rows: &dyn Source,
        direction: Direction,
        len: usize,
        width: usize,
    ) -> Result<Vec<f32>> {
        let Compute { level, threads } = self.compute;
        let (input, k) = (rows.shape().len(), self.code_shape().len());
        let mut out = vec![0.0f32; len];
        let state = || (Vec::new(), Vec::new(), pca.work());
        let filler = GapFiller::new(self);
        each_chunk(&mut out, width, threads, state, |(buffer, codes, work), first, chunk| {
            let count = chunk.len() / width;
            buffer.resize(count * input, 0.0);
            rows.read_f32(first, buffer)?;
            if direction != Direction::Decode {
                filler.fill_f32(rows, first, buffer)?;
            }
            match direction {
                Direction::Encode => pca.encode(chunk, buffer, work, level),
                Direction::Decode => pca.decode(chunk, buffer, work, level),
                Direction::Both => {
                    codes.resize(count * k, 0.0);
                    pca.encode(codes, buffer, work, level);
                    pca.decode(chunk, codes, work, level);
                }
            }
            // Values that are not finite give results that are not: the error tells them apart.
            self.check_result(chunk, width, rows, first, direction)
        })?;
        Ok(out)
    }

    fn map_pca(&self, rows: &dyn Source, direction: Direction, len: usize, width: usize) -> Result<Vec<f64>> {
        let Fitted::Pca(pca) = &self.fitted else { return Ok(Vec::new()) };
        let Compute { level, threads } = self.compute;
        let (input, d, k) = (rows.shape().len(), self.shape.len(), pca.code_size());
        let precision = Precision::of_results(rows);
        let mut out = vec![0.0f64; len];
        let filler = GapFiller::new(self);
        each_chunk(&mut out, width, threads, Vec::new, |buffer, first, chunk| {
            let count = chunk.len() / width;
            buffer.resize(count * input, 0.0);
            rows.read_f64(first, buffer)?;
            if direction == Direction::Decode {
                check_finite(rows, buffer, first)?;
            } else {
                check_not_infinite(rows, buffer, first)?;
                self.scaling.apply_f64(buffer, d);
                filler.fill(buffer, None);
            }
            match direction {
                Direction::Encode => pca.encode_into(chunk, buffer, level),
                Direction::Decode => pca.decode_into(chunk, buffer, level),
                Direction::Both => {
                    let mut codes = vec![0.0; count * k];
                    pca.encode_into(&mut codes, buffer, level);
                    if rows.element() != Element::F64 {
                        // Round as `encode` does, so that both ways give the same bits.
                        codes.iter_mut().for_each(|value| *value = f64::from(*value as f32));
                    }
                    pca.decode_into(chunk, &codes, level);
                }
            }
            if direction != Direction::Encode {
                self.scaling.undo_f64(chunk, d);
            }
            precision.round(chunk);
            self.check_result(chunk, width, rows, first, direction)
        })?;
        Ok(out)
    }
}

/// Refuses rows in other units than the training rows: shares in 0..1 for a method that was fitted on bytes.
pub(crate) fn check_units(fitted_on: Element, rows: &Measured<'_>) -> Result<()> {
    if fitted_on != Element::U8 || rows.source.element() == Element::U8 {
        return Ok(());
    }
    let largest = rows.statistics()?.largest();
    if largest > 0.0 && largest <= 1.0 {
        return Err(Error::data("the rows lie in 0..1; the model was fitted on bytes, from 0 to 255")
            .hint("multiply the rows by 255"));
    }
    Ok(())
}

/// Rows that are looked at to find out their units.
const FIRST_ROWS: usize = 256;

/// Refuses rows on the scale of bytes for a model whose training rows were in 0..1, by the mean of the first rows: single numbers
/// may lie outside, as outliers do.
fn check_learned_range(training_means: &[f64], rows: &dyn Source) -> Result<()> {
    let count = rows.rows().min(FIRST_ROWS);
    if count == 0 || !training_means.iter().all(|mean| (0.0..=1.0).contains(mean)) {
        return Ok(());
    }
    let mut first = vec![0.0; count * rows.shape().len()];
    rows.read_f64(0, &mut first)?;
    let numbers = || first.iter().copied().filter(|number| number.is_finite());
    let (least, most) =
        (numbers().fold(f64::INFINITY, f64::min), numbers().fold(f64::NEG_INFINITY, f64::max));
    let mean = numbers().sum::<f64>() / numbers().count().max(1) as f64;
    if mean > 2.0 && least >= 0.0 && most <= 255.0 {
        return Err(Error::data(format!(
            "the rows reach from {} to {}; the model was fitted on rows of about 0..1",
            figure_text(least),
            figure_text(most)
        ))
        .hint("divide the rows by 255, if they are bytes"));
    }
    Ok(())
}
