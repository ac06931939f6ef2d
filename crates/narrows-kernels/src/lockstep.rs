//! Threads that go through phases together, and buffers that they share.
//!
//! Training is thousands of steps of some fifty microseconds, each in phases that need one another's results. A pool that
//! is handed a job for each phase spends more time waking threads than working. Here the threads are started once
//! ([`run`]), all run the same loop, and meet at a barrier between phases ([`Member::wait`]).
//!
//! Between two barriers some threads write what others will read later. [`Shared`] makes that safe: a buffer is cut into
//! pieces when it is made; a thread borrows one piece to write ([`Shared::piece`]) or the whole to read
//! ([`Shared::whole`]). Every borrow is checked against the others when it is taken, so a mistake in the phases is a
//! panic with a name, never a data race.

use std::cell::UnsafeCell;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// Runs `work` on `threads` threads, this one included, and returns what this one's gives. Only this thread's call, the
/// leader's, gets `lead`. When a thread panics, the others panic at their next [`Member::wait`], and so does this call.
pub fn run<L, R>(threads: usize, lead: L, work: impl Fn(Member<'_>, Option<L>) -> R + Sync) -> R
where
    R: Send,
    L: Send,
{
    let threads = threads.max(1);
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        for index in 1..threads {
            let (barrier, work) = (&barrier, &work);
            let started =
                std::thread::Builder::new().name(format!("narrows-{index}")).spawn_scoped(scope, move || {
                    work(Member { index, barrier }, None);
                });
            if let Err(error) = started {
                // Those that wait already must not wait for ever.
                barrier.poison();
                panic!("the system starts no thread {index} of {threads}: {error}");
            }
        }
        work(Member { index: 0, barrier: &barrier }, Some(lead))
    })
}

/// A thread's place in its team.
pub struct Member<'a> {
    index: usize,
    barrier: &'a Barrier,
}

impl Member<'_> {
    /// Which thread this is, from 0 (the leader).
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.barrier.threads
    }

    /// Waits until every thread of the team is here. What they wrote before is visible to all afterwards.
    ///
    /// # Panics
    /// When another thread of the team has panicked.
    pub fn wait(&self) {
        self.barrier.wait();
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.barrier.poison();
        }
    }
}

/// How long a thread looks for the others before it goes to sleep. Long enough for the other half of a phase, short
/// enough not to burn a processor that other programs want.
const PATIENCE: Duration = Duration::from_micros(50);

/// A barrier that spins for a bounded time, then sleeps. `generation` counts how often all have met.
struct Barrier {
    threads: usize,
    /// Whether spinning makes sense: with more threads than processors it holds up the very thread it waits for.
    spin: bool,
    arrived: AtomicUsize,
    generation: AtomicUsize,
    sleepers: AtomicUsize,
    poisoned: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Barrier {
    fn new(threads: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            spin: threads <= processors,
            arrived: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    fn wait(&self) {
        if self.threads == 1 {
            return;
        }
        let generation = self.generation.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            // The last to come: no other touches `arrived` until the generation moves.
            self.arrived.store(0, Ordering::Relaxed);
            self.generation.store(generation.wrapping_add(1), Ordering::SeqCst);
            if self.sleepers.load(Ordering::SeqCst) > 0 {
                // A sleeper has looked at the generation under the lock, so it is asleep by now or will see the new one.
                let _lock = self.lock.lock();
                self.wake.notify_all();
            }
            self.check();
            return;
        }
        let passed =
            || self.generation.load(Ordering::SeqCst) != generation || self.poisoned.load(Ordering::SeqCst);
        if self.spin {
            let start = Instant::now();
            'spin: while start.elapsed() < PATIENCE {
                for _ in 0..64 {
                    if passed() {
                        break 'spin;
                    }
                    std::hint::spin_loop();
                }
            }
        }
        if !passed() {
            // A panicking thread holds no lock here, so the mutex cannot be poisoned in a way that matters.
            let mut lock = self.lock.lock().unwrap_or_else(|error| error.into_inner());
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            while !passed() {
                lock = self.wake.wait(lock).unwrap_or_else(|error| error.into_inner());
            }
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
        }
        self.check();
    }

