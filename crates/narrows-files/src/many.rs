//! Several files as one table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use narrows::data::{Access, Concat, Content, Element, Frame, FrameColumn};
use narrows::{Error, Result, Shape, Source};

use crate::natural;
use crate::options::{ReadFrame, listed};

/// The files that patterns name, each once: those of one pattern in natural order (`part2` before `part10`), the patterns in the
/// order given. `*` stands for any characters, `?` for one, both in the last component of a path only. A pattern that is the name of a
/// file is that file.
///
/// # Errors
/// Where a pattern names no file, or its folder cannot be read.
pub fn find<P: AsRef<Path>>(patterns: &[P]) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let pattern = pattern.as_ref();
        let name = pattern.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if pattern.exists() || !name.contains(['*', '?']) {
            found.push(pattern.to_owned());
            continue;
        }
        let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty());
        let entries = std::fs::read_dir(folder.unwrap_or(Path::new(".")))
            .map_err(|error| Error::io(folder.unwrap_or(Path::new(".")), "read", error))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            // As in shells, hidden files are named by their dot.
            .filter(|entry| name.starts_with('.') || !entry.starts_with('.'))
            .filter(|entry| matches(&name, entry))
            .collect();
        if names.is_empty() {
            return Err(Error::data(format!("{}: no file has such a name", pattern.display()))
                .hint("`*` stands for any characters of a file's name, `?` for one"));
        }
        names.sort_by(|a, b| natural::compare(a, b));
        found.extend(names.into_iter().map(|name| match folder {
            Some(folder) => folder.join(name),
            None => PathBuf::from(name),
        }));
    }
    let mut seen = std::collections::HashSet::new();
    found.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

/// Whether a name fits a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // The last `*`, and the place in the name up to which it reaches.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => {
                let Some((at, reach)) = star else { return false };
                star = Some((at, reach + 1));
                (p, n) = (at + 1, reach + 1);
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Reads files and concatenates their tables. `read` gets a path and the number of files, among which memory is to be shared.
///
/// The columns are those of the first file, in its order; other files may have them in another order. The texts of a column are
/// numbered anew where files have different ones.
///
/// # Errors
/// Those of `read`; and where a file has other columns than the first, or other content in a column: the message names the file and
/// the columns.
pub fn concatenate<P: AsRef<Path>>(
    paths: &[P],
    mut read: impl FnMut(&Path, usize) -> Result<ReadFrame>,
) -> Result<ReadFrame> {
    let Some((first, others)) = paths.split_first() else { return Err(Error::data("there are no files")) };
    let (first, count) = (first.as_ref(), paths.len());
    let mut whole = read(first, count)?;
    if others.is_empty() {
        return Ok(whole);
    }
    let mut parts: Vec<Arc<dyn Source>> = vec![whole.frame.cells.clone()];
    let mut texts: Vec<Option<Merged>> = whole.frame.columns.iter().map(Merged::of).collect();
    for path in others {
        let path = path.as_ref();
        let part = read(path, count)?;
        for note in part.notes {
            if !whole.notes.contains(&note) {
                whole.notes.push(note);
            }
        }
        let order = order(&whole.frame.columns, &part.frame.columns).map_err(|what| {
            Error::data(format!("{}: {what}", path.display())).hint(format!(
                "files are read as one table where they have the same columns as the first, {}",
                first.display()
            ))
        })?;
        let mut numbers: Vec<Option<Vec<f64>>> = Vec::with_capacity(order.len());
        for (&from, merged) in order.iter().zip(&mut texts) {
            numbers.push(match (&part.frame.columns[from].content, merged) {
                (Content::Texts(own), Some(merged)) => merged.add(own),
                _ => None,
            });
        }
        let is_same =
            order.iter().enumerate().all(|(to, &from)| to == from) && numbers.iter().all(Option::is_none);
        parts.push(if is_same {
            part.frame.cells
        } else {
            Arc::new(Aligned { source: part.frame.cells, order, numbers })
        });
    }
    for (column, merged) in whole.frame.columns.iter_mut().zip(texts) {
        if let Some(merged) = merged {
            column.content = Content::Texts(Arc::new(merged.texts));
        }
    }
    let cells = Arc::new(Concat::new(parts)?);
    Ok(ReadFrame { frame: Frame::new(whole.frame.columns, cells)?, notes: whole.notes })
}

/// The texts of a column of several files.
struct Merged {
    texts: Vec<String>,
    places: std::collections::HashMap<String, usize>,
}

impl Merged {
    fn of(column: &FrameColumn) -> Option<Self> {
        let Content::Texts(texts) = &column.content else { return None };
        let places = texts.iter().cloned().zip(0..).collect();
        Some(Self { texts: texts.to_vec(), places })
    }

