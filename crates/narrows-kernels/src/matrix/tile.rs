//! The inner loop: a tile of C in registers.

use crate::simd::{Lanes, Outline};

/// Registers in a row of a tile.
pub(super) const WIDE: usize = 2;

/// Rows of the tallest tile of any level.
pub(super) const MOST_ROWS: usize = 12;

/// The registers of a tile.
pub(super) type Sums<V, const ROWS: usize> = [[V; WIDE]; ROWS];

/// Where the numbers of a tile are in C.
#[derive(Clone, Copy)]
pub(super) struct Place<T> {
    /// Where its first number is stored, and how far it is from row to row.
    pub c: *mut T,
    pub c_row: usize,
    /// Its first row and column in C, and the columns of C.
    pub row: usize,
    pub column: usize,
    pub columns: usize,
    /// How many columns of the tile are inside C: from 1 to two registers.
    pub count: usize,
}

/// What is done to a tile before it is stored, and where its chains start. Decisions are taken once for a tile.
pub(super) trait Epilogue<S: Lanes<T>, T: Copy>: Copy {
    /// Whether the chains start from what is stored in C.
    fn accumulates(self) -> bool;

    fn apply<const ROWS: usize>(
        self,
        s: S,
        sums: Sums<S::Vector, ROWS>,
        place: Place<T>,
    ) -> Sums<S::Vector, ROWS>;
}

/// The tile heights of a level: as many rows as leave registers for two of B and one of A.
/// 16 registers: 6 x 2 + 2 + 1. 32 registers: 12 x 2 + 2 + 1.
pub(super) trait Tile<T: Copy>: Lanes<T> {
    const HEIGHT: usize;

    /// # Safety
    /// As [`tile`], with `1 <= rows <= HEIGHT`.
    unsafe fn run<E: Epilogue<Self, T>, const UNIT: bool, const LISTED: bool>(
        self,
        rows: usize,
        work: Work<'_, T>,
        finish: E,
    );
}

macro_rules! tiles {
    ([$($generics:tt)*] $S:ty, $T:ty, $height:literal: $($rows:literal)*) => {
        impl $($generics)* Tile<$T> for $S {
            const HEIGHT: usize = $height;

            #[inline(always)]
            unsafe fn run<E: Epilogue<Self, $T>, const UNIT: bool, const LISTED: bool>(
                self,
                rows: usize,
                work: Work<'_, $T>,
                finish: E,
            ) {
                match rows {
                    $($rows => self.outline(
                        #[inline(always)]
                        // SAFETY: as the caller promises.
                        || unsafe { tile::<Self, $T, E, $rows, UNIT, LISTED>(self, work, finish) },
                    ),)*
                    _ => unreachable!("tiles of 1 to {} rows", $height),
                }
            }
        }
    };
}
tiles!([<const N: usize>] crate::simd::Portable<N>, f32, 4: 1 2 3 4);
tiles!([<const N: usize>] crate::simd::Portable<N>, f64, 2: 1 2);
#[cfg(target_arch = "x86_64")]
tiles!([] crate::simd::Avx2, f32, 6: 1 2 3 4 5 6);
#[cfg(target_arch = "x86_64")]
tiles!([] crate::simd::Avx2, f64, 6: 1 2 3 4 5 6);
#[cfg(target_arch = "x86_64")]
tiles!([] crate::simd::Avx512, f32, 12: 1 2 3 4 5 6 7 8 9 10 11 12);
#[cfg(target_arch = "x86_64")]
tiles!([] crate::simd::Avx512, f64, 12: 1 2 3 4 5 6 7 8 9 10 11 12);
#[cfg(target_arch = "aarch64")]
tiles!([] crate::simd::Neon, f32, 12: 1 2 3 4 5 6 7 8 9 10 11 12);
#[cfg(target_arch = "aarch64")]
tiles!([] crate::simd::Neon, f64, 12: 1 2 3 4 5 6 7 8 9 10 11 12);

