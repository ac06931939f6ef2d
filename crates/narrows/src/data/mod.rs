//! Rows: sources, tables, file formats, column statistics, scaling, the hold-out split.
//!
//! A [`Source`] reads rows by number, in f32 or f64; reading can fail, and a source may borrow its rows or stream them. Users can
//! implement it. A [`Table`] has its rows in memory, in the number type of their file (bytes stay bytes); arrays of `ndarray`
//! are borrowed; a [`Stream`] is read from the first row to the last; [`Concat`] concatenates sources. A [`Dataset`] is a
//! source with a name, labels and column names.
//!
//! [`open`] opens files, [`read_bytes`] reads the content of a file from memory:
//!
//! | kind | recognised by | rows | labels |
//! |---|---|---|---|
//! | IDX | two zero bytes, or `.idx`, `-ubyte`, `.gz` | bytes, integers, f32, f64; vectors or images | the file beside it, see [`open`] |
//! | NPY | `\x93NUMPY`, or `.npy` | booleans, integers, f32, f64; 2 to 4 dimensions, either order | [`OpenOptions::labels_file`] |
//! | CSV | `.csv`, `.tsv`, `.tab`, `.txt`, `.dat`, `.data` | columns separated by `,` `;` tabs `\|` or spaces, with a header or without ([`OpenOptions::header`]) | [`OpenOptions::label_column`] |
//! | JSON lines | an object, or an array of objects; `.jsonl`, `.ndjson`, `.json` | one object per row, its fields are columns | [`OpenOptions::label_column`] |
//!
//! Each may be packed with gzip or zstd, which are recognised by their content. The path `-` is standard input. Bytes stay bytes; booleans and integers of 8 and 16 bits
//! become f32, larger integers and text f64. NPY and IDX files that are larger than half of the free memory are not loaded:
//! their rows are read from disk when they are needed (see [`OpenOptions::in_memory`]).
//!
//! This room uses [`crate::base`] and [`crate::error`]; the rooms that follow it in the list of [`crate`] may use it.

mod array;
mod concat;
mod dataset;
mod encoded;
pub(crate) mod filled;
pub mod formats;
mod frame;
mod labels;
mod on_disk;
mod open;
pub(crate) mod order;
pub mod scaling;
pub mod schema;
pub(crate) mod source;
pub(crate) mod stats;
mod stream;
mod table;

pub use array::Number;
pub use concat::Concat;
pub use dataset::{Dataset, EncodedTable, hold_out};
pub use encoded::{ColumnError, EncodedColumn};
pub(crate) use frame::Columns;
pub use frame::{Content, Frame, FrameColumn};
pub use labels::Labels;
pub use open::{Format, OpenOptions, open, read_bytes, read_label_bytes, read_labels};
pub use schema::{ColumnDescription, ColumnKind, Kind, Schema, SchemaColumn, TableOptions};
pub use source::{Access, Element, Shape, Source, Stored};
pub use stats::Statistics;
pub use stream::{RowReader, Stream};
pub use table::{Subset, Table, Values};
