//! The library from outside: everything a user can reach, tested against definitions, published numbers and files by hand.

// Tests make the files that the library reads.
#![allow(clippy::disallowed_methods)]

mod common;

mod architecture;
mod classifier;
mod closed_form;
mod codes;
mod compare;
mod data;
mod finite;
mod front_door;
mod gaps;
mod guide;
mod images;
mod learning;
mod mixed;
mod model_file;
mod normalization;
mod pretraining;
mod regularisers;
mod resume;
mod tables;
mod traps;
