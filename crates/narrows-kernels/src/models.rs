//! The barrier and the checked borrows under the model checker loom: `./check concurrency`.
//!
//! A model is a small program of two or three threads. Loom runs it in every order of its steps, and lets each atomic load
//! return every value that the memory model of C11 allows. It reports a thread that waits for ever, an access to memory
//! that is not ordered after the writes before it, and an assertion that fails. Loom knows no scoped threads, so the models
//! start threads of their own in place of [`team::run`](crate::team::run), and call [`Barrier::poison`] where a thread of
//! a team would panic.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize as Counter, Ordering::Relaxed};
use std::sync::{Arc, LockResult};
use std::time::Instant;

use loom::cell::UnsafeCell;
use loom::thread;

use crate::shared::Shared;
use crate::team::Barrier;

/// How the parts of the standard library that loom does not have are replaced. Neither way is the standard exactly; each
/// finds what the other hides.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    /// Threads sleep until they are woken. Two `SeqCst` accesses that follow one another in a thread have a `SeqCst` fence
    /// between them: loom treats such an access as acquire or release, too weak to find out who sleeps. A fence also
    /// orders the weaker accesses around it, which the standard does not.
    Sleeping,
    /// Threads wake without cause, as the standard allows: whoever would sleep looks again. No fences: what a thread reads
    /// must be ordered by acquire and release alone.
    Waking,
}

std::thread_local! {
    /// The mode of the model that is explored; loom runs its threads on one thread of the system.
    static MODE: Cell<Mode> = const { Cell::new(Mode::Sleeping) };
}

/// A mutex of loom whose guard knows it.
#[derive(Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        Ok(MutexGuard { mutex: self, guard: self.0.lock().unwrap() })
    }
}

pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    guard: loom::sync::MutexGuard<'a, T>,
}

/// A condition variable of loom that wakes without cause in [`Mode::Waking`].
#[derive(Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let MutexGuard { mutex, guard } = guard;
        if MODE.get() == Mode::Sleeping {
            return Ok(MutexGuard { mutex, guard: self.0.wait(guard).unwrap() });
        }
        drop(guard);
        thread::yield_now();
        mutex.lock()
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Atomics of loom, with the fences of [`Mode::Sleeping`].
pub(crate) mod atomic {
    use std::cell::Cell;

    pub(crate) use std::sync::atomic::Ordering;

    loom::thread_local! {
        /// Whether the last access of the thread was `SeqCst`.
        static IN_ORDER: Cell<bool> = Cell::new(false);
    }

    fn order(ordering: Ordering) -> Ordering {
        if super::MODE.get() == super::Mode::Sleeping {
            let is_in_order = ordering == Ordering::SeqCst;
            if IN_ORDER.with(|last| last.replace(is_in_order)) && is_in_order {
                loom::sync::atomic::fence(Ordering::SeqCst);
            }
        }
        ordering
    }

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            pub(crate) struct $name(loom::sync::atomic::$name);

            #[allow(dead_code)]
            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, ordering: Ordering) -> $value {
                    self.0.load(order(ordering))
                }

                pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                    self.0.store(value, order(ordering));
                }

                pub(crate) fn compare_exchange(
                    &self,
                    current: $value,
                    new: $value,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$value, $value> {
                    self.0.compare_exchange(current, new, order(success), failure)
                }
            }
        };
    }
    macro_rules! atomic_integer {
        ($name:ident, $value:ty) => {
            atomic!($name, $value);

            #[allow(dead_code)]
            impl $name {
                pub(crate) fn fetch_add(&self, value: $value, ordering: Ordering) -> $value {
                    self.0.fetch_add(value, order(ordering))
                }

                pub(crate) fn fetch_sub(&self, value: $value, ordering: Ordering) -> $value {
                    self.0.fetch_sub(value, order(ordering))
                }

                pub(crate) fn fetch_update(
                    &self,
                    set: Ordering,
                    fetch: Ordering,
                    update: impl FnMut($value) -> Option<$value>,
                ) -> Result<$value, $value> {
                    self.0.fetch_update(order(set), fetch, update)
                }
            }
        };
    }
    atomic!(AtomicBool, bool);
    atomic_integer!(AtomicUsize, usize);
    atomic_integer!(AtomicIsize, isize);
}

