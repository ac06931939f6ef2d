//! [`PooledConvolution`]: the forward pass of a convolution fused with 2 x 2 max pooling.

use super::axis::ConvolutionKind;
use super::convolution::Convolution;
use super::gather::{GatherEntry, GatherTable};
use super::geometry::{Geometry, Images};
use super::pooled;
use crate::elementwise::activation::Activation;
use crate::image::Image;
use crate::simd::{Level, dispatch};

/// The forward pass of a convolution of stride 1, fused with bias, activation and 2 x 2 max pooling. Only the maxima
/// are stored, and the positions they came from.
#[derive(Debug, Clone)]
pub struct PooledConvolution {
    table: GatherTable,
    input: Image,
    small: Image,
}

impl PooledConvolution {
    /// The pass into `small`, the output of the pooling. None if the two cannot be fused: pooling windows that are cut
    /// off by the edge, strides, or fewer than 8 channels.
    ///
    /// # Panics
    /// As [`Convolution::new`].
    pub fn new(geometry: Geometry, input: Image, small: Image) -> Option<Self> {
        if !can_be_fused(geometry, small) {
            return None;
        }
        let output = geometry.output;
        let unpooled = unpooled_table(geometry, input);
        let mut entries = Vec::with_capacity(unpooled.entries.len());
        for row in 0..small.height {
            for column in 0..small.width {
                for (down, right) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let pixel = (2 * row + down) * output.width + 2 * column + right;
                    let (row, column) = (row as isize, column as isize);
                    entries.push(GatherEntry {
                        read: unpooled.entries[pixel].read,
                        write: small.offset(row, column) as u32,
                        companion: small.without_border().offset(row, column) as u32,
                    });
                }
            }
        }
        let GatherTable { runs, run_len, pitch, columns, .. } = unpooled;
        let table = GatherTable::new(entries, runs, run_len, pitch, columns);
        Some(Self { table, input, small })
    }

    /// Bytes of the gather table that [`PooledConvolution::new`] makes; 0 where it makes none.
    pub fn needed_table_bytes(geometry: Geometry, small: Image) -> usize {
        if !can_be_fused(geometry, small) {
            return 0;
        }
        let Image { height, width, .. } = geometry.output;
        height.saturating_mul(width).saturating_mul(size_of::<GatherEntry>())
    }

    /// Bytes of the gather table.
    pub fn table_bytes(&self) -> usize {
        size_of_val(&self.table.entries[..])
    }

    /// Returns whether an activation can be applied after the maximum instead of before: it is nondecreasing, and exact at
    /// every level.
    pub fn supports(activation: Activation) -> bool {
        matches!(activation, Activation::Linear | Activation::Relu)
    }

    /// Writes max(activation(bias + w * x)) over each pooling window to `small` and, if given, the index of the maximum
    /// in its window (0 to 3, row by row) to `argmax`, an image without a border. Weights packed by
    /// [`Convolution::pack`] for [`Pass::Forward`](super::Pass::Forward).
    ///
    /// # Panics
    /// If a length does not match, or [`PooledConvolution::supports`] is false for the activation.
    pub fn forward(
        &self,
        level: Level,
        small: &mut [f32],
        argmax: Option<&mut [f32]>,
        x: &[f32],
        packed: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
    ) {
        assert!(small.len() == self.small.len() && x.len() == self.input.len());
        assert!(Self::supports(activation));
        let table = &self.table;
        dispatch!(level.for_columns(table.columns), s => {
            pooled::multiply_pooled(s, small, argmax, x, packed, table, bias, activation)
        });
    }
}

/// Returns whether there is a fused kernel for a convolution and a pooling to `small`.
fn can_be_fused(geometry: Geometry, small: Image) -> bool {
    let output = geometry.output;
    let whole = output.height == 2 * small.height && output.width == 2 * small.width;
    let has_unit_stride = geometry.kind == (ConvolutionKind::Plain { stride: 1 });
    whole && has_unit_stride && small.channels == output.channels && pooled::can_be_pooled(output.channels)
}

/// The gather table of the convolution without pooling. With stride 1 there is one phase, whose entries are in the
/// order of the output pixels.
fn unpooled_table(geometry: Geometry, input: Image) -> GatherTable {
    let output = geometry.output;
    let images = Images { input, output, output_gradient: output, input_gradient: input };
    Convolution::new(geometry, images, false).into_forward_table()
}
