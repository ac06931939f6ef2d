//! Readers of data: CSV, NPY and IDX files, packed or not, rows and labels.
//!
//! A case is a line of words that say how it is read, and the bytes of the file:
//! `csv|npy|idx rows|labels|file [label_column=NAME] [shape=HxWxC] [rows=N]`.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use narrows::data::{self, Format, OpenOptions, Statistics};
use narrows::{Dataset, Shape};

use super::{Target, Verdict, check_message, scratch_folder};
use crate::campaign::Journal;
use crate::mutate;
use crate::random::Random;

/// The name of a case in messages.
const NAME: &str = "case";

/// Small valid files.
const TABLES: &[&str] = &[
    "a,b,c\n1,2,3\n4,5.5,-6e3\n7,8,9\n",
    "1,2\n3,4\n5,6\n",
    "1;2,5;3\n4;5,25;6\n",
    "x\ty\n0.1\t0.2\n0.3\t0.4\n",
    "id,kind,\"a \"\"quoted\"\" name\"\n1,\"one, two\",3\n2,three,4\n",
    "a,b\n1,\n,2\nNaN,3\nnull,4\n",
    "# comment\n1 2 3\n4 5 6\n",
    "\u{feff}length,width,class\r\n5.1,3.5,setosa\r\n4.9,3.0,versicolor\r\n6.2,2.9,setosa\r\n",
    "class\nred\ngreen\nblue\n",
    "0\n1\n2\n1\n0\n",
];

/// Words for cells.
const CELLS: &[&str] = &[
    "a",
    "class",
    "\"",
    "\"\"",
    "\"a\nb\"",
    "'",
    ",",
    ";",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\0",
    "\u{feff}",
    "\u{1b}[2J",
    "NA",
    "null",
    "?",
    "1,000",
    "1.000.000",
    "true",
    "2024-01-01",
    "12:30",
    "$5",
    "5%",
    "#",
    "é",
    "\u{202e}",
    "=1+1",
    "  ",
    "-",
];

/// Dictionaries of NPY headers.
const NPY: &[&str] = &[
    "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }",
    "{'descr': '<f8', 'fortran_order': True, 'shape': (3, 2), }",
    "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 2), }",
    "{'descr': '<i8', 'fortran_order': False, 'shape': (6,), }",
    "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 2, 2, 3), }",
    "{'descr': '|b1', 'fortran_order': False, 'shape': (5, 2), }",
];

const NPY_WORDS: &[&str] = &[
    "<f2",
    "<f4",
    ">f8",
    "<i2",
    ">u8",
    "|u1",
    "|i1",
    "|b1",
    "|O",
    "<c16",
    "<U5",
    "|S3",
    "True",
    "False",
    "descr",
    "shape",
    "fortran_order",
    "()",
    "(",
    ")",
    ",",
    "'",
    "L",
    "None",
    "[('a','<f4')]",
    "4294967296",
    "18446744073709551615",
    "-1",
    "0",
    "1",
];

/// The target.
pub struct Readers {
    folder: tempfile::TempDir,
}

impl Readers {
    /// The target, with a folder for files.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn new() -> Result<Self, String> {
        Ok(Self { folder: scratch_folder()? })
    }
}

impl Target for Readers {
    fn generate(&mut self, random: &mut Random, _: &Journal) -> Vec<u8> {
        let format = random.choose(&["csv", "csv", "npy", "idx"]);
        let mut head = format!("{format} {}", random.choose(&["rows", "rows", "rows", "labels"]));
        if random.one_in(50) {
            head = format!("{format} file");
        }
        if random.one_in(8) {
            let column = random.choose(&["class", "a", "1", "3", "0", "99", "length", "-1"]);
            head.push_str(&format!(" label_column={column}"));
        }
        if random.one_in(10) {
            head.push_str(&format!(
                " shape={}",
                random.choose(&["4", "2x2", "1x2x2", "3", "2x1", "65535x65537"])
            ));
        }
        head.push_str(&format!(" rows={}", random.choose(&[3, 3, 5, 6, 2, 0])));
        let mut bytes = match format {
            "csv" => table(random),
            "npy" => npy(random),
            _ => idx(random),
        };
        for _ in 0..random.choose(&[0, 0, 1, 1, 2]) {
            mutate::bytes(random, &mut bytes);
        }
        if random.one_in(12) {
            bytes = packed(random, &bytes);
        }
        let mut case = head.into_bytes();
        case.push(b'\n');
        case.append(&mut bytes);
        case
    }