/// Explores a model with at most `preemptions` switches away from a thread that could go on; None: any number. Prints how
/// many executions there were.
fn explore(name: &str, mode: Mode, preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    MODE.set(mode);
    let executions = Arc::new(Counter::new(0));
    let counted = executions.clone();
    let start = Instant::now();
    let mut checker = loom::model::Builder::new();
    checker.preemption_bound = preemptions;
    checker.max_branches = 100_000;
    checker.check(move || {
        counted.fetch_add(1, Relaxed);
        model();
    });
    let bound = preemptions.map_or("any number of".to_owned(), |bound| format!("at most {bound}"));
    let (executions, seconds) = (executions.load(Relaxed), start.elapsed().as_secs_f64());
    println!("{name}, {mode:?}: {bound} preemptions, {executions} executions, {seconds:.1} s");
}

/// Calls `work` with the index of each of `threads` threads, the calling thread included.
fn together(threads: usize, work: impl Fn(usize) + Send + Sync + 'static) {
    let work = Arc::new(work);
    let started: Vec<_> = (1..threads)
        .map(|index| {
            let work = work.clone();
            thread::spawn(move || work(index))
        })
        .collect();
    work(0);
    for thread in started {
        thread.join().unwrap();
    }
}

/// One number for each thread or piece. Loom reports accesses that are not ordered.
struct Numbers(Vec<UnsafeCell<usize>>);

// SAFETY: loom reports accesses that are not ordered.
unsafe impl Sync for Numbers {}

impl Numbers {
    fn new(len: usize) -> Self {
        Self((0..len).map(|_| UnsafeCell::new(0)).collect())
    }

    fn add_one(&self, index: usize) {
        // SAFETY: loom reports an access that is not ordered before or after this one.
        self.0[index].with_mut(|number| unsafe { *number += 1 });
    }

    fn get(&self, index: usize) -> usize {
        // SAFETY: as above.
        self.0[index].with(|number| unsafe { *number })
    }
}

/// The loop of a training: each thread writes its own number, all meet, each reads the numbers of all, all meet.
fn phases(threads: usize, steps: usize) -> impl Fn() + Send + Sync + 'static {
    move || {
        let state = Arc::new((Barrier::new(threads), Numbers::new(threads)));
        together(threads, move |index| {
            let (barrier, numbers) = &*state;
            for step in 1..=steps {
                numbers.add_one(index);
                assert!(barrier.wait());
                (0..threads).for_each(|other| assert_eq!(numbers.get(other), step));
                if step < steps {
                    assert!(barrier.wait());
                }
            }
        });
    }
}

#[test]
fn no_thread_passes_the_barrier_before_all_have_arrived_or_sleeps_for_ever() {
    use Mode::{Sleeping, Waking};
    explore("barrier, 2 threads, 1 generation", Sleeping, None, phases(2, 1));
    explore("barrier, 2 threads, 3 generations", Sleeping, Some(5), phases(2, 2));
    explore("barrier, 2 threads, 5 generations", Sleeping, Some(3), phases(2, 3));
    explore("barrier, 3 threads, 1 generation", Sleeping, Some(4), phases(3, 1));
    explore("barrier, 3 threads, 3 generations", Sleeping, Some(2), phases(3, 2));
    explore("barrier, 2 threads, 1 generation", Waking, None, phases(2, 1));
    explore("barrier, 2 threads, 3 generations", Waking, Some(3), phases(2, 2));
}

/// Threads that meet `steps` times; the threads `guilty` panic in place of arriving for the `failed`-th time.
fn panics(
    threads: usize,
    steps: usize,
    guilty: &'static [usize],
    failed: usize,
) -> impl Fn() + Send + Sync + 'static {
    move || {
        let barrier = Arc::new(Barrier::new(threads));
        together(threads, move |index| {
            let is_guilty = guilty.contains(&index);
            for step in 0..steps {
                if is_guilty && step == failed {
                    barrier.poison();
                    return;
                }
                if !barrier.wait() {
                    // What was completed before the panic may be let through or not; nothing after it is.
                    assert!(is_guilty || step + 1 >= failed, "step {step} fails before a thread panicked");
                    return;
                }
                assert!(step < failed, "step {step} is complete without a thread");
            }
            panic!("thread {index} has noticed nothing");
        });
    }
}

