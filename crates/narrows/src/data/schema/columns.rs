//! The columns of a schema, their kinds, and their form in a model file.

use serde::{Deserialize, Serialize};

use crate::data::{ColumnError, EncodedColumn};
use crate::error::{Error, Result};

/// The name of the level that stands for rare levels and levels that were not there when the schema was found.
pub const OTHER: &str = "(other)";

/// The columns of a table, with all that turns them into numbers and back: found from the training rows, kept in the model.
///
/// ```
/// use narrows::data::{Kind, OpenOptions, read_bytes};
///
/// let text = "id,age,region\nA1,31,north\nA2,45,south\nA3,28,north\n";
/// let dataset = read_bytes("customers.csv", text.as_bytes(), narrows::data::Format::Csv, &OpenOptions::default())?;
/// let schema = dataset.schema().expect("the rows of a table");
/// let kinds: Vec<Kind> = schema.columns.iter().map(|column| column.kind.kind()).collect();
/// assert_eq!(kinds, [Kind::Identifier, Kind::Number, Kind::Category]);
/// assert_eq!(schema.encoded_names(), ["age", "region=north", "region=south"]);
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Schema {
    /// The columns, in the order of the file that the schema was found from.
    pub columns: Vec<SchemaColumn>,
}

/// A column of a [`Schema`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredColumn", into = "StoredColumn")]
pub struct SchemaColumn {
    /// Its name; None in a file without names.
    pub name: Option<String>,
    /// Its kind, with what it needs to be encoded and decoded.
    pub kind: ColumnKind,
}

/// Kinds of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A number, encoded as it is.
    Number,
    /// One of two values, encoded as 0 and 1.
    YesNo,
    /// One of several levels, encoded as one number for each: 1 for the row's level, else 0.
    Category,
    /// A date or a time, encoded as days since the first one.
    Date,
    /// A name of the row: not encoded, but kept beside codes and reconstructions.
    Identifier,
    /// The class of the row: not encoded.
    Label,
    /// Free text: not encoded.
    Text,
    /// The same in every row, and no number: not encoded, and restored when rows are decoded.
    Constant,
    /// Left out by choice: not encoded.
    LeftOut,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Number,
        Self::YesNo,
        Self::Category,
        Self::Date,
        Self::Identifier,
        Self::Label,
        Self::Text,
        Self::Constant,
        Self::LeftOut,
    ];

    /// The name in options and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::YesNo => "yes_no",
            Self::Category => "category",
            Self::Date => "date",
            Self::Identifier => "identifier",
            Self::Label => "label",
            Self::Text => "text",
            Self::Constant => "constant",
            Self::LeftOut => "left_out",
        }
    }

    /// The kind of a name.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn parse(name: &str) -> Result<Self> {
        let named = Self::ALL.into_iter().find(|kind| kind.name() == name.trim().replace(['-', '/'], "_"));
        named.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
            Error::data(format!("`{}` is no kind of column", crate::base::text::escaped(name)))
                .hint(format!("the kinds are {}", names.join(", ")))
        })
    }
}

/// The kind of a column, with what it needs to be encoded and decoded.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ColumnKind {
    /// See [`Kind::Number`].
    Number,
    /// See [`Kind::YesNo`].
    YesNo {
        /// The texts of 0 and 1; None for the numbers 0 and 1.
        texts: Option<[String; 2]>,
        /// The share of 1 among the rows that have a value.
        share: f64,
    },
    /// See [`Kind::Category`].
    Category {
        /// The levels, most frequent first. [`OTHER`] is the last one where rare levels were joined.
        levels: Vec<Level>,
    },
    /// See [`Kind::Date`].
    Date {
        /// How its text is written: see [`crate::data::schema`].
        pattern: String,
        /// The first one, in days since 1970-01-01.
        first: f64,
    },
    /// See [`Kind::Identifier`].
    Identifier,
    /// See [`Kind::Label`].
    Label,
    /// See [`Kind::Text`].
    Text,
    /// See [`Kind::Constant`].
    Constant {
        /// The text of its cells; None where all values are missing.
        text: Option<String>,
    },
    /// See [`Kind::LeftOut`].
    LeftOut,
}