    fn run(&mut self, case: &[u8]) -> Result<Verdict, String> {
        let Some(end) = case.iter().position(|&byte| byte == b'\n') else { return Ok(Verdict::Refused) };
        let (Ok(head), bytes) = (std::str::from_utf8(&case[..end]), &case[end + 1..]) else {
            return Ok(Verdict::Refused);
        };
        let mut words = head.split(' ');
        let (name, format) = match words.next() {
            Some("csv") => ("csv", Format::Csv),
            Some("npy") => ("npy", Format::Npy),
            _ => ("idx", Format::Idx),
        };
        let what = words.next().unwrap_or_default();
        let mut options = OpenOptions::default();
        let mut rows = 0;
        for word in words {
            match word.split_once('=') {
                Some(("label_column", column)) => options.label_column = Some(column.to_owned()),
                Some(("shape", shape)) => options.shape = Shape::parse(shape).ok(),
                Some(("rows", count)) => rows = count.parse().unwrap_or(0),
                _ => {}
            }
        }
        if what == "labels" {
            return match data::read_label_bytes(NAME, bytes, format, rows) {
                Ok(labels) if labels.classes.len() == rows => Ok(Verdict::Accepted),
                Ok(labels) => Err(format!("labels: {} for {rows} rows", labels.classes.len())),
                Err(error) => check_message(&error.to_string(), NAME).map(|()| Verdict::Refused),
            };
        }
        let (result, place) = if what == "file" {
            let ending = if bytes.starts_with(&[0x1f, 0x8b]) { ".gz" } else { "" };
            let path = self.folder.path().join(format!("{NAME}.{name}{ending}"));
            write(&path, bytes)?;
            options.in_memory = Some(false);
            (data::open(path.display().to_string(), &options), path.display().to_string())
        } else {
            (data::read_bytes(NAME, bytes, format, &options), NAME.to_owned())
        };
        match result {
            Ok(dataset) => read_through(&dataset).map(|()| Verdict::Accepted),
            Err(error) => check_message(&error.to_string(), &place).map(|()| Verdict::Refused),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a file for one case in a scratch folder")]
fn write(path: &std::path::Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads all rows of an accepted file, and compares its parts with one another.
fn read_through(dataset: &Dataset<'_>) -> Result<(), String> {
    let (rows, width) = (dataset.rows.rows(), dataset.rows.shape().len());
    if rows == 0 || width == 0 {
        return Err(format!("empty: {rows} rows of {width} numbers were accepted"));
    }
    if let Some(labels) = &dataset.labels {
        let classes = labels.names.len();
        if labels.classes.len() != rows || labels.classes.iter().any(|&class| class as usize >= classes) {
            return Err("labels: do not fit the rows or the names".to_owned());
        }
    }
    if dataset.columns.as_ref().is_some_and(|columns| columns.len() != width) {
        return Err("columns: not one name for each".to_owned());
    }
    // Reads every row; values that are missing or infinite are for the caller to refuse.
    Statistics::measure(&*dataset.rows).map_err(|error| format!("rows: accepted, then {error}"))?;
    Ok(())
}

fn table(random: &mut Random) -> Vec<u8> {
    let mut text = random.choose(TABLES).to_owned();
    for _ in 0..random.below(4) {
        if random.one_in(3) {
            mutate::lines(random, &mut text)
        } else {
            mutate::token(random, &mut text, CELLS)
        }
    }
    match random.below(40) {
        0 => text = text.replace(',', ";"),
        1 => text = text.replace('\n', "\r\n"),
        2 => text = text.replace('\n', "\r"),
        3 => text = text.repeat(1 + random.below(40)),
        4 => text.push_str(&"9".repeat(random.below(3000))),
        5 => text = text.encode_utf16().map(|unit| char::from(unit as u8)).flat_map(|c| [c, '\0']).collect(),
        6 => text = format!("{}\n", ",".repeat(random.below(2000))),
        _ => {}
    }
    text.into_bytes()
}

fn npy(random: &mut Random) -> Vec<u8> {
    let mut header = random.choose(NPY).to_owned();
    for _ in 0..random.below(3) {
        mutate::token(random, &mut header, NPY_WORDS);
    }
    let version = random.choose(&[1u8, 1, 1, 2, 3]);
    let mut bytes = b"\x93NUMPY".to_vec();
    bytes.extend_from_slice(&[version, 0]);
    let length = header.len() + 1;
    if version == 1 {
        bytes.extend_from_slice(&(length as u16).to_le_bytes());
    } else {
        bytes.extend_from_slice(&(length as u32).to_le_bytes());
    }
    bytes.extend_from_slice(header.as_bytes());
    bytes.push(b'\n');
    let count = random.choose(&[48, 48, 48, 96, 12, 10, 0, 49, 200]);
    numbers(random, &mut bytes, count);
    bytes
}

fn idx(random: &mut Random) -> Vec<u8> {
    let (kind, width) = random.choose(&[(8u8, 1usize), (8, 1), (9, 1), (11, 2), (12, 4), (13, 4), (14, 8)]);
    let sides: &[u32] = random.choose(&[&[3][..], &[3, 4], &[3, 2, 2], &[2, 2, 2, 3], &[5]]);
    let mut bytes = vec![0, 0, kind, sides.len() as u8];
    for &side in sides {
        let side =
            if random.one_in(10) { random.choose(&[0, 1, 0x7fff_ffff, 0xffff_ffff, 65_536]) } else { side };
        bytes.extend_from_slice(&side.to_be_bytes());
    }
    let count = sides.iter().product::<u32>() as usize * width;
    let count = if random.one_in(6) { count + random.below(5) } else { count };
    numbers(random, &mut bytes, count);
    bytes
}

/// Bytes that are small numbers, or any.
fn numbers(random: &mut Random, bytes: &mut Vec<u8>, count: usize) {
    let any = random.one_in(4);
    for number in 0..count {
        bytes.push(if any { random.bits() as u8 } else { (number % 3) as u8 });
    }
}

/// Packs bytes with gzip, and does what happens to packed files.
fn packed(random: &mut Random, bytes: &[u8]) -> Vec<u8> {
    let pack = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap_or_default()
    };
    let mut packed = if random.one_in(20) { pack(&vec![b'1'; random.below(1 << 20)]) } else { pack(bytes) };
    match random.below(6) {
        0 => mutate::bytes(random, &mut packed),
        1 => packed.extend_from_slice(b"more"),
        2 => {
            let again = packed.clone();
            packed.extend_from_slice(&again);
        }
        3 => packed = pack(&packed),
        4 => packed.truncate(random.below(packed.len() + 1)),
        _ => {}
    }
    packed
}
