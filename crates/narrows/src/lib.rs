//! Narrows learns compact codes of data and says what they lose: PCA and autoencoders behind one set of verbs.
//!
//! A fitted PCA and a fitted autoencoder are the same thing: a chain of operations with one cut in it. What is left of the
//! cut encodes, what is right of it decodes. So there is one description ([`spec::Spec`]), one front door ([`fit::fit`]),
//! one [`model::Model`], one file, one report.
//!
//! ```
//! use narrows::data::{self, OpenOptions};
//! use narrows::event::Flow;
//! use narrows::model::Compute;
//! use narrows::recipe::Recipe;
//!
//! let iris = data::open("iris", &OpenOptions::default())?;
//! let (training, held_out) = data::hold_out(&iris, 0.1, 0)?;
//!
//! let mut recipe = Recipe::open("pca")?;
//! recipe.set("code_size=2")?;
//! let compute = Compute::new(None);
//! let fit = narrows::fit::fit(&recipe.spec()?, &training, &held_out, compute, &mut |_| Flow::Continue)?;
//! println!("{}", fit.summary().verdict); // PCA-2 keeps 97.9 % of the variance ...
//! assert!(fit.summary().evaluation.explained_variance > 0.95);
//!
//! let codes = fit.model.encode(&*held_out.rows, compute)?; // 15 x 2
//! assert_eq!(codes.len(), held_out.rows.rows() * 2);
//! # Ok::<(), narrows::Error>(())
//! ```
//!
//!
#![forbid(unsafe_code)]

pub mod error;

pub mod durable;
pub mod event;

pub mod data;
mod random;

pub mod spec;

pub mod plan;
pub mod recipe;
pub mod scaling;

mod engine;
mod linalg;
mod train;

mod container;

mod checkpoint;

mod moments;
pub mod pca;

pub mod summary;

pub mod model;

mod file;
pub mod score;
pub mod verdict;

pub mod report;

pub mod fit;

pub use error::{Error, ErrorKind, Result};