/// A level of a category.
#[derive(Debug, Clone, PartialEq)]
pub struct Level {
    /// Its text.
    pub text: String,
    /// Its share of the rows that have a value.
    pub share: f64,
}

impl ColumnKind {
    /// The kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Number => Kind::Number,
            Self::YesNo { .. } => Kind::YesNo,
            Self::Category { .. } => Kind::Category,
            Self::Date { .. } => Kind::Date,
            Self::Identifier => Kind::Identifier,
            Self::Label => Kind::Label,
            Self::Text => Kind::Text,
            Self::Constant { .. } => Kind::Constant,
            Self::LeftOut => Kind::LeftOut,
        }
    }

    /// The numbers that encode a cell.
    pub fn width(&self) -> usize {
        match self {
            Self::Number | Self::YesNo { .. } | Self::Date { .. } => 1,
            Self::Category { levels } => levels.len(),
            Self::Identifier | Self::Label | Self::Text | Self::Constant { .. } | Self::LeftOut => 0,
        }
    }

    /// How the error of the column is measured, and the weight that makes the error of the best constant 1.
    fn error(&self) -> (ColumnError, f64) {
        match self {
            Self::YesNo { share, .. } => (ColumnError::Binary, weight(&[*share, 1.0 - share])),
            Self::Category { levels } => {
                let shares: Vec<f64> = levels.iter().map(|level| level.share).collect();
                (ColumnError::Categorical, weight(&shares))
            }
            _ => (ColumnError::Squared, 1.0),
        }
    }
}

/// 1 / the entropy of a distribution, in nats; 1 where it has none.
fn weight(shares: &[f64]) -> f64 {
    let entropy: f64 = shares.iter().filter(|&&share| share > 0.0).map(|share| -share * share.ln()).sum();
    if entropy > 0.0 { 1.0 / entropy } else { 1.0 }
}

impl Schema {
    /// Numbers in an encoded row.
    pub fn width(&self) -> usize {
        self.columns.iter().map(|column| column.kind.width()).sum()
    }

    /// The columns that are encoded, in order.
    pub fn encoded_columns(&self) -> Vec<EncodedColumn> {
        let mut at = 0;
        let columns = self.columns.iter().filter(|column| column.kind.width() > 0);
        columns
            .map(|column| {
                let range = at..at + column.kind.width();
                at = range.end;
                let (error, weight) = column.kind.error();
                EncodedColumn { range, error, weight }
            })
            .collect()
    }

    /// The name of each number of an encoded row: that of its column, or `column=level`.
    pub fn encoded_names(&self) -> Vec<String> {
        let mut names = Vec::with_capacity(self.width());
        for (number, column) in (1..).zip(&self.columns) {
            let name = column.title(number);
            match &column.kind {
                ColumnKind::Category { levels } => {
                    names.extend(levels.iter().map(|level| format!("{name}={}", level.text)));
                }
                kind if kind.width() == 1 => names.push(name),
                _ => {}
            }
        }
        names
    }

    /// Whether a column names the rows, or their classes.
    pub fn names_rows(&self) -> bool {
        self.columns.iter().any(|column| matches!(column.kind, ColumnKind::Identifier | ColumnKind::Label))
    }

    /// Whether the file had names of columns.
    pub fn has_names(&self) -> bool {
        self.columns.iter().any(|column| column.name.is_some())
    }

    /// Whether every number of an encoded row is a cell of the file: there are no categories, dates or yes/no columns of text.
    pub fn is_numeric(&self) -> bool {
        let is_number = |column: &SchemaColumn| match &column.kind {
            ColumnKind::YesNo { texts, .. } => texts.is_none(),
            kind => matches!(kind, ColumnKind::Number) || kind.width() == 0,
        };
        self.columns.iter().all(is_number)
    }
}

