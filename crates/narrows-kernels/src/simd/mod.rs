//! The SIMD abstraction that every kernel is written over, and the choice of its level at run time.
//!
//! A *token* ([`Simd`]) is a zero-sized value that proves that the processor has some instructions: it can only be made
//! by [`Level`], which asked. Arithmetic is then a safe method of the token. Two traits, each with only the operations
//! that the kernels use: [`Lanes`] (what a matrix product needs; for f32 and f64) and [`Simd`] (f32 mathematics).
//!
//! Everything generic over a token is `#[inline(always)]`: it must end up inside the `#[target_feature]` function that
//! [`dispatch!`] wraps around it, or it would be compiled for the baseline processor, correct and slow.

pub(crate) mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

/// What every token can do, whatever its numbers.
pub(crate) trait Outline: Copy {
    /// Does some work in a function of its own, which has the level's instructions. A hot loop amid much else is not left all
    /// the registers; in a function of its own it is.
    fn outline<R>(self, work: impl FnOnce() -> R) -> R;
}

/// Vectors of numbers `T`: what a matrix product needs.
pub(crate) trait Lanes<T: Copy>: Outline {
    /// One register full of numbers.
    type Vector: Copy;
    /// Numbers in a vector.
    const COUNT: usize;

    fn splat(self, value: T) -> Self::Vector;
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once where the processor can.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;

    /// # Safety
    /// `COUNT` numbers can be read at `from`.
    unsafe fn load(self, from: *const T) -> Self::Vector;
    /// The first `count` numbers, then zeros.
    ///
    /// # Safety
    /// `count <= COUNT`, and `count` numbers can be read at `from`.
    unsafe fn load_first(self, from: *const T, count: usize) -> Self::Vector;
    /// # Safety
    /// `COUNT` numbers can be written at `to`.
    unsafe fn store(self, to: *mut T, value: Self::Vector);
    /// Writes the first `count` numbers only.
    ///
    /// # Safety
    /// `count <= COUNT`, and `count` numbers can be written at `to`.
    unsafe fn store_first(self, to: *mut T, value: Self::Vector, count: usize);

    /// Numbers along a side of the square that [`Lanes::transpose`] turns.
    const SIDE: usize = 4;

    /// Turns a square: `to[j * to_stride + i] = from[i * from_stride + j]` for i and j below `SIDE`.
    ///
    /// # Safety
    /// All of these numbers can be read and written.
    #[inline(always)]
    unsafe fn transpose(self, to: *mut T, to_stride: usize, from: *const T, from_stride: usize) {
        for i in 0..Self::SIDE {
            for j in 0..Self::SIDE {
                // SAFETY: as the caller promises.
                unsafe { *to.add(j * to_stride + i) = *from.add(i * from_stride + j) }
            }
        }
    }

    /// The numbers from `at` on; zeros past the end.
    #[inline(always)]
    fn read(self, from: &[T], at: usize) -> Self::Vector {
        let left = from.len().saturating_sub(at);
        if left >= Self::COUNT {
            // SAFETY: COUNT numbers lie between `at` and the end.
            unsafe { self.load(from.as_ptr().add(at)) }
        } else {
            // SAFETY: exactly `left` < COUNT numbers lie there; with none left, `min` keeps the pointer in range.
            unsafe { self.load_first(from.as_ptr().add(at.min(from.len())), left) }
        }
    }

    /// Writes the numbers from `at` on, as far as the slice goes.
    #[inline(always)]
    fn write(self, to: &mut [T], at: usize, value: Self::Vector) {
        let left = to.len().saturating_sub(at);
        if left >= Self::COUNT {
            // SAFETY: COUNT numbers lie between `at` and the end.
            unsafe { self.store(to.as_mut_ptr().add(at), value) }
        } else {
            // SAFETY: exactly `left` < COUNT numbers lie there; with none left, `min` keeps the pointer in range.
            unsafe { self.store_first(to.as_mut_ptr().add(at.min(to.len())), value, left) }
        }
    }
}

/// [`Outline::outline`] for levels whose instructions every processor has.
#[inline(never)]
fn outline<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// A vector of f32.
pub(crate) type F<S> = <S as Lanes<f32>>::Vector;