    fn check(&self) {
        assert!(!self.poisoned.load(Ordering::SeqCst), "another thread of the team panicked");
    }

    fn poison(&self) {
        self.poisoned.store(true, Ordering::SeqCst);
        let _lock = self.lock.lock();
        self.wake.notify_all();
    }
}

/// Numbers that can lie in a [`Shared`] buffer.
pub trait Number: Copy + Default + Send + Sync + 'static {}
impl Number for f32 {}
impl Number for f64 {}

/// Numbers on one cache line, so that a buffer begins at a line and vectors do not cross two.
const LINE: usize = 64;

/// A buffer cut into pieces. A piece is a list of ranges (the rows of one thread in several matrices, say); no number
/// belongs to two pieces.
pub struct Shared<T> {
    /// What the buffer is called when a borrow fails.
    name: &'static str,
    /// The numbers begin at `start`, the first that lies on a cache line.
    memory: Box<[UnsafeCell<T>]>,
    start: usize,
    len: usize,
    pieces: Vec<Vec<Range<usize>>>,
    /// One for each piece: 0 free, positive the number of readers, -1 a writer.
    states: Vec<AtomicIsize>,
}

// SAFETY: the numbers are reached only through `Piece` and `Whole` (or `&mut self`); `states` lets a piece have either
// one writer or any number of readers, and pieces do not overlap (checked by `new`).
unsafe impl<T: Number> Sync for Shared<T> {}

const WRITER: isize = -1;

impl<T: Number> Shared<T> {
    /// A buffer of `len` zeros cut into `pieces`.
    ///
    /// # Panics
    /// Where a range reaches past the end, or two ranges overlap.
    pub fn new(name: &'static str, len: usize, pieces: Vec<Vec<Range<usize>>>) -> Self {
        let inside = |range: &Range<usize>| range.start <= range.end && range.end <= len;
        assert!(pieces.iter().flatten().all(inside), "{name}: a piece past the end");
        let mut all: Vec<_> = pieces.iter().flatten().filter(|range| !range.is_empty()).collect();
        all.sort_by_key(|range| range.start);
        assert!(all.windows(2).all(|pair| pair[0].end <= pair[1].start), "{name}: pieces overlap");
        let padding = LINE / size_of::<T>();
        let cells = len.checked_add(padding).expect("a buffer that fits into memory");
        let memory: Box<[UnsafeCell<T>]> = (0..cells).map(|_| UnsafeCell::new(T::default())).collect();
        let start = memory.as_ptr().align_offset(LINE).min(padding);
        let states = pieces.iter().map(|_| AtomicIsize::new(0)).collect();
        Self { name, memory, start, len, pieces, states }
    }

    /// The numbers, when nobody else has the buffer.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let (start, len) = (self.start, self.len);
        // SAFETY: `&mut self` excludes every borrow; the range lies inside the memory.
        unsafe { std::slice::from_raw_parts_mut(self.base().add(start), len) }
    }

    /// Borrows piece `index` to read and write.
    ///
    /// # Panics
    /// When somebody else has it, or the whole.
    pub fn piece(&self, index: usize) -> Piece<'_, T> {
        let taken = self.states[index].compare_exchange(0, WRITER, Ordering::Acquire, Ordering::Relaxed);
        assert!(taken.is_ok(), "{}: piece {index} is in use", self.name);
        Piece { shared: self, index }
    }

    /// Borrows the whole buffer to read.
    ///
    /// # Panics
    /// When somebody is writing to a piece.
    pub fn whole(&self) -> Whole<'_, T> {
        let mut borrowed = Whole { shared: self, pieces: 0 };
        for (index, state) in self.states.iter().enumerate() {
            // In one step: a writer's mark is never touched, not even for a moment.
            let counted = state.fetch_update(Ordering::Acquire, Ordering::Relaxed, |readers| {
                (readers >= 0).then_some(readers + 1)
            });
            assert!(counted.is_ok(), "{}: piece {index} is being written", self.name);
            borrowed.pieces = index + 1;
        }
        borrowed
    }

    fn base(&self) -> *mut T {
        UnsafeCell::raw_get(self.memory.as_ptr())
    }
}

