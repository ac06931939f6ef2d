//! The primitives of [`team`](crate::team) and [`shared`](crate::shared): those of the standard library, or those that the
//! model checker watches.

#[cfg(all(loom, test))]
pub(crate) use crate::models::{Condvar, Mutex, atomic};
#[cfg(not(all(loom, test)))]
pub(crate) use std::sync::{Condvar, Mutex, atomic};
