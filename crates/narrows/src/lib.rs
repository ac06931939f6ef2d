//! Narrows learns compact codes of data and says what they lose.
#![forbid(unsafe_code)]

pub mod data;
pub mod durable;
mod engine;
pub mod error;
pub mod event;
mod linalg;
mod moments;
pub mod pca;
pub mod plan;
mod random;
pub mod recipe;
pub mod report;
pub mod scaling;
pub mod spec;
mod train;

pub use error::{Error, ErrorKind, Result};
