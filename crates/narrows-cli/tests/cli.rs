//! The command from outside: the real program in an empty folder, as a script or a person would run it.

// Tests make the files that the program reads.
#![allow(clippy::disallowed_methods)]

mod cli {
    pub mod apply;
    pub mod classifier;
    pub mod compare;
    pub mod fit;
    pub mod mistakes;
    pub mod run;
    pub mod shown;
}
