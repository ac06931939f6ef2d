//! The readers of file formats. Each checks announced sizes against the file's length before it allocates.

pub mod csv;
pub(super) mod idx;
pub(super) mod input;
pub mod npy;
pub(super) mod number;
