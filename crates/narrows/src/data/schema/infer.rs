//! Kinds of columns, found from all rows of a table.

use std::collections::{BTreeMap, HashSet};

use super::columns::{ColumnKind, Kind, Level, OTHER, Schema, SchemaColumn, number};
use super::dates;
use crate::base::text::{escaped, listed, short_text};
use crate::data::source::each_block;
use crate::data::{Content, Frame, FrameColumn};
use crate::error::{Error, Result};

/// A level of fewer rows than this share is joined with others.
const RARE: f64 = 0.01;
/// The most levels of a category.
const MOST_LEVELS: usize = 50;
/// The rows from which a column of distinct or ascending values is taken for the names of rows, whatever its name.
const ENOUGH_ROWS: usize = 10;
/// Rows that are looked at first: most columns of numbers are neither ascending nor all 0 and 1 within them, and need no more.
const FIRST_ROWS: usize = 1000;

/// Choices about the columns of a table; each names a column by its name, or by its number from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// The columns to use; None for all.
    pub columns: Option<Vec<String>>,
    /// Columns to leave out.
    pub drop: Vec<String>,
    /// Columns that name the rows.
    pub identifiers: Vec<String>,
    /// Columns with a kind of choice.
    pub kinds: Vec<(String, Kind)>,
}

impl Schema {
    /// Finds the kinds of the columns of a table from all of its rows. `label` is the column of labels.
    ///
    /// # Errors
    /// Where an option names no column, a column cannot be of the kind that was chosen, no column is left to be encoded, or rows
    /// cannot be read.
    pub fn infer(frame: &Frame<'_>, options: &TableOptions, label: Option<usize>) -> Result<Self> {
        let mut chosen = chosen_kinds(frame, options)?;
        if let Some(label) = label {
            chosen[label] = Some(Kind::Label);
        }
        let scans = scan(frame, &chosen)?;
        let mut columns = Vec::with_capacity(frame.columns.len());
        for (at, (column, scan)) in frame.columns.iter().zip(&scans).enumerate() {
            let evidence = Evidence { column, scan, at, rows: frame.cells.rows() };
            let kind = match chosen[at] {
                Some(kind) => evidence
                    .of_kind(kind)
                    .map_err(|error| error.at(format_args!("column `{}`", escaped(&title(column, at)))))?,
                None => evidence.kind(),
            };
            columns.push(SchemaColumn { name: column.name.clone(), kind });
        }
        let mut schema = Self { columns };
        schema.keep_one_column(&chosen, &scans);
        if schema.width() == 0 {
            return Err(schema.nothing_left());
        }
        Ok(schema)
    }

    /// A table of nothing but ascending whole numbers holds data, not only identifiers.
    fn keep_one_column(&mut self, chosen: &[Option<Kind>], scans: &[Scan]) {
        if self.width() > 0 {
            return;
        }
        for ((column, chosen), scan) in self.columns.iter_mut().zip(chosen).zip(scans) {
            let is_found = chosen.is_none() && column.kind == ColumnKind::Identifier;
            if is_found && matches!(scan.found, Found::Numbers(_)) {
                column.kind = ColumnKind::Number;
            }
        }
    }

    fn nothing_left(&self) -> Error {
        let columns: Vec<String> = (1..)
            .zip(&self.columns)
            .take(12)
            .map(|(number, column)| {
                format!("`{}` is {}", escaped(&column.title(number)), column.kind.kind().name())
            })
            .collect();
        Error::data(format!("there is no column to learn from: {}", columns.join(", ")))
            .hint("choose the kind of a column with `kinds`")
    }
}

/// The column of a name, or of a number from 1 where no column has this name.
///
/// # Errors
/// Where there is none.
pub fn find_column(columns: &[FrameColumn], wanted: &str, option: &str) -> Result<usize> {
    let named = columns.iter().position(|column| column.name.as_deref() == Some(wanted));
    let number = wanted.parse::<usize>().ok();
    match (named, number) {
        (Some(column), _) => Ok(column),
        (None, Some(number)) if (1..=columns.len()).contains(&number) => Ok(number - 1),
        (None, Some(number)) => {
            Err(Error::data(format!("`{option}` {number}: the columns are 1 to {}", columns.len())))
        }
        (None, None) => {
            let error = Error::data(format!("no column is called `{}`", escaped(&short_text(wanted, 40))));
            let names: Vec<&str> = columns.iter().filter_map(|column| column.name.as_deref()).collect();
            Err(match names.is_empty() {
                true => error.hint("there is no header: give the column's number, from 1"),
                false => error.hint(format!("the columns are {}", listed(&names, 12))),
            })
        }
    }
}

