//! Narrows learns compact codes of data and says what they lose.
#![forbid(unsafe_code)]

pub mod data;
pub mod durable;
pub mod error;
// Weights and batches are still to come.
#[allow(dead_code)]
mod random;

pub use error::{Error, ErrorKind, Result};
