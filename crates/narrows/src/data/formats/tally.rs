//! What the cells of the columns of a text are together: numbers, texts, or numbers in the forms that people write. One pass over
//! the cells counts; a second one, over the columns that are no plain numbers, fills in their values.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::cell::{Cell, Loss, Unit, Written, shortened};
use crate::base::memory;
use crate::data::Content;
use crate::error::{Error, Result};

/// Where in the file something was first seen, and the cell.
pub(in crate::data::formats) type First = Option<(usize, String)>;

/// What was seen of a column, beside its plain numbers.
#[derive(Debug, Clone, Default)]
pub(in crate::data::formats) struct Tally {
    /// Values that are missing, and the line of the first one.
    pub missing: usize,
    pub first_missing: Option<usize>,
    /// Texts that are no numbers in any form.
    texts: usize,
    first_text: First,
    first_infinite: First,
    /// Numbers that are to stay text.
    kept: usize,
    first_kept: Option<(usize, String, Loss)>,
    /// Numbers in the forms that people write.
    written: usize,
    first_written: First,
    /// A number without a reading with a decimal point, and one without a reading with a decimal comma.
    no_point: First,
    no_comma: First,
    /// A number that the two readings make different.
    differs: First,
    unit: Option<Option<Unit>>,
    other_unit: First,
}

impl Tally {
    /// Counts a cell that is no plain number, and gives the value that stands for it until the second pass. `is_typed` says that
    /// the cell is a text by its type, whatever it looks like.
    #[cold]
    pub fn note(&mut self, line: usize, cell: Cell, text: &str, is_typed: bool) -> f64 {
        let seen = || Some((line, shortened(text.trim())));
        match cell {
            Cell::Number(value) => return value,
            Cell::Missing => {
                self.missing += 1;
                self.first_missing.get_or_insert(line);
            }
            Cell::Infinite => self.first_infinite = self.first_infinite.take().or_else(seen),
            Cell::Kept(loss) => {
                self.kept += 1;
                self.first_kept.get_or_insert_with(|| (line, shortened(text.trim()), loss));
            }
            Cell::Text => match Written::of(text).filter(|_| !is_typed) {
                None => {
                    self.texts += 1;
                    self.first_text = self.first_text.take().or_else(seen);
                }
                Some(written) => {
                    self.written += 1;
                    self.first_written = self.first_written.take().or_else(seen);
                    self.count(written, seen);
                }
            },
        }
        f64::NAN
    }

    fn count(&mut self, written: Written, seen: impl Fn() -> First) {
        let mark = |first: &mut First| *first = first.take().or_else(&seen);
        match (written.point, written.comma) {
            (None, _) => mark(&mut self.no_point),
            (_, None) => mark(&mut self.no_comma),
            (point, comma) if point != comma => mark(&mut self.differs),
            _ => {}
        }
        if *self.unit.get_or_insert(written.unit) != written.unit {
            mark(&mut self.other_unit);
        }
    }

    /// The first text that is no number, or that stays text.
    pub fn first_text(&self) -> First {
        let kept = || self.first_kept.as_ref().map(|(line, cell, _)| (*line, cell.clone()));
        self.first_text.clone().or_else(kept)
    }

    /// Whether the column has plain numbers and missing values only.
    pub fn is_plain(&self) -> bool {
        self.texts + self.kept + self.written == 0 && self.first_infinite.is_none()
    }

    /// Whether all values are numbers, of which some are in a form that people write.
    fn is_written(&self) -> bool {
        self.written > 0 && self.texts + self.kept == 0 && self.first_infinite.is_none()
    }
}

/// What a file says of all its columns.
pub(in crate::data::formats) struct File<'a> {
    pub rows: usize,
    /// Whether commas separate cells, so that those within numbers can only be in quotes.
    pub has_commas_between: bool,
    /// The names of the columns, where there are some.
    pub name: &'a dyn Fn(usize) -> Option<&'a str>,
    /// Whether the caller takes a column for a text whatever it looks like: a label, a category.
    pub is_text: &'a dyn Fn(usize) -> bool,
}

