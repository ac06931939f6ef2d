//! Buffers that the threads of a team share under checked borrows.
//!
//! Between two barriers some threads write elements that others read later. [`Shared`] makes that safe: a buffer is
//! split into pieces when it is created; a thread borrows one piece to write ([`Shared::piece`]) or the whole buffer to
//! read ([`Shared::whole`]). Every borrow is checked against the others when it is taken, so a mistake in the phases is
//! a panic that names the buffer, never a data race.

use std::cell::UnsafeCell;
use std::ops::{Deref, Range};

use crate::simd::CACHE_LINE;
use crate::sync::atomic::{AtomicIsize, Ordering};

/// Element types of a [`Shared`] buffer.
pub trait Element: Copy + Default + Send + Sync + 'static {}
impl Element for f32 {}
impl Element for f64 {}

/// State of a piece that is borrowed to write.
const WRITER: isize = -1;

/// A buffer split into disjoint pieces. A piece is a list of ranges, for example the rows of one thread in several
/// matrices.
pub struct Shared<T> {
    /// The name of the buffer in panic messages.
    name: &'static str,
    /// The elements begin at index `start`, the first that is aligned to a cache line, so that no vector crosses two
    /// lines.
    memory: Box<[UnsafeCell<T>]>,
    start: usize,
    len: usize,
    pieces: Vec<Vec<Range<usize>>>,
    /// The state of each piece: 0 if free, [`WRITER`] if borrowed to write, else the number of readers.
    states: Vec<AtomicIsize>,
}

// SAFETY: the elements are accessed only through `Piece` and `Whole` (or `&mut self`); `states` allows a piece either
// one writer or any number of readers, and pieces do not overlap (checked by `new`).
unsafe impl<T: Element> Sync for Shared<T> {}

impl<T: Element> Shared<T> {
    /// A buffer of `len` zeros split into `pieces`.
    ///
    /// # Panics
    /// If a range exceeds the buffer, or two ranges overlap.
    pub fn new(name: &'static str, len: usize, pieces: Vec<Vec<Range<usize>>>) -> Self {
        let inside = |range: &Range<usize>| range.start <= range.end && range.end <= len;
        assert!(pieces.iter().flatten().all(inside), "{name}: a piece past the end");
        let mut all: Vec<_> = pieces.iter().flatten().filter(|range| !range.is_empty()).collect();
        all.sort_by_key(|range| range.start);
        assert!(all.windows(2).all(|pair| pair[0].end <= pair[1].start), "{name}: pieces overlap");
        let padding = CACHE_LINE / size_of::<T>();
        let cells = len.checked_add(padding).expect("a buffer that fits into memory");
        let memory: Box<[UnsafeCell<T>]> = (0..cells).map(|_| UnsafeCell::new(T::default())).collect();
        let start = memory.as_ptr().align_offset(CACHE_LINE).min(padding);
        let states = pieces.iter().map(|_| AtomicIsize::new(0)).collect();
        Self { name, memory, start, len, pieces, states }
    }

    /// The elements, while no borrow exists.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let (start, len) = (self.start, self.len);
        // SAFETY: `&mut self` excludes every other borrow; the range lies inside the memory.
        unsafe { std::slice::from_raw_parts_mut(self.base().add(start), len) }
    }

    /// Borrows piece `index` to read and write.
    ///
    /// # Panics
    /// If the piece or the whole buffer is borrowed.
    pub fn piece(&self, index: usize) -> Piece<'_, T> {
        self.try_piece(index).unwrap_or_else(|| panic!("{}: piece {index} is in use", self.name))
    }

    /// As [`Shared::piece`]; None where that panics.
    pub(crate) fn try_piece(&self, index: usize) -> Option<Piece<'_, T>> {
        let taken = self.states[index].compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then(|| Piece { shared: self, index })
    }

    /// Borrows the whole buffer to read.
    ///
    /// # Panics
    /// If a piece is borrowed to write.
    pub fn whole(&self) -> Whole<'_, T> {
        self.try_whole().unwrap_or_else(|index| panic!("{}: piece {index} is being written", self.name))
    }

    /// As [`Shared::whole`]; where that panics, the piece that is being written.
    pub(crate) fn try_whole(&self) -> Result<Whole<'_, T>, usize> {
        let mut borrowed = Whole { shared: self, pieces: 0 };
        for (index, state) in self.states.iter().enumerate() {
            // A compare-and-swap: the state of a writer is never modified, not even temporarily.
            let counted = state.fetch_update(Ordering::Acquire, Ordering::Relaxed, |readers| {
                (readers >= 0).then_some(readers + 1)
            });
            if counted.is_err() {
                return Err(index);
            }
            borrowed.pieces = index + 1;
        }
        Ok(borrowed)
    }

    fn base(&self) -> *mut T {
        UnsafeCell::raw_get(self.memory.as_ptr())
    }
}

