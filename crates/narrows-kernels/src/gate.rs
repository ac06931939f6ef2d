//! The gate that a team waits at until all of its threads are started. It opens once, before any work, and is not among what the
//! model checker explores: its types are those of the standard library.

use std::sync::{Condvar, Mutex};

/// Holds the threads of a team until all are started: a thread that meets the others at a barrier would wait forever for one
/// that never came to be.
#[derive(Default)]
pub(crate) struct Gate {
    /// Whether the team is complete, once that is known.
    is_complete: Mutex<Option<bool>>,
    opened: Condvar,
}

impl Gate {
    pub fn open(&self, is_complete: bool) {
        // Nothing panics while it holds this lock.
        *self.is_complete.lock().unwrap_or_else(|error| error.into_inner()) = Some(is_complete);
        self.opened.notify_all();
    }

    /// Waits until it is known whether the team is complete.
    pub fn wait(&self) -> bool {
        let mut answer = self.is_complete.lock().unwrap_or_else(|error| error.into_inner());
        loop {
            match *answer {
                Some(is_complete) => return is_complete,
                None => answer = self.opened.wait(answer).unwrap_or_else(|error| error.into_inner()),
            }
        }
    }
}
