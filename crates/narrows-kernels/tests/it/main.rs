//! Integration tests of the kernels, in one binary.

mod common;
mod convolution;
mod optimizers;
mod parity;
mod pooling;
