//! The files of parquet-testing, sound and corrupt, and changed bytes: each is read or refused with one message.

use std::path::Path;
use std::time::Instant;

use narrows_files::{
    FileOptions, Opened, OutColumn, OutValues, open, read_arrow, read_parquet, write_arrow, write_parquet,
};

use super::common::{cells, file, files, names, shared, shown};

/// Reads a file whole and streamed; the message of a refusal.
fn outcome(path: &Path) -> Result<usize, String> {
    let mut rows = Err(String::new());
    for memory in [None, Some(1)] {
        let options = FileOptions { memory, ..FileOptions::default() };
        rows = match open(path, &options) {
            Ok(Some(Opened::Frame(read))) => {
                let source = &*read.frame.cells;
                let mut out = vec![0.0; source.rows().min(100_000) * source.shape().len()];
                source.read_f64(0, &mut out).map(|()| source.rows())
            }
            Ok(Some(Opened::Dataset(_))) => panic!("{}: a data set", path.display()),
            Ok(None) => panic!("{}: not recognised", path.display()),
            Err(error) => Err(error),
        }
        .map_err(|error| error.to_string());
        if let Err(message) = &rows {
            assert!(message.starts_with(&*path.to_string_lossy()), "{message}");
            assert!(!message.contains('\n') && message.len() < 600, "{message}");
        }
    }
    rows
}

fn parquet_files(folder: &Path) -> Vec<std::path::PathBuf> {
    files(folder)
        .into_iter()
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".parquet") || name.ends_with(".parquet.encrypted")
        })
        .collect()
}

#[test]
fn corrupt_files_are_refused_with_one_message() {
    let Some(folder) = shared("loaders/parquet-testing/bad_data") else { return };
    for path in parquet_files(&folder) {
        match outcome(&path) {
            Err(message) => println!("{message}"),
            // Indices of no bits into a dictionary of one text: odd, but it says what it means.
            Ok(_) => assert!(path.ends_with("ARROW-GH-43605.parquet"), "{} is read", path.display()),
        }
    }
}

#[test]
fn files_of_every_kind_are_read_or_refused() {
    let Some(folder) = shared("loaders/parquet-testing/data") else { return };
    let (mut read, mut refused) = (0, 0);
    for path in parquet_files(&folder) {
        let start = Instant::now();
        match outcome(&path) {
            Ok(rows) => {
                read += 1;
                println!("{}: {rows} rows", path.file_name().unwrap().display());
            }
            Err(message) => {
                refused += 1;
                println!("{message}");
            }
        }
        assert!(start.elapsed().as_secs() < 60, "{}", path.display());
    }
    assert!(read > 30 && refused > 10, "{read} read, {refused} refused");
}

/// Columns that are refused must not hide damage in the others.
#[test]
fn each_column_alone_is_read_or_refused() {
    for folder in ["loaders/parquet-testing/bad_data", "loaders/parquet-testing/data"] {
        let Some(folder) = shared(folder) else { return };
        for path in parquet_files(&folder) {
            let unknown = FileOptions { columns: Some(vec!["\0".into()]), ..FileOptions::default() };
            let message = read_parquet(&path, &unknown).err().unwrap().to_string();
            // At most five columns: "its columns are `a`, `b` ...".
            let Some((_, listed)) = message.split_once("its columns are ") else { continue };
            for name in listed.split('`').skip(1).step_by(2) {
                for memory in [None, Some(1)] {
                    let columns = Some(vec![name.to_owned()]);
                    match read_parquet(&path, &FileOptions { columns, memory, ..FileOptions::default() }) {
                        Ok(read) => {
                            drop(read.frame.cells.read_f64(0, &mut vec![0.0; read.frame.columns.len()]))
                        }
                        Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
                    }
                }
            }
        }
    }
}

/// Values as the documentation of the corpus gives them.
#[test]
fn known_values_are_read() {
    let Some(folder) = shared("loaders/parquet-testing/data") else { return };
    let read = |name: &str, drop: &[&str]| {
        let drop = drop.iter().map(|name| name.to_string()).collect();
        read_parquet(folder.join(name), &FileOptions { drop, ..FileOptions::default() }).unwrap().frame
    };
    let types = read("alltypes_plain.parquet", &["date_string_col", "string_col"]);
    assert_eq!(names(&types)[..3], ["id", "bool_col", "tinyint_col"]);
    assert_eq!(shown(&types)[0], "4 'true' 0 0 0 0 0 0 d14304");
    assert_eq!(shown(&types)[1], "5 'false' 1 1 1 10 1.100000023841858 10.1 d14304.000694444445");
    for (name, column) in
        [("int32_decimal.parquet", 24), ("int64_decimal.parquet", 24), ("fixed_length_decimal.parquet", 24)]
    {
        let wanted: Vec<f64> = (1..=column).map(f64::from).collect();
        assert_eq!(cells(&*read(name, &[]).cells), wanted, "{name}");
    }
    // Years far from those that 64 bits of nanoseconds reach.
    let old = cells(&*read("int96_from_spark.parquet", &[]).cells);
    let wanted: [i64; 4] = [1704141296123456, 1704070800000000, 253402225200000000, 1735599600000000];
    for (found, wanted) in old.iter().zip(wanted) {
        assert!((found * 86_400.0 - wanted as f64 / 1e6).abs() < 1e-3, "{old:?}");
    }
    assert!(old[4].is_nan() && (old[5] * 86_400.0 - 9089380393200.0).abs() < 1e-2, "{old:?}");
}

/// Each byte of a small file is changed, one after the other: nothing panics or takes much memory.
#[test]
fn no_changed_byte_does_harm() {
    let values: Vec<f64> = (0..40).map(f64::from).collect();
    let texts: Vec<Option<&str>> = (0..40).map(|row| [Some("a"), None, Some("bc")][row % 3]).collect();
    let columns = [
        OutColumn { name: "n", values: OutValues::F64(&values) },
        OutColumn { name: "t", values: OutValues::Texts(&texts) },
        OutColumn { name: "d", values: OutValues::Days(&values) },
    ];
    let folder = tempfile::tempdir().unwrap();
    let (parquet, arrow) =
        (write_parquet(Vec::new(), &columns).unwrap(), write_arrow(Vec::new(), &columns).unwrap());
    let whole = FileOptions::default();
    for (name, bytes) in [("a.parquet", parquet), ("a.arrow", arrow)] {
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= [0x01, 0x80, 0xff][at % 3];
            let path = file(&folder, name, &bytes);
            let read =
                if name == "a.parquet" { read_parquet(&path, &whole) } else { read_arrow(&path, &whole) };
            if let Err(error) = read {
                assert!(error.to_string().starts_with(&*path.to_string_lossy()), "{error}");
            }
        }
        for length in (0..bytes.len()).step_by(29) {
            let path = file(&folder, name, &bytes[..length]);
            let read =
                if name == "a.parquet" { read_parquet(&path, &whole) } else { read_arrow(&path, &whole) };
            // The end of an Arrow file is a second table of contents, which is not needed.
            assert!(read.is_err() || (name == "a.arrow" && length > 1000), "{name} cut after {length} bytes");
        }
    }
}
