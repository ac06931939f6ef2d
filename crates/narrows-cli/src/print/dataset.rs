//! What is worth knowing about the rows of a data set, beside results.

use narrows::Dataset;

/// The notes on a data set and the columns of a table that are not learned, as pairs of a table; empty where there are none.
pub fn about_columns(dataset: &Dataset<'_>) -> Vec<(String, String)> {
    let notes = dataset.notes.iter().map(|note| ("note".to_owned(), note.clone()));
    let left_out = dataset.schema().map(|schema| schema.left_out()).filter(|left_out| !left_out.is_empty());
    notes.chain(left_out.map(|left_out| ("not learned".to_owned(), left_out))).collect()
}
