//! The shape of a convolution, and the layout of its images in memory.

use super::axis::{Axis, ConvolutionKind, Phase, overhang};
use crate::image::{Border, Image};

/// The shape of a convolution: kind, kernel, padding, input and output. The borders of `input` and `output` are
/// ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// The kind of the convolution.
    pub kind: ConvolutionKind,
    /// Height and width of the kernel.
    pub kernel: (usize, usize),
    /// Rows of zeros above the image and columns of zeros to its left; at most one less than the kernel.
    pub padding: (usize, usize),
    /// Shape of the input.
    pub input: Image,
    /// Shape of the output. It may have fewer rows and columns than the input allows; the first ones are computed.
    pub output: Image,
}

impl Geometry {
    /// Number of weights: kernel height x kernel width x input channels x output channels, in this order.
    pub fn weights_len(&self) -> usize {
        self.kernel.0 * self.kernel.1 * self.input.channels * self.output.channels
    }

    /// The border that the forward pass requires of the input.
    pub fn input_border(&self) -> Border {
        border(&self.axes().map(|axis| axis.forward()), self.input)
    }

    /// The border that the backward pass requires of the output gradient.
    pub fn output_gradient_border(&self) -> Border {
        border(&self.axes().map(|axis| axis.backward()), self.output)
    }

    /// Multiply-adds of a forward pass by the direct algorithm: every kernel position of every output.
    pub fn multiply_adds(&self) -> usize {
        let (pixels, channels) = match self.kind {
            // Each input is multiplied by every kernel position.
            ConvolutionKind::Transposed { .. } => {
                (self.input.height * self.input.width, self.output.channels)
            }
            _ => (self.output.height * self.output.width, self.output.channels),
        };
        // More than the counter holds is as good as the most that it holds.
        [channels, self.kernel.0, self.kernel.1, self.input.channels]
            .into_iter()
            .fold(pixels, usize::saturating_mul)
    }

    /// The axes along height and width.
    pub(super) fn axes(&self) -> [Axis; 2] {
        let axis =
            |kernel, padding, inputs, outputs| Axis { kind: self.kind, kernel, padding, inputs, outputs };
        [
            axis(self.kernel.0, self.padding.0, self.input.height, self.output.height),
            axis(self.kernel.1, self.padding.1, self.input.width, self.output.width),
        ]
    }
}

fn border(phases: &[Vec<Phase>; 2], image: Image) -> Border {
    let [(top, bottom), (left, right)] =
        [overhang(&phases[0], image.height), overhang(&phases[1], image.width)];
    Border { top, bottom, left, right }
}

/// The layouts of the four images of a convolution, each with the border that its readers require.
#[derive(Debug, Clone, Copy)]
pub struct Images {
    /// x, with at least [`Geometry::input_border`].
    pub input: Image,
    /// y.
    pub output: Image,
    /// The gradient at y, with at least [`Geometry::output_gradient_border`] if
    /// [`Convolution::backward`](super::Convolution::backward) is called.
    pub output_gradient: Image,
    /// The gradient at x.
    pub input_gradient: Image,
}
