//! Flags in the place of the library's names: its messages speak of options and fields, a terminal of flags.

/// The library's name for an option of a call or a field of a recipe, and the flag that sets it.
const FLAGS: [(&str, &str); 22] = [
    ("header", "--header"),
    ("size", "--size"),
    ("array", "--array"),
    ("memory", "--memory"),
    ("kind", "--kind COLUMN=KIND"),
    ("columns", "--columns"),
    ("drop", "--drop"),
    ("identifiers", "--id"),
    ("kinds", "--kind COLUMN=KIND"),
    ("label_column", "--label-column"),
    ("labels_file", "--labels-file"),
    ("shape", "--shape"),
    ("code_size", "--code-size"),
    ("layers", "--layers"),
    ("pretrain", "--pretrain"),
    ("resume", "--resume"),
    ("seeds", "--seeds"),
    ("threads", "--threads"),
    ("train.epochs", "--epochs"),
    ("train.batch_size", "--batch-size"),
    ("held_out", "--held-out"),
    ("start_from", "--start-from"),
];

/// A message of the library with each name in backticks that has a flag replaced by it: `` `code_size` `` is `--code-size`.
/// A value that follows stays: `` `train.epochs` = 30 `` is `--epochs 30`.
pub fn with_flags(message: &str) -> String {
    let mut text = message.to_owned();
    for (name, flag) in FLAGS {
        text = text.replace(&format!("`{name}` = "), &format!("{flag} ")).replace(&format!("`{name}`"), flag);
    }
    text
}

/// The message of an error, its hint with flags. A hint that corrects the spelling of a field means the field of a file, not
/// the flag.
pub fn error_text(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    match error.chain().find_map(|cause| cause.downcast_ref::<narrows::Error>()?.hint_text()) {
        Some(hint) if !hint.starts_with("did you mean") => text.replace(hint, &with_flags(hint)),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_flags_and_other_words_stay() {
        assert_eq!(with_flags("a smaller `code_size`"), "a smaller --code-size");
        assert_eq!(with_flags("`train.epochs` = 30 makes them 3000"), "--epochs 30 makes them 3000");
        let other = "unknown field `code_sise` (did you mean something else?)";
        assert_eq!(with_flags(other), other);
        let error = |hint: &str| error_text(&narrows::Error::recipe("no `layers`").hint(hint).into());
        assert_eq!(error("a smaller `code_size`"), "no `layers` (a smaller --code-size)");
        assert_eq!(error("did you mean `code_size`?"), "no `layers` (did you mean `code_size`?)");
    }
}
