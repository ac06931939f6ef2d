//! A network compiled for rows of a known shape, and one training step of it.
//!
//! [`plan`] turns a recipe into a chain of steps with every shape and offset known; `engine` runs it forward and backward
//! and applies the optimizer; `init` draws the initial parameters, `noise` corrupts rows, `gaps` are what is missing of them. The room `train` runs the steps of
//! many epochs, the room [`model`](crate::model) applies a fitted network; this room knows neither.

pub(crate) mod engine;
pub(crate) mod gaps;
pub(crate) mod init;
pub(crate) mod noise;
pub mod plan;
