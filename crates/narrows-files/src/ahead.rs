//! Reading ahead: a thread makes the next items of an iterator while the last one is used.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};

use narrows::{Error, ErrorKind, Result};

/// The items of an iterator that runs in a thread of its own.
///
/// The thread waits when `capacity` items are ready, so that memory is bounded; it ends with the first error, with the last item,
/// or when this is dropped.
pub(crate) struct Ahead<T> {
    /// None where it has ended.
    items: Option<Receiver<Result<T>>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system starts no thread.
    pub fn new(capacity: usize, iterator: impl Iterator<Item = Result<T>> + Send + 'static) -> Result<Self> {
        let (sender, receiver) = sync_channel(capacity);
        let run = move || {
            for item in iterator {
                let failed = item.is_err();
                // Nobody listens any more when the reader was dropped.
                if sender.send(item).is_err() || failed {
                    return;
                }
            }
        };
        let thread = Builder::new().name("read-ahead".into()).spawn(run).map_err(|error| {
            Error::new(ErrorKind::Resources, format!("no thread to read ahead with: {error}"))
        })?;
        Ok(Self { items: Some(receiver), thread: Some(thread) })
    }
}

impl<T> Iterator for Ahead<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if let Ok(item) = self.items.as_ref()?.recv() {
            return Some(item);
        }
        self.items = None;
        let ended = self.thread.take().map(JoinHandle::join);
        matches!(ended, Some(Err(_))).then(|| Err(Error::data("the thread that reads ahead has failed")))
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        // In this order: a thread that waits for room sees that nobody listens.
        self.items = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_in_order_and_a_reader_that_is_dropped_ends_its_thread() {
        let all: Vec<u32> = Ahead::new(2, (0..1000).map(Ok)).unwrap().map(Result::unwrap).collect();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        let mut endless = Ahead::new(2, (0u64..).map(Ok)).unwrap();
        assert_eq!(endless.next().unwrap().unwrap(), 0);
    }

    #[test]
    fn an_error_is_the_last_item() {
        let items = (0..10).map(|item| if item < 3 { Ok(item) } else { Err(Error::data("no more")) });
        let found: Vec<Result<i32>> = Ahead::new(1, items).unwrap().collect();
        assert_eq!(found.len(), 4);
        assert!(found[3].is_err());
    }
}
