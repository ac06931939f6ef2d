//! Parquet and Arrow: types, projection, lists, missing values, tables that are streamed, writing.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::builder::{FixedSizeListBuilder, Float32Builder, Int32Builder, ListBuilder};
use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, Int32Array, Int64Array, LargeStringArray, NullArray, RecordBatch, StringArray,
    StringViewArray, Time32SecondArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt8Array,
    UInt64Array,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use narrows::data::{Access, Content, Element};
use narrows_files::{
    FileOptions, OutColumn, OutKind, OutValues, ReadFrame, TableFormat, TableWriter, read_arrow,
    read_parquet, write_arrow, write_parquet,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tempfile::TempDir;

use super::common::{assert_same, cells, file, names, shown};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

fn parquet(folder: &TempDir, batch: &RecordBatch, properties: WriterProperties) -> PathBuf {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    file(folder, "table.parquet", &writer.into_inner().unwrap())
}

/// The same batch as Parquet, as an IPC file, as an IPC stream and as a compressed IPC file of two batches.
fn each_format(
    batch: &RecordBatch,
    mut check: impl FnMut(&str, narrows::Result<ReadFrame>),
    options: &FileOptions,
) {
    let folder = tempfile::tempdir().unwrap();
    check("Parquet", read_parquet(parquet(&folder, batch, WriterProperties::default()), options));
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    check("file", read_arrow(file(&folder, "a.arrow", &writer.into_inner().unwrap()), options));
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    check("stream", read_arrow(file(&folder, "a.arrows", &writer.into_inner().unwrap()), options));
    let packed = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &batch.schema(), packed).unwrap();
    writer.write(&batch.slice(0, 1)).unwrap();
    writer.write(&batch.slice(1, batch.num_rows() - 1)).unwrap();
    writer.finish().unwrap();
    check("packed", read_arrow(file(&folder, "b.arrow", &writer.into_inner().unwrap()), options));
}

#[test]
fn each_type_becomes_numbers_texts_or_days() {
    let kinds: DictionaryArray<Int8Type> = vec![Some("elm"), None, Some("oak")].into_iter().collect();
    let times =
        TimestampMicrosecondArray::from(vec![Some(86_400_000_000 * 3 / 2), None, Some(-21_600_000_000)]);
    let batch = batch(vec![
        ("f64", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(f64::NAN)]))),
        ("f32", Arc::new(Float32Array::from(vec![Some(0.5), Some(1.5), None]))),
        ("i64", Arc::new(Int64Array::from(vec![Some(1 << 53), None, Some(-(1 << 53))]))),
        ("u8", Arc::new(UInt8Array::from(vec![0, 128, 255]))),
        ("bool", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("text", Arc::new(StringArray::from(vec![Some("b"), Some("a"), Some("b")]))),
        ("large", Arc::new(LargeStringArray::from(vec![None, Some("x"), Some("é")]))),
        ("view", Arc::new(StringViewArray::from(vec!["a string of more than twelve bytes", "s", "s"]))),
        ("kind", Arc::new(kinds)),
        ("date", Arc::new(Date32Array::from(vec![Some(0), Some(19_723), None]))),
        ("time", Arc::new(times.with_timezone("Europe/Berlin"))),
        ("nano", Arc::new(TimestampNanosecondArray::from(vec![1_700_000_000_000_000_000, 0, 1]))),
        ("clock", Arc::new(Time32SecondArray::from(vec![3600, 0, 1]))),
        (
            "decimal",
            Arc::new(Decimal128Array::from(vec![12345, -1, 7]).with_precision_and_scale(20, 2).unwrap()),
        ),
        ("null", Arc::new(NullArray::new(3))),
    ]);
    let wanted = [
        "0.1 0.5 9007199254740992 0 'true' 'b' - 'a string of more than twelve bytes' 'elm' d0 d1.5 d19675.925925925927 3600 123.45 -",
        "- 1.5 - 128 'false' 'a' 'x' 's' - d19723 - d0 0 -0.01 -",
        "- - -9007199254740992 255 - 'b' 'é' 's' 'oak' - d-0.25 d0.000000000000011574074074074074 1 0.07 -",
    ];
    each_format(
        &batch,
        |format, read| {
            let read = read.unwrap_or_else(|error| panic!("{format}: {error}"));
            assert_eq!(shown(&read.frame), wanted, "{format}");
            assert_eq!(read.frame.cells.element(), Element::F64);
            assert_eq!(read.notes, ["times of day and durations are in seconds: `clock`"]);
        },
        &FileOptions::default(),
    );
}

