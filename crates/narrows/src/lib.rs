//! Narrows learns compact codes of data and says what they lose: PCA and autoencoders behind one set of verbs.
//!
//! A fitted PCA and a fitted autoencoder are the same thing: a chain of operations with one cut in it. What is left of the
//! cut encodes, what is right of it decodes. So there is one description ([`spec::Spec`]), one front door ([`fit::fit`]),
//! one [`model::Model`], one file, one report.
//!
//! ```
//! use narrows::compute::Compute;
//! use narrows::data;
//! use narrows::progress::Flow;
//! use narrows::recipe::file::Recipe;
//!
//! let iris = narrows_datasets::iris();
//! let (training, held_out) = data::hold_out(&iris, 0.1, 0)?;
//!
//! let mut recipe = Recipe::open("pca")?;
//! recipe.set("code_size=2")?;
//! let compute = Compute::new(None);
//! let fit = narrows::fit::fit(&recipe.spec()?, &training, &held_out, compute, &mut |_| Flow::Continue)?;
//! println!("{}", fit.summary().verdict); // PCA-2 keeps 97.3 % of the variance ...
//! assert!(fit.summary().evaluation.explained_variance > 0.95);
//!
//! let codes = fit.model.encode(&*held_out.rows, compute)?; // 15 x 2
//! assert_eq!(codes.len(), held_out.rows.rows() * 2);
//! # Ok::<(), narrows::Error>(())
//! ```
//!
//! # Modules
//!
//! In the order of this list, which is the order of the `mod` lines: each module uses only those above it.
//!
//! | module | what |
//! |---|---|
//! | [`error`] | what went wrong, where, and what to do about it |
//! | [`durable`] | the one function that creates files |
//! | [`event`] | progress as plain data; the callback's answer can stop a run |
//! | `random` | random numbers that depend on what they are for, and on nothing else |
//! | [`data`] | rows: where they come from, how they are read, which are held out |
//! | [`spec`] | a method with its settings, as plain data |
//! | [`plan`] | a network compiled for rows of a known shape |
//! | [`recipe`] | specs as TOML files, the built-in ones among them |
//! | [`scaling`] | how numbers are scaled before a method sees them, and back |
//! | `engine` | forward, backward and update over a plan, on threads in lockstep |
//! | `linalg` | eigenvectors, and the rule that decides their signs |
//! | `train` | epochs, the order of the rows, the best so far |
//! | `container` | safetensors with a version, a content hash and a description |
//! | `checkpoint` | the state of training in two files, so that a run can go on |
//! | `moments` | mean and scatter of rows, and the directions in which they spread |
//! | `initial` | where the parameters of a network start |
//! | [`pca`] | principal component analysis |
//! | [`summary`] | what is known of a fit when it is over |
//! | [`model`] | a fitted method: encodes, decodes, reconstructs |
//! | `codes` | what can be made of codes: the way between two rows, grids |
//! | `convert` | a PCA as the linear network that it is |
//! | [`pretrain`] | the layers of an encoder trained one after the other |
//! | `file` | [`model::Model`] to and from a file |
//! | [`quality`] | what codes are worth: classes told apart, neighbours kept |
//! | [`score`] | what a model loses on rows, and what simpler methods lose |
//! | [`verdict`] | one plain sentence about a fit |
//! | [`fit`] | the front door: from a spec and rows to a model and its report |
//! | [`classifier`] | networks that tell classes, pre-trained or not |
//! | [`compare`] | several recipes on the same rows, judged by the same figures |
//! | [`twin`] | the same network from random starts, and whether pre-training paid |
//! | [`papers`] | published figures, and the recipes that reproduce them |
//!
//! The folder `examples` has whole programs: PCA of iris, training watched by a callback, a model saved and opened, rows
//! from a source of one's own.
#![forbid(unsafe_code)]

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

pub use error::{Error, ErrorKind, Result};

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
