//! Work on many rows in chunks, on several threads.

use std::ops::Range;
use std::sync::Mutex;

use narrows_kernels::team;

use crate::error::{Error, Result};

/// Rows of a chunk.
pub(crate) const CHUNK: usize = 128;

/// Calls `work(state, rows)` for each chunk of `rows` rows on several threads, and returns the results in order. Each thread
/// makes its own `state` once. The chunks do not depend on the number of threads. A thread stops at its first error; the
/// error of the first chunk that has one is returned, and that of threads that cannot be started.
pub(crate) fn map_chunks<R: Send, S>(
    rows: usize,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, Range<usize>) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let mut out: Vec<Option<R>> = (0..rows.div_ceil(CHUNK)).map(|_| None).collect();
    each_piece(&mut out, 1, threads, state, |state, index, chunk| {
        chunk[0] = Some(work(state, index * CHUNK..(index * CHUNK + CHUNK).min(rows))?);
        Ok(())
    })?;
    Ok(out.into_iter().flatten().collect())
}

/// Fills `out` (rows of `width` numbers) by `work(state, first row, chunk)`, a chunk of rows at a time, on several threads.
/// Otherwise as [`map_chunks`].
pub(crate) fn each_chunk<T: Send, S>(
    out: &mut [T],
    width: usize,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize, &mut [T]) -> Result<()> + Sync,
) -> Result<()> {
    each_piece(out, CHUNK * width, threads, state, |state, index, chunk| work(state, index * CHUNK, chunk))
}

/// Fills `out` by `work(state, number of the piece, piece)`, `size` entries at a time. Otherwise as [`map_chunks`].
pub(crate) fn each_piece<T: Send, S>(
    out: &mut [T],
    size: usize,
    threads: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize, &mut [T]) -> Result<()> + Sync,
) -> Result<()> {
    // Each piece belongs to one thread; its lock is taken once.
    let chunks: Vec<Mutex<&mut [T]>> = out.chunks_mut(size).map(Mutex::new).collect();
    let failure: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    team::run(threads.min(chunks.len()), (), |member, _| {
        let mut state = state();
        for (index, chunk) in chunks.iter().enumerate().skip(member.index()).step_by(member.threads()) {
            let mut chunk = chunk.lock().expect("no thread panics with a chunk");
            if let Err(error) = work(&mut state, index, &mut chunk) {
                let mut failure = failure.lock().expect("no thread panics with the failure");
                if failure.as_ref().is_none_or(|(first, _)| index < *first) {
                    *failure = Some((index, error));
                }
                return;
            }
        }
    })
    .map_err(Error::threads)?;
    match failure.into_inner().expect("no thread panics with the failure") {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}