#[test]
fn columns_in_single_precision_are_cells_in_single_precision() {
    let batch = batch(vec![
        ("a", Arc::new(Float32Array::from(vec![Some(0.1), None]))),
        ("b", Arc::new(Float32Array::from(vec![1e30, -0.0]))),
        ("i", Arc::new(Int32Array::from(vec![1, 2]))),
    ]);
    let drop = FileOptions { drop: vec!["i".into()], ..FileOptions::default() };
    each_format(
        &batch,
        |format, read| {
            let read = read.unwrap();
            assert_eq!(
                (names(&read.frame), read.frame.cells.element()),
                (vec!["a", "b"], Element::F32),
                "{format}"
            );
            let mut out = [0.0f32; 4];
            read.frame.cells.read_f32(0, &mut out).unwrap();
            assert!(out[0] == 0.1 && out[1] == 1e30 && out[2].is_nan() && out[3] == 0.0, "{out:?}");
        },
        &drop,
    );
}

#[test]
fn whole_numbers_past_2_to_the_53_become_texts() {
    let batch = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![Some((1 << 53) + 1), None, Some(5)]))),
        ("u", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1]))),
        (
            "d",
            Arc::new(
                Decimal128Array::from(vec![10i128.pow(20), 1, 2]).with_precision_and_scale(38, 0).unwrap(),
            ),
        ),
        ("n", Arc::new(Int64Array::from(vec![1, 2, 3]))),
    ]);
    let wanted = [
        "'9007199254740993' '18446744073709551615' '100000000000000000000' 1",
        "- '0' '1' 2",
        "'5' '1' '2' 3",
    ];
    for memory in [None, Some(1)] {
        each_format(
            &batch,
            |format, read| {
                let read = read.unwrap();
                assert_eq!(shown(&read.frame), wanted, "{format}");
                assert!(
                    read.notes.iter().filter(|note| note.contains("2^53")).count() == 3,
                    "{:?}",
                    read.notes
                );
            },
            &FileOptions { memory, ..FileOptions::default() },
        );
    }
}

#[test]
fn lists_of_one_length_are_a_column_for_each_place() {
    let mut fixed = FixedSizeListBuilder::new(Float32Builder::new(), 2);
    let mut list = ListBuilder::new(Int32Builder::new());
    for row in 0..4 {
        if row == 0 {
            fixed.values().append_nulls(2);
            list.append(false);
        } else {
            fixed.values().append_value(row as f32);
            fixed.values().append_null();
            list.values().append_slice(&[row, 10 * row, 100 * row]);
            list.append(true);
        }
        fixed.append(row > 0);
    }
    let (fixed, list): (ArrayRef, ArrayRef) = (Arc::new(fixed.finish()), Arc::new(list.finish()));
    let whole = batch(vec![("f", fixed), ("l", list)]);
    each_format(
        &whole,
        |format, read| {
            let read = read.unwrap_or_else(|error| panic!("{format}: {error}"));
            assert_eq!(names(&read.frame), ["f[0]", "f[1]", "l[0]", "l[1]", "l[2]"], "{format}");
            assert_eq!(
                shown(&read.frame),
                ["- - - - -", "1 - 1 10 100", "2 - 2 20 200", "3 - 3 30 300"],
                "{format}"
            );
        },
        &FileOptions::default(),
    );
    // Without missing ones and not from the first row on.
    each_format(
        &whole.slice(2, 2),
        |format, read| assert_eq!(shown(&read.unwrap().frame), ["2 - 2 20 200", "3 - 3 30 300"], "{format}"),
        &FileOptions::default(),
    );
}