    /// The number of each text of a file; None where they are the same.
    fn add(&mut self, texts: &[String]) -> Option<Vec<f64>> {
        let numbers: Vec<usize> = texts
            .iter()
            .map(|text| {
                *self.places.entry(text.clone()).or_insert_with(|| {
                    self.texts.push(text.clone());
                    self.texts.len() - 1
                })
            })
            .collect();
        let is_same = numbers.iter().enumerate().all(|(own, &number)| own == number);
        (!is_same).then(|| numbers.into_iter().map(|number| number as f64).collect())
    }
}

/// For each column of the first file its place in another one.
fn order(first: &[FrameColumn], other: &[FrameColumn]) -> std::result::Result<Vec<usize>, String> {
    let name = |column: &FrameColumn| column.name.clone().unwrap_or_default();
    let mut order = Vec::with_capacity(first.len());
    // Files without names have their columns in one order.
    if first.iter().chain(other).any(|column| column.name.is_none()) {
        if first.len() != other.len() {
            return Err(format!("{} columns, but the first file has {}", other.len(), first.len()));
        }
        if first.iter().chain(other).any(|column| column.name.is_some()) {
            return Err("its columns have names, and those of another file have none".into());
        }
        order.extend(0..first.len());
    } else {
        let places: std::collections::HashMap<String, usize> = other.iter().map(name).zip(0..).collect();
        let missing: Vec<String> = first.iter().map(name).filter(|name| !places.contains_key(name)).collect();
        let known: std::collections::HashSet<String> = first.iter().map(name).collect();
        let surplus: Vec<String> = other.iter().map(name).filter(|name| !known.contains(name)).collect();
        match (missing.is_empty(), surplus.is_empty()) {
            (true, true) => order.extend(first.iter().map(|column| places[&name(column)])),
            (false, true) => return Err(format!("its columns lack {}", listed(&missing))),
            (true, false) => {
                return Err(format!("it has columns that the first file has not: {}", listed(&surplus)));
            }
            (false, false) => {
                return Err(format!(
                    "its columns lack {}, and have {} instead",
                    listed(&missing),
                    listed(&surplus)
                ));
            }
        }
    }
    for (column, &at) in first.iter().zip(&order) {
        let (wanted, found) = (content_text(&column.content), content_text(&other[at].content));
        if wanted != found {
            return Err(format!("column `{}` holds {found}, in the first file {wanted}", name(column)));
        }
    }
    Ok(order)
}

fn content_text(content: &Content) -> &'static str {
    match content {
        Content::Numbers => "numbers",
        Content::Texts(_) => "texts",
        Content::Days => "dates",
        _ => "other values",
    }
}

/// The rows of a source with its columns in another order, and its texts under other numbers.
struct Aligned {
    source: Arc<dyn Source>,
    /// The place in the source of each column.
    order: Vec<usize>,
    /// For each column of texts the numbers that its own numbers become.
    numbers: Vec<Option<Vec<f64>>>,
}

impl Aligned {
    fn align<T: Copy>(&self, out: &mut [T], to: impl Fn(f64) -> T, from: impl Fn(T) -> f64) {
        let mut row = Vec::with_capacity(self.order.len());
        for out in out.chunks_exact_mut(self.order.len()) {
            row.clear();
            row.extend_from_slice(out);
            for ((out, &at), numbers) in out.iter_mut().zip(&self.order).zip(&self.numbers) {
                // A missing text is no number, and remains so.
                let number = from(row[at]);
                *out = match numbers {
                    Some(numbers) if !number.is_nan() => to(numbers[number as usize]),
                    _ => row[at],
                };
            }
        }
    }

    fn align_f64(&self, out: &mut [f64]) {
        self.align(out, |number| number, |number| number);
    }

    fn align_f32(&self, out: &mut [f32]) {
        self.align(out, |number| number as f32, f64::from);
    }
}

impl Source for Aligned {
    fn rows(&self) -> usize {
        self.source.rows()
    }

    fn shape(&self) -> Shape {
        self.source.shape()
    }

    fn element(&self) -> Element {
        self.source.element()
    }

    fn access(&self) -> Access {
        self.source.access()
    }

    fn row_number(&self, row: usize) -> usize {
        self.source.row_number(row)
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        self.source.read_f64(first, out)?;
        self.align_f64(out);
        Ok(())
    }

    fn read_f32(&self, first: usize, out: &mut [f32]) -> Result<()> {
        self.source.read_f32(first, out)?;
        self.align_f32(out);
        Ok(())
    }

    fn gather_f64(&self, indices: &[usize], out: &mut [f64]) -> Result<()> {
        self.source.gather_f64(indices, out)?;
        self.align_f64(out);
        Ok(())
    }

    fn gather_f32(&self, indices: &[usize], out: &mut [f32]) -> Result<()> {
        self.source.gather_f32(indices, out)?;
        self.align_f32(out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        for (pattern, name, fits) in [
            ("*.csv", "a.csv", true),
            ("*.csv", ".csv", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?.csv", "é.csv", true),
            ("?.csv", "ab.csv", false),
            ("**", "", true),
            ("part", "part", true),
            ("part", "parts", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
