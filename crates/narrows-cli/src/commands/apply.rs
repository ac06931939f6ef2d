//! `narrows encode`, `decode`, `reconstruct`, `interpolate`: a model applied to rows.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use narrows::base::output::OutputFile;
use narrows::data::formats::csv::{self, WriteOptions};
use narrows::data::formats::npy;
use narrows::data::scaling::Scaling;
use narrows::data::{ColumnError, EncodedTable, Frame, Values};
use narrows::error::{Error, Result};
use narrows::model::{Decoder, Encoder};
use narrows::{Dataset, Model, Shape, Source, Table};
use narrows_files::TableFormat;
use serde::Serialize;

use crate::arguments::{ApplyArguments, CsvOptions, InterpolateArguments, OutputOptions};
use crate::print::{stderr, table};
use crate::shared::{columnar, datasets};

/// Writes the codes of rows.
pub fn encode(arguments: &ApplyArguments) -> anyhow::Result<ExitCode> {
    let output = claim(arguments)?;
    let model = Encoder::open(&arguments.model)?.with_compute(datasets::compute(&arguments.compute));
    check_picture(arguments, model.code_shape())?;
    let dataset = open_rows(arguments)?;
    require_room(arguments, dataset.rows.rows(), model.code_shape())?;
    let dataset = matched(model.of_model(), &dataset, arguments)?;
    let (codes, seconds) = timed(|| model.encode(&dataset)).map_err(|error| error.at(&dataset.name))?;
    let header: Vec<String> = (1..=codes.shape().len()).map(|unit| format!("code_{unit}")).collect();
    let beside = dataset.table.as_ref().filter(|table| table.schema.names_rows());
    let frame = match beside.filter(|_| is_table(&arguments.out)) {
        Some(table) => Some(table.schema.label_rows(&codes, header.clone(), &table.frame)?),
        None => None,
    };
    write(arguments, &output, "encoded", Rows { values: codes, header, frame }, None, seconds)
}

/// Writes the rows of codes.
pub fn decode(arguments: &ApplyArguments) -> anyhow::Result<ExitCode> {
    let output = claim(arguments)?;
    let model = Decoder::open(&arguments.model)?.with_compute(datasets::compute(&arguments.compute));
    check_picture(arguments, model.shape())?;
    let dataset = open_rows(arguments)?;
    require_room(arguments, dataset.rows.rows(), model.shape())?;
    let (rows, seconds) = timed(|| model.decode(&dataset)).map_err(|error| error.at(&dataset.name))?;
    let rows = Rows::of_model(model.of_model(), rows, dataset.table.as_ref(), arguments)?;
    write(arguments, &output, "decoded", rows, Some(model.scaling()), seconds)
}

/// Writes rows encoded and decoded again.
pub fn reconstruct(arguments: &ApplyArguments) -> anyhow::Result<ExitCode> {
    let (output, model, dataset) = open(arguments)?;
    require_room(arguments, dataset.rows.rows(), model.shape())?;
    let dataset = matched(&model, &dataset, arguments)?;
    let (rows, seconds) = timed(|| model.reconstruct(&dataset)).map_err(|error| error.at(&dataset.name))?;
    let mut rows = Rows::of_model(&model, rows, dataset.table.as_ref(), arguments)?;
    rows.header = dataset.columns.unwrap_or(rows.header);
    write(arguments, &output, "reconstructed", rows, Some(model.scaling()), seconds)
}

/// Writes rows with their missing values filled, and beside each column with gaps the standard deviation of what was filled.
pub fn impute(arguments: &ApplyArguments) -> anyhow::Result<ExitCode> {
    let (output, model, dataset) = open(arguments)?;
    require_room(arguments, dataset.rows.rows(), model.shape())?;
    let dataset = matched(&model, &dataset, arguments)?;
    let (found, seconds) = timed(|| model.impute(&dataset)).map_err(|error| error.at(&dataset.name))?;
    let spread = spread_columns(&model, &dataset, &found.spread);
    let mut rows = Rows::of_model(&model, found.rows, dataset.table.as_ref(), arguments)?;
    rows.header = dataset.columns.unwrap_or(rows.header);
    rows.frame = rows.frame.map(|frame| frame.with_numbers(&spread)).transpose()?;
    write(arguments, &output, "imputed", rows, Some(model.scaling()), seconds)
}