#[test]
fn what_is_no_number_is_refused_in_one_message_that_says_what_to_do() {
    let mut ragged = ListBuilder::new(Int32Builder::new());
    ragged.values().append_slice(&[1, 2]);
    ragged.append(true);
    ragged.append(true);
    let structure = arrow_array::StructArray::from(vec![(
        Arc::new(arrow_schema::Field::new("x", arrow_schema::DataType::Int32, true)),
        Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef,
    )]);
    let batch = batch(vec![
        ("n", Arc::new(Int32Array::from(vec![1, 2]))),
        ("bytes", Arc::new(BinaryArray::from_vec(vec![b"a", b"b"]))),
        ("s", Arc::new(structure)),
        ("ragged", Arc::new(ragged.finish())),
        ("inf", Arc::new(Float64Array::from(vec![0.0, f64::INFINITY]))),
    ]);
    let with = |columns: &[&str], drop: &[&str]| FileOptions {
        columns: (!columns.is_empty()).then(|| columns.iter().map(|name| name.to_string()).collect()),
        drop: drop.iter().map(|name| name.to_string()).collect(),
        ..FileOptions::default()
    };
    for (options, message) in [
        (
            with(&[], &[]),
            "columns `bytes`, `s` hold bytes of no known meaning and structures, which are no numbers of a row (leave out such columns with `drop`, or choose others with `columns`)",
        ),
        (
            with(&["ragged"], &[]),
            "column `ragged`: lists of unlike lengths: 2 and 0 numbers (leave it out with `drop`)",
        ),
        (
            with(&["n", "inf"], &[]),
            "row 2, column 2: inf is not a finite number (remove or fill such rows first)",
        ),
        (
            with(&["m", "n"], &["o"]),
            "no columns `m`, `o` (its columns are `n`, `bytes`, `s`, `ragged`, `inf`)",
        ),
        (with(&["n"], &["n"]), "there are no columns (`columns` and `drop` leave none)"),
    ] {
        each_format(
            &batch,
            |format, read| {
                let found = read.err().unwrap_or_else(|| panic!("{format}: {message}")).to_string();
                assert!(found.ends_with(message), "{format}: {found}");
            },
            &options,
        );
    }
    each_format(&batch, |_, read| assert_eq!(shown(&read.unwrap().frame), ["1", "2"]), &with(&["n"], &[]));
}

/// 50,000 rows of numbers, texts and dates in 7 row groups or batches.
fn long_batch(rows: usize) -> RecordBatch {
    let number = |row: usize| (row as f64).sqrt();
    let text = |row: usize| (row % 7 != 3).then(|| format!("t{}", row * row % 31));
    let keys: DictionaryArray<Int32Type> =
        (0..rows).map(|row| ["x", "y", "z"][row / 100 % 3]).collect::<Vec<_>>().into_iter().collect();
    batch(vec![
        ("n", Arc::new((0..rows).map(|row| (row % 11 != 0).then(|| number(row))).collect::<Float64Array>())),
        ("t", Arc::new((0..rows).map(text).collect::<StringArray>())),
        ("i", Arc::new((0..rows).map(|row| Some(row as i64)).collect::<Int64Array>())),
        ("k", Arc::new(keys)),
        ("d", Arc::new((0..rows).map(|row| Some(row as i32)).collect::<Date32Array>())),
    ])
}

#[test]
fn a_table_larger_than_memory_is_streamed_with_the_same_rows_in_any_order_of_reading() {
    let rows = 50_000;
    let batch = long_batch(rows);
    let properties = || WriterProperties::builder().set_max_row_group_row_count(Some(7001));
    for statistics in [EnabledStatistics::Chunk, EnabledStatistics::None] {
        let folder = tempfile::tempdir().unwrap();
        let path = parquet(
            &folder,
            &batch,
            properties()
                .set_statistics_enabled(statistics)
                .set_compression(Compression::ZSTD(ZstdLevel::default()))
                .build(),
        );
        let whole = read_parquet(&path, &FileOptions::default()).unwrap();
        let streamed =
            read_parquet(&path, &FileOptions { memory: Some(400_000), ..FileOptions::default() }).unwrap();
        check_streamed(rows, &whole, &streamed);
    }
}

#[test]
fn an_ipc_file_larger_than_memory_is_streamed_too() {
    let rows = 50_000;
    let batch = long_batch(rows);
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    for first in (0..rows).step_by(7001) {
        writer.write(&batch.slice(first, 7001.min(rows - first))).unwrap();
    }
    writer.finish().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "long.feather", &writer.into_inner().unwrap());
    let whole = read_arrow(&path, &FileOptions::default()).unwrap();
    let streamed =
        read_arrow(&path, &FileOptions { memory: Some(400_000), ..FileOptions::default() }).unwrap();
    check_streamed(rows, &whole, &streamed);
}