#[test]
fn a_panic_at_any_step_reaches_all_threads_and_none_sleeps_for_ever() {
    for failed in 0..2 {
        for guilty in [&[0][..], &[1]] {
            let name = format!("panic of {guilty:?} of 2 threads at step {failed}");
            explore(&name, Mode::Sleeping, None, panics(2, 3, guilty, failed));
        }
        for guilty in [&[0][..], &[1], &[2], &[0, 1], &[1, 2]] {
            let name = format!("panic of {guilty:?} of 3 threads at step {failed}");
            explore(&name, Mode::Sleeping, Some(2), panics(3, 3, guilty, failed));
        }
    }
}

/// A buffer of two pieces, and a number for each piece that is accessed while the piece is borrowed.
fn buffer() -> Arc<(Shared<f32>, Numbers)> {
    Arc::new((Shared::new("numbers", 4, vec![vec![0..2], vec![2..4]]), Numbers::new(2)))
}

/// What a thread borrows.
#[derive(Clone, Copy, Debug)]
enum Borrow {
    Piece(usize),
    Whole,
}

/// Threads that each try to borrow once. Two borrows that exclude each other never exist at once, the buffer is free
/// when all have ended, and somebody has got what they wanted.
fn borrows(wanted: &'static [Borrow]) -> impl Fn() + Send + Sync + 'static {
    move || {
        let state = buffer();
        let got = Arc::new(Counter::new(0));
        let (threads_state, threads_got) = (state.clone(), got.clone());
        together(wanted.len(), move |index| {
            let (shared, numbers) = &*threads_state;
            match wanted[index] {
                Borrow::Piece(piece) => {
                    if let Some(mut borrowed) = shared.try_piece(piece) {
                        numbers.add_one(piece);
                        borrowed.range(0)[0] += 1.0;
                        threads_got.fetch_add(1, Relaxed);
                    }
                }
                Borrow::Whole => {
                    if let Ok(borrowed) = shared.try_whole() {
                        let pieces = [0, 1].map(|piece| numbers.get(piece) as f32);
                        assert_eq!(pieces, [borrowed[0], borrowed[2]]);
                        threads_got.fetch_add(1, Relaxed);
                    }
                }
            }
        });
        assert!(got.load(Relaxed) > 0 || wanted.len() > 2, "both of two borrows were refused");
        let (shared, _) = &*state;
        for piece in 0..2 {
            assert!(shared.try_piece(piece).is_some(), "piece {piece} is still borrowed");
        }
        assert!(shared.try_whole().is_ok());
    }
}

#[test]
fn borrows_that_exclude_each_other_never_coexist_and_leave_nothing_behind() {
    use Borrow::{Piece, Whole};
    for wanted in [
        &[Piece(0), Piece(0)][..],
        &[Piece(0), Whole],
        &[Piece(1), Whole],
        &[Whole, Whole],
        &[Piece(0), Piece(1), Whole],
        &[Piece(1), Piece(1), Whole],
        &[Piece(0), Piece(0), Piece(0)],
        &[Piece(1), Whole, Whole],
    ] {
        // Two readers beside a writer: 800,000 executions without a bound.
        let bound = matches!(wanted, [_, Whole, Whole]).then_some(4);
        explore(&format!("borrows {wanted:?}"), Mode::Waking, bound, borrows(wanted));
    }
}

/// The loop of a training over a buffer: its borrows never meet, since each ends before a barrier.
fn training(threads: usize, steps: usize) -> impl Fn() + Send + Sync + 'static {
    move || {
        let pieces = (0..threads).map(|index| vec![index..index + 1]).collect();
        let state = Arc::new((Barrier::new(threads), Shared::<f32>::new("numbers", threads, pieces)));
        together(threads, move |index| {
            let (barrier, shared) = &*state;
            for step in 1..=steps {
                shared.piece(index).range(0)[0] += 1.0;
                assert!(barrier.wait());
                assert!(shared.whole().iter().all(|&number| number == step as f32));
                if step < steps {
                    assert!(barrier.wait());
                }
            }
        });
    }
}

#[test]
fn borrows_that_end_before_the_barrier_never_conflict_after_it() {
    use Mode::{Sleeping, Waking};
    explore("training, 2 threads, 3 generations", Sleeping, Some(2), training(2, 2));
    explore("training, 3 threads, 1 generation", Sleeping, Some(1), training(3, 1));
    explore("training, 2 threads, 3 generations", Waking, Some(1), training(2, 2));
}
