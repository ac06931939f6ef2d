//! NPZ archives.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use narrows::data::formats::npy::encode_f64;
use narrows_files::{FileOptions, Kind, read_npz, recognise};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::common::{cells, file, files, shared};

fn archive(arrays: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (place, (name, bytes)) in arrays.iter().enumerate() {
        let method = if place % 2 == 0 { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn npy(kind: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(numbers);
    out
}

fn read(arrays: &[(&str, &[u8])], array: Option<&str>) -> narrows::Result<narrows_files::ReadDataset> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = file(&folder, "a.npz", &archive(arrays));
    assert_eq!(recognise(&path).unwrap(), Some(Kind::Npz));
    read_npz(path, &FileOptions { array: array.map(String::from), ..FileOptions::default() })
}

#[test]
fn rows_and_labels_are_found_by_their_names() {
    let rows = encode_f64(3, &[2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let labels = npy("|u1", "(3,)", &[1, 0, 1]);
    let found = read(&[("y.npy", &labels), ("X.npy", &rows)], None).unwrap();
    assert_eq!(cells(&*found.dataset.rows), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(found.dataset.labels.unwrap().classes, [1, 0, 1]);
    assert_eq!((found.dataset.name.as_str(), found.notes.len()), ("a.npz", 0));
    // One table among other arrays.
    let found = read(&[("mean.npy", &npy("|u1", "(2,)", &[1, 2])), ("table.npy", &rows)], None).unwrap();
    assert_eq!(found.dataset.rows.rows(), 3);
    // Labels that are none.
    let found = read(&[("arr_0.npy", &rows), ("y.npy", &npy("|u1", "(2,)", &[1, 0]))], None).unwrap();
    assert!(
        found.dataset.labels.is_none() && found.notes[0].contains("`y` is not read as labels"),
        "{:?}",
        found.notes
    );
}

#[test]
fn an_archive_of_several_tables_is_refused_with_their_names_and_shapes() {
    let (one, two) = (encode_f64(3, &[2], &[0.0; 6]), npy("<i8", "(4, 1)", &[0; 32]));
    let object = npy("|O", "(4,)", b"pickle");
    let arrays: [(&str, &[u8]); 3] = [("train.npy", &one), ("test.npy", &two), ("meta.npy", &object)];
    let message = read(&arrays, None).err().unwrap().to_string();
    let wanted = "a.npz: which of its arrays are the rows?: it has `train` (3 x 2), `test` (4 x 1), `meta` (not an array of numbers) (name the array of the rows as `array`)";
    assert!(message.ends_with(wanted), "{message}");
    assert_eq!(read(&arrays, Some("test")).unwrap().dataset.rows.rows(), 4);
    assert_eq!(read(&arrays, Some("train.npy")).unwrap().dataset.rows.rows(), 3);
    let message = read(&arrays, Some("nothing")).err().unwrap().to_string();
    assert!(message.contains("no array `nothing`: it has `train` (3 x 2)"), "{message}");
    let message = read(&arrays, Some("meta")).err().unwrap().to_string();
    assert!(message.contains("a.npz: meta: holds Python objects"), "{message}");
}

#[test]
fn damage_and_what_is_no_archive_of_arrays_are_refused() {
    let message = read(&[("a.txt", b"text")], None).err().unwrap().to_string();
    assert!(message.contains("an archive without arrays"), "{message}");
    // 16 MiB of zeros: an array whose header announces less than there is.
    let mut bomb = npy("|u1", "(1, 3)", &[]);
    bomb.resize(16 << 20, 0);
    let message = read(&[("X.npy", &bomb)], None).err().unwrap().to_string();
    assert!(message.contains("announces 3 bytes"), "{message}");
    let whole = archive(&[("X.npy", &encode_f64(30, &[2], &[0.5; 60]))]);
    let folder = tempfile::tempdir().unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        let _ = read_npz(file(&folder, "b.npz", &bytes), &FileOptions::default());
        let cut = read_npz(file(&folder, "c.npz", &whole[..at]), &FileOptions::default());
        assert!(cut.err().unwrap().to_string().contains("c.npz: damaged"), "{at}");
    }
}

#[test]
fn the_archives_of_adbench_have_rows_and_two_classes() {
    let Some(folder) = shared("adbench") else { return };
    let files = files(&folder);
    assert!(files.len() >= 16);
    for path in files {
        let read = read_npz(&path, &FileOptions::default()).unwrap();
        assert!(read.notes.is_empty(), "{:?}", read.notes);
        let labels = read.dataset.labels.unwrap();
        assert_eq!(labels.names, ["0", "1"], "{}", path.display());
        assert_eq!(labels.classes.len(), read.dataset.rows.rows());
        assert!(read.dataset.rows.rows() > 100 && read.dataset.rows.shape().len() > 5);
    }
    let glass = read_npz(folder.join("14_glass.npz"), &FileOptions::default()).unwrap().dataset;
    assert_eq!((glass.rows.rows(), glass.rows.shape().len()), (214, 7));
    // The rates of outliers that ADBench publishes: 9 of 214.
    assert_eq!(glass.labels.unwrap().classes.iter().filter(|&&class| class == 1).count(), 9);
}

#[test]
fn archives_of_python_objects_are_refused() {
    let Some(folder) = shared("loaders/npy") else { return };
    for path in
        files(&folder).into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "npz"))
    {
        let message = read_npz(&path, &FileOptions::default()).err().unwrap().to_string();
        assert!(message.contains("Python objects"), "{message}");
    }
}
