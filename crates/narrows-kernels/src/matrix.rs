//! The product of two matrices, with what follows it applied to each tile before it is stored.
//!
//! ```text
//! C (m x n)  =  finish( A (m x k) B (k x n) )        or  C += A B
//! ```
//!
//! One loop serves the three products of training, because it takes A and B by their strides: forward `X W`, the
//! gradient at a layer's input `G W'`, the gradient of its weights `X' G`. The way is the usual one (Goto and van de Geijn
//! 2008), without blocks along k, since the k of a layer is short:
//!
//! 1. B is cut into *panels*, as many columns as fit two registers. A panel that is read often, or that does not lie row
//!    by row in memory, is first copied together into `scratch`.
//! 2. For a panel, C is cut into *tiles* of a few rows. A tile lives in registers while k runs: at each step two
//!    registers of B are read, each row's number of A is spread over a register, and every pair is multiplied and added.
//! 3. [`Finish`] is applied to the registers, and they are stored once.
//!
//! Each number of C is one chain of multiply-adds in the order of k, whatever the tile or panel it falls in. So a product
//! may be cut among threads at any row or column, and no bit changes.

use crate::activation::Activation;
use crate::simd::{F, Lanes, Level, Simd, dispatch};

/// Registers in a row of a tile.
const WIDE: usize = 2;

/// A matrix of `rows` x `columns` somewhere in a slice: number (i, j) at `i * row_stride + j * column_stride`.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// A matrix that fills a slice, row after row.
    ///
    /// # Panics
    /// Where the slice has another length.
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert_eq!(rows.checked_mul(columns), Some(data.len()), "a matrix of {rows} x {columns}");
        Self { data, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// Columns `first..first + count` only.
    ///
    /// # Panics
    /// Where they reach past the matrix.
    #[must_use]
    pub fn columns(self, first: usize, count: usize) -> Self {
        assert!(first <= self.columns && count <= self.columns - first);
        let start = (first * self.column_stride).min(self.data.len());
        Self { data: &self.data[start..], columns: count, ..self }
    }

    /// Rows and columns exchanged; nothing moves.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }

    /// Whether every number lies inside the slice.
    fn fits(&self) -> bool {
        self.rows == 0
            || self.columns == 0
            || (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride < self.data.len()
    }
}

impl<T: Copy> View<'_, T> {
    /// Number (i, j).
    pub(crate) fn at(&self, i: usize, j: usize) -> T {
        self.data[i * self.row_stride + j * self.column_stride]
    }

    /// Rows and columns.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }
}

/// What is done to each number of an f32 product before it is stored.
#[derive(Debug, Clone, Copy)]
pub enum Finish<'a> {
    /// Nothing.
    Store,
    /// The sum with what is stored there already.
    Accumulate,
    /// activation(x + bias of the column); without a bias, activation(x).
    Forward {
        /// One number per column, or none.
        bias: Option<&'a [f32]>,
        /// The layer's activation.
        activation: Activation,
    },
    /// x times the activation's derivative at the point whose output stands at the same place of `outputs`.
    Backward {
        /// The activation of the layer that made `outputs`.
        activation: Activation,
        /// m x n, row after row.
        outputs: &'a [f32],
    },
}

/// Numbers of a block of A that is copied: so it stays in the second cache while panels of B pass by.
const BLOCK: usize = 1 << 16;

/// Products with no more panels of B than this read A where it lies.
const FEW_PANELS: usize = 3;

/// Products with fewer rows read B where it lies.
const FEW_ROWS: usize = 32;

/// Numbers of `scratch` that a product with inner dimension `depth` needs at any level.
pub fn scratch_len(depth: usize) -> usize {
    // The widest panel: two registers of 16; and a block of A, of whole tiles.
    depth * WIDE * 16 + BLOCK
}

/// C = finish(A B), f32. `c` is m x n, row after row; `scratch` has at least [`scratch_len`]`(k)` numbers.
///
/// # Panics
/// Where the shapes do not fit.
pub fn multiply(
    level: Level,
    c: &mut [f32],
    a: View<'_, f32>,
    b: View<'_, f32>,
    finish: Finish<'_>,
    scratch: &mut [f32],
) {
    check(c.len(), &a, &b, scratch.len());
    match finish {
        Finish::Forward { bias: Some(bias), .. } => assert_eq!(bias.len(), b.columns),
        Finish::Backward { outputs, .. } => assert_eq!(outputs.len(), c.len()),
        _ => {}
    }
    dispatch!(level, s => run(s, c, a, b, finish, scratch));
}