/// One tile: where its numbers are.
#[derive(Clone, Copy)]
pub(super) struct Work<'a, T> {
    pub depth: usize,
    /// Where A holds not all `depth` steps: those that it does, in order.
    pub steps: &'a [u32],
    /// The tile's first row of A.
    pub a: *const T,
    pub a_row: usize,
    pub a_step: usize,
    /// The panel of B: whole registers are read at each step.
    pub b: *const T,
    pub b_step: usize,
    pub place: Place<T>,
}

/// Something for each row of a tile, written out: the place of a register is known from the beginning, so that it is in the
/// processor and not in memory, whatever else the function does.
macro_rules! each_row {
    ($i:ident => $body:block) => {
        each_row!(@ $i $body 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    (@ $i:ident $body:block $($row:literal)*) => {
        const { assert!(ROWS <= MOST_ROWS) }
        $(if ROWS > $row {
            #[allow(non_upper_case_globals)]
            const $i: usize = $row;
            $body
        })*
    };
}

/// One step of all chains: two registers of B times each row's number of A.
macro_rules! step {
    ($s:ident, $sums:ident, $a:ident, $a_row:ident, $b:expr) => {
        let b = $b;
        let bs: [S::Vector; WIDE] = [$s.load(b), $s.load(b.add(S::COUNT))];
        each_row!(i => {
            let spread = $s.splat(*$a.add(i * $a_row));
            $sums[i][0] = $s.mul_add(spread, bs[0], $sums[i][0]);
            $sums[i][1] = $s.mul_add(spread, bs[1], $sums[i][1]);
        });
    };
}

/// `ROWS` x [`WIDE`] registers of C.
///
/// # Safety
/// A holds `ROWS` rows of `depth` numbers at its strides; B holds `depth` times `WIDE` whole registers at `b_step`; C can be
/// read and written for `ROWS` rows of `count` numbers, `count` between 1 and two registers.
/// With `UNIT` the rows of A are one number apart. With `LISTED` A holds the steps of the list only, which are below `depth`.
#[inline(always)]
unsafe fn tile<
    S: Lanes<T>,
    T: Copy,
    E: Epilogue<S, T>,
    const ROWS: usize,
    const UNIT: bool,
    const LISTED: bool,
>(
    s: S,
    work: Work<'_, T>,
    finish: E,
) {
    let Work { depth, steps, a, a_row, a_step, b, b_step, place } = work;
    let Place { c, c_row, count, .. } = place;
    // Known when compiled, one of A's two strides costs no arithmetic in the loop.
    let a_row = if UNIT { 1 } else { a_row };
    let lanes = S::COUNT;
    // How many numbers of each of the two registers are inside C.
    let inside = [count.min(lanes), count.saturating_sub(lanes)];
    // SAFETY: a register outside C altogether is loaded and stored with a count of 0 at a pointer inside or at the end
    // of its row; everything else is what the caller promises.
    unsafe {
        let zero = s.load_first(b, 0);
        let mut sums = [[zero; WIDE]; ROWS];
        if finish.accumulates() {
            for i in 0..ROWS {
                for w in 0..WIDE {
                    sums[i][w] = s.load_first(c.add(i * c_row + (w * lanes).min(count)), inside[w]);
                }
            }
        }
        let mut a = a;
        if LISTED {
            for &at in steps {
                step!(s, sums, a, a_row, b.add(at as usize * b_step));
                a = a.wrapping_add(a_step);
            }
        } else {
            let mut b = b;
            for _ in 0..depth {
                step!(s, sums, a, a_row, b);
                a = a.wrapping_add(a_step);
                b = b.wrapping_add(b_step);
            }
        }
        // -0 becomes 0: where steps are left out, it might have become so on the way.
        let mut finished = [[zero; WIDE]; ROWS];
        each_row!(i => {
            finished[i] = [s.add(sums[i][0], zero), s.add(sums[i][1], zero)];
        });
        let sums = finish.apply(s, finished, place);
        let whole = count == WIDE * lanes;
        for i in 0..ROWS {
            for w in 0..WIDE {
                let to = c.add(i * c_row + (w * lanes).min(count));
                if whole {
                    s.store(to, sums[i][w]);
                } else {
                    s.store_first(to, sums[i][w], inside[w]);
                }
            }
        }
    }
}
