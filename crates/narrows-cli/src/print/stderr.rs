//! Standard error: messages. It is written to here and nowhere else.

use std::io::Write;

use narrows::base::text::escaped;

/// Prints a message as one line, its control characters as escapes. That it cannot be written is no failure of the work: nobody
/// could be told.
pub fn line(text: impl std::fmt::Display) {
    let text = format!("{}\n", escaped(&text.to_string()));
    let _ = std::io::stderr().write_all(text.as_bytes());
}
