//! The SIMD abstraction that every kernel is written over, and the choice of its level at run time.
//!
//! A *token* ([`Simd`]) is a zero-sized value that proves that the processor has certain instructions: only [`Level`],
//! which detects them, creates tokens. Arithmetic is then a safe method of the token. There are two traits, each with
//! only the operations that the kernels use: [`Lanes`] (the operations of a matrix product; for f32 and f64) and
//! [`Simd`] (f32 only).
//!
//! Everything generic over a token is `#[inline(always)]`: it must be inlined into the `#[target_feature]` function
//! that [`dispatch!`] wraps around it. Otherwise it is compiled for the baseline processor, correct but slow.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
mod level;
pub(crate) mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod prefetch;
mod traits;
mod unroll;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use level::Level;
pub(crate) use level::{InstructionSet, dispatch};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;
pub(crate) use prefetch::{CACHE_LINE, prefetch};
pub(crate) use traits::{F, Lanes, Outline, Simd};
pub(crate) use unroll::{MAX_ROWS, each_row};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};