/// f32 mathematics, on top of [`Lanes`].
pub(crate) trait Simd: Lanes<f32> {
    fn sub(self, a: F<Self>, b: F<Self>) -> F<Self>;
    fn mul(self, a: F<Self>, b: F<Self>) -> F<Self>;
    fn div(self, a: F<Self>, b: F<Self>) -> F<Self>;
    fn sqrt(self, a: F<Self>) -> F<Self>;
    fn min(self, a: F<Self>, b: F<Self>) -> F<Self>;
    fn max(self, a: F<Self>, b: F<Self>) -> F<Self>;
    /// To the nearest whole number, ties to even.
    fn round(self, a: F<Self>) -> F<Self>;
    /// 2 to the power of a whole number between -126 and 127.
    fn power_of_two(self, a: F<Self>) -> F<Self>;
    /// As many bytes as the vector has numbers, as numbers.
    ///
    /// # Safety
    /// `COUNT` bytes can be read at `from`.
    unsafe fn load_bytes(self, from: *const u8) -> F<Self>;
    /// Where `x > 0`: `a`, else `b`.
    fn where_positive(self, x: F<Self>, a: F<Self>, b: F<Self>) -> F<Self>;
    /// Where `x == y`: `a`, else `b`.
    fn where_equal(self, x: F<Self>, y: F<Self>, a: F<Self>, b: F<Self>) -> F<Self>;
    /// The first `count` numbers (or all, where there are fewer), then zeros.
    fn first(self, a: F<Self>, count: usize) -> F<Self>;
    /// The sum of the numbers, in a fixed order.
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

/// Bytes on a line of the cache.
const LINE: usize = 64;

/// Asks for numbers to be brought near while something else is done. They seldom begin at a line of the cache: the last is on
/// one more.
#[inline(always)]
pub(crate) fn prefetch<T>(numbers: &[T]) {
    numbers.chunks(LINE / size_of::<T>()).for_each(|line| prefetch_line(line.as_ptr()));
    numbers.last().into_iter().for_each(|last| prefetch_line(last));
}

/// Asks for the line of the cache that holds a place.
#[inline(always)]
fn prefetch_line<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint reads nothing; SSE is part of the baseline.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) }
    }
    let _ = place;
}

/// Which SIMD instructions to use. [`Level::detect`] asks the processor; a level it lacks cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Level(pub(crate) Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Plain,
    #[cfg(target_arch = "aarch64")]
    Neon,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The environment variable that lowers the level: `plain`, `avx2`, `avx512` or `neon`.
    pub const VARIABLE: &'static str = "NARROWS_SIMD";

    /// The best level of this processor, lowered to what [`Level::VARIABLE`] names. A name that is unknown, or a level
    /// that the processor lacks, changes nothing. Asked once per process.
    pub fn detect() -> Self {
        static DETECTED: std::sync::OnceLock<Level> = std::sync::OnceLock::new();
        *DETECTED.get_or_init(Self::ask)
    }

    fn ask() -> Self {
        let best = *Self::available().last().expect("the plain level is always there");
        match std::env::var(Self::VARIABLE) {
            Ok(name) => Self::available().into_iter().find(|level| level.name() == name).unwrap_or(best),
            Err(_) => best,
        }
    }

    /// Every level this processor has, slowest first.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut)]
        let mut levels = vec![Self(Kind::Plain)];
        #[cfg(target_arch = "aarch64")]
        levels.push(Self(Kind::Neon));
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                levels.push(Self(Kind::Avx2));
                if is_x86_feature_detected!("avx512f") {
                    levels.push(Self(Kind::Avx512));
                }
            }
        }
        levels
    }

    /// The level for rows of so few numbers: half of a wide register would stay empty.
    pub(crate) fn for_columns(self, columns: usize) -> Self {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 if columns <= 8 => Self(Kind::Avx2),
            _ => {
                let _ = columns;
                self
            }
        }
    }

    /// `plain`, `neon`, `avx2` or `avx512`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Plain => "plain",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon => "neon",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
        }
    }
}

/// Runs an expression with the token of a level: `dispatch!(level, simd => kernel(simd, ...))`.
/// The expression is compiled once per level, inside a function that has the level's instructions.
macro_rules! dispatch {
    ($level:expr, $simd:ident => $body:expr) => {
        match $level.0 {
            $crate::simd::Kind::Plain => {
                let $simd = $crate::simd::Portable::<4>;
                $body
            }
            #[cfg(target_arch = "aarch64")]
            $crate::simd::Kind::Neon => {
                // SAFETY: NEON is part of the aarch64 baseline.
                let $simd = unsafe { $crate::simd::Neon::new_unchecked() };
                $body
            }
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Kind::Avx2 => {
                #[target_feature(enable = "avx2,fma")]
                fn vectorize<R>(work: impl FnOnce() -> R) -> R {
                    work()
                }
                // SAFETY: `Level` makes this kind only where the processor has AVX2 and FMA.
                unsafe {
                    let $simd = $crate::simd::Avx2::new_unchecked();
                    vectorize(
                        #[inline(always)]
                        || $body,
                    )
                }
            }
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Kind::Avx512 => {
                #[target_feature(enable = "avx512f,avx2,fma")]
                fn vectorize<R>(work: impl FnOnce() -> R) -> R {
                    work()
                }
                // SAFETY: `Level` makes this kind only where the processor has AVX-512F.
                unsafe {
                    let $simd = $crate::simd::Avx512::new_unchecked();
                    vectorize(
                        #[inline(always)]
                        || $body,
                    )
                }
            }
        }
    };
}
pub(crate) use dispatch;
