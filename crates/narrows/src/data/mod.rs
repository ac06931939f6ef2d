//! Rows: where they come from, how they are read, which are held out.
//!
//! A [`Source`] gives rows by number, in f32 or f64; it can fail, it may borrow, and it may stream. It is the one open set
//! of the library. A [`Table`] has its rows in memory, in the type of their file (bytes stay bytes); an array of `ndarray`
//! is read where it lies; a [`Stream`] is read from the first row to the last; [`Concat`] puts parts in a row. A [`Dataset`]
//! is a source with what travels along: a name, labels, column names.
//!
//! [`open`] reads files, [`read_bytes`] their content in memory:
//!
//! | kind | known by | rows | labels |
//! |---|---|---|---|
//! | IDX | two zero bytes, or `.idx`, `-ubyte`, `.gz` | bytes, integers, f32, f64; vectors or images | the file beside it, see [`open`] |
//! | NPY | `\x93NUMPY`, or `.npy` | booleans, integers, f32, f64; 2 to 4 dimensions, either order | [`OpenOptions::labels_file`] |
//! | CSV | `.csv`, `.tsv`, `.txt` | numbers with `,` `;` or tabs between, with a header or without | [`OpenOptions::label_column`] |
//!
//! Each may be packed with gzip, which is known by its content. Bytes and booleans stay bytes, 8 and 16-bit integers
//! become f32, larger ones and text f64.

mod array;
mod concat;
mod dataset;
pub mod formats;
mod labels;
mod on_disk;
mod open;
pub(crate) mod order;
pub mod scaling;
pub(crate) mod source;
pub(crate) mod stats;
mod stream;
mod table;

pub use array::Number;
pub use concat::Concat;
pub use dataset::{Dataset, hold_out};
pub use labels::Labels;
pub use open::{Format, OpenOptions, open, read_bytes, read_label_bytes};
pub use source::{Access, Element, Shape, Source};
pub use stats::Statistics;
pub use stream::{RowReader, Stream};
pub use table::{Subset, Table, Values};