fn check_streamed(rows: usize, whole: &ReadFrame, streamed: &ReadFrame) {
    assert_eq!(whole.frame.cells.access(), Access::Random);
    let Access::Sequential { window } = streamed.frame.cells.access() else { panic!("not streamed") };
    assert!((1000..20_000).contains(&window), "{window}");
    assert!(whole.notes.is_empty() && streamed.notes[0].contains("are streamed"), "{:?}", streamed.notes);
    assert_eq!(streamed.frame.columns, whole.frame.columns);
    let wanted = cells(&*whole.frame.cells);
    let (source, width) = (&*streamed.frame.cells, 5);
    assert_eq!(source.rows(), rows);
    for _ in 0..2 {
        assert_same(&cells(source), &wanted);
    }
    // Backwards within the window, in both precisions, as threads and training read.
    let mut out = vec![0.0; window / 2 * width];
    for first in (0..rows - window).step_by(window) {
        let indices: Vec<usize> = (first..first + window / 2).rev().collect();
        source.gather_f64(&indices, &mut out).unwrap();
        let expected: Vec<f64> =
            indices.iter().flat_map(|&row| wanted[row * width..][..width].to_vec()).collect();
        assert_same(&out, &expected);
    }
    let mut single = vec![0.0f32; 3 * width];
    source.gather_f32(&[49_999, 49_900, 49_950], &mut single).unwrap();
    for (place, row) in [49_999, 49_900, 49_950].into_iter().enumerate() {
        for column in 0..width {
            let (found, wanted) = (single[place * width + column], wanted[row * width + column] as f32);
            assert!(found == wanted || (found.is_nan() && wanted.is_nan()));
        }
    }
    // Threads that share out the rows of a pass.
    std::thread::scope(|scope| {
        for part in 0..4 {
            let wanted = &wanted;
            scope.spawn(move || {
                let mut out = vec![0.0; 250 * width];
                for chunk in (part..rows / 250).step_by(4) {
                    source.read_f64(chunk * 250, &mut out).unwrap();
                    assert_same(&out, &wanted[chunk * 250 * width..][..250 * width]);
                }
            });
        }
    });
}

#[test]
fn a_streamed_column_of_too_many_texts_is_left_out_which_the_notes_say() {
    let rows = 100_001;
    let batch = batch(vec![
        ("id", Arc::new((0..rows).map(|row| Some(format!("{row:x}"))).collect::<StringArray>())),
        ("n", Arc::new((0..rows).map(Some).collect::<Int32Array>())),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let path = parquet(&folder, &batch, WriterProperties::default());
    let read = read_parquet(&path, &FileOptions { memory: Some(1000), ..FileOptions::default() }).unwrap();
    assert_eq!(names(&read.frame), ["n"]);
    assert!(
        read.notes[0].starts_with("`id` is left out: it has more than 100000 different texts"),
        "{:?}",
        read.notes
    );
    let whole = read_parquet(&path, &FileOptions::default()).unwrap();
    let Content::Texts(texts) = &whole.frame.columns[0].content else { panic!("texts") };
    assert_eq!(texts.len(), rows as usize);
}

#[test]
fn what_is_written_is_read() {
    let values = [1.5, f64::NAN, -0.25];
    let columns = [
        OutColumn { name: "a", values: OutValues::F64(&values) },
        OutColumn { name: "b", values: OutValues::F32(&[0.1, 0.2, f32::NAN]) },
        OutColumn { name: "t", values: OutValues::Texts(&[Some("x"), None, Some("y")]) },
        OutColumn { name: "d", values: OutValues::Dates(&[0.0, 20_000.0, f64::NAN]) },
        OutColumn { name: "s", values: OutValues::Days(&[0.5, f64::NAN, 20_000.25]) },
    ];
    let wanted = [
        "1.5 0.10000000149011612 'x' d0 d0.5",
        "- 0.20000000298023224 - d20000 -",
        "-0.25 - 'y' - d20000.25",
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "out.parquet", &write_parquet(Vec::new(), &columns).unwrap());
    assert_eq!(shown(&read_parquet(&path, &FileOptions::default()).unwrap().frame), wanted);
    let path = file(&folder, "out.arrow", &write_arrow(Vec::new(), &columns).unwrap());
    assert_eq!(shown(&read_arrow(&path, &FileOptions::default()).unwrap().frame), wanted);

    let twice = [columns[0], columns[0]];
    assert!(write_parquet(Vec::new(), &twice).unwrap_err().to_string().contains("more than one column"));
    let odd = [columns[0], OutColumn { name: "z", values: OutValues::F64(&[1.0]) }];
    assert!(write_arrow(Vec::new(), &odd).unwrap_err().to_string().contains("`z` has 1 values, `a` has 3"));
}

#[test]
fn a_table_is_written_block_by_block() {
    for format in [TableFormat::Parquet, TableFormat::Arrow] {
        let mut writer = TableWriter::new(Vec::new(), format, &[("x", OutKind::F32)]).unwrap();
        let values: Vec<f32> = (0..300_000).map(|value| value as f32).collect();
        values.chunks(70_001).for_each(|block| writer.write(&[OutValues::F32(block)]).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "out", &writer.finish().unwrap());
        let read = match format {
            TableFormat::Parquet => read_parquet(&path, &FileOptions::default()),
            _ => read_arrow(&path, &FileOptions::default()),
        };
        let wanted: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
        assert_same(&cells(&*read.unwrap().frame.cells), &wanted);
    }
}
