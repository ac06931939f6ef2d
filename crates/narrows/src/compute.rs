//! The SIMD level and the number of threads that arithmetic runs with.

use narrows_kernels::Level;

/// With what a model computes. Neither changes a result by more than the rounding of the SIMD level; threads change nothing.
#[derive(Debug, Clone, Copy)]
pub struct Compute {
    /// The SIMD level.
    pub level: Level,
    /// Threads used.
    pub threads: usize,
}

impl Compute {
    /// The best level of this processor (see [`Level::detect`]) and `threads`, or as many as there are processors.
    pub fn new(threads: Option<usize>) -> Self {
        let processors = || std::thread::available_parallelism().map_or(1, usize::from);
        Self { level: Level::detect(), threads: threads.unwrap_or_else(processors).max(1) }
    }
}
