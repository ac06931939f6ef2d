//! What a model is worth on rows: its losses, those of simpler methods, classes, the quality of codes, and the verdict.

pub mod classes;
pub mod codes;
pub(crate) mod labels;
pub mod reconstruction;
pub mod verdict;
pub(crate) mod verdict_of_classes;
