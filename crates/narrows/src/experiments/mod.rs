//! Experiments: several fits beside one another.
//!
//! [`compare`] fits several recipes to the same rows, [`random_baseline`] tests the effect of pre-training, [`papers`] lists
//! published numbers with the recipes that reproduce them. This room uses [`fit`](mod@crate::fit) like any caller of the
//! library; no other room uses it.

pub mod compare;
pub mod papers;
pub mod random_baseline;