/// For each column of numbers with gaps, the standard deviations of the numbers that were filled; missing for observed ones.
fn spread_columns(model: &Model, dataset: &Dataset<'_>, spread: &[f64]) -> Vec<(String, Vec<f64>)> {
    let width = model.shape().len();
    let Some(schema) = dataset.schema() else { return Vec::new() };
    let names = schema.encoded_names();
    let of_numbers =
        schema.encoded_columns().into_iter().filter(|column| column.error == ColumnError::Squared);
    let columns = of_numbers.map(|column| {
        let at = column.range.start;
        let gap = |&value: &f64| if value == 0.0 { f64::NAN } else { value };
        (format!("{}_spread", names[at]), spread.iter().skip(at).step_by(width).map(gap).collect())
    });
    columns.filter(|(_, values): &(String, Vec<f64>)| values.iter().any(|value| !value.is_nan())).collect()
}

/// Writes the rows on the line between the codes of two rows.
pub fn interpolate(arguments: &InterpolateArguments) -> anyhow::Result<ExitCode> {
    let InterpolateArguments { apply, from_row, to_row, steps } = arguments;
    let (output, model, dataset) = open(apply)?;
    let (first, last) = (*from_row as usize - 1, *to_row as usize - 1);
    let (rows, seconds) = timed(|| model.interpolate(&dataset, first, last, usize::from(*steps)))
        .map_err(|error| error.at(&dataset.name))?;
    let mut rows = Rows::of_model(&model, rows, None, apply)?;
    rows.header = dataset.columns.unwrap_or(rows.header);
    write(apply, &output, "interpolated", rows, Some(model.scaling()), seconds)
}

/// The rows as the model encodes them; what is worth knowing about that goes to standard error.
fn matched<'a>(model: &Model, dataset: &Dataset<'a>, arguments: &ApplyArguments) -> Result<Dataset<'a>> {
    let found = model.match_rows(dataset).map_err(|error| error.at(&dataset.name))?;
    if !arguments.output.json {
        found.notes.iter().for_each(|note| stderr::line(format!("{}: {note}", dataset.name)));
    }
    // The table of a model without columns still names the rows.
    Ok(Dataset { table: found.table.clone().or_else(|| dataset.table.clone()), ..found })
}

/// Rows to be written.
struct Rows {
    values: Table,
    /// The names of the numbers.
    header: Vec<String>,
    /// The rows as a table, for a file of text.
    frame: Option<Frame<'static>>,
}

impl Rows {
    /// Rows that a model decoded; `beside` is the table of the rows that went in, or of their codes.
    fn of_model(
        model: &Model,
        values: Table,
        beside: Option<&EncodedTable<'_>>,
        arguments: &ApplyArguments,
    ) -> Result<Self> {
        let frame = match model.schema().filter(|_| is_table(&arguments.out)) {
            Some(schema) => Some(schema.decode(&values, beside)?),
            None => None,
        };
        let header =
            model.schema().map_or_else(|| column_names(values.shape()), |schema| schema.encoded_names());
        Ok(Self { values, header, frame })
    }
}

/// Whether a file has names and levels beside numbers.
fn is_table(path: &Path) -> bool {
    matches!(format_of(path), Ok(Format::Csv | Format::Tsv | Format::Parquet | Format::Arrow))
}

fn open(arguments: &ApplyArguments) -> Result<(OutputFile, Model, Dataset<'static>)> {
    let output = claim(arguments)?;
    let model = Model::open(&arguments.model)?.with_compute(datasets::compute(&arguments.compute));
    check_picture(arguments, model.shape())?;
    Ok((output, model, open_rows(arguments)?))
}

fn open_rows(arguments: &ApplyArguments) -> Result<Dataset<'static>> {
    datasets::open(arguments.data(), &arguments.data_options)
}

/// Claims the output: what cannot be written is refused before the work, not after it.
fn claim(arguments: &ApplyArguments) -> Result<OutputFile> {
    if !matches!(format_of(&arguments.out)?, Format::Csv | Format::Tsv) && arguments.csv.safe_csv {
        return Err(no_csv(&arguments.out));
    }
    let labels = arguments.data_options.labels_file.as_deref();
    let inputs: Vec<&Path> =
        [arguments.model.as_path(), Path::new(arguments.data())].into_iter().chain(labels).collect();
    OutputFile::claim(&arguments.out, &inputs)
}

/// The error for `--safe-csv` beside another format.
pub fn no_csv(out: &Path) -> Error {
    Error::data(format!("--safe-csv: {} is no .csv file", out.display()))
}

/// How names are written to CSV.
pub fn write_options(options: CsvOptions) -> WriteOptions {
    WriteOptions { safe_text: options.safe_csv }
}

/// Refuses a picture of rows that are no images.
fn check_picture(arguments: &ApplyArguments, shape: Shape) -> Result<()> {
    if format_of(&arguments.out)? != Format::Png || shape.is_image() {
        return Ok(());
    }
    let place = arguments.out.display();
    Err(Error::data(format!("{place}: the rows of this model are no images: write .npy or .csv")))
}

