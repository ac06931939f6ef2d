//! Tile shapes: the largest tiles of each level, limited by its registers.

use crate::simd::Simd;

/// Lanes of the widest register of any level.
pub(super) const MAX_LANES: usize = 16;

/// The largest tiles of a level: as many rows as leave registers for a row of the other factor and one broadcast
/// element. A suffix `_2` is for tiles two registers wide, `_1` for tiles one register wide.
pub(super) trait TileShapes: Simd {
    /// Rows of a tile of the forward product or the weight gradient.
    const MAX_ROWS_2: usize;
    const MAX_ROWS_1: usize;
    /// Rows of a tile of the weight gradient whose elements lie in several runs: with more, their addresses take registers from
    /// the sums.
    const MAX_SCATTERED_ROWS: usize;
    /// Pooling windows (of four rows each) of a pooled tile.
    const MAX_WINDOWS_2: usize;
    const MAX_WINDOWS_1: usize;
}

macro_rules! tile_shapes {
    (
        [$($generics:tt)*] $S:ty:
        rows $rows_2:literal $rows_1:literal $scattered:literal, windows $windows_2:literal $windows_1:literal
    ) => {
        impl $($generics)* TileShapes for $S {
            const MAX_ROWS_2: usize = $rows_2;
            const MAX_ROWS_1: usize = $rows_1;
            const MAX_SCATTERED_ROWS: usize = $scattered;
            const MAX_WINDOWS_2: usize = $windows_2;
            const MAX_WINDOWS_1: usize = $windows_1;
        }
    };
}
tile_shapes!([<const N: usize>] crate::simd::Portable<N>: rows 4 6 6, windows 1 1);
#[cfg(target_arch = "x86_64")]
tile_shapes!([] crate::simd::Avx2: rows 6 10 9, windows 1 3);
#[cfg(target_arch = "x86_64")]
tile_shapes!([] crate::simd::Avx512: rows 12 14 10, windows 2 3);
#[cfg(target_arch = "aarch64")]
tile_shapes!([] crate::simd::Neon: rows 12 14 10, windows 2 3);
