//! Narrows learns compact codes of data and says what they lose.
#![forbid(unsafe_code)]

pub mod data;
pub mod durable;
pub mod error;
pub mod report;

pub use error::{Error, ErrorKind, Result};