/// What is done to each number of an f64 product before it is stored.
#[derive(Debug, Clone, Copy)]
pub enum FinishWide<'a> {
    /// Nothing.
    Store,
    /// The sum with what is stored there already.
    Accumulate,
    /// x + bias of the column.
    Bias(&'a [f64]),
}

/// C = finish(A B), f64. As [`multiply`].
///
/// # Panics
/// Where the shapes do not fit.
pub fn multiply_f64(
    level: Level,
    c: &mut [f64],
    a: View<'_, f64>,
    b: View<'_, f64>,
    finish: FinishWide<'_>,
    scratch: &mut [f64],
) {
    check(c.len(), &a, &b, scratch.len());
    if let FinishWide::Bias(bias) = finish {
        assert_eq!(bias.len(), b.columns);
    }
    dispatch!(level, s => run(s, c, a, b, finish, scratch));
}

fn check<T>(c: usize, a: &View<'_, T>, b: &View<'_, T>, scratch: usize) {
    assert_eq!(a.columns, b.rows, "the inner dimensions");
    assert_eq!(a.rows.checked_mul(b.columns), Some(c), "the outer dimensions");
    assert!(a.fits() && b.fits());
    assert!(scratch >= scratch_len(a.columns), "scratch for a depth of {}", a.columns);
}

/// Where the numbers of a tile are in C.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    column: usize,
    /// Columns of C.
    columns: usize,
}

/// The registers of a tile.
type Sums<V, const ROWS: usize> = [[V; WIDE]; ROWS];

/// What is done to a tile before it is stored, and where its chains start. Decisions are taken once for a tile.
trait Epilogue<S: Lanes<T>, T: Copy>: Copy {
    fn accumulates(self) -> bool;
    fn apply<const ROWS: usize>(
        self,
        s: S,
        sums: Sums<S::Vector, ROWS>,
        place: Place,
    ) -> Sums<S::Vector, ROWS>;
}

/// Applies a function to each register of a tile. Loops over numbers, not over references: a reference would keep the
/// registers in memory.
macro_rules! each {
    ($sums:ident, $value:ident => $result:expr) => {
        for i in 0..ROWS {
            for w in 0..WIDE {
                let $value = $sums[i][w];
                $sums[i][w] = $result;
            }
        }
    };
}

/// Adds one number per column.
#[inline(always)]
fn add_bias<S: Lanes<T>, T: Copy, const ROWS: usize>(
    s: S,
    mut sums: Sums<S::Vector, ROWS>,
    bias: &[T],
    column: usize,
) -> Sums<S::Vector, ROWS> {
    let bias = [s.read(bias, column), s.read(bias, column + S::COUNT)];
    for i in 0..ROWS {
        for w in 0..WIDE {
            sums[i][w] = s.add(sums[i][w], bias[w]);
        }
    }
    sums
}

impl<S: Simd> Epilogue<S, f32> for Finish<'_> {
    #[inline(always)]
    fn accumulates(self) -> bool {
        matches!(self, Finish::Accumulate)
    }

    #[inline(always)]
    fn apply<const ROWS: usize>(self, s: S, mut sums: Sums<F<S>, ROWS>, place: Place) -> Sums<F<S>, ROWS> {
        match self {
            Finish::Store | Finish::Accumulate => {}
            Finish::Forward { bias, activation } => {
                if let Some(bias) = bias {
                    sums = add_bias(s, sums, bias, place.column);
                }
                match activation {
                    Activation::Linear => {}
                    Activation::Relu => each!(sums, x => Activation::Relu.apply(s, x)),
                    Activation::Sigmoid => each!(sums, x => Activation::Sigmoid.apply(s, x)),
                    Activation::Tanh => each!(sums, x => Activation::Tanh.apply(s, x)),
                }
            }
            Finish::Backward { activation: Activation::Linear, .. } => {}
            Finish::Backward { activation, outputs } => {
                for i in 0..ROWS {
                    let outputs = &outputs[(place.row + i) * place.columns..][..place.columns];
                    for w in 0..WIDE {
                        let y = s.read(outputs, place.column + w * <S as Lanes<f32>>::COUNT);
                        sums[i][w] = activation.back(s, sums[i][w], y);
                    }
                }
            }
        }
        sums
    }
}

