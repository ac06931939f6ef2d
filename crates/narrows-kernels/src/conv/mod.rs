//! Convolutions of images, channel last: with any stride, transposed, and of an image upsampled just before; forward
//! pass and the gradients at the input and at the weights.
//!
//! ```text
//! y[r, c, o]  =  activation( bias[o] + sum over k, l, i of x[row(r, k), column(c, l), i] w[k, l, i, o] )
//! ```
//!
//! [`ConvolutionKind`] defines row and column, and x is 0 outside the image. The algorithm is direct: patches are not
//! copied (im2col) and there is no transform, so the result is that of the definition to rounding. A convolution is
//! split into phases (`axis`), each a product of matrices whose rows are gathered from the image by a table of offsets
//! (`gather`). Images are stored with the border that [`Geometry`] requires, so no loop tests for edges.

mod axis;
mod convolution;
mod dispatch;
mod gather;
mod geometry;
mod gradient;
mod multiply;
mod pooled;
mod pooled_convolution;
mod tile_shapes;

pub use axis::ConvolutionKind;
pub use convolution::{Convolution, ConvolutionNeeds, Pass};
pub use geometry::{Geometry, Images};
pub use pooled_convolution::PooledConvolution;

#[cfg(test)]
mod tests;