/// How the values of a column are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Plain,
    Text,
    Point,
    Comma,
}

/// The second pass over the columns that need one.
pub(in crate::data::formats) struct Second<'a> {
    file: &'a File<'a>,
    readings: Vec<Reading>,
    /// The columns that are looked at again.
    pub again: Vec<usize>,
    texts: Vec<Texts>,
    /// For plain numbers in a file with decimal commas: a number that is another one if its point separates thousands, and whether
    /// another number of the column shows that it does not.
    points: Vec<(First, bool)>,
    unit: Vec<Option<Unit>>,
    memory: usize,
}

impl<'a> Second<'a> {
    /// Decides from the first pass what the columns are. `numbers` are its values, `rows x columns`.
    pub fn new(
        file: &'a File<'a>,
        tallies: &[Tally],
        numbers: &[f64],
        notes: &mut Vec<String>,
    ) -> Result<Self> {
        for (column, tally) in tallies.iter().enumerate() {
            file.check(column, tally)?;
        }
        let written = |column: usize| tallies[column].is_written() && !(file.is_text)(column);
        // What other columns say of commas and points: a column that is numbers with one of them only.
        let with_comma = |tally: &Tally| tally.no_point.is_some() && tally.no_comma.is_none();
        let has_commas = (0..tallies.len()).any(|column| written(column) && with_comma(&tallies[column]));
        let width = tallies.len();
        let has_points = || {
            tallies.iter().any(|tally| tally.no_comma.is_some() && tally.no_point.is_none())
                || numbers.chunks_exact(width).any(|row| row.iter().any(|value| value.fract().abs() > 0.0))
        };
        let mut readings = Vec::with_capacity(width);
        for (column, tally) in tallies.iter().enumerate() {
            readings.push(if tally.is_plain() {
                Reading::Plain
            } else if !written(column) {
                Reading::Text
            } else {
                file.reading(column, tally, has_commas, &has_points)?
            });
        }
        note(file, tallies, &readings, notes);
        let has_commas = readings.contains(&Reading::Comma) && !file.has_commas_between;
        let again = (0..width).filter(|&column| readings[column] != Reading::Plain || has_commas).collect();
        let texts = readings.iter().map(|_| Texts::default()).collect();
        let unit = tallies.iter().map(|tally| tally.unit.flatten()).collect();
        Ok(Self { file, readings, again, texts, points: vec![(None, false); width], unit, memory: 0 })
    }

    /// The value of a cell of a column that is looked at again; `value` is that of the first pass.
    pub fn value(&mut self, line: usize, column: usize, text: Cow<'_, str>, value: f64) -> Result<f64> {
        let cell = text.trim();
        match self.readings[column] {
            Reading::Text => match Cell::of(cell) {
                Cell::Missing => Ok(f64::NAN),
                _ => self.text(column, cell),
            },
            Reading::Plain => {
                if !value.is_nan() && cell.contains('.') {
                    match Written::of(cell) {
                        Some(Written { comma: Some(comma), .. }) if comma != value => {
                            let (first, _) = &mut self.points[column];
                            first.get_or_insert_with(|| (line, shortened(cell)));
                        }
                        _ => self.points[column].1 = true,
                    }
                }
                Ok(value)
            }
            reading => {
                if Cell::of(cell) == Cell::Missing {
                    return Ok(f64::NAN);
                }
                let Some(written) = Written::of(cell) else { return Ok(f64::NAN) };
                let found = if reading == Reading::Point { written.point } else { written.comma };
                let error =
                    |what: &str| self.file.error(line, column, &format!("`{}` {what}", shortened(cell)));
                if written.unit != self.unit[column] {
                    return Err(error("is without the unit that other values of the column have")
                        .hint("write all values of a column in one form"));
                }
                found.ok_or_else(|| {
                    error("has a decimal point, other values of the column a decimal comma")
                        .hint("write all values of a column in one form")
                })
            }
        }
    }

