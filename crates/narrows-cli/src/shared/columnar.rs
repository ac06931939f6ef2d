//! Results as Parquet and Arrow.

use narrows::Result;
use narrows::data::{Content, Frame, Values};
use narrows_files::{OutColumn, OutValues, TableFormat, write_arrow, write_parquet};

/// A table.
///
/// # Errors
/// Where rows cannot be read, or two columns have one name.
pub fn of_frame(frame: &Frame<'_>, format: TableFormat) -> Result<Vec<u8>> {
    let (rows, width) = (frame.cells.rows(), frame.columns.len());
    let mut cells = vec![0.0; rows * width];
    frame.cells.read_f64(0, &mut cells)?;
    let column = |at: usize| cells.iter().skip(at).step_by(width).copied().collect::<Vec<f64>>();
    let numbers: Vec<Vec<f64>> = (0..width).map(column).collect();
    let texts: Vec<Vec<Option<&str>>> = frame
        .columns
        .iter()
        .zip(&numbers)
        .map(|(column, numbers)| match &column.content {
            Content::Texts(texts) => {
                let text = |value: &f64| match value.is_nan() {
                    true => None,
                    false => texts.get(*value as usize).map(String::as_str),
                };
                numbers.iter().map(text).collect()
            }
            _ => Vec::new(),
        })
        .collect();
    let names = frame.columns.iter().enumerate().map(|(at, column)| match &column.name {
        Some(name) => name.clone(),
        None => format!("column_{}", at + 1),
    });
    let names: Vec<String> = names.collect();
    let columns: Vec<OutColumn<'_>> = (0..width)
        .map(|at| {
            let has_time = numbers[at].iter().any(|days| days.is_finite() && days.fract() != 0.0);
            let values = match &frame.columns[at].content {
                Content::Texts(_) => OutValues::Texts(&texts[at]),
                Content::Days if has_time => OutValues::Days(&numbers[at]),
                Content::Days => OutValues::Dates(&numbers[at]),
                _ => OutValues::F64(&numbers[at]),
            };
            OutColumn { name: &names[at], values }
        })
        .collect();
    write(&columns, format)
}

/// Rows of numbers with the names of their columns.
///
/// # Errors
/// Where two columns have one name.
pub fn of_numbers(names: &[String], values: &Values, format: TableFormat) -> Result<Vec<u8>> {
    let width = names.len();
    let wide = |at: usize| match values {
        Values::F64(values) => values.iter().skip(at).step_by(width).copied().collect(),
        _ => Vec::new(),
    };
    let single = |at: usize| match values {
        Values::F32(values) => values.iter().skip(at).step_by(width).copied().collect(),
        Values::U8(values) => values.iter().skip(at).step_by(width).map(|&value| f32::from(value)).collect(),
        Values::F64(_) => Vec::new(),
    };
    let is_wide = matches!(values, Values::F64(_));
    let (wide, single): (Vec<Vec<f64>>, Vec<Vec<f32>>) = (0..width).map(|at| (wide(at), single(at))).unzip();
    let columns: Vec<OutColumn<'_>> = (0..width)
        .map(|at| OutColumn {
            name: &names[at],
            values: if is_wide { OutValues::F64(&wide[at]) } else { OutValues::F32(&single[at]) },
        })
        .collect();
    write(&columns, format)
}

fn write(columns: &[OutColumn<'_>], format: TableFormat) -> Result<Vec<u8>> {
    match format {
        TableFormat::Arrow => write_arrow(Vec::new(), columns),
        _ => write_parquet(Vec::new(), columns),
    }
}
