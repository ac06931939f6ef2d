//! Several files as one table.

use std::path::Path;

use narrows_files::{
    FileOptions, OutColumn, OutValues, ReadFrame, concatenate, find, read_arrow, read_parquet, write_arrow,
    write_parquet,
};

use super::common::{assert_same, cells, file, names, shown};

fn read(path: &Path, _: usize) -> narrows::Result<ReadFrame> {
    if path.extension().is_some_and(|ending| ending == "arrow") {
        read_arrow(path, &FileOptions::default())
    } else {
        read_parquet(path, &FileOptions::default())
    }
}

#[test]
fn parts_are_found_in_natural_order() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["part10.x", "part2.x", "part1.x", ".part3.x", "other.y"] {
        file(&folder, name, b"");
    }
    let found = |patterns: &[&str]| -> Vec<String> {
        let patterns: Vec<_> = patterns.iter().map(|pattern| folder.path().join(pattern)).collect();
        let found = find(&patterns).unwrap();
        found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(found(&["part*.x"]), ["part1.x", "part2.x", "part10.x"]);
    assert_eq!(found(&["other.y", "part?.x", "p*"]), ["other.y", "part1.x", "part2.x", "part10.x"]);
    assert_eq!(found(&["absent.x"]), ["absent.x"]);
    let message = find(&[folder.path().join("no*")]).unwrap_err().to_string();
    assert!(message.contains("no*: no file has such a name"), "{message}");
}

#[test]
fn files_of_the_same_columns_are_one_table_with_the_texts_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let numbers = |values: &'static [f64]| OutColumn { name: "n", values: OutValues::F64(values) };
    let texts =
        |values: &'static [Option<&'static str>]| OutColumn { name: "t", values: OutValues::Texts(values) };
    let one = [numbers(&[1.0, 2.0]), texts(&[Some("a"), Some("b")])];
    let two = [texts(&[Some("c"), None, Some("b")]), numbers(&[3.0, f64::NAN, 5.0])];
    let three = [numbers(&[6.0]), texts(&[Some("a")])];
    let paths = [
        file(&folder, "1.parquet", &write_parquet(Vec::new(), &one).unwrap()),
        file(&folder, "2.arrow", &write_arrow(Vec::new(), &two).unwrap()),
        file(&folder, "3.parquet", &write_parquet(Vec::new(), &three).unwrap()),
    ];
    let whole = concatenate(&paths, read).unwrap();
    assert_eq!(names(&whole.frame), ["n", "t"]);
    assert_eq!(shown(&whole.frame), ["1 'a'", "2 'b'", "3 'c'", "- -", "5 'b'", "6 'a'"]);
    let cells = &*whole.frame.cells;
    let (mut single, mut gathered) = ([0.0f32; 4], [0.0; 4]);
    cells.read_f32(1, &mut single).unwrap();
    cells.gather_f64(&[4, 1], &mut gathered).unwrap();
    assert_eq!((single, gathered), ([2.0, 1.0, 3.0, 2.0], [5.0, 1.0, 2.0, 1.0]));

    let other = file(&folder, "4.parquet", &write_parquet(Vec::new(), &[numbers(&[1.0])]).unwrap());
    let message = concatenate(&[&paths[0], &other], read).err().unwrap().to_string();
    assert!(
        message.contains("4.parquet: its columns lack `t` (files are read as one table where"),
        "{message}"
    );
    assert!(message.contains("1.parquet"), "{message}");
    let renamed = [OutColumn { name: "t", values: OutValues::F64(&[1.0]) }, numbers(&[1.0])];
    let other = file(&folder, "5.parquet", &write_parquet(Vec::new(), &renamed).unwrap());
    let message = concatenate(&[&paths[0], &other], read).err().unwrap().to_string();
    assert!(message.contains("5.parquet: column `t` holds numbers, in the first file texts"), "{message}");
    assert!(concatenate::<&Path>(&[], read).is_err());
}

#[test]
fn streamed_files_are_one_streamed_table() {
    let folder = tempfile::tempdir().unwrap();
    let parts: Vec<Vec<f64>> =
        (0..3).map(|part| (0..20_000).map(|row| f64::from(part * 100_000 + row)).collect()).collect();
    let paths: Vec<_> = parts
        .iter()
        .enumerate()
        .map(|(at, values)| {
            let columns = [OutColumn { name: "x", values: OutValues::F64(values) }];
            file(&folder, &format!("{at}.parquet"), &write_parquet(Vec::new(), &columns).unwrap())
        })
        .collect();
    let whole = concatenate(&paths, |path, count| {
        assert_eq!(count, 3);
        read_parquet(path, &FileOptions { memory: Some(50_000), ..FileOptions::default() })
    })
    .unwrap();
    assert!(matches!(whole.frame.cells.access(), narrows::data::Access::Sequential { .. }));
    for _ in 0..2 {
        assert_same(&cells(&*whole.frame.cells), &parts.concat());
    }
}
