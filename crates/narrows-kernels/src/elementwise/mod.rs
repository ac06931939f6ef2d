//! Kernels that make one pass over vectors or rows.

pub mod activation;
pub mod loss;
pub mod noise;
pub mod penalty;
pub mod pointwise;
pub mod sampling;
pub mod vector;
