//! A network compiled for rows of a known shape, and one training step of it.
//!
//! [`plan`] turns a recipe into a chain of steps with every shape and offset known; `engine` runs it forward and backward
//! and applies the optimizer; `init` draws the first weights, `noise` corrupts rows. Training over epochs is the room
//! `train`, what a fitted network is used for the room [`model`](crate::model).

pub(crate) mod engine;
pub(crate) mod init;
pub(crate) mod noise;
pub mod plan;
