//! What is done with a tile before it is stored.

use super::tile::{Epilogue, Place, Sums, WIDE};
use super::{Finish, FinishWide};
use crate::activation::Activation;
use crate::simd::{F, Lanes, Simd};

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
    fn apply<const ROWS: usize>(
        self,
        s: S,
        mut sums: Sums<F<S>, ROWS>,
        place: Place<f32>,
    ) -> Sums<F<S>, ROWS> {
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
        place: Place<f64>,
    ) -> Sums<S::Vector, ROWS> {
        match self {
            FinishWide::Bias(bias) => add_bias(s, sums, bias, place.column),
            FinishWide::Store | FinishWide::Accumulate => sums,
        }
    }
}