/// One piece of a [`Shared`] buffer, borrowed to write.
pub struct Piece<'a, T: Element> {
    shared: &'a Shared<T>,
    index: usize,
}

impl<T: Element> Piece<'_, T> {
    /// The range with index `range` of the piece.
    ///
    /// # Panics
    /// If the piece has no such range.
    pub fn range(&mut self, range: usize) -> &mut [T] {
        let [range] = self.ranges([range]);
        range
    }

    /// Several ranges of the piece at once.
    ///
    /// # Panics
    /// If the piece lacks a range, or a range is named twice.
    pub fn ranges<const N: usize>(&mut self, ranges: [usize; N]) -> [&mut [T]; N] {
        self.some_ranges(ranges.map(Some))
    }

    /// As [`Piece::ranges`], with an empty slice for `None`.
    ///
    /// # Panics
    /// As [`Piece::ranges`].
    pub fn some_ranges<const N: usize>(&mut self, ranges: [Option<usize>; N]) -> [&mut [T]; N] {
        for (at, range) in ranges.iter().enumerate() {
            let twice = range.is_some() && ranges[..at].contains(range);
            assert!(!twice, "{}: range {range:?} twice", self.shared.name);
        }
        let own = &self.shared.pieces[self.index];
        ranges.map(|range| {
            let range = range.map_or(0..0, |range| own[range].clone());
            // SAFETY: the state of the piece is WRITER while `self` lives, so no other borrow accesses its ranges. They
            // lie inside the buffer and do not overlap (`Shared::new`), and `&mut self` with distinct indices returns
            // each of them once. An empty range accesses nothing.
            unsafe {
                std::slice::from_raw_parts_mut(
                    self.shared.base().add(self.shared.start + range.start),
                    range.len(),
                )
            }
        })
    }
}

impl<T: Element> Drop for Piece<'_, T> {
    fn drop(&mut self) {
        self.shared.states[self.index].fetch_sub(WRITER, Ordering::Release);
    }
}

/// A [`Shared`] buffer borrowed to read.
pub struct Whole<'a, T: Element> {
    shared: &'a Shared<T>,
    /// The number of pieces whose state counts this reader.
    pieces: usize,
}

impl<T: Element> Deref for Whole<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the state of every piece counts this reader, so none has a writer; elements outside all pieces are
        // written only through `&mut Shared`.
        unsafe { std::slice::from_raw_parts(self.shared.base().add(self.shared.start), self.shared.len) }
    }
}

impl<T: Element> Drop for Whole<'_, T> {
    fn drop(&mut self) {
        for state in &self.shared.states[..self.pieces] {
            state.fetch_sub(1, Ordering::Release);
        }
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_borrows_that_conflict() {
        let buffer = Shared::<f64>::new("numbers", 10, vec![vec![0..3, 8..10], vec![3..8]]);
        let panics = |work: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err();
        {
            let mut first = buffer.piece(0);
            let [a, b] = first.ranges([0, 1]);
            assert_eq!((a.len(), b.len()), (3, 2));
            assert!(panics(&|| drop(buffer.piece(0))));
            assert!(panics(&|| drop(buffer.whole())));
            buffer.piece(1).range(0)[0] = 1.0;
        }
        {
            let whole = buffer.whole();
            let again = buffer.whole();
            assert_eq!(whole[3] + again[3], 2.0);
            assert!(panics(&|| drop(buffer.piece(1))));
        }
        assert!(panics(&|| {
            buffer.piece(0).ranges([1, 1]);
        }));
        // Failed borrows leave no state behind.
        drop(buffer.piece(0));
        drop(buffer.piece(1));
        assert_eq!(buffer.whole().as_ptr() as usize % CACHE_LINE, 0);
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init, clippy::reversed_empty_ranges)]
    fn refuses_pieces_that_overlap() {
        let wrong = [
            vec![vec![0..5], vec![4..6]],
            vec![vec![0..3, 2..4]],
            vec![vec![0..11]],
            vec![vec![1000..1000]],
            vec![vec![5..3]],
        ];
        for pieces in wrong {
            assert!(std::panic::catch_unwind(|| Shared::<f32>::new("numbers", 10, pieces)).is_err());
        }
    }
}
