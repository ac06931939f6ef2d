//! Files that other programs write tables and pictures to, as rows for Narrows.
//!
//! | kind | recognised by | gives |
//! |---|---|---|
//! | Parquet | `PAR1`, or `.parquet` | a [`Frame`](narrows::data::Frame); larger than memory it is streamed |
//! | Arrow IPC, Feather | `ARROW1`, a schema message, or `.arrow`, `.feather`, `.arrows`, `.ipc` | the same |
//! | NPZ | `PK` with `.npz` | a [`Dataset`](narrows::Dataset), with labels where the archive has some |
//! | a picture: PNG, JPEG, TIFF, BMP, WebP, PNM | its first bytes | a `Dataset` of one row |
//! | a folder of pictures | a folder | a `Dataset`; its sub-folders are the classes |
//!
//! [`open`] recognises the kind and reads the file; [`read_parquet`], [`read_arrow`], [`read_npz`] and [`read_pictures`] read
//! one kind. [`find`] and [`concatenate`] read several files, of whatever reader, as one table. [`TableWriter`],
//! [`write_parquet`] and [`write_arrow`] write columns.
//!
//! Columns become numbers without silent rounding: numbers as they are, booleans and texts as the index of their text, dates and
//! times as days since 1970-01-01, missing values as NaN, lists of one length as one column for each place; see [`read_parquet`].
//!
//! ```
//! use narrows::Source;
//! use narrows_files::{FileOptions, Opened, OutColumn, OutValues, open, write_parquet};
//!
//! let mut bytes = Vec::new();
//! write_parquet(
//!     &mut bytes,
//!     &[
//!         OutColumn { name: "height", values: OutValues::F64(&[1.5, f64::NAN, 0.5]) },
//!         OutColumn { name: "kind", values: OutValues::Texts(&[Some("oak"), Some("elm"), None]) },
//!     ],
//! )?;
//! # let folder = std::env::temp_dir().join(format!("narrows-files-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # let path = folder.join("trees.parquet");
//! narrows::base::atomic_file::write(&path, &bytes)?;
//!
//! let Some(Opened::Frame(trees)) = open(&path, &FileOptions::default())? else { panic!("a table") };
//! assert_eq!(trees.frame.cells.rows(), 3);
//! assert_eq!(trees.frame.columns[1].name.as_deref(), Some("kind"));
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), narrows::Error>(())
//! ```
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

// In the order of their imports.

mod natural;

mod options;

mod ahead;

mod columns;

mod streamed;

mod footer;

mod batches;

mod tables;

mod npz;

mod pictures;

mod many;

mod open;

mod write;

pub use batches::is_panic_caught;
pub use many::{concatenate, find};
pub use npz::read_npz;
pub use open::{Kind, Opened, open, recognise};
pub use options::{FileOptions, Fit, ReadDataset, ReadFrame};
pub use pictures::read_pictures;
pub use tables::{read_arrow, read_parquet};
pub use write::{OutColumn, OutKind, OutValues, TableFormat, TableWriter, write_arrow, write_parquet};
