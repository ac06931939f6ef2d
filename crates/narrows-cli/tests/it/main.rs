//! The command from outside: the real program in an empty folder, as a script or a person would run it.

// Tests make the files that the program reads.
#![allow(clippy::disallowed_methods)]

mod apply;
mod classifier;
mod compare;
mod fit;
mod limits;
mod mistakes;
mod old_spellings;
mod outputs;
mod run;
mod shown;