/// One piece of a [`Shared`] buffer, borrowed to write.
pub struct Piece<'a, T: Number> {
    shared: &'a Shared<T>,
    index: usize,
}

impl<T: Number> Piece<'_, T> {
    /// Range number `range` of the piece.
    ///
    /// # Panics
    /// Where there is none.
    pub fn range(&mut self, range: usize) -> &mut [T] {
        let [range] = self.ranges([range]);
        range
    }

    /// Several ranges of the piece at once.
    ///
    /// # Panics
    /// Where there is none, or one is named twice.
    pub fn ranges<const N: usize>(&mut self, ranges: [usize; N]) -> [&mut [T]; N] {
        self.some_ranges(ranges.map(Some))
    }

    /// As [`Piece::ranges`], with nothing where none is named.
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
            // SAFETY: the state of the piece is WRITER while `self` lives, so nobody else reaches its ranges; they lie
            // inside the buffer and do not overlap (`Shared::new`), and `&mut self` with distinct numbers hands out each
            // of them once. An empty range reaches nothing.
            unsafe {
                std::slice::from_raw_parts_mut(
                    self.shared.base().add(self.shared.start + range.start),
                    range.len(),
                )
            }
        })
    }
}

impl<T: Number> Drop for Piece<'_, T> {
    fn drop(&mut self) {
        self.shared.states[self.index].fetch_sub(WRITER, Ordering::Release);
    }
}

/// A [`Shared`] buffer borrowed to read.
pub struct Whole<'a, T: Number> {
    shared: &'a Shared<T>,
    /// Pieces that are counted as read so far.
    pieces: usize,
}

impl<T: Number> Deref for Whole<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: every piece counts this reader, so none has a writer; what belongs to no piece is never written except
        // through `&mut Shared`.
        unsafe { std::slice::from_raw_parts(self.shared.base().add(self.shared.start), self.shared.len) }
    }
}

impl<T: Number> Drop for Whole<'_, T> {
    fn drop(&mut self) {
        for state in &self.shared.states[..self.pieces] {
            state.fetch_sub(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_see_each_others_work() {
        for threads in [1, 2, 3, 4] {
            let pieces = (0..threads).map(|t| Vec::from([t * 10..t * 10 + 10])).collect();
            let buffer = Shared::<f32>::new("numbers", threads * 10, pieces);
            let steps = 2000;
            let result = run(threads, "lead", |member, lead| {
                assert_eq!(lead.is_some(), member.index() == 0);
                for step in 0..steps {
                    // Everyone adds one to its own piece, then everyone checks the sum of all.
                    buffer.piece(member.index()).range(0).iter_mut().for_each(|x| *x += 1.0);
                    member.wait();
                    let sum: f32 = buffer.whole().iter().sum();
                    assert_eq!(sum, (threads * 10 * (step + 1)) as f32);
                    member.wait();
                }
                member.index()
            });
            assert_eq!(result, 0);
        }
    }

    #[test]
    fn a_panic_reaches_everyone() {
        for guilty in 0..3 {
            let result = std::panic::catch_unwind(|| {
                run(3, (), |member, _| {
                    for step in 0..100 {
                        assert!(!(step == 50 && member.index() == guilty), "on purpose");
                        member.wait();
                    }
                });
            });
            assert!(result.is_err());
        }
    }

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
        // Every failed borrow gave back what it had taken.
        drop(buffer.piece(0));
        drop(buffer.piece(1));
        assert_eq!(buffer.whole().as_ptr() as usize % LINE, 0);
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