impl SchemaColumn {
    /// The name, or `column_N` for a column without a name or with an empty one; `number` counts from 1.
    pub fn title(&self, number: usize) -> String {
        let name = self.name.as_ref().filter(|name| !name.is_empty());
        name.cloned().unwrap_or_else(|| format!("column_{number}"))
    }
}

/// The number of a text; the forms that the readers of text know.
pub(super) fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|value| value.is_finite())
}

/// The form of a column in a model file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredColumn {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    kind: Kind,
    /// The levels of a category, or the texts of 0 and 1, or the text of a constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    levels: Option<Vec<String>>,
    /// The share of each level of a category, or of 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shares: Option<Vec<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<f64>,
}

impl From<SchemaColumn> for StoredColumn {
    fn from(column: SchemaColumn) -> Self {
        let kind = column.kind.kind();
        let bare = Self { name: column.name, kind, levels: None, shares: None, pattern: None, first: None };
        match column.kind {
            ColumnKind::YesNo { texts, share } => {
                Self { levels: texts.map(Vec::from), shares: Some(vec![share]), ..bare }
            }
            ColumnKind::Category { levels } => {
                let (levels, shares) = levels.into_iter().map(|level| (level.text, level.share)).unzip();
                Self { levels: Some(levels), shares: Some(shares), ..bare }
            }
            ColumnKind::Date { pattern, first } => {
                Self { pattern: Some(pattern), first: Some(first), ..bare }
            }
            ColumnKind::Constant { text } => Self { levels: text.map(|text| vec![text]), ..bare },
            ColumnKind::Number
            | ColumnKind::Identifier
            | ColumnKind::Label
            | ColumnKind::Text
            | ColumnKind::LeftOut => bare,
        }
    }
}

impl TryFrom<StoredColumn> for SchemaColumn {
    type Error = String;

    fn try_from(stored: StoredColumn) -> std::result::Result<Self, String> {
        let StoredColumn { name, kind, levels, shares, pattern, first } = stored;
        let is_share = |share: &f64| (0.0..=1.0).contains(share);
        let kind = match (kind, levels, shares, pattern, first) {
            (Kind::YesNo, levels, Some(shares), None, None) if shares.len() == 1 && is_share(&shares[0]) => {
                let texts = levels.map(<[String; 2]>::try_from).transpose().ok();
                texts.map(|texts| ColumnKind::YesNo { texts, share: shares[0] })
            }
            (Kind::Category, Some(texts), Some(shares), None, None) => {
                let distinct: std::collections::BTreeSet<&String> = texts.iter().collect();
                let fits = !texts.is_empty()
                    && texts.len() == shares.len()
                    && distinct.len() == texts.len()
                    && shares.iter().all(is_share);
                let levels = texts.into_iter().zip(shares).map(|(text, share)| Level { text, share });
                fits.then(|| ColumnKind::Category { levels: levels.collect() })
            }
            (Kind::Date, None, None, Some(pattern), Some(first)) if first.is_finite() => {
                super::dates::is_known(&pattern).then_some(ColumnKind::Date { pattern, first })
            }
            (Kind::Constant, None, None, None, None) => Some(ColumnKind::Constant { text: None }),
            (Kind::Constant, Some(mut texts), None, None, None) if texts.len() == 1 => {
                Some(ColumnKind::Constant { text: texts.pop() })
            }
            (Kind::Number, None, None, None, None) => Some(ColumnKind::Number),
            (Kind::Identifier, None, None, None, None) => Some(ColumnKind::Identifier),
            (Kind::Label, None, None, None, None) => Some(ColumnKind::Label),
            (Kind::Text, None, None, None, None) => Some(ColumnKind::Text),
            (Kind::LeftOut, None, None, None, None) => Some(ColumnKind::LeftOut),
            _ => None,
        };
        let title = name.as_deref().unwrap_or_default();
        let kind = kind.ok_or_else(|| format!("the column `{}`", crate::base::text::escaped(title)))?;
        Ok(Self { name, kind })
    }
}
