//! Pages of real fits.

// Tests make the files that are in the way.
#![allow(clippy::disallowed_methods)]

mod pages;
