//! What a processor can do at most: the measure for every other kernel.

use std::hint::black_box;

use crate::simd::{Lanes, Level, Simd, dispatch};

/// Chains of multiply-adds that do not wait for one another: more than the processor has under way.
const CHAINS: usize = 12;

/// Does `rounds` rounds of independent multiply-adds in registers, without memory. Answers how many floating-point
/// operations that was, a multiplication and an addition each, and a number so that nothing is left out.
pub fn multiply_adds(level: Level, rounds: usize) -> (usize, f32) {
    #[inline(always)]
    fn run<S: Simd>(s: S, rounds: usize) -> (usize, f32) {
        // Unknown to the compiler, or it would do one chain for all, or none.
        let (factor, term) = black_box((s.constant(0.999_9), s.constant(1e-4)));
        let mut sums = black_box([s.constant(1.0); CHAINS]);
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = s.mul_add(*sum, factor, term);
            }
        }
        let all = black_box(sums).into_iter().fold(s.constant(0.0), |all, sum| s.add(all, sum));
        (2 * CHAINS * <S as Lanes<f32>>::COUNT * rounds, s.sum(all))
    }
    dispatch!(level, s => run(s, rounds))
}
