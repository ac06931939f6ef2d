//! Foundations: input and output files, the container of model files, the memory budget, keyed random numbers, eigenvectors, text
//! for people.
//!
//! This room knows nothing of rows, recipes or networks. It uses only [`crate::error`]; every other room may use it.

pub mod atomic_file;
pub(crate) mod container;
pub(crate) mod hash;
pub mod input_file;
pub(crate) mod leading_eigen;
pub mod leftovers;
pub(crate) mod linalg;
pub mod memory;
pub mod output;
pub(crate) mod random;
pub mod text;
