//! Software prefetch.

/// Bytes in a cache line.
pub(crate) const CACHE_LINE: usize = 64;

/// Prefetches a slice into the nearest cache. The slice is rarely aligned to a cache line, so its last element may lie
/// on one more line than its length suggests.
#[inline(always)]
pub(crate) fn prefetch<T>(values: &[T]) {
    values.chunks(CACHE_LINE / size_of::<T>()).for_each(|line| prefetch_line(line.as_ptr()));
    values.last().into_iter().for_each(|last| prefetch_line(last));
}

/// Prefetches the cache line that holds an address. Does nothing on targets without the instruction.
#[inline(always)]
fn prefetch_line<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing; SSE is part of the baseline.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    let _ = address;
}
