//! Numbers and names as text for people.

pub use crate::error::{escaped, escaped_lines};

/// A number with four significant digits, without trailing zeros; in exponent notation below 1e-4 and from 1e6 on.
pub fn figure_text(value: f64) -> String {
    if !value.is_finite() {
        return "not finite".into();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let before_point = if magnitude < 1.0 { 0 } else { magnitude.log10() as usize + 1 };
    let text = format!("{value:.*}", 4usize.saturating_sub(before_point));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').into() } else { text }
}

/// Text for a chart: characters that XML forbids are replaced, and text of more than `limit` characters is shortened.
pub fn short_text(text: &str, limit: usize) -> String {
    let clean = text
        .chars()
        .map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { c });
    if text.chars().count() <= limit {
        clean.collect()
    } else {
        clean.take(limit.saturating_sub(1)).chain(['…']).collect()
    }
}

/// Names for a message, in backticks, the first `most` of them: `` `a`, `b` and 3 more ``.
pub fn listed<T: AsRef<str>>(names: &[T], most: usize) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(most)
        .map(|name| format!("`{}`", escaped(&short_text(name.as_ref(), 40))))
        .collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        rest => format!("{} and {rest} more", shown.join(", ")),
    }
}

/// A fraction as a percentage with two decimals: `1.25 %`.
pub fn percent(fraction: f64) -> String {
    format!("{:.2} %", fraction * 100.0)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn escapes_are_those_of_json_and_nothing_else_changes() {
        let controls: String = ('\0'..='\u{9f}')
            .chain('\u{202a}'..='\u{202e}')
            .chain('\u{2066}'..='\u{2069}')
            .filter(|&c| c.is_control() || c > '\u{9f}')
            .collect();
        assert_eq!(controls.chars().count(), 32 + 1 + 32 + 5 + 4);
        let shown = escaped(&controls);
        assert!(shown.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&format!("\"{shown}\"")).unwrap(), controls);
        let plain = "naïve \u{200d} Ω \\ \" 漢字 \u{2028}";
        assert!(matches!(escaped(plain), Cow::Borrowed(text) if text == plain));
        assert_eq!(escaped_lines("a\n\tb\r\n"), "a\n\\tb\\r\n");
    }
}
