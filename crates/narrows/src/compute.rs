//! The SIMD level and the number of threads of all arithmetic.

use narrows_kernels::Level;

/// The SIMD level and the number of threads. Another level may change the rounding of results; another number of threads
/// changes nothing.
///
/// ```
/// use narrows::{Compute, FitOptions, Recipe};
///
/// let options = FitOptions { compute: Compute::with_threads(1), ..FitOptions::default() };
/// let fit = narrows::fit(&Recipe::pca(2), &narrows_datasets::iris(), options)?;
/// assert_eq!(fit.model.compute().threads(), 1);
/// # Ok::<(), narrows::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compute {
    pub(crate) level: Level,
    pub(crate) threads: usize,
}

/// The best SIMD level of this processor, and one thread per processor.
impl Default for Compute {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { level: Level::detect(), threads }
    }
}

impl Compute {
    /// The best SIMD level of this processor, and the given number of threads; 0 means 1.
    pub fn with_threads(threads: usize) -> Self {
        Self { threads: threads.max(1), ..Self::default() }
    }

    /// One value for each SIMD level of this processor, with the same number of threads: for tests that results agree.
    pub fn at_every_level(self) -> Vec<Self> {
        Level::available().into_iter().map(|level| Self { level, ..self }).collect()
    }

    /// The number of threads.
    pub fn threads(self) -> usize {
        self.threads
    }

    /// The name of the SIMD level: `avx512`, `avx2`, `neon`, `portable`.
    pub fn simd(self) -> &'static str {
        self.level.name()
    }
}
