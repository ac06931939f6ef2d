//! The traits of SIMD tokens: [`Lanes`] for f32 and f64, [`Simd`] for f32, [`Outline`] for both.

/// The operation that every token has, independent of the element type.
pub(crate) trait Outline: Copy {
    /// Calls `work` in a separate function that has the level's instructions enabled and is never inlined. A hot loop
    /// inlined into a large function competes with the surrounding code for registers; in its own function it gets all
    /// of them.
    fn outline<R>(self, work: impl FnOnce() -> R) -> R;
}

/// Vectors of elements `T`: the operations of a matrix product.
pub(crate) trait Lanes<T: Copy>: Outline {
    /// One vector register.
    type Vector: Copy;
    /// Lanes of a vector.
    const COUNT: usize;

    fn splat(self, value: T) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once if the instruction set has a fused multiply-add.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// # Safety
    /// `from` is valid for reads of `COUNT` elements.
    unsafe fn load(self, from: *const T) -> Self::Vector;
    /// Loads the first `count` elements; the other lanes are zero.
    ///
    /// # Safety
    /// `count <= COUNT`, and `from` is valid for reads of `count` elements.
    unsafe fn load_first(self, from: *const T, count: usize) -> Self::Vector;
    /// # Safety
    /// `to` is valid for writes of `COUNT` elements.
    unsafe fn store(self, to: *mut T, value: Self::Vector);
    /// Stores the first `count` lanes only.
    ///
    /// # Safety
    /// `count <= COUNT`, and `to` is valid for writes of `count` elements.
    unsafe fn store_first(self, to: *mut T, value: Self::Vector, count: usize);

    /// Side of the square block that [`Lanes::transpose`] transposes.
    const TRANSPOSE_SIDE: usize = 4;

    /// Transposes a square block: `to[j * to_stride + i] = from[i * from_stride + j]` for i and j below
    /// `TRANSPOSE_SIDE`.
    ///
    /// # Safety
    /// Every one of these elements is valid for reads and writes.
    #[inline(always)]
    unsafe fn transpose(self, to: *mut T, to_stride: usize, from: *const T, from_stride: usize) {
        for i in 0..Self::TRANSPOSE_SIDE {
            for j in 0..Self::TRANSPOSE_SIDE {
                // SAFETY: guaranteed by the caller.
                unsafe { *to.add(j * to_stride + i) = *from.add(i * from_stride + j) }
            }
        }
    }

    /// Loads the elements from index `at` on; lanes past the end of the slice are zero.
    #[inline(always)]
    fn read(self, from: &[T], at: usize) -> Self::Vector {
        let left = from.len().saturating_sub(at);
        if left >= Self::COUNT {
            // SAFETY: at least COUNT elements lie between `at` and the end.
            unsafe { self.load(from.as_ptr().add(at)) }
        } else {
            // SAFETY: exactly `left` < COUNT elements lie there; if none is left, `min` keeps the pointer in range.
            unsafe { self.load_first(from.as_ptr().add(at.min(from.len())), left) }
        }
    }

    /// Stores to the elements from index `at` on; lanes past the end of the slice are dropped.
    #[inline(always)]
    fn write(self, to: &mut [T], at: usize, value: Self::Vector) {
        let left = to.len().saturating_sub(at);
        if left >= Self::COUNT {
            // SAFETY: at least COUNT elements lie between `at` and the end.
            unsafe { self.store(to.as_mut_ptr().add(at), value) }
        } else {
            // SAFETY: exactly `left` < COUNT elements lie there; if none is left, `min` keeps the pointer in range.
            unsafe { self.store_first(to.as_mut_ptr().add(at.min(to.len())), value, left) }
        }
    }
}

/// [`Outline::outline`] for instruction sets that are part of the target's baseline.
#[inline(never)]
pub(super) fn outline<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// A vector of f32.
pub(crate) type F<S> = <S as Lanes<f32>>::Vector;

/// Vectors of f32: arithmetic, rounding, comparison and reduction on top of [`Lanes`].
pub(crate) trait Simd: Lanes<f32> {
    /// Whether the instruction set has 32 vector registers: enough for the constants of an exponential beside the sums of a tile.
    const HAS_32_REGISTERS: bool;

    fn sub(self, a: F<Self>, b: F<Self>) -> F<Self>;
    fn mul(self, a: F<Self>, b: F<Self>) -> F<Self>;
    fn div(self, a: F<Self>, b: F<Self>) -> F<Self>;
    fn sqrt(self, a: F<Self>) -> F<Self>;
    fn min(self, a: F<Self>, b: F<Self>) -> F<Self>;
    fn max(self, a: F<Self>, b: F<Self>) -> F<Self>;
    /// Rounds to the nearest integer, ties to even.
    fn round(self, a: F<Self>) -> F<Self>;
    /// 2^a for integral a in -126..=127.
    fn power_of_two(self, a: F<Self>) -> F<Self>;
    /// Loads `COUNT` bytes and converts each to f32.
    ///
    /// # Safety
    /// `from` is valid for reads of `COUNT` bytes.
    unsafe fn load_bytes(self, from: *const u8) -> F<Self>;
    /// Selects `a` in lanes with `x > 0`, `b` in the others (also for NaN).
    fn where_positive(self, x: F<Self>, a: F<Self>, b: F<Self>) -> F<Self>;
    /// Selects `a` in lanes with `x == y`, `b` in the others.
    fn where_equal(self, x: F<Self>, y: F<Self>, a: F<Self>, b: F<Self>) -> F<Self>;
    /// Keeps the first `min(count, COUNT)` lanes and zeroes the others.
    fn first(self, a: F<Self>, count: usize) -> F<Self>;
    /// The sum of the lanes, in a fixed order.
    fn sum(self, a: F<Self>) -> f32;

    #[inline(always)]
    fn constant(self, value: f32) -> F<Self> {
        self.splat(value)
    }
    #[inline(always)]
    fn negate(self, a: F<Self>) -> F<Self> {
        self.sub(self.constant(0.0), a)
    }
    #[inline(always)]
    fn abs(self, a: F<Self>) -> F<Self> {
        self.max(a, self.negate(a))
    }
}
