//! The schema of a table: the kinds of its columns, found from its rows; how they become numbers, and numbers become cells again.
//!
//! | kind | found where | encoded as | decoded as |
//! |---|---|---|---|
//! | number | all cells are numbers | itself | itself |
//! | yes/no | two texts such as yes and no, or the numbers 0 and 1 | 0 or 1 | the text from 0.5 on |
//! | category | few distinct texts; those of fewer than 1 % of the rows, or beyond 50, are joined | one number for each level, 1 for the row's | the level with the largest number |
//! | date | all texts are dates of one form | days since the first | the same form |
//! | identifier | distinct in every row, by name or ascending | not | kept beside the rows |
//! | label | the option, or the name `label`, `class`, `target` | not | kept beside the rows |
//! | text | many distinct texts | not | not |
//! | constant | one text, or nothing | not | itself |
//!
//! [`TableOptions`] choose otherwise. A [`Schema`] is found once, from the training rows, and stands in the model; later tables
//! are matched with it by the names of their columns. The forms of dates are those of strftime, such as `%Y-%m-%d`.

mod columns;
mod dates;
mod decode;
mod describe;
mod encode;
mod infer;

pub use columns::{ColumnKind, Kind, Level, OTHER, Schema, SchemaColumn};
pub(crate) use dates::date_text;
pub use describe::ColumnDescription;
pub use infer::{TableOptions, find_column};
