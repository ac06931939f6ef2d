//! Concatenation of sources, such as the parts of a table in several files.

use std::sync::Arc;

use super::source::{Access, Element, Shape, Source};
use crate::error::{Error, Result};

/// The concatenated rows of several sources.
pub struct Concat<'a> {
    parts: Vec<Arc<dyn Source + 'a>>,
    /// The first row of each part, and the number of all rows.
    starts: Vec<usize>,
    element: Element,
}

impl<'a> Concat<'a> {
    /// Concatenates `parts` in order.
    ///
    /// # Errors
    /// Where there are no parts, the parts have different shapes, or some have bytes and others do not (the default scaling
    /// depends on it).
    pub fn new(parts: Vec<Arc<dyn Source + 'a>>) -> Result<Self> {
        let Some(first) = parts.first() else { return Err(Error::data("there are no rows")) };
        let shape = first.shape();
        for (number, part) in (1..).zip(&parts) {
            if part.shape() != shape {
                let found = part.shape();
                return Err(Error::data(format!(
                    "part {number}: its rows are {found}, those of part 1 are {shape}"
                )));
            }
            if (part.element() == Element::U8) != (first.element() == Element::U8) {
                return Err(Error::data(format!("part {number}: bytes and other numbers cannot be mixed")));
            }
        }
        let has = |element| parts.iter().any(|part| part.element() == element);
        let element =
            [Element::F64, Element::F32].into_iter().find(|&element| has(element)).unwrap_or(Element::U8);
        let mut starts = vec![0];
        for part in &parts {
            starts.push(starts[starts.len() - 1] + part.rows());
        }
        Ok(Self { parts, starts, element })
    }

    /// The index of the part that contains a row.
    fn part(&self, row: usize) -> usize {
        self.starts.partition_point(|&start| start <= row) - 1
    }

    /// Calls `read` for each part that contains rows from `first` on, with its first row and its part of `out`.
    fn each_part<T>(
        &self,
        mut first: usize,
        mut out: &mut [T],
        read: impl Fn(&dyn Source, usize, &mut [T]) -> Result<()>,
    ) -> Result<()> {
        let width = self.shape().len();
        while !out.is_empty() {
            let part = self.part(first);
            let count = (out.len() / width).min(self.starts[part + 1] - first);
            let (now, later) = out.split_at_mut(count * width);
            read(&*self.parts[part], first - self.starts[part], now)?;
            (first, out) = (first + count, later);
        }
        Ok(())
    }
}

impl Source for Concat<'_> {
    fn rows(&self) -> usize {
        self.starts[self.parts.len()]
    }

    fn shape(&self) -> Shape {
        self.parts[0].shape()
    }

    fn element(&self) -> Element {
        self.element
    }

    fn access(&self) -> Access {
        let windows = self.parts.iter().filter_map(|part| match part.access() {
            Access::Random => None,
            Access::Sequential { window } => Some(window),
        });
        windows.min().map_or(Access::Random, |window| Access::Sequential { window })
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        self.each_part(first, out, |part, first, out| part.read_f64(first, out))
    }

    fn read_f32(&self, first: usize, out: &mut [f32]) -> Result<()> {
        self.each_part(first, out, |part, first, out| part.read_f32(first, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Table, Values};

    #[test]
    fn parts_are_read_as_one_table() {
        let table = |from: usize, rows: usize| -> Arc<dyn Source> {
            let values = (from * 2..(from + rows) * 2).map(|value| value as f32).collect();
            Arc::new(Table::new(Values::F32(values), Shape::flat(2)).unwrap())
        };
        let whole = table(0, 12);
        let parts = Concat::new(vec![table(0, 3), table(3, 1), table(4, 8)]).unwrap();
        assert_eq!((parts.rows(), parts.shape(), parts.element()), (12, Shape::flat(2), Element::F32));
        let (mut found, mut wanted) = (vec![0.0; 18], vec![0.0; 18]);
        for first in 0..=3 {
            parts.read_f64(first, &mut found).unwrap();
            whole.read_f64(first, &mut wanted).unwrap();
            assert_eq!(found, wanted);
        }
        let indices = [11, 2, 3, 4, 5, 0, 3, 2, 10];
        parts.gather_f64(&indices, &mut found).unwrap();
        whole.gather_f64(&indices, &mut wanted).unwrap();
        assert_eq!(found, wanted);
        let other = Table::new(Values::F32(vec![0.0; 3]), Shape::flat(3)).unwrap();
        assert!(Concat::new(vec![table(0, 3), Arc::new(other)]).is_err());
        let bytes = Table::new(Values::U8(vec![0; 2]), Shape::flat(2)).unwrap();
        assert!(Concat::new(vec![table(0, 3), Arc::new(bytes)]).is_err());
        assert!(Concat::new(Vec::new()).is_err());
    }
}
