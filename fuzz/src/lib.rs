//! Fuzzing of Narrows: cases are made from a seed by changing small valid inputs, and each is run under a limit of memory and of
//! time. A panic, an abort, a breach of a limit or a broken promise of the library is a fault; its case is written to the
//! corpus.
//!
//! | module | contents |
//! |---|---|
//! | `memory` | an allocator that counts |
//! | `random` | random numbers of a case |
//! | `mutate` | changes of bytes, texts and JSON |
//! | `container` | model files and checkpoints taken apart and signed again |
//! | `check` | one case under its limits |
//! | `campaign` | many cases: a worker runs them, a supervisor outlives it |
//! | `targets` | what is fuzzed |
#![deny(unsafe_code)]

pub mod campaign;
pub mod check;
pub mod container;
pub mod memory;
pub mod mutate;
pub mod random;
pub mod targets;
