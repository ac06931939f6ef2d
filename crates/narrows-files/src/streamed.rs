//! A source of rows that are decoded while they are read: tables larger than memory.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use narrows::data::{Access, Element};
use narrows::{Error, Result, Shape, Source};

use crate::ahead::Ahead;
use crate::columns::Cell;

/// Opens the blocks of all rows, from the first on; each is a whole number of rows.
type Open<T> = Box<dyn Fn() -> Result<Ahead<Vec<T>>> + Send + Sync>;

/// Rows that are decoded in order, in a thread that reads ahead. The last rows stay in memory, so that training can shuffle among
/// them; reading a row before them opens the file again.
pub(crate) struct Streamed<T> {
    place: String,
    rows: usize,
    width: usize,
    window: usize,
    open: Open<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    reader: Option<Ahead<Vec<T>>>,
    /// The blocks in memory, each with the number of its first row.
    kept: VecDeque<(usize, Vec<T>)>,
    /// The number of the first row that is not decoded yet.
    next: usize,
}

impl<T> State<T> {
    fn closed() -> Self {
        Self { reader: None, kept: VecDeque::new(), next: 0 }
    }
}

impl<T: Cell> Streamed<T> {
    pub fn new(place: &str, rows: usize, width: usize, window: usize, open: Open<T>) -> Self {
        let state = Mutex::new(State::closed());
        Self { place: place.to_owned(), rows, width, window, open, state }
    }

    /// Calls `take` with the place in `indices` and the cells of each row.
    fn each_row(
        &self,
        indices: impl Iterator<Item = usize>,
        mut take: impl FnMut(usize, &[T]),
    ) -> Result<()> {
        let width = self.width;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The block of the row before: most rows follow one another.
        let mut block = 0;
        for (place, index) in indices.enumerate() {
            assert!(index < self.rows, "a row number past the end");
            if state.reader.is_none() || state.kept.front().is_some_and(|(first, _)| index < *first) {
                // In this order: the thread of the last pass has ended before the next one begins.
                *state = State::closed();
                state.reader = Some((self.open)()?);
            }
            while index >= state.next {
                if let Err(error) = self.advance(&mut state) {
                    // The position of a reader that failed is unknown: the next read opens the file again.
                    *state = State::closed();
                    return Err(error);
                }
                block = state.kept.len() - 1;
            }
            let is_in =
                |(first, cells): &(usize, Vec<T>)| (*first..first + cells.len() / width).contains(&index);
            if !state.kept.get(block).is_some_and(is_in) {
                block = state.kept.partition_point(|(first, _)| *first <= index) - 1;
            }
            let (first, cells) = &state.kept[block];
            let start = (index - first) * width;
            take(place, &cells[start..start + width]);
        }
        Ok(())
    }

    /// Takes the next block and drops those that leave the window.
    fn advance(&self, state: &mut State<T>) -> Result<()> {
        let reader = state.reader.as_mut().expect("the reader is open");
        let Some(block) = reader.next().transpose()? else {
            return Err(self.other_rows(state.next));
        };
        let rows = block.len() / self.width;
        if rows > self.rows - state.next {
            return Err(self.other_rows(state.next + rows));
        }
        // What is in front of the window of the first row of the new block.
        while state
            .kept
            .front()
            .is_some_and(|(first, cells)| first + cells.len() / self.width + self.window <= state.next)
        {
            state.kept.pop_front();
        }
        state.kept.push_back((state.next, block));
        state.next += rows;
        Ok(())
    }

    fn other_rows(&self, found: usize) -> Error {
        Error::data(format!("{}: {found} rows where {} were announced", self.place, self.rows))
            .hint("the file is damaged, or has changed while it was read")
    }

    fn fill<N>(
        &self,
        indices: impl Iterator<Item = usize>,
        out: &mut [N],
        convert: impl Fn(T) -> N,
    ) -> Result<()> {
        let width = self.width;
        self.each_row(indices, |place, cells| {
            let out = &mut out[place * width..(place + 1) * width];
            out.iter_mut().zip(cells).for_each(|(out, &cell)| *out = convert(cell));
        })
    }
}

impl<T: Cell> Source for Streamed<T> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn shape(&self) -> Shape {
        Shape::flat(self.width)
    }

    fn element(&self) -> Element {
        T::ELEMENT
    }

    fn access(&self) -> Access {
        Access::Sequential { window: self.window }
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        self.fill(first..first + out.len() / self.width, out, Cell::to_f64)
    }

    fn read_f32(&self, first: usize, out: &mut [f32]) -> Result<()> {
        self.fill(first..first + out.len() / self.width, out, |cell| cell.to_f64() as f32)
    }

    fn gather_f64(&self, indices: &[usize], out: &mut [f64]) -> Result<()> {
        assert_eq!(out.len(), indices.len() * self.width, "one row per index");
        self.fill(indices.iter().copied(), out, Cell::to_f64)
    }

    fn gather_f32(&self, indices: &[usize], out: &mut [f32]) -> Result<()> {
        assert_eq!(out.len(), indices.len() * self.width, "one row per index");
        self.fill(indices.iter().copied(), out, |cell| cell.to_f64() as f32)
    }
}
