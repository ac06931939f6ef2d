//! What several verbs need: data sets, run folders, recipes with options, Ctrl-C, flags in hints.

pub mod columnar;
pub mod datasets;
pub mod files;
pub mod flags_of_hints;
pub mod interrupt;
pub mod recipes;
pub mod run_folder;
