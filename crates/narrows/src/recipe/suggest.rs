//! Suggestions for misspelt names.

/// The valid name nearest to a misspelt one (Damerau-Levenshtein distance), if it is near enough to be meant.
pub(crate) fn suggestion<'a>(wrong: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    valid
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

/// The message for an unknown name: ``unknown layer `cnov`; did you mean `conv`? (allowed: ...)``.
pub(super) fn unknown(what: &str, wrong: &str, valid: &[&str]) -> String {
    let list = valid.join(", ");
    match suggestion(wrong, valid.iter().copied()) {
        Some(name) => format!("unknown {what} `{wrong}`; did you mean `{name}`? (allowed: {list})"),
        None => format!("unknown {what} `{wrong}` (allowed: {list})"),
    }
}