/// A result, and the seconds that it took.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let started = Instant::now();
    Ok((work()?, started.elapsed().as_secs_f64()))
}

fn column_names(shape: Shape) -> Vec<String> {
    (1..=shape.len()).map(|column| format!("column_{column}")).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Npy,
    Csv,
    Tsv,
    Parquet,
    Arrow,
    Png,
}

/// Bytes of a number in a CSV file, its delimiter included; few numbers are longer.
const LONGEST_CELL: usize = 22;

/// Images in a row of a picture.
const COLUMNS: usize = 10;

fn format_of(path: &Path) -> Result<Format> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref() {
        Some("npy") => Ok(Format::Npy),
        Some("csv") => Ok(Format::Csv),
        Some("tsv") => Ok(Format::Tsv),
        Some("parquet") => Ok(Format::Parquet),
        Some("arrow" | "feather") => Ok(Format::Arrow),
        Some("png") => Ok(Format::Png),
        _ => Err(Error::data(format!(
            "{}: the result is written as .csv, .tsv, .npy, .parquet, .arrow or .png",
            path.display()
        ))),
    }
}

/// What was written.
#[derive(Serialize)]
pub struct Written<'a> {
    pub event: &'static str,
    #[serde(serialize_with = "table::path")]
    pub out: &'a Path,
    pub rows: usize,
    pub shape: Shape,
    /// Time that computing took.
    pub seconds: f64,
}

/// Says what was written: a line of JSON, or a line on standard error.
pub fn report_written(written: &Written<'_>, output: OutputOptions) -> anyhow::Result<ExitCode> {
    let Written { out, rows, shape, seconds, .. } = written;
    if output.json {
        table::json(written)?;
    } else {
        stderr::line(format!(
            "wrote {rows} rows of {shape} to {} (computed in {seconds:.3} s)",
            out.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a result that there is no memory to write, before the work: its numbers, a copy of them in double precision for text,
/// and the bytes of the file.
fn require_room(arguments: &ApplyArguments, rows: usize, shape: Shape) -> Result<()> {
    let path = &arguments.out;
    let of_number = match format_of(path)? {
        Format::Npy => 2 * size_of::<f32>(),
        Format::Png | Format::Parquet | Format::Arrow => {
            size_of::<f32>() + size_of::<f64>() + size_of::<f32>()
        }
        Format::Csv | Format::Tsv => size_of::<f32>() + size_of::<f64>() + LONGEST_CELL,
    };
    let bytes = rows.saturating_mul(shape.len()).saturating_mul(of_number);
    narrows::base::memory::require(bytes, 1, format_args!("{}: the result", path.display()))
        .map_err(|error| error.hint("fewer rows at a time"))
}

/// Writes a result. A picture of rows is drawn on the scale that the model sees, where 0 is black and 1 is white.
fn write(
    arguments: &ApplyArguments,
    output: &OutputFile,
    event: &'static str,
    result: Rows,
    scaling: Option<&Scaling>,
    seconds: f64,
) -> anyhow::Result<ExitCode> {
    let path = &arguments.out;
    let Rows { values: result, header, frame } = result;
    let (rows, shape) = (result.rows(), result.shape());
    let values = result.into_values();
    let bytes = match format_of(path)? {
        Format::Npy => {
            let dimensions = shape.dimensions();
            match values {
                Values::F64(values) => npy::encode_f64(rows, &dimensions, &values),
                values => npy::encode_f32(rows, &dimensions, &values.into_f32()),
            }
        }
        Format::Png => {
            let mut values = values.into_f64();
            if let Some(scaling) = scaling {
                scaling.apply_f64(&mut values, shape.len());
            }
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            let columns = rows.clamp(1, if rows <= 16 { 16 } else { COLUMNS });
            narrows_report::picture(shape, &values, columns, 0.0, 1.0).ok_or_else(|| {
                Error::data(format!("{}: {rows} rows of {shape} make no picture", path.display()))
            })?
        }
        format @ (Format::Parquet | Format::Arrow) => {
            let format = if format == Format::Arrow { TableFormat::Arrow } else { TableFormat::Parquet };
            match frame {
                Some(frame) => columnar::of_frame(&frame, format)?,
                None => columnar::of_numbers(&header, &values, format)?,
            }
        }
        format @ (Format::Csv | Format::Tsv) => {
            let options = write_options(arguments.csv);
            let delimiter = if format == Format::Tsv { b'\t' } else { b',' };
            match frame {
                Some(frame) => csv::encode_table(&frame, delimiter, options)?,
                None => csv::encode(Some(&header), shape.len(), &values.into_f64(), delimiter, options),
            }
        }
    };
    output.write(&bytes)?;
    report_written(&Written { event, out: path, rows, shape, seconds }, arguments.output)
}
