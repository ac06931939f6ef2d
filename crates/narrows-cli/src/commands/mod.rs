//! One file for each verb.

pub mod apply;
pub mod compare;
pub mod data;
pub mod evaluate;
pub mod fit;
pub mod predict;
pub mod recipes;
pub mod reproduce;
pub mod show;
pub mod split;