/// The kind of each column that an option chooses.
fn chosen_kinds(frame: &Frame<'_>, options: &TableOptions) -> Result<Vec<Option<Kind>>> {
    let mut chosen = vec![None; frame.columns.len()];
    if let Some(used) = &options.columns {
        chosen.fill(Some(Kind::LeftOut));
        for name in used {
            chosen[find_column(&frame.columns, name, "columns")?] = None;
        }
    }
    for name in &options.drop {
        chosen[find_column(&frame.columns, name, "drop")?] = Some(Kind::LeftOut);
    }
    for (name, kind) in &options.kinds {
        chosen[find_column(&frame.columns, name, "kinds")?] = Some(*kind);
    }
    for name in &options.identifiers {
        chosen[find_column(&frame.columns, name, "identifiers")?] = Some(Kind::Identifier);
    }
    Ok(chosen)
}

fn title(column: &FrameColumn, at: usize) -> String {
    column.name.clone().unwrap_or_else(|| format!("column_{}", at + 1))
}

/// What the rows say about a column.
struct Scan {
    present: usize,
    found: Found,
}

enum Found {
    Numbers(Numbers),
    /// How often each text of the dictionary occurs.
    Texts(Vec<usize>),
    Days {
        first: f64,
        has_times: bool,
    },
}

/// Numbers of a column, or of its first rows where these decide.
struct Numbers {
    is_whole: bool,
    is_ascending: bool,
    /// The difference of each number from the one before, while it is always the same.
    step: Option<f64>,
    has_step: bool,
    last: f64,
    zeros: usize,
    ones: usize,
    others: usize,
    /// How often each number occurs, where that is needed, up to a limit.
    counts: Option<BTreeMap<u64, usize>>,
    /// The distinct numbers of a column whose name says that it is an identifier.
    distinct: Option<HashSet<u64>>,
    is_repeated: bool,
}

/// Distinct numbers of a category that are counted.
const MOST_NUMBERS: usize = 100_000;

impl Numbers {
    fn new(is_counted: bool, is_named_identifier: bool) -> Self {
        Self {
            is_whole: true,
            is_ascending: true,
            step: None,
            has_step: true,
            last: f64::NEG_INFINITY,
            zeros: 0,
            ones: 0,
            others: 0,
            counts: is_counted.then(BTreeMap::new),
            distinct: is_named_identifier.then(HashSet::new),
            is_repeated: false,
        }
    }

    fn add(&mut self, value: f64) {
        self.is_whole &= value.fract() == 0.0;
        if self.last.is_finite() {
            let step = value - self.last;
            self.has_step &= *self.step.get_or_insert(step) == step;
            self.is_ascending &= step > 0.0;
        }
        self.last = value;
        match value {
            0.0 => self.zeros += 1,
            1.0 => self.ones += 1,
            _ => self.others += 1,
        }
        if let Some(counts) = &mut self.counts
            && counts.len() <= MOST_NUMBERS
        {
            *counts.entry(value.to_bits()).or_default() += 1;
        }
        if let Some(distinct) = &mut self.distinct
            && !self.is_repeated
            && !distinct.insert(value.to_bits())
        {
            self.is_repeated = true;
        }
    }

    /// Whether further rows may change the kind.
    fn is_open(&self) -> bool {
        self.counts.is_some()
            || (self.distinct.is_some() && self.is_whole && !self.is_repeated)
            || (self.is_whole && self.is_ascending)
            || self.others == 0
    }
}

