//! Dispatch from the size of a tile at run time to a tile kernel compiled for that size.

use super::tile_shapes::TileShapes;
use crate::simd::Simd;

/// Rows of the largest tile, two registers wide, of levels with 16 registers.
const FEW_ROWS: usize = 6;

/// Rows of the largest tile that does without a function of its own at such a level: the addresses of more rows take all general
/// registers, and what surrounds an inlined tile needs some.
const MAX_INLINED_ROWS: usize = 8;

/// The computation of one tile, generic over its size.
pub(super) trait TileKernel<S: Simd>: Copy {
    /// Whether a tile takes so long that a call for it does not count.
    const IS_LONG: bool = false;

    /// Computes a tile of `COUNT` rows (or pooling windows) and `REGISTERS` registers per row.
    ///
    /// # Safety
    /// The operands have that many rows, and are valid as the kernel requires.
    unsafe fn run<const COUNT: usize, const REGISTERS: usize>(self, s: S);
}

/// Calls tile kernels of every size up to the level's [`TileShapes`].
pub(super) trait DispatchTile: TileShapes {
    /// Runs a kernel on a tile of `rows` rows.
    ///
    /// # Safety
    /// As [`TileKernel::run`], with `1 <= rows <= MAX_ROWS_2` (or `MAX_ROWS_1`, one register wide).
    unsafe fn dispatch_rows<K: TileKernel<Self>>(self, two_registers: bool, rows: usize, kernel: K);

    /// Runs a kernel on a tile of `windows` pooling windows.
    ///
    /// # Safety
    /// As [`TileKernel::run`], with `1 <= windows <= MAX_WINDOWS_2` (or `MAX_WINDOWS_1`, one register wide).
    #[inline(always)]
    unsafe fn dispatch_windows<K: TileKernel<Self>>(self, two_registers: bool, windows: usize, kernel: K) {
        // Tiles that exceed the level's registers are not compiled.
        macro_rules! run_if_allowed {
            ($($count:literal)*) => {$(
                if const { Self::MAX_WINDOWS_2 >= $count } && (two_registers, windows) == (true, $count) {
                    // SAFETY: guaranteed by the caller.
                    return unsafe { run::<Self, K, $count, 2>(self, kernel) };
                }
                if const { Self::MAX_WINDOWS_1 >= $count } && (two_registers, windows) == (false, $count) {
                    // SAFETY: guaranteed by the caller.
                    return unsafe { run::<Self, K, $count, 1>(self, kernel) };
                }
            )*};
        }
        run_if_allowed!(1 2 3);
        unreachable!("tiles of 1 to {} windows", Self::MAX_WINDOWS_1)
    }
}

/// Runs a kernel. With many registers it gets a function of its own, so that the accumulators have all of them; the small tiles of
/// few registers are faster without the call.
///
/// # Safety
/// As [`TileKernel::run`].
#[inline(always)]
unsafe fn run<S: TileShapes, K: TileKernel<S>, const COUNT: usize, const REGISTERS: usize>(s: S, kernel: K) {
    if const { S::MAX_ROWS_2 <= FEW_ROWS && COUNT <= MAX_INLINED_ROWS && !K::IS_LONG } {
        // SAFETY: guaranteed by the caller.
        return unsafe { kernel.run::<COUNT, REGISTERS>(s) };
    }
    s.outline(
        #[inline(always)]
        // SAFETY: guaranteed by the caller.
        || unsafe { kernel.run::<COUNT, REGISTERS>(s) },
    );
}

/// Implements [`DispatchTile`] for a token: first the row counts up to `MAX_ROWS_2`, then those up to `MAX_ROWS_1`.
macro_rules! dispatch_tiles {
    ([$($generics:tt)*] $S:ty: $($rows:literal)*; $($more:literal)*) => {
        impl $($generics)* DispatchTile for $S {
            #[inline(always)]
            unsafe fn dispatch_rows<K: TileKernel<Self>>(self, two_registers: bool, rows: usize, kernel: K) {
                // SAFETY: guaranteed by the caller.
                unsafe {
                    match (two_registers, rows) {
                        $((true, $rows) => run::<Self, K, $rows, 2>(self, kernel),)*
                        $((false, $rows) => run::<Self, K, $rows, 1>(self, kernel),)*
                        $((false, $more) => run::<Self, K, $more, 1>(self, kernel),)*
                        _ => unreachable!("tiles of 1 to {} rows", Self::MAX_ROWS_1),
                    }
                }
            }
        }
    };
}
dispatch_tiles!([<const N: usize>] crate::simd::Portable<N>: 1 2 3 4; 5 6);
#[cfg(target_arch = "x86_64")]
dispatch_tiles!([] crate::simd::Avx2: 1 2 3 4 5 6; 7 8 9 10);
#[cfg(target_arch = "x86_64")]
dispatch_tiles!([] crate::simd::Avx512: 1 2 3 4 5 6 7 8 9 10 11 12; 13 14);
#[cfg(target_arch = "aarch64")]
dispatch_tiles!([] crate::simd::Neon: 1 2 3 4 5 6 7 8 9 10 11 12; 13 14);
