//! What every room stands on: atomic files, the container of a model file, keyed random numbers, eigenvectors, text for people.
//!
//! Knows nothing of rows, recipes or networks. Every other room may use it.

pub mod atomic_file;
pub(crate) mod container;
pub(crate) mod linalg;
pub(crate) mod memory;
pub(crate) mod random;
pub mod text;
