//! The numerical kernels of Narrows: functions on slices, written once over a small SIMD abstraction, with the
//! instruction set chosen at run time.
//!
//! Every function takes a [`Level`] (the instruction set), then outputs, then inputs, then settings. Lengths are
//! asserted: a wrong length is a bug of the caller. No function allocates, reads files, starts threads or knows about
//! networks; [`team`] is the only module that starts threads. Matrices are row-major slices with their shapes as
//! arguments.
//!
//! | module | contents |
//! |---|---|
//! | [`gemm`] | the product of two matrices, with bias, activation or derivative fused as its epilogue |
//! | [`gram`] | Gram matrices of bytes, exact, and of single precision with sums in double precision |
//! | [`conv`] | convolutions: strided, transposed, of an upsampled image; forward pass and both gradients |
//! | [`pooling`] | max pooling, average pooling, nearest-neighbour upsampling, and their gradients |
//! | [`batch_norm`] | batch normalization, forward and backward |
//! | [`activation`] | relu, sigmoid, tanh, softmax and their derivatives |
//! | [`pointwise`] | leaky relu, ELU, GELU, SiLU, softplus: functions whose derivative needs their input |
//! | [`loss`] | binary cross-entropy, cross-entropy, squared, absolute and Huber loss, each fused with its gradient |
//! | [`penalty`] | gradients of weight decay, weight elimination and penalties on activations |
//! | [`noise`] | normal deviates, corruption of rows, dropout masks |
//! | [`sampling`] | sampling of latent codes, and the KL divergence from the standard normal distribution |
//! | [`vector`] | column sums, minima and maxima, scaling, standardization, checks for finite values |
//! | [`optimizer`] | steps of Adadelta, SGD, RMSprop, Adam and AdamW |
//! | [`image`] | the layout of images in memory |
//! | [`team`] | a team of threads that meet at a barrier |
//! | [`shared`] | buffers that the team shares under checked borrows |
//! | [`reference`](mod@reference) | the reference implementation of every kernel: its definition and the oracle of its tests |
//!
//! All `unsafe` code of the project is in this crate.
//!
//! ```
//! use narrows_kernels::gemm::{Epilogue, View, multiply, scratch_len};
//! use narrows_kernels::{Activation, Level};
//!
//! // relu(X W + b): two rows of three values, a layer of two units.
//! let x = [1.0, 2.0, 3.0, -1.0, 0.0, 1.0]; // 2 x 3
//! let w = [1.0, -1.0, 0.0, 1.0, 2.0, -2.0]; // 3 x 2
//! let (bias, mut y) = ([0.5, 0.0], [0.0; 4]);
//! let epilogue = Epilogue::Forward { bias: Some(&bias), activation: Activation::Relu };
//! let mut scratch = vec![0.0; scratch_len(3)];
//! multiply(Level::detect(), &mut y, View::new(&x, 2, 3), View::new(&w, 3, 2), epilogue, &mut scratch);
//! assert_eq!(y, [7.5, 0.0, 1.5, 0.0]);
//! ```

// A kernel takes its level, several buffers, their strides and its settings; a struct for one call would only hide
// them.
#![allow(clippy::too_many_arguments)]

pub mod aligned;
pub mod batch_norm;
pub mod conv;
mod elementwise;
mod gate;
pub mod gemm;
pub mod gram;
pub mod image;
#[cfg(loom)]
#[cfg(test)]
mod models;
pub mod optimizer;
pub mod pooling;
pub mod reference;
pub mod shared;
mod simd;
mod sync;
pub mod team;

pub use conv::Convolution;
pub use elementwise::activation::Activation;
pub use elementwise::pointwise::Pointwise;
pub use elementwise::{activation, loss, noise, penalty, pointwise, sampling, vector};
pub use image::{Border, Image};
pub use simd::Level;
