//! Files through the public interface.

mod common;
mod corpus;
mod many;
mod npz;
mod pictures;
mod tables;
