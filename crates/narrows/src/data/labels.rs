//! Labels: the class of each row.

use std::collections::BTreeMap;

use super::Values;
use crate::error::{Error, Result};

/// One label per row.
///
/// ```
/// use narrows::Labels;
///
/// let labels = Labels::from_names(&["cat", "dog", "cat"])?;
/// assert_eq!(labels.names, ["cat", "dog"]);
/// assert_eq!(labels.classes, [0, 1, 0]);
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The class of each row: an index into `names`.
    pub classes: Vec<u32>,
    /// The names of the classes.
    pub names: Vec<String>,
}

impl Labels {
    /// Labels from the name of the class of each row. Classes are ordered by name, or by value if all names are numbers.
    ///
    /// # Errors
    /// Where there are 2^32 classes or more.
    pub fn from_names<T: AsRef<str>>(rows: &[T]) -> Result<Self> {
        let mut names: Vec<&str> = rows.iter().map(AsRef::as_ref).collect();
        names.sort_unstable();
        names.dedup();
        let numbers: Option<Vec<f64>> = names.iter().map(|name| name.parse().ok()).collect();
        if let Some(numbers) = numbers {
            let mut pairs: Vec<(f64, &str)> = numbers.into_iter().zip(names).collect();
            pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
            names = pairs.into_iter().map(|(_, name)| name).collect();
        }
        let classes: BTreeMap<&str, u32> = number(&names)?;
        Ok(Self {
            classes: rows.iter().map(|row| classes[row.as_ref()]).collect(),
            names: names.into_iter().map(String::from).collect(),
        })
    }

    /// Labels from integers, one per row, ordered by value. `values` must come from an integer type of a file.
    pub(super) fn from_integers(values: &Values) -> Result<Self> {
        // The readers have converted the integers to floats, which is exact.
        let rows: Vec<i64> = match values {
            Values::U8(values) => values.iter().map(|&value| i64::from(value)).collect(),
            Values::F32(values) => values.iter().map(|&value| value as i64).collect(),
            Values::F64(values) => values.iter().map(|&value| value as i64).collect(),
        };
        let mut names = rows.clone();
        names.sort_unstable();
        names.dedup();
        let classes: BTreeMap<i64, u32> = number(&names)?;
        Ok(Self {
            classes: rows.iter().map(|row| classes[row]).collect(),
            names: names.iter().map(i64::to_string).collect(),
        })
    }

    /// The labels of rows `indices`.
    ///
    /// # Panics
    /// Where an index is past the end.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            classes: indices.iter().map(|&index| self.classes[index]).collect(),
            names: self.names.clone(),
        }
    }
}

/// Numbers classes from 0, in the given order.
fn number<T: Copy + Ord>(names: &[T]) -> Result<BTreeMap<T, u32>> {
    if u32::try_from(names.len()).is_err() {
        return Err(Error::data(format!("{} classes are too many", names.len())));
    }
    Ok(names.iter().copied().zip(0..).collect())
}
