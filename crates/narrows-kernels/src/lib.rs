//! The arithmetic of Narrows: functions on slices, written once over a small SIMD abstraction and chosen at run time.
//!
//! Every function takes a [`Level`] (which instructions to use), outputs first, then inputs; lengths are asserted, a
//! wrong length is a bug of the caller. No function allocates, reads files, starts threads or knows what a network is;
//! [`lockstep`] is the one place with threads. Matrices are row-major slices; shapes stand beside them.
//!
//! | module | what |
//! |---|---|
//! | [`matrix`] | the product of two matrices with bias, activation or derivative applied as it is stored |
//! | [`activation`] | relu, sigmoid, tanh, softmax and their derivatives |
//! | [`loss`] | binary cross-entropy, cross-entropy, squared error, each fused with its gradient |
//! | [`optimizer`] | Adadelta, SGD, RMSprop, Adam, AdamW in one pass over flat slices |
//! | [`vector`] | sums of columns, scaling, checks for finiteness |
//! | [`lockstep`] | threads that go through phases together, and buffers they share |
//! | [`plain`] | the plain twin of every fast function: its oracle and its documentation |
//!
//! All `unsafe` code of the project lives in this crate.

pub mod activation;
pub mod lockstep;
pub mod loss;
pub mod matrix;
pub mod optimizer;
pub mod plain;
mod simd;
pub mod vector;

pub use activation::Activation;
pub use simd::Level;
