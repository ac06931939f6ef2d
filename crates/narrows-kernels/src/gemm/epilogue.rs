//! Epilogues: bias, activation or its derivative, applied to a tile while it is in registers.

use super::tile::{Accumulators, NR_VECTORS, TilePosition};
use crate::elementwise::activation::{Activation, apply_to_vectors};
use crate::simd::{F, Lanes, Simd};

/// The operation applied to each element x of an f32 product before it is stored.
#[derive(Debug, Clone, Copy)]
pub enum Epilogue<'a> {
    /// Stores x.
    Store,
    /// Adds x to the stored value.
    Accumulate,
    /// Stores activation(x + bias\[column\]); without a bias, activation(x).
    Forward {
        /// One value per column, or none.
        bias: Option<&'a [f32]>,
        /// The layer's activation.
        activation: Activation,
    },
    /// Stores x times the derivative of the activation, evaluated from the activation's output at the same position.
    Backward {
        /// The activation of the layer that computed `outputs`.
        activation: Activation,
        /// m x n, row-major.
        outputs: &'a [f32],
    },
}

/// The operation applied to each element x of an f64 product before it is stored.
#[derive(Debug, Clone, Copy)]
pub enum EpilogueF64<'a> {
    /// Stores x.
    Store,
    /// Adds x to the stored value.
    Accumulate,
    /// Stores x + bias\[column\].
    Bias(&'a [f64]),
}

/// Applies an epilogue to the registers of a tile. The epilogue is matched once per tile, not once per element.
pub(super) trait ApplyEpilogue<S: Lanes<T>, T: Copy>: Copy {
    /// True if the accumulators start from the values stored in C instead of 0.
    fn accumulates(self) -> bool;

    /// The values to store.
    fn apply<const ROWS: usize>(
        self,
        s: S,
        sums: Accumulators<S::Vector, ROWS>,
        position: TilePosition<T>,
    ) -> Accumulators<S::Vector, ROWS>;
}

/// Maps each register of a tile. The loop indexes instead of iterating over references, because taking a reference
/// would move the registers to memory.
macro_rules! map_registers {
    ($sums:ident, $value:ident => $result:expr) => {
        for i in 0..ROWS {
            for v in 0..NR_VECTORS {
                let $value = $sums[i][v];
                $sums[i][v] = $result;
            }
        }
    };
}

/// Adds one bias per column.
#[inline(always)]
fn add_bias<S: Lanes<T>, T: Copy, const ROWS: usize>(
    s: S,
    mut sums: Accumulators<S::Vector, ROWS>,
    bias: &[T],
    column: usize,
) -> Accumulators<S::Vector, ROWS> {
    let bias = [s.read(bias, column), s.read(bias, column + S::COUNT)];
    for i in 0..ROWS {
        for v in 0..NR_VECTORS {
            sums[i][v] = s.add(sums[i][v], bias[v]);
        }
    }
    sums
}

impl<S: Simd> ApplyEpilogue<S, f32> for Epilogue<'_> {
    #[inline(always)]
    fn accumulates(self) -> bool {
        matches!(self, Epilogue::Accumulate)
    }

    #[inline(always)]
    fn apply<const ROWS: usize>(
        self,
        s: S,
        mut sums: Accumulators<F<S>, ROWS>,
        position: TilePosition<f32>,
    ) -> Accumulators<F<S>, ROWS> {
        match self {
            Epilogue::Store | Epilogue::Accumulate => {}
            Epilogue::Forward { bias, activation } => {
                if let Some(bias) = bias {
                    sums = add_bias(s, sums, bias, position.column);
                }
                match activation {
                    Activation::Linear => {}
                    Activation::Relu => map_registers!(sums, x => Activation::Relu.apply(s, x)),
                    Activation::Sigmoid if S::HAS_32_REGISTERS => {
                        map_registers!(sums, x => Activation::Sigmoid.apply(s, x));
                    }
                    Activation::Tanh if S::HAS_32_REGISTERS => {
                        map_registers!(sums, x => Activation::Tanh.apply(s, x));
                    }
                    Activation::Sigmoid | Activation::Tanh => {
                        // A copy, so that the sums are in memory here only.
                        let mut copy = sums;
                        apply_to_vectors(s, activation, copy.as_flattened_mut());
                        sums = copy;
                    }
                }
            }
            Epilogue::Backward { activation: Activation::Linear, .. } => {}
            Epilogue::Backward { activation, outputs } => {
                for i in 0..ROWS {
                    let outputs = &outputs[(position.row + i) * position.c_columns..][..position.c_columns];
                    for v in 0..NR_VECTORS {
                        let y = s.read(outputs, position.column + v * <S as Lanes<f32>>::COUNT);
                        sums[i][v] = activation.backward(s, sums[i][v], y);
                    }
                }
            }
        }
        sums
    }
}

impl<S: Lanes<f64>> ApplyEpilogue<S, f64> for EpilogueF64<'_> {
    #[inline(always)]
    fn accumulates(self) -> bool {
        matches!(self, EpilogueF64::Accumulate)
    }

    #[inline(always)]
    fn apply<const ROWS: usize>(
        self,
        s: S,
        sums: Accumulators<S::Vector, ROWS>,
        position: TilePosition<f64>,
    ) -> Accumulators<S::Vector, ROWS> {
        match self {
            EpilogueF64::Bias(bias) => add_bias(s, sums, bias, position.column),
            EpilogueF64::Store | EpilogueF64::Accumulate => sums,
        }
    }
}