/// Looks at the first rows of all columns, then at all rows of the columns that they do not decide.
fn scan(frame: &Frame<'_>, chosen: &[Option<Kind>]) -> Result<Vec<Scan>> {
    let mut scans: Vec<Scan> = Vec::with_capacity(chosen.len());
    for (at, (column, chosen)) in frame.columns.iter().zip(chosen).enumerate() {
        let found = match &column.content {
            Content::Numbers => {
                let is_counted = matches!(chosen, Some(Kind::Category | Kind::YesNo))
                    || (chosen.is_none() && is_label_name(&title(column, at)));
                let name = column.name.as_deref().unwrap_or("-");
                Found::Numbers(Numbers::new(is_counted, chosen.is_none() && is_identifier_name(name)))
            }
            Content::Texts(texts) => Found::Texts(vec![0; texts.len()]),
            Content::Days => Found::Days { first: f64::INFINITY, has_times: false },
        };
        scans.push(Scan { present: 0, found });
    }
    let (cells, width) = (&*frame.cells, frame.columns.len());
    let mut open: Vec<usize> = (0..width).collect();
    let mut is_first_decided = false;
    each_block(cells, |first, block| {
        if !is_first_decided && first >= FIRST_ROWS {
            is_first_decided = true;
            open.retain(|&at| match &scans[at].found {
                Found::Numbers(numbers) => {
                    chosen[at].is_none_or(|kind| kind != Kind::LeftOut) && numbers.is_open()
                }
                Found::Texts(_) | Found::Days { .. } => true,
            });
        }
        if open.is_empty() {
            return Ok(());
        }
        for row in block.chunks_exact(width) {
            for &at in &open {
                let value = row[at];
                if value.is_nan() {
                    continue;
                }
                let scan = &mut scans[at];
                scan.present += 1;
                match &mut scan.found {
                    Found::Numbers(numbers) => numbers.add(value),
                    Found::Texts(counts) => {
                        if let Some(count) = counts.get_mut(value as usize) {
                            *count += 1;
                        }
                    }
                    Found::Days { first, has_times } => {
                        *first = first.min(value);
                        *has_times |= value.fract() != 0.0;
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(scans)
}

/// A column and what its rows say.
struct Evidence<'a> {
    column: &'a FrameColumn,
    scan: &'a Scan,
    at: usize,
    rows: usize,
}

impl Evidence<'_> {
    /// The kind that the rows and the name speak for.
    fn kind(&self) -> ColumnKind {
        let title = title(self.column, self.at);
        let name = self.column.name.as_deref().unwrap_or("-");
        if self.scan.present == 0 {
            return ColumnKind::Constant { text: None };
        }
        match &self.scan.found {
            Found::Numbers(numbers) => {
                let is_distinct = numbers.is_whole && numbers.distinct.is_some() && !numbers.is_repeated;
                let is_counted = numbers.is_whole
                    && numbers.is_ascending
                    && self.rows >= ENOUGH_ROWS
                    && self.column.name.is_some()
                    && (self.at == 0 || numbers.has_step || is_weak_identifier_name(name));
                let levels = numbers.counts.as_ref().map_or(usize::MAX, BTreeMap::len);
                if self.scan.present == self.rows && (is_distinct || is_counted) && self.rows > 1 {
                    ColumnKind::Identifier
                } else if is_label_name(&title) && numbers.is_whole && (2..=MOST_LEVELS).contains(&levels) {
                    ColumnKind::Label
                } else if numbers.others == 0 && numbers.zeros > 0 && numbers.ones > 0 {
                    let share = numbers.ones as f64 / (numbers.zeros + numbers.ones) as f64;
                    ColumnKind::YesNo { texts: None, share }
                } else {
                    ColumnKind::Number
                }
            }
            Found::Days { first, has_times } => {
                ColumnKind::Date { pattern: dates::pattern_of_days(*has_times).to_owned(), first: *first }
            }
            Found::Texts(counts) => self.kind_of_texts(counts, &title, name),
        }
    }

    fn kind_of_texts(&self, counts: &[usize], title: &str, name: &str) -> ColumnKind {
        let used: Vec<&str> = self.used_texts(counts).collect();
        let distinct = used.len();
        if let [text] = used[..] {
            return ColumnKind::Constant { text: Some(text.to_owned()) };
        }
        if let Some(date) = self.date() {
            return date;
        }
        if is_label_name(title) && distinct <= MOST_LEVELS {
            return ColumnKind::Label;
        }
        let present = self.scan.present;
        let is_named = self.at == 0 || is_identifier_name(name) || is_weak_identifier_name(name);
        let is_short =
            used.iter().all(|text| text.chars().count() <= 60 && text.split_whitespace().count() <= 4);
        if distinct == present && present > 1 && is_short && (is_named || self.rows >= ENOUGH_ROWS) {
            return ColumnKind::Identifier;
        }
        if let Some(texts) = yes_no_texts(&used) {
            let ones = counts.iter().zip(self.texts()).filter(|(_, text)| **text == texts[1]);
            let share = ones.map(|(count, _)| *count).sum::<usize>() as f64 / present as f64;
            return ColumnKind::YesNo { texts: Some(texts), share };
        }
        if distinct > 10 && 2 * distinct > present {
            return ColumnKind::Text;
        }
        let levels = levels(counts.iter().copied().zip(self.texts().iter().cloned()), present);
        let other = levels.iter().find(|level| level.text == OTHER).map_or(0.0, |level| level.share);
        if other > 0.5 { ColumnKind::Text } else { ColumnKind::Category { levels } }
    }

    /// The kind that was chosen.
    fn of_kind(&self, kind: Kind) -> Result<ColumnKind> {
        let used = |counts: &[usize]| self.used_texts(counts).map(str::to_owned).collect::<Vec<_>>();
        match (kind, &self.scan.found) {
            (Kind::Identifier, _) => Ok(ColumnKind::Identifier),
            (Kind::Label, _) => Ok(ColumnKind::Label),
            (Kind::Text, _) => Ok(ColumnKind::Text),
            (Kind::LeftOut | Kind::Constant, _) => Ok(ColumnKind::LeftOut),
            (Kind::Number, Found::Numbers(_)) => Ok(ColumnKind::Number),
            (Kind::Number, Found::Texts(counts)) => {
                match used(counts).iter().find(|text| number(text).is_none()) {
                    None => Ok(ColumnKind::Number),
                    Some(text) => Err(Error::data(format!("`{}` is not a number", shown(text)))),
                }
            }
            (Kind::Date, Found::Days { .. }) => Ok(self.kind()),
            (Kind::Date, Found::Texts(_)) => self.date().ok_or_else(|| {
                Error::data("its texts are not dates of one form")
                    .hint("such as 2026-11-28, 28.11.2026, 11/28/2026 or 2026-11-28 17:05:00")
            }),
            (Kind::YesNo, Found::Texts(counts)) => match <[String; 2]>::try_from(used(counts)) {
                Ok(mut texts) => {
                    texts.sort();
                    let texts = yes_no_texts(&[&texts[0], &texts[1]]).unwrap_or(texts);
                    let ones = counts.iter().zip(self.texts()).filter(|(_, text)| **text == texts[1]);
                    let share =
                        ones.map(|(count, _)| *count).sum::<usize>() as f64 / self.scan.present as f64;
                    Ok(ColumnKind::YesNo { texts: Some(texts), share })
                }
                Err(texts) => Err(Error::data(format!("{} different texts, not two", texts.len()))),
            },
            (Kind::YesNo, Found::Numbers(numbers)) if numbers.others == 0 => {
                let share = numbers.ones as f64 / (numbers.zeros + numbers.ones).max(1) as f64;
                Ok(ColumnKind::YesNo { texts: None, share })
            }
            (Kind::YesNo, Found::Numbers(numbers)) => {
                let counts = numbers.counts.as_ref().map_or(Vec::new(), |counts| counts.iter().collect());
                let mut pairs: Vec<(f64, usize)> =
                    counts.iter().map(|(bits, count)| (f64::from_bits(**bits), **count)).collect();
                pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
                match pairs[..] {
                    [(no, _), (yes, count)] => Ok(ColumnKind::YesNo {
                        texts: Some([no.to_string(), yes.to_string()]),
                        share: count as f64 / self.scan.present as f64,
                    }),
                    _ => Err(Error::data(format!("{} different numbers, not two", pairs.len()))),
                }
            }
            (Kind::Category, Found::Texts(counts)) => {
                let levels =
                    levels(counts.iter().copied().zip(self.texts().iter().cloned()), self.scan.present);
                self.category(levels)
            }
            (Kind::Category, Found::Numbers(numbers)) => {
                let counts = numbers.counts.iter().flatten();
                let mut pairs: Vec<(f64, usize)> =
                    counts.map(|(bits, count)| (f64::from_bits(*bits), *count)).collect();
                if pairs.len() > MOST_NUMBERS {
                    return Err(Error::data(format!("more than {MOST_NUMBERS} different numbers")));
                }
                pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.category(levels(
                    pairs.into_iter().map(|(value, count)| (count, value.to_string())),
                    self.scan.present,
                ))
            }
            (Kind::Date, Found::Numbers(_)) => {
                Err(Error::data("numbers are not dates").hint("write dates as text, such as 2026-11-28"))
            }
            (Kind::Number | Kind::YesNo | Kind::Category, Found::Days { .. }) => {
                Err(Error::data("a column of dates").hint("choose the kind date, identifier or left_out"))
            }
        }
    }

    fn category(&self, levels: Vec<Level>) -> Result<ColumnKind> {
        match levels.is_empty() {
            true => Err(Error::data("all values are missing")),
            false => Ok(ColumnKind::Category { levels }),
        }
    }

    fn texts(&self) -> &[String] {
        match &self.column.content {
            Content::Texts(texts) => texts,
            _ => &[],
        }
    }

    /// The texts that occur in a row.
    fn used_texts<'s>(&'s self, counts: &'s [usize]) -> impl Iterator<Item = &'s str> + Clone {
        self.texts().iter().zip(counts).filter(|(_, count)| **count > 0).map(|(text, _)| text.trim())
    }

    /// Dates, if all texts are.
    fn date(&self) -> Option<ColumnKind> {
        let Found::Texts(counts) = &self.scan.found else { return None };
        let texts = self.used_texts(counts);
        let (pattern, _) = dates::pattern_of(texts.clone())?;
        let first = texts.filter_map(|text| dates::days(text, &pattern)).fold(f64::INFINITY, f64::min);
        first.is_finite().then_some(ColumnKind::Date { pattern, first })
    }
}

fn shown(text: &str) -> String {
    escaped(&short_text(text, 40)).into_owned()
}

/// The levels of a category from how often each text occurs: the most frequent first, rare ones joined.
fn levels(counts: impl Iterator<Item = (usize, String)>, present: usize) -> Vec<Level> {
    let mut all: Vec<(usize, String)> = counts.filter(|(count, _)| *count > 0).collect();
    all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let share = |count: usize| count as f64 / present.max(1) as f64;
    let is_kept = |(at, (count, text)): (usize, &(usize, String))| {
        at < MOST_LEVELS && share(*count) >= RARE && text != OTHER
    };
    let kept = all.iter().enumerate().take_while(|(at, level)| is_kept((*at, level))).count();
    // One rare level alone needs no other name.
    let kept = if kept + 1 == all.len() && kept < MOST_LEVELS { all.len() } else { kept };
    let others: usize = all[kept..].iter().map(|(count, _)| count).sum();
    let mut levels: Vec<Level> =
        all.into_iter().take(kept).map(|(count, text)| Level { share: share(count), text }).collect();
    if others > 0 {
        levels.push(Level { text: OTHER.to_owned(), share: share(others) });
    }
    levels
}

/// The texts of no and yes, if these two are such.
fn yes_no_texts(texts: &[&str]) -> Option<[String; 2]> {
    const PAIRS: [[&str; 2]; 10] = [
        ["no", "yes"],
        ["n", "y"],
        ["false", "true"],
        ["f", "t"],
        ["off", "on"],
        ["0", "1"],
        ["nein", "ja"],
        ["non", "oui"],
        ["no", "si"],
        ["no", "sí"],
    ];
    let [a, b] = texts else { return None };
    let is = |text: &str, word: &str| text.to_lowercase() == word;
    PAIRS.iter().find_map(|[no, yes]| match (is(a, no) && is(b, yes), is(b, no) && is(a, yes)) {
        (true, _) => Some([(*a).to_owned(), (*b).to_owned()]),
        (_, true) => Some([(*b).to_owned(), (*a).to_owned()]),
        _ => None,
    })
}

/// Whether a name says that a column names the rows.
pub(super) fn is_identifier_name(name: &str) -> bool {
    let trimmed = name.trim();
    let lower = trimmed.to_lowercase();
    let is_whole_name =
        ["", "id", "ids", "index", "rownames", "row.names", "row_names", "rowname", "uuid", "guid"]
            .contains(&&*lower);
    let has_ending =
        ["_id", " id", ".id", "-id", "_uuid", "_key", " key"].iter().any(|end| lower.ends_with(end));
    // customerId, CustomerID
    let is_camel = ["Id", "ID"].iter().any(|end| {
        trimmed.strip_suffix(end).is_some_and(|start| start.ends_with(|c: char| c.is_lowercase()))
    });
    is_whole_name || has_ending || is_camel || lower.starts_with("unnamed: ")
}

/// Whether a name says so of a column of ascending numbers.
fn is_weak_identifier_name(name: &str) -> bool {
    [
        "nr",
        "nr.",
        "no",
        "no.",
        "#",
        "number",
        "row",
        "key",
        "obs",
        "observation",
        "case",
        "record",
        "name",
        "names",
    ]
    .contains(&&*name.trim().to_lowercase())
}

/// Whether a name says that a column holds the classes.
fn is_label_name(name: &str) -> bool {
    ["label", "labels", "class", "target"].contains(&&*name.trim().to_lowercase())
}
