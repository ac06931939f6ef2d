//! The arithmetic of Narrows: functions on slices, written once over a small SIMD abstraction and chosen at run time.
//!
//! Every function takes a [`Level`] (which instructions to use), outputs first, then inputs; lengths are asserted, a
//! wrong length is a bug of the caller. No function allocates, reads files, starts threads or knows what a network is;
//! [`lockstep`] is the one place with threads. Matrices are row-major slices; shapes stand beside them.
//!
//! | module | what |
//! |---|---|
//! | [`matrix`] | the product of two matrices with bias, activation or derivative applied as it is stored |
//! | [`convolution`] | plain, strided, transposed, of an upsampled image: forward and both gradients |
//! | [`pooling`] | maximum, mean, nearest upsampling, and their gradients |
//! | [`image`] | where the pixels of an image lie in memory |
//! | [`noise`] | normal numbers, corrupted rows, dropout |
//! | [`activation`] | relu, sigmoid, tanh, softmax and their derivatives |
//! | [`pointwise`] | leaky relu, elu, gelu, silu, softplus: functions whose derivative needs their input |
//! | [`normalization`] | columns of a batch brought to mean 0 and variance 1, and the way back |
//! | [`sampling`] | codes drawn from a normal distribution, and how far it is from the standard one |
//! | [`loss`] | binary cross-entropy, cross-entropy, squared, absolute and Huber error, each fused with its gradient |
//! | [`penalty`] | what weights and outputs cost by themselves: decay, elimination, slopes |
//! | [`optimizer`] | Adadelta, SGD, RMSprop, Adam, AdamW in one pass over flat slices |
//! | [`vector`] | sums and extremes of columns, scaling, products, checks for finiteness |
//! | [`measure`] | the multiply-adds that the processor can do at most |
//! | [`lockstep`] | threads that go through phases together, and buffers they share |
//! | [`plain`] | the plain twin of every fast function: its oracle and its documentation |
//!
//! All `unsafe` code of the project lives in this crate.
//!
//! ```
//! use narrows_kernels::matrix::{Finish, View, multiply, scratch_len};
//! use narrows_kernels::{Activation, Level};
//!
//! // relu(X W + b): two rows of three numbers, a layer of two units.
//! let x = [1.0, 2.0, 3.0, -1.0, 0.0, 1.0]; // 2 x 3
//! let w = [1.0, -1.0, 0.0, 1.0, 2.0, -2.0]; // 3 x 2
//! let (bias, mut y) = ([0.5, 0.0], [0.0; 4]);
//! let finish = Finish::Forward { bias: Some(&bias), activation: Activation::Relu };
//! let mut scratch = vec![0.0; scratch_len(3)];
//! multiply(Level::detect(), &mut y, View::new(&x, 2, 3), View::new(&w, 3, 2), finish, &mut scratch);
//! assert_eq!(y, [7.5, 0.0, 1.5, 0.0]);
//! ```

pub mod activation;
pub mod convolution;
pub mod image;
pub mod lockstep;
pub mod loss;
pub mod matrix;
pub mod measure;
pub mod noise;
pub mod normalization;
pub mod optimizer;
pub mod penalty;
pub mod plain;
pub mod pointwise;
pub mod pooling;
pub mod sampling;
mod simd;
pub mod vector;

pub use activation::Activation;
pub use convolution::Convolution;
pub use image::{Border, Image};
pub use pointwise::Pointwise;
pub use simd::Level;
