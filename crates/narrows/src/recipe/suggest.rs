//! The nearest valid name to a misspelt one.

/// `did you mean` for a name that is close to a valid one.
pub(crate) fn suggestion<'a>(wrong: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    valid
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

pub(super) fn unknown(what: &str, wrong: &str, valid: &[&str]) -> String {
    let list = valid.join(", ");
    match suggestion(wrong, valid.iter().copied()) {
        Some(name) => format!("unknown {what} `{wrong}`; did you mean `{name}`? (allowed: {list})"),
        None => format!("unknown {what} `{wrong}` (allowed: {list})"),
    }
}