impl<S: Lanes<f64>> Epilogue<S, f64> for FinishWide<'_> {
    #[inline(always)]
    fn accumulates(self) -> bool {
        matches!(self, FinishWide::Accumulate)
    }

    #[inline(always)]
    fn apply<const ROWS: usize>(
        self,
        s: S,
        sums: Sums<S::Vector, ROWS>,
        place: Place,
    ) -> Sums<S::Vector, ROWS> {
        match self {
            FinishWide::Bias(bias) => add_bias(s, sums, bias, place.column),
            FinishWide::Store | FinishWide::Accumulate => sums,
        }
    }
}

/// The tile heights of a level: as many rows as leave registers for two of B and one of A.
/// 16 registers: 6 x 2 + 2 + 1. 32 registers: 12 x 2 + 2 + 1.
trait Tile<T: Copy>: Lanes<T> {
    const HEIGHT: usize;

    /// # Safety
    /// As [`tile`], with `1 <= rows <= HEIGHT`.
    unsafe fn run<E: Epilogue<Self, T>, const UNIT: bool>(self, rows: usize, work: Work<T>, finish: E);
}

macro_rules! tiles {
    ([$($generics:tt)*] $S:ty, $T:ty, $height:literal: $($rows:literal)*) => {
        impl $($generics)* Tile<$T> for $S {
            const HEIGHT: usize = $height;

            #[inline(always)]
            unsafe fn run<E: Epilogue<Self, $T>, const UNIT: bool>(self, rows: usize, work: Work<$T>, finish: E) {
                // SAFETY: as the caller promises.
                unsafe {
                    match rows {
                        $($rows => tile::<Self, $T, E, $rows, UNIT>(self, work, finish),)*
                        _ => unreachable!("tiles of 1 to {} rows", $height),
                    }
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
struct Work<T> {
    depth: usize,
    /// The tile's first row of A.
    a: *const T,
    a_row: usize,
    a_step: usize,
    /// The panel of B: whole registers are read at each step.
    b: *const T,
    b_step: usize,
    /// The tile's first number of C.
    c: *mut T,
    c_row: usize,
    /// The tile's place in C, for the epilogue, and how many of its columns are inside.
    row: usize,
    column: usize,
    count: usize,
    columns: usize,
}

/// The inner loop: `ROWS` x [`WIDE`] registers of C.
///
/// # Safety
/// A holds `ROWS` rows of `depth` numbers at its strides; B holds `depth` times `WIDE` whole registers at `b_step`; C can
/// be read and written for `ROWS` rows of `count` numbers, `count` between 1 and two registers. With `UNIT` the rows of A
/// are one number apart.
#[inline(always)]
unsafe fn tile<S: Lanes<T>, T: Copy, E: Epilogue<S, T>, const ROWS: usize, const UNIT: bool>(
    s: S,
    work: Work<T>,
    finish: E,
) {
    let Work { depth, a, a_row, a_step, b, b_step, c, c_row, row, column, count, columns } = work;
    // Known when compiled, one of A's two strides costs no arithmetic in the loop.
    let (a_row, a_step) = if UNIT { (1, a_step) } else { (a_row, a_step) };
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
        let (mut a, mut b) = (a, b);
        for _ in 0..depth {
            let bs: [S::Vector; WIDE] = [s.load(b), s.load(b.add(lanes))];
            for i in 0..ROWS {
                let spread = s.splat(*a.add(i * a_row));
                for w in 0..WIDE {
                    sums[i][w] = s.mul_add(spread, bs[w], sums[i][w]);
                }
            }
            a = a.wrapping_add(a_step);
            b = b.wrapping_add(b_step);
        }
        let sums = finish.apply(s, sums, Place { row, column, columns });
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

#[inline(always)]
fn run<S: Tile<T>, T: Copy, E: Epilogue<S, T>>(
    s: S,
    c: &mut [T],
    a: View<'_, T>,
    b: View<'_, T>,
    finish: E,
    scratch: &mut [T],
) {
    let (m, n, k) = (a.rows, b.columns, a.columns);
    if m == 0 || n == 0 {
        return;
    }
    // Where the rows of A lie one number apart, a tile would read a line of the cache for a few numbers at each step, and again
    // for each panel: a block of them is copied first, tile after tile.
    let panels = n.div_ceil(WIDE * S::COUNT);
    let rows = BLOCK / k.max(1) / S::HEIGHT * S::HEIGHT;
    if a.row_stride == 1 && a.column_stride != 1 && panels > FEW_PANELS && rows > 0 {
        let (block, scratch) = scratch.split_at_mut(BLOCK);
        for first in (0..m).step_by(rows) {
            let rows = rows.min(m - first);
            pack_rows::<S, T>(block, &a, first, rows);
            sweep(s, c, Left::Packed(block), first, rows, &b, finish, scratch);
        }
    } else {
        sweep(s, c, Left::View(a), 0, m, &b, finish, scratch);
    }
}

/// Some rows of A: where they lie, or copied tile after tile.
#[derive(Clone, Copy)]
enum Left<'a, T> {
    View(View<'a, T>),
    Packed(&'a [T]),
}

/// Rows `first..first + rows` of C, panel after panel of B.
#[inline(always)]
fn sweep<S: Tile<T>, T: Copy, E: Epilogue<S, T>>(
    s: S,
    c: &mut [T],
    a: Left<'_, T>,
    first: usize,
    rows: usize,
    b: &View<'_, T>,
    finish: E,
    scratch: &mut [T],
) {
    let (n, k) = (b.columns, b.rows);
    let wide = WIDE * S::COUNT;
    for column in (0..n).step_by(wide) {
        let count = wide.min(n - column);
        // Reading B where it lies saves the copy when few rows share it; it must lie row by row, in whole registers.
        let direct = b.column_stride == 1 && count == wide && rows < FEW_ROWS;
        let (panel, b_step) = if direct {
            (b.data[column.min(b.data.len())..].as_ptr(), b.row_stride)
        } else {
            pack(s, scratch, b, column, count, k);
            (scratch.as_ptr(), wide)
        };
        for row in (0..rows).step_by(S::HEIGHT) {
            let tile_rows = S::HEIGHT.min(rows - row);
            let (start, a_row, a_step) = match &a {
                Left::View(a) => {
                    let at = ((first + row) * a.row_stride).min(a.data.len());
                    (a.data[at..].as_ptr(), a.row_stride, a.column_stride)
                }
                Left::Packed(block) => (block[row * k..].as_ptr(), 1, S::HEIGHT),
            };
            let work = Work {
                depth: k,
                a: start,
                a_row,
                a_step,
                b: panel,
                b_step,
                c: c[(first + row) * n + column..].as_mut_ptr(),
                c_row: n,
                row: first + row,
                column,
                count,
                columns: n,
            };
            // SAFETY: `View::fits` (asserted by the callers) says that rows first + row.. of A lie inside their slice, and
            // columns column..column + count of B inside theirs; a packed block holds HEIGHT numbers for each of the k steps
            // of each tile (`pack_rows`); the panel in scratch has k whole registers pairs (`check`); C has m rows of n
            // numbers.
            unsafe {
                if a_row == 1 {
                    s.run::<E, true>(tile_rows, work, finish);
                } else {
                    s.run::<E, false>(tile_rows, work, finish);
                }
            }
        }
    }
}

/// Copies rows `first..first + rows` of A, which lie one number apart, tile after tile: for each step the numbers of the tile's
/// rows side by side.
#[inline(always)]
fn pack_rows<S: Tile<T>, T: Copy>(block: &mut [T], a: &View<'_, T>, first: usize, rows: usize) {
    let tile = a.columns * S::HEIGHT;
    for row in (0..rows).step_by(S::HEIGHT) {
        let to = &mut block[row * a.columns..][..tile];
        let height = S::HEIGHT.min(rows - row);
        for (step, to) in to.chunks_exact_mut(S::HEIGHT).enumerate() {
            let from = &a.data[step * a.column_stride + first + row..][..height];
            if height == S::HEIGHT {
                // A length that is known when compiled: a few moves.
                to.copy_from_slice(&from[..S::HEIGHT]);
            } else {
                to[..height].copy_from_slice(from);
            }
        }
    }
}

/// Copies columns `column..column + count` of B to `scratch`, step after step, filled up to whole registers.
#[inline(always)]
fn pack<S: Lanes<T>, T: Copy>(
    s: S,
    scratch: &mut [T],
    b: &View<'_, T>,
    column: usize,
    count: usize,
    k: usize,
) {
    let wide = WIDE * S::COUNT;
    let scratch = &mut scratch[..k * wide];
    if b.column_stride == 1 {
        for (step, to) in scratch.chunks_exact_mut(wide).enumerate() {
            let from = &b.data[step * b.row_stride + column..][..count];
            for w in 0..WIDE {
                let value = s.read(from, w * S::COUNT);
                s.write(to, w * S::COUNT, value);
            }
        }
        return;
    }
    let (side, stride) = (S::SIDE, b.column_stride);
    if b.row_stride != 1 || count < wide {
        // Seldom: the last panel, or strides on both sides.
        for (step, to) in scratch.chunks_exact_mut(wide).enumerate() {
            for (j, to) in to.iter_mut().enumerate() {
                // Columns outside B repeat its last one: their sums are not stored.
                *to = b.data[step * b.row_stride + (column + j.min(count - 1)) * stride];
            }
        }
        return;
    }
    // The columns of B lie as rows: turn squares of them.
    let whole = k - k % side;
    for step in (0..whole).step_by(side) {
        for j in (0..wide).step_by(side) {
            let from = &b.data[(column + j) * stride + step..][..(side - 1) * stride + side];
            let to = &mut scratch[step * wide + j..][..(side - 1) * wide + side];
            // SAFETY: both slices reach from the first to the last number of the square.
            unsafe { s.transpose(to.as_mut_ptr(), wide, from.as_ptr(), stride) }
        }
    }
    for step in whole..k {
        for j in 0..wide {
            scratch[step * wide + j] = b.data[(column + j) * stride + step];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain;
    use crate::simd::Portable;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }

    /// Runs a product at every level of the processor, and through tiles and panels of the 16-lane levels.
    fn each(
        m: usize,
        n: usize,
        k: usize,
        transpose: (bool, bool),
        finish: usize,
        check: impl Fn(&str, &[f32]),
    ) {
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let bias = numbers(n, 3);
        let start = numbers(m * n, 4);
        let view = |data, rows, columns, transpose| {
            if transpose {
                View::new(data, columns, rows).transposed()
            } else {
                View::new(data, rows, columns)
            }
        };
        let (a, b) = (view(&a, m, k, transpose.0), view(&b, k, n, transpose.1));
        let finish = match finish {
            0 => Finish::Store,
            1 => Finish::Accumulate,
            2 => Finish::Forward { bias: Some(&bias), activation: Activation::Sigmoid },
            3 => Finish::Forward { bias: None, activation: Activation::Relu },
            _ => Finish::Backward { activation: Activation::Tanh, outputs: &start },
        };
        let mut want = start.clone();
        plain::multiply(&mut want, a, b, finish);
        let close = |name: &str, got: &[f32]| {
            for (at, (got, want)) in got.iter().zip(&want).enumerate() {
                // Each of k sums of numbers up to 1 in size may be rounded.
                let allowed = 1e-6 * (k as f32 + 4.0);
                assert!(
                    (got - want).abs() <= allowed,
                    "{name} {m}x{n}x{k} {transpose:?} {finish:?} at {at}: {got}, want {want}"
                );
            }
            check(name, got);
        };
        let mut scratch = vec![f32::NAN; scratch_len(k)];
        for level in Level::available() {
            let mut c = start.clone();
            multiply(level, &mut c, a, b, finish, &mut scratch);
            close(level.name(), &c);
        }
        let mut c = start.clone();
        run(Portable::<16>, &mut c, a, b, finish, &mut scratch);
        close("16 lanes", &c);
    }

    #[test]
    fn equals_its_plain_twin_at_all_sizes_to_67() {
        for size in 0..=67 {
            for (m, n, k) in [(size, 19, 7), (5, size, 11), (13, 9, size)] {
                for finish in 0..5 {
                    each(m, n, k, (size % 2 == 0, size % 3 == 0), finish, |_, _| {});
                }
            }
        }
    }

    #[test]
    fn equals_its_plain_twin_at_the_sizes_of_networks() {
        // The last two: several blocks of copied rows of A, and one with rows left over.
        for (m, n, k) in
            [(128, 32, 784), (64, 784, 32), (96, 100, 130), (784, 32, 128), (700, 130, 256), (101, 140, 700)]
        {
            for transpose in [(false, false), (false, true), (true, false), (true, true)] {
                each(m, n, k, transpose, 2, |_, _| {});
            }
        }
    }

    #[test]
    fn a_cut_changes_no_bit() {
        let (m, n, k) = (37, 45, 29);
        let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        let mut scratch = vec![0.0; scratch_len(k)];
        for level in Level::available() {
            let mut whole = vec![0.0; m * n];
            multiply(
                level,
                &mut whole,
                View::new(&a, m, k),
                View::new(&b, k, n),
                Finish::Store,
                &mut scratch,
            );
            for cut in [1, 6, 20, 36] {
                let mut parts = vec![0.0; m * n];
                let (above, below) = parts.split_at_mut(cut * n);
                multiply(
                    level,
                    above,
                    View::new(&a[..cut * k], cut, k),
                    View::new(&b, k, n),
                    Finish::Store,
                    &mut scratch,
                );
                multiply(
                    level,
                    below,
                    View::new(&a[cut * k..], m - cut, k),
                    View::new(&b, k, n),
                    Finish::Store,
                    &mut scratch,
                );
                assert_eq!(whole, parts, "{} cut at row {cut}", level.name());
                let mut part = vec![0.0; m * cut];
                multiply(
                    level,
                    &mut part,
                    View::new(&a, m, k),
                    View::new(&b, k, n).columns(3, cut),
                    Finish::Store,
                    &mut scratch,
                );
                for i in 0..m {
                    assert_eq!(part[i * cut..(i + 1) * cut], whole[i * n + 3..i * n + 3 + cut]);
                }
            }
        }
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let refused = |work: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err();
        let numbers = [0.0f32; 8];
        assert!(refused(&|| {
            View::new(&numbers[..2], usize::MAX / 3 + 1, 3);
        }));
        assert!(refused(&|| {
            let _ = View::new(&numbers, 2, 4).columns(1, usize::MAX);
        }));
        assert!(refused(&|| {
            let (a, b) = (View::new(&[], 1 << 33, 0), View::new(&[], 0, 1 << 31));
            multiply(Level::detect(), &mut [], a, b, Finish::Store, &mut []);
        }));
    }

    #[test]
    fn double_precision_too() {
        for (m, n, k) in [(1, 1, 1), (7, 13, 5), (33, 40, 64), (30, 17, 66)] {
            let a: Vec<f64> = numbers(m * k, 5).into_iter().map(f64::from).collect();
            let b: Vec<f64> = numbers(k * n, 6).into_iter().map(f64::from).collect();
            let bias: Vec<f64> = numbers(n, 7).into_iter().map(f64::from).collect();
            let mut scratch = vec![0.0; scratch_len(k)];
            for (a, b) in [
                (View::new(&a, m, k), View::new(&b, k, n)),
                (View::new(&a, k, m).transposed(), View::new(&b, n, k).transposed()),
            ] {
                for finish in [FinishWide::Store, FinishWide::Accumulate, FinishWide::Bias(&bias)] {
                    let mut want = vec![0.5; m * n];
                    plain::multiply_f64(&mut want, a, b, finish);
                    let mut runs: Vec<Vec<f64>> = Vec::new();
                    for level in Level::available() {
                        let mut c = vec![0.5; m * n];
                        multiply_f64(level, &mut c, a, b, finish, &mut scratch);
                        runs.push(c);
                    }
                    let mut c = vec![0.5; m * n];
                    run(Portable::<8>, &mut c, a, b, finish, &mut scratch);
                    runs.push(c);
                    for c in runs {
                        assert!(
                            c.iter().zip(&want).all(|(c, want)| (c - want).abs() < 1e-13 * (k as f64 + 2.0))
                        );
                    }
                }
            }
        }
    }
}