    fn text(&mut self, column: usize, text: &str) -> Result<f64> {
        let (index, is_new) = self.texts[column].index(text);
        if is_new {
            // The text, its place in the list and in the map.
            const EACH: usize = 4 * size_of::<String>() + 32;
            let before = self.memory;
            self.memory += text.len() * 2 + EACH;
            // Asking takes time: once for each 16 MiB.
            if before >> 24 != self.memory >> 24 {
                memory::require(32 << 20, 1, "the texts of its table")?;
            }
        }
        Ok(index as f64)
    }

    /// What the columns are.
    ///
    /// # Errors
    /// Where the numbers of a column can be read in two ways.
    pub fn contents(self) -> Result<Vec<Content>> {
        let Self { file, readings, texts, points, .. } = self;
        for (column, (first, is_sure)) in points.iter().enumerate() {
            if let (Some((line, cell)), false) = (first, is_sure) {
                return Err(file
                    .error(*line, column, &format!("the point of `{cell}` may separate thousands or decimals: other columns have decimal commas"))
                    .hint("write all numbers of a file in one form"));
            }
        }
        Ok(readings
            .into_iter()
            .zip(texts)
            .map(|(reading, texts)| match reading {
                Reading::Text => Content::Texts(Arc::new(texts.list)),
                _ => Content::Numbers,
            })
            .collect())
    }
}

/// The distinct texts of a column.
#[derive(Default)]
struct Texts {
    list: Vec<String>,
    indices: HashMap<String, usize>,
}

impl Texts {
    /// The index of a text, and whether it is new.
    fn index(&mut self, text: &str) -> (usize, bool) {
        if let Some(&index) = self.indices.get(text) {
            return (index, false);
        }
        let index = self.list.len();
        self.list.push(text.to_owned());
        self.indices.insert(text.to_owned(), index);
        (index, true)
    }
}

impl File<'_> {
    /// An error about a cell, without the name of the file.
    pub fn error(&self, line: usize, column: usize, what: &str) -> Error {
        Error::data(match (self.name)(column).filter(|name| !name.is_empty()) {
            Some(name) => format!("line {line}, column `{}`: {what}", shortened(name)),
            None => format!("line {line}, column {}: {what}", column + 1),
        })
    }

    /// Refuses a column of numbers that has infinities, or a few texts among them.
    fn check(&self, column: usize, tally: &Tally) -> Result<()> {
        if (self.is_text)(column) || tally.kept > 0 {
            return Ok(());
        }
        let present = self.rows - tally.missing;
        match (&tally.first_text, &tally.first_infinite) {
            (None, Some((line, cell))) => Err(self
                .error(*line, column, &format!("`{cell}` is not a finite number"))
                .hint("correct it, or leave the cell empty if the value is missing")),
            (Some((line, cell)), _) if tally.texts * 10 <= present => {
                let name = (self.name)(column).map_or_else(|| (column + 1).to_string(), shortened);
                Err(self
                    .error(*line, column, &format!("`{cell}` is not a number, as most values of the column are"))
                    .hint(format!(
                        "correct it, leave the cell empty if the value is missing, or set the kind of `{name}` to category with `kind`"
                    )))
            }
            _ => Ok(()),
        }
    }

    /// How the numbers of a column are read in which some are in a form that people write.
    fn reading(
        &self,
        column: usize,
        tally: &Tally,
        has_commas: bool,
        has_points: &dyn Fn() -> bool,
    ) -> Result<Reading> {
        const ONE_FORM: &str = "write all values of a column in one form";
        let plain = self.rows - tally.missing - tally.written;
        if let (Some((line, cell)), Some((_, other))) = (&tally.other_unit, &tally.first_written) {
            let what = format!("`{cell}` has another unit than `{other}`, in the same column");
            return Err(self.error(*line, column, &what).hint(ONE_FORM));
        }
        if let (Some(Some(_)), Some((line, cell)), 1..) = (tally.unit, &tally.first_written, plain) {
            let what = format!("`{cell}` has a unit, other values of the column have none");
            return Err(self.error(*line, column, &what).hint(ONE_FORM));
        }
        match (&tally.no_point, &tally.no_comma, &tally.differs) {
            (Some((_, one)), Some((line, other)), _) => {
                let what = format!("`{other}` has a decimal point, but `{one}` a decimal comma");
                Err(self.error(*line, column, &what).hint(ONE_FORM))
            }
            (Some(_), None, _) => Ok(Reading::Comma),
            (None, Some(_), _) | (None, None, None) => Ok(Reading::Point),
            // A comma between cells is not at the same time the usual one of decimals.
            (None, None, Some(_)) if self.has_commas_between => Ok(Reading::Point),
            (None, None, Some((line, cell))) => match (has_commas, has_points()) {
                (true, false) => Ok(Reading::Comma),
                (false, true) => Ok(Reading::Point),
                _ => {
                    let what = format!("the comma of `{cell}` may separate thousands or decimals");
                    Err(self.error(*line, column, &what).hint(
                        "leave the comma out if it separates thousands; write a point if it separates decimals",
                    ))
                }
            },
        }
    }
}

