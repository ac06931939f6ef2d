//! What went wrong, where, and what to do about it.

use std::fmt;

/// The result of every fallible function of this library.
pub type Result<T> = std::result::Result<T, Error>;

/// An error with a place, a reason and, where there is one, a hint.
///
/// [`fmt::Display`] prints one message: `where: what`, then `(hint)`. Every interface shows the same text.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

/// Which part of the work an [`Error`] belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Rows could not be read, or do not fit what was asked of them.
    Data,
    /// A recipe, or a setting given in its place, is not valid.
    Recipe,
    /// A model file is damaged, foreign, or of an unknown version.
    Model,
    /// Training stopped because a number was no longer finite.
    Diverged,
    /// The operating system refused to read or write a file.
    Io,
}

impl Error {
    /// An error of the given kind. The message names the place first: `digits.csv: row 3, column 2: ...`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), hint: None }))
    }

    /// A [`ErrorKind::Data`] error.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// A [`ErrorKind::Recipe`] error.
    pub fn recipe(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Recipe, message)
    }

    /// A [`ErrorKind::Model`] error.
    pub fn model(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Model, message)
    }

    /// A [`ErrorKind::Io`] error at a path: `runs/a.narrows: cannot write: disk full`.
    pub fn io(path: &std::path::Path, doing: &str, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{}: cannot {doing}: {source}", path.display()))
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// What the user can do, where the error says so.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Puts a place in front of the message: `place: message`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.message = format!("{place}: {}", self.0.message);
        self
    }

    /// Which part of the work it belongs to.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(hint) = &self.0.hint {
            write!(f, " ({hint})")?;
        }
        Ok(())
    }
}

/// The message is the whole story: there is no `source` behind it, which a printer of chains would say twice.
impl std::error::Error for Error {}
