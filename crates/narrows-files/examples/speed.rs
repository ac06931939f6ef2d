//! Writes tables of `ROWS` x 20 numbers as Parquet and Arrow, reads them whole and streamed, and prints how long each took.
//!
//! ```sh
//! cargo run --release -p narrows-files --example speed -- 5000000
//! ```

use std::time::Instant;

use narrows::Result;
use narrows::data::Frame;
use narrows_files::{FileOptions, OutKind, OutValues, TableFormat, TableWriter, read_arrow, read_parquet};

const COLUMNS: usize = 20;

fn main() -> Result<()> {
    let rows = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    for (name, format) in [("table.parquet", TableFormat::Parquet), ("table.arrow", TableFormat::Arrow)] {
        let path = folder.path().join(name);
        let bytes = timed(&format!("{name}: write"), || table(rows, format))?;
        narrows::base::atomic_file::write(&path, &bytes)?;
        println!("{name}: {:.1} MiB", bytes.len() as f64 / f64::from(1 << 20));
        drop(bytes);
        for (how, memory) in [("whole", None), ("streamed", Some(64 << 20))] {
            let options = FileOptions { memory, ..FileOptions::default() };
            timed(&format!("{name}: read {how}"), || {
                let read = match format {
                    TableFormat::Parquet => read_parquet(&path, &options)?,
                    _ => read_arrow(&path, &options)?,
                };
                sum(&read.frame)
            })?;
        }
    }
    Ok(())
}

/// Random-looking numbers, which no encoding makes shorter.
fn table(rows: usize, format: TableFormat) -> Result<Vec<u8>> {
    let names: Vec<String> = (0..COLUMNS).map(|column| format!("c{column}")).collect();
    let kinds: Vec<(&str, OutKind)> = names.iter().map(|name| (name.as_str(), OutKind::F64)).collect();
    let mut writer = TableWriter::new(Vec::new(), format, &kinds)?;
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    for first in (0..rows).step_by(1 << 16) {
        let block: Vec<Vec<f64>> =
            (0..COLUMNS).map(|_| (0..(rows - first).min(1 << 16)).map(|_| next()).collect()).collect();
        let values: Vec<OutValues<'_>> = block.iter().map(|values| OutValues::F64(values)).collect();
        writer.write(&values)?;
    }
    writer.finish()
}

/// Reads all rows as a fit does, in blocks.
fn sum(frame: &Frame<'_>) -> Result<f64> {
    let cells = &*frame.cells;
    let (rows, width) = (cells.rows(), cells.shape().len());
    let mut sum = 0.0;
    let mut block = vec![0.0; 256 * width];
    for first in (0..rows).step_by(256) {
        let block = &mut block[..(rows - first).min(256) * width];
        cells.read_f64(first, block)?;
        sum += block.iter().sum::<f64>();
    }
    Ok(sum)
}

fn timed<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let (start, processor) = (Instant::now(), processor_seconds());
    let found = work()?;
    let processor = match (processor, processor_seconds()) {
        (Some(before), Some(after)) => format!(", {:.2} s of processor time", after - before),
        _ => String::new(),
    };
    println!("{what}: {:.2} s{processor}", start.elapsed().as_secs_f64());
    Ok(found)
}

/// Processor time of this process, where the system tells it (Linux, 100 ticks per second).
fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Some(ticks.iter().sum::<f64>() / 100.0)
}