/// Says what was read in another way than it is written, and what is text though it looks like numbers.
fn note(file: &File<'_>, tallies: &[Tally], readings: &[Reading], notes: &mut Vec<String>) {
    let mut say = |what: &str, is: &dyn Fn(&Tally, Reading) -> Option<String>| {
        let mut found = tallies
            .iter()
            .zip(readings)
            .enumerate()
            .filter_map(|(column, (tally, &reading))| Some((column, is(tally, reading)?)));
        let Some((column, cell)) = found.next() else { return };
        let column = match (file.name)(column).filter(|name| !name.is_empty()) {
            Some(name) => format!("column `{}`", shortened(name)),
            None => format!("column {}", column + 1),
        };
        let columns = match found.count() {
            0 => column,
            1 => format!("{column} and another one"),
            more => format!("{column} and {more} others"),
        };
        notes.push(format!("{columns}: {what}, such as `{cell}`"));
    };
    let cell = |first: &First| first.as_ref().map(|(_, cell)| cell.clone());
    let is_number = |reading| matches!(reading, Reading::Point | Reading::Comma);
    say("per cents are read as numbers without their sign", &|tally, reading| {
        (is_number(reading) && tally.unit == Some(Some(Unit::Percent))).then(|| cell(&tally.first_written))?
    });
    say("amounts are read as numbers without their currency", &|tally, reading| {
        (is_number(reading) && matches!(tally.unit, Some(Some(Unit::Currency(_)))))
            .then(|| cell(&tally.first_written))?
    });
    say("decimal commas are read as points", &|tally, reading| {
        (reading == Reading::Comma).then(|| cell(&tally.no_point).or_else(|| cell(&tally.differs)))?
    });
    say("separators of thousands are left out", &|tally, reading| {
        (reading == Reading::Point && tally.unit == Some(None)).then(|| cell(&tally.first_written))?
    });
    let kept = |tally: &Tally, reading, loss: Loss| {
        let (_, cell, found) = tally.first_kept.as_ref()?;
        (reading == Reading::Text && *found == loss && tally.texts == 0).then(|| cell.clone())
    };
    say("whole numbers with zeros in front stay text", &|tally, reading| kept(tally, reading, Loss::Zeros));
    say("integers past 2^53 stay text, which double precision would round", &|tally, reading| {
        kept(tally, reading, Loss::Digits)
    });
}
