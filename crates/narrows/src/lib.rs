//! Narrows learns compact codes of data and says what they lose: PCA and autoencoders behind one set of verbs.
//!
//! A fitted PCA and a fitted autoencoder are the same thing: a chain of operations with one cut in it. What is left of the
//! cut encodes, what is right of it decodes. So there is one description ([`Recipe`]), one front door ([`fit()`]), one
//! [`Model`], one file.
//!
//! A PCA:
//!
//! ```
//! let iris = narrows_datasets::iris();
//! let pca = narrows::Pca::fit(&iris, 2)?;
//! let codes = pca.encode(&iris)?.to_array_f64(); // 150 x 2
//! # assert_eq!(codes.dim(), (150, 2));
//! # Ok::<(), narrows::Error>(())
//! ```
//!
//! An autoencoder, evaluated on held-out rows:
//!
//! ```
//! use narrows::{Autoencoder, Train};
//!
//! let iris = narrows_datasets::iris();
//! let fit = Autoencoder::dense(&[4, 8, 2]).train(Train { epochs: 20, ..Train::default() }).fit(&iris)?;
//! println!("{}", fit.verdict());
//! let codes = fit.model.encode(&iris)?.to_array_f32(); // 150 x 2
//! # assert_eq!(codes.dim(), (150, 2));
//! # Ok::<(), narrows::Error>(())
//! ```
//!
//! Any recipe, from a file or built in, with options:
//!
//! ```
//! use narrows::{Compute, FitOptions, HeldOut, Recipe, data};
//!
//! let (training, test) = data::hold_out(&narrows_datasets::iris(), 0.2, 0)?;
//! let options = FitOptions {
//!     held_out: HeldOut::Rows(&test),
//!     compute: Compute::with_threads(2),
//!     ..FitOptions::default()
//! };
//! let fit = narrows::fit(&Recipe::open("pca")?.with("code_size", 2)?, &training, options)?;
//! println!("{}", fit.verdict()); // PCA-2 keeps 97... % of the variance ...
//! # assert!(fit.verdict().starts_with("PCA-2 keeps 97"));
//! # Ok::<(), narrows::Error>(())
//! ```
//!
//! Rows come from a file ([`data::open`]), an array of [`ndarray`] (borrowed, not copied: an `&Array2` or a view of one is
//! taken wherever rows are), a [`Table`], or a [`Source`] of your own.
//!
//! # Rooms
//!
//! In the order of their imports: each uses only those before it.
//!
//! | room | contents |
//! |---|---|
//! | [`error`] | the error: a place, a reason, a hint |
//! | [`base`] | atomic files, the container of model files, keyed random numbers, eigenvectors, text |
//! | [`compute`] | the SIMD level and the number of threads |
//! | [`progress`] | progress as plain records |
//! | [`data`] | rows: sources, tables, file formats, statistics, scaling, the held-out split |
//! | [`recipe`] | a method with its settings, as plain data, and its TOML file |
//! | [`network`] | a network compiled for rows of a shape, and one training step of it |
//! | [`pca`] | principal component analysis, moments, the linear autoencoder in closed form |
//! | [`train`] | training over epochs, checkpoints, layer-wise pre-training |
//! | [`model`] | a fitted method: encode, decode, reconstruct; its metrics and its file |
//! | [`evaluation`] | losses, baselines, misclassified rows, the quality of codes, verdicts |
//! | [`fit`](mod@fit) | from a recipe and rows to a model |
//! | [`experiments`] | comparisons of recipes, random-initialisation baselines, published figures |
//!
//! The folder `examples` has whole programs.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

// In the order of their imports: each room may use those before it. Blank lines keep the formatter from sorting them.

pub mod error;

pub mod base;

pub mod compute;

pub mod progress;

pub mod data;

pub mod recipe;

pub mod network;

pub mod pca;

pub mod train;

pub mod model;

pub mod evaluation;

pub mod fit;

pub mod experiments;

pub use compute::Compute;
pub use data::{Dataset, Labels, Shape, Source, Table};
pub use error::{Error, ErrorKind, Result};
pub use fit::{Autoencoder, Fit, FitOptions, HeldOut, fit};
pub use model::Model;
pub use ndarray;
pub use pca::Pca;
pub use progress::Event;
pub use recipe::{Function, Layer, Loss, Recipe, Scale, Train};

/// The programs in the chapters of the guide, run as doc tests.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/src/vectors.md")]
    mod vectors {}
    #[doc = include_str!("../../../docs/src/pca.md")]
    mod pca {}
    #[doc = include_str!("../../../docs/src/linear.md")]
    mod linear {}
    #[doc = include_str!("../../../docs/src/basic.md")]
    mod basic {}
    #[doc = include_str!("../../../docs/src/classifier.md")]
    mod classifier {}
    #[doc = include_str!("../../../docs/src/fit.md")]
    mod fit {}
}
