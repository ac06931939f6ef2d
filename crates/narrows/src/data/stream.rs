//! Rows that can only be read in order, such as the lines of a text file.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::source::{Access, Element, Shape, Source};
use crate::error::{Error, Result};

/// A reader of consecutive rows: fills a buffer of a whole number of rows and returns the number of rows that it filled, which is
/// smaller than the buffer only at the end of the stream.
pub type RowReader<'a> = Box<dyn FnMut(&mut [f64]) -> Result<usize> + Send + 'a>;

/// A source of rows that are streamed. It keeps the rows last read in a window, so that training can shuffle within the window
/// and threads can read neighbouring chunks. Reading a row before the window opens the stream again.
pub struct Stream<'a> {
    rows: usize,
    shape: Shape,
    element: Element,
    window: usize,
    open: Box<dyn Fn() -> Result<RowReader<'a>> + Send + Sync + 'a>,
    state: Mutex<State<'a>>,
}

struct State<'a> {
    reader: Option<RowReader<'a>>,
    /// The number of the first row in `kept`.
    first: usize,
    /// The rows of the window, row after row.
    kept: VecDeque<f64>,
}

/// Rows read from the stream at a time.
const BLOCK: usize = 64;

impl<'a> Stream<'a> {
    /// A stream of `rows` rows. `open` returns a reader that begins at the first row; `window` rows (at least 128) are kept in
    /// memory.
    ///
    /// # Errors
    /// Where there are no rows.
    pub fn new(
        rows: usize,
        shape: Shape,
        element: Element,
        window: usize,
        open: impl Fn() -> Result<RowReader<'a>> + Send + Sync + 'a,
    ) -> Result<Self> {
        if rows == 0 || shape.len() == 0 {
            return Err(Error::data("there are no rows"));
        }
        let state = Mutex::new(State { reader: None, first: 0, kept: VecDeque::new() });
        Ok(Self { rows, shape, element, window: window.max(2 * BLOCK), open: Box::new(open), state })
    }

    /// Calls `take` with the position in `indices` and the values of each row. Reads the stream as far as necessary.
    fn each_row(
        &self,
        indices: impl Iterator<Item = usize>,
        mut take: impl FnMut(usize, &mut dyn Iterator<Item = f64>),
    ) -> Result<()> {
        let width = self.shape.len();
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (place, index) in indices.enumerate() {
            assert!(index < self.rows, "a row number past the end");
            if state.reader.is_none() || index < state.first {
                *state = State { reader: Some((self.open)()?), first: 0, kept: VecDeque::new() };
            }
            while index >= state.first + state.kept.len() / width {
                if let Err(error) = self.advance(&mut state) {
                    // The position of a stream that failed is unknown: the next read opens it again.
                    state.reader = None;
                    return Err(error);
                }
            }
            let start = (index - state.first) * width;
            take(place, &mut state.kept.range(start..start + width).copied());
        }
        Ok(())
    }

    /// Reads a block and drops the rows that leave the window.
    fn advance(&self, state: &mut State<'a>) -> Result<()> {
        let width = self.shape.len();
        let next = state.first + state.kept.len() / width;
        let mut block = vec![0.0; BLOCK.min(self.rows - next) * width];
        let reader = state.reader.as_mut().expect("the stream is open");
        let found = reader(&mut block)?;
        if found * width < block.len() {
            return Err(Error::data(format!(
                "the rows end after {} of {}: they have changed while they were read",
                next + found,
                self.rows
            )));
        }
        state.kept.extend(block);
        let surplus = (state.kept.len() / width).saturating_sub(self.window);
        state.kept.drain(..surplus * width);
        state.first += surplus;
        Ok(())
    }

    fn fill<T>(
        &self,
        indices: impl Iterator<Item = usize>,
        out: &mut [T],
        convert: impl Fn(f64) -> T,
    ) -> Result<()> {
        let width = self.shape.len();
        self.each_row(indices, |place, values| {
            let out = &mut out[place * width..(place + 1) * width];
            out.iter_mut().zip(values).for_each(|(out, value)| *out = convert(value));
        })
    }
}

impl Source for Stream<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn element(&self) -> Element {
        self.element
    }

    fn access(&self) -> Access {
        // Reading a block may drop as many rows.
        Access::Sequential { window: self.window - BLOCK }
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        self.fill(first..first + out.len() / self.shape.len(), out, |value| value)
    }

    fn read_f32(&self, first: usize, out: &mut [f32]) -> Result<()> {
        self.fill(first..first + out.len() / self.shape.len(), out, |value| value as f32)
    }

    fn gather_f64(&self, indices: &[usize], out: &mut [f64]) -> Result<()> {
        self.fill(indices.iter().copied(), out, |value| value)
    }

    fn gather_f32(&self, indices: &[usize], out: &mut [f32]) -> Result<()> {
        self.fill(indices.iter().copied(), out, |value| value as f32)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Rows (i, -i); counts how often the stream is opened.
    fn counted<'a>(rows: usize, window: usize, opened: &'a AtomicUsize) -> Stream<'a> {
        Stream::new(rows, Shape::flat(2), Element::F64, window, move || {
            opened.fetch_add(1, Ordering::Relaxed);
            let mut next = 0;
            Ok(Box::new(move |out: &mut [f64]| {
                for row in out.chunks_exact_mut(2) {
                    row.copy_from_slice(&[next as f64, -(next as f64)]);
                    next += 1;
                }
                Ok(out.len() / 2)
            }))
        })
        .unwrap()
    }

    #[test]
    fn rows_within_the_window_need_one_pass_and_rows_before_it_another() {
        let opened = AtomicUsize::new(0);
        let stream = counted(1000, 300, &opened);
        let mut out = vec![0.0; 4];
        for first in [0, 500, 320, 700] {
            stream.gather_f64(&[first + 1, first], &mut out).unwrap();
            let f = first as f64;
            assert_eq!(out, [f + 1.0, -f - 1.0, f, -f]);
        }
        assert_eq!(opened.load(Ordering::Relaxed), 1);
        stream.read_f64(0, &mut out).unwrap();
        assert_eq!((out, opened.load(Ordering::Relaxed)), (vec![0.0, 0.0, 1.0, -1.0], 2));
    }

    #[test]
    fn a_stream_that_fails_says_so_and_can_be_read_again() {
        let fails = AtomicUsize::new(1);
        let stream = Stream::new(200, Shape::flat(1), Element::F64, 10, || {
            let fails = fails.fetch_sub(1, Ordering::Relaxed) == 1;
            let mut blocks = 0;
            Ok(Box::new(move |out: &mut [f64]| {
                blocks += 1;
                if fails && blocks == 3 {
                    return Err(Error::data("part-3: line 7: damaged"));
                }
                out.fill(f64::from(blocks));
                Ok(out.len())
            }))
        })
        .unwrap();
        let mut out = vec![0.0; 200];
        assert!(stream.read_f64(0, &mut out).unwrap_err().to_string().starts_with("part-3: line 7"));
        stream.read_f64(0, &mut out).unwrap();
        assert_eq!((out[0], out[199]), (1.0, 4.0));
    }
}
