//! The error of the library: a place, a reason, a hint. Every room uses it; it uses none.

use std::borrow::Cow;
use std::fmt;

/// The result of every fallible function of this library.
pub type Result<T> = std::result::Result<T, Error>;

/// An error with a place, a reason and, in most cases, a hint.
///
/// [`fmt::Display`] prints one line: `place: reason (hint)`, control characters of names from files as escapes. Places count rows, columns, lines and epochs from 1.
///
/// ```
/// use narrows::{ErrorKind, Pca};
///
/// let error = Pca::fit(&ndarray::array![[1.0, 2.0]], 1).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Data);
/// assert!(error.to_string().contains("at least 2 rows"));
/// ```
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

/// The cause of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The rows are invalid, or do not fit the recipe, the model or the options.
    Data,
    /// A recipe, or an option that replaces one of its fields, is invalid.
    Recipe,
    /// A model file is damaged, of another kind, or of an unknown version.
    Model,
    /// Training diverged (a loss or a gradient was not finite), or an eigenvalue decomposition failed.
    Diverged,
    /// The operating system could not read or write a file.
    Io,
    /// The work takes more memory than is free, or the operating system could not start a thread. With a smaller batch size, fewer
    /// threads or fewer rows, or on another machine, it may succeed.
    Resources,
}

impl Error {
    /// An error of the given kind. The message begins with the place: `digits.csv: row 3, column 2: ...`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = escaped(&message.into()).into_owned();
        Self(Box::new(Inner { kind, message, hint: None }))
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

    /// A [`ErrorKind::Io`] error of a path: `runs/a.narrows: cannot write: disk full`, with `write` for `doing`.
    pub fn io(path: &std::path::Path, doing: &str, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{}: cannot {doing}: {source}", path.display()))
    }

    /// A [`ErrorKind::Resources`] error for threads that the operating system could not start.
    pub(crate) fn threads(source: std::io::Error) -> Self {
        Self::new(ErrorKind::Resources, source.to_string()).hint("fewer `threads`")
    }

    /// Adds a hint: what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(escaped(&hint.into()).into_owned());
        self
    }

    /// The hint, if the error has one.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Adds a place in front of the message: `place: message`.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.0.message = format!("{}: {}", escaped(&place.to_string()), self.0.message);
        self
    }

    /// The cause.
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

/// There is no `source`: the message contains that of the cause, which would otherwise be printed twice.
impl std::error::Error for Error {}

/// Text with its control characters and overrides of the writing direction as escapes: a terminal shows them and does not obey
/// them. The escapes are those of JSON and TOML (`\n`, `\u001b`).
///
/// ```
/// use narrows::base::text::escaped;
///
/// assert_eq!(escaped("a\u{1b}[2Jb"), "a\\u001b[2Jb");
/// ```
pub fn escaped(text: &str) -> Cow<'_, str> {
    with_escapes(text, is_control)
}

/// As [`escaped`], with line feeds as they are: for text that has lines of its own.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    with_escapes(text, |c| c != '\n' && is_control(c))
}

/// Control characters (C0, DEL, C1), and the characters that reorder the text after them (U+202A to U+202E, U+2066 to U+2069).
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn with_escapes(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !is_escaped(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(out)
}
