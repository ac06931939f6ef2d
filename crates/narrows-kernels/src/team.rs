//! A team of threads that run the same loop and meet at a barrier.
//!
//! Training is thousands of steps of some fifty microseconds, each in phases that depend on one another's results. A
//! thread pool that gets a job for each phase would spend more time waking threads than working. Here the threads are
//! started once ([`run`]), all run the same loop, and meet at a barrier between phases ([`Worker::wait`]).
//! [`Shared`](crate::shared::Shared) holds the buffers that they exchange.

use std::io;
use std::time::{Duration, Instant};

use crate::gate::Gate;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};

/// Calls `work` on each thread of a team of `threads`, the calling thread included, and returns the calling thread's
/// result. The calling thread is the leader; only its call gets `leader_state`. If a thread panics, the others panic at
/// their next [`Worker::wait`], and so does this function.
///
/// # Errors
/// If the system cannot start a thread: then `work` is not called at all, and the threads that were started have ended.
///
/// # Panics
/// If a thread of the team panics.
pub fn run<L, R>(
    threads: usize,
    leader_state: L,
    work: impl Fn(Worker<'_>, Option<L>) -> R + Sync,
) -> io::Result<R>
where
    R: Send,
    L: Send,
{
    let threads = threads.max(1);
    let (barrier, gate) = (Barrier::new(threads), Gate::default());
    std::thread::scope(|scope| {
        for index in 1..threads {
            let (barrier, gate, work) = (&barrier, &gate, &work);
            let started =
                std::thread::Builder::new().name(format!("narrows-{index}")).spawn_scoped(scope, move || {
                    if gate.wait() {
                        work(Worker { index, barrier }, None);
                    }
                });
            if let Err(error) = started {
                gate.open(false);
                let message = format!("cannot start thread {} of {threads}: {error}", index + 1);
                return Err(io::Error::new(error.kind(), message));
            }
        }
        gate.open(true);
        Ok(work(Worker { index: 0, barrier: &barrier }, Some(leader_state)))
    })
}

/// A thread of a team.
pub struct Worker<'a> {
    index: usize,
    barrier: &'a Barrier,
}

impl Worker<'_> {
    /// Index of the thread in its team; the leader has index 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Number of threads in the team.
    pub fn threads(&self) -> usize {
        self.barrier.threads
    }

    /// Waits at the barrier until every thread of the team has arrived. All writes before it are visible to all threads
    /// after it.
    ///
    /// # Panics
    /// If another thread of the team has panicked.
    pub fn wait(&self) {
        assert!(self.barrier.wait(), "another thread of the team panicked");
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.barrier.poison();
        }
    }
}

/// Time for which a thread spins at the barrier before it sleeps. Long enough for the slower threads of a phase, short
/// enough not to waste a processor that other programs need.
const SPIN_LIMIT: Duration = Duration::from_micros(50);

/// A barrier that spins for a bounded time, then sleeps. `generation` counts its completions.
pub(crate) struct Barrier {
    threads: usize,
    /// True if threads spin before they sleep. With more threads than processors, spinning would delay
    /// the very thread that is waited for.
    spin: bool,
    arrived: AtomicUsize,
    generation: AtomicUsize,
    sleepers: AtomicUsize,
    poisoned: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Barrier {
    pub(crate) fn new(threads: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            threads,
            // A model checker runs one thread at a time: spinning would only repeat what sleeping explores.
            spin: threads <= processors && !cfg!(loom),
            arrived: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            poisoned: AtomicBool::new(false),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// Waits until all threads have arrived. False if one of them has panicked.
    pub(crate) fn wait(&self) -> bool {
        if self.threads == 1 {
            return true;
        }
        let generation = self.generation.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.threads {
            // The last to arrive: no other thread accesses `arrived` until the generation changes.
            self.arrived.store(0, Ordering::Relaxed);
            self.generation.store(generation.wrapping_add(1), Ordering::SeqCst);
            if self.sleepers.load(Ordering::SeqCst) > 0 {
                // A sleeper reads the generation under the lock, so it is asleep by now or will see the new one.
                let _lock = self.lock.lock();
                self.wake.notify_all();
            }
            return !self.poisoned.load(Ordering::SeqCst);
        }
        let passed =
            || self.generation.load(Ordering::SeqCst) != generation || self.poisoned.load(Ordering::SeqCst);
        if self.spin {
            let start = Instant::now();
            'spin: while start.elapsed() < SPIN_LIMIT {
                for _ in 0..64 {
                    if passed() {
                        break 'spin;
                    }
                    std::hint::spin_loop();
                }
            }
        }
        if !passed() {
            // No thread panics while it holds the lock, and the mutex protects no data, so poison is ignored.
            let mut lock = self.lock.lock().unwrap_or_else(|error| error.into_inner());
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            while !passed() {
                lock = self.wake.wait(lock).unwrap_or_else(|error| error.into_inner());
            }
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
        }
        !self.poisoned.load(Ordering::SeqCst)
    }

    /// Lets every thread through, now and from now on: a thread has panicked and will not arrive.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::SeqCst);
        let _lock = self.lock.lock();
        self.wake.notify_all();
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Shared;

    #[test]
    fn phases_see_each_others_writes() {
        for threads in [1, 2, 3, 4] {
            let pieces = (0..threads).map(|t| Vec::from([t * 10..t * 10 + 10])).collect();
            let buffer = Shared::<f32>::new("numbers", threads * 10, pieces);
            let steps = if cfg!(miri) { 20 } else { 2000 };
            let result = run(threads, "leader", |worker, leader_state| {
                assert_eq!(leader_state.is_some(), worker.index() == 0);
                for step in 0..steps {
                    // Each thread adds one to its own piece, then checks the sum of all pieces.
                    buffer.piece(worker.index()).range(0).iter_mut().for_each(|x| *x += 1.0);
                    worker.wait();
                    let sum: f32 = buffer.whole().iter().sum();
                    assert_eq!(sum, (threads * 10 * (step + 1)) as f32);
                    worker.wait();
                }
                worker.index()
            });
            assert_eq!(result.unwrap(), 0);
        }
    }

    #[test]
    fn a_panic_reaches_everyone() {
        for guilty in 0..3 {
            let result = std::panic::catch_unwind(|| {
                run(3, (), |worker, _| {
                    for step in 0..100 {
                        assert!(!(step == 50 && worker.index() == guilty), "on purpose");
                        worker.wait();
                    }
                })
                .unwrap();
            });
            assert!(result.is_err());
        }
    }

    #[test]
    fn nobody_works_in_a_team_that_is_not_complete() {
        for is_complete in [false, true] {
            let (gate, working) = (Gate::default(), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| working.fetch_add(usize::from(gate.wait()), Ordering::Relaxed));
                }
                gate.open(is_complete);
            });
            assert_eq!(working.into_inner(), if is_complete { 3 } else { 0 });
        }
    }
}
