//! An allocator that counts the memory of the process and refuses what goes far beyond a case's limit.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator with a count.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that are allocated now.
static NOW: AtomicUsize = AtomicUsize::new(0);
/// The most since the last [`Meter::start`].
static MOST: AtomicUsize = AtomicUsize::new(0);
/// Beyond this nothing is given.
static CEILING: AtomicUsize = AtomicUsize::new(usize::MAX);

/// A case may take this much beyond what it has: more is refused, so that a breach of its limit does not take the memory of the
/// machine.
const CEILING_OF_A_CASE: usize = 1 << 30;

/// Counts bytes that are about to be allocated; whether they may be.
fn take(bytes: usize) -> bool {
    let now = NOW.fetch_add(bytes, Relaxed).saturating_add(bytes);
    MOST.fetch_max(now, Relaxed);
    let is_given = now <= CEILING.load(Relaxed);
    if !is_given {
        NOW.fetch_sub(bytes, Relaxed);
    }
    is_given
}

// SAFETY: every request goes to `System` with its layout as it came, or is refused with a null pointer, which the trait allows;
// every pointer that is freed or resized came from `System` with the same layout. The counters do not touch the memory, and
// counting neither allocates nor panics: it is atomic arithmetic, which wraps.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !take(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `pointer` came from `System` with this layout, for all that is given comes from there.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size > layout.size() && !take(size - layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as in `dealloc`; `size` is the caller's, who keeps the contract of `realloc`.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        if size < layout.size() && !moved.is_null() {
            NOW.fetch_sub(layout.size() - size, Relaxed);
        }
        moved
    }
}

/// Measures the most memory that is taken from its start on, by all threads.
pub struct Meter {
    before: usize,
}

impl Meter {
    /// Begins to count, and sets the ceiling for what follows.
    pub fn start() -> Self {
        let before = NOW.load(Relaxed);
        MOST.store(before, Relaxed);
        CEILING.store(before.saturating_add(CEILING_OF_A_CASE), Relaxed);
        Self { before }
    }

    /// The most bytes at any time since the start, without those from before it. What was refused counts.
    pub fn most(&self) -> usize {
        MOST.load(Relaxed).saturating_sub(self.before)
    }
}

/// Takes the ceiling away.
pub fn lift_ceiling() {
    CEILING.store(usize::MAX, Relaxed);
}
