//! The natural order of names: `part2` before `part10`.

use std::cmp::Ordering;

/// Compares two names; runs of digits are compared by value.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        let (Some(x), Some(y)) = (left.chars().next(), right.chars().next()) else {
            // What is equal but for leading zeros is ordered by its text, so that the order is total.
            return left.len().cmp(&right.len()).then_with(|| a.cmp(b));
        };
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (one, other) = (digits(&mut left), digits(&mut right));
            one.len().cmp(&other.len()).then_with(|| one.cmp(other))
        } else {
            (left, right) = (&left[x.len_utf8()..], &right[y.len_utf8()..]);
            x.cmp(&y)
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Takes the digits that a text begins with; gives them without leading zeros.
fn digits<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    *text = rest;
    number.trim_start_matches('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_ordered_by_value() {
        let mut names = ["b1", "a10", "a2", "a02", "a", "a2b", "a1c9", "a1c10", "a99999999999999999999999"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(
            names,
            ["a", "a1c9", "a1c10", "a02", "a2", "a2b", "a10", "a99999999999999999999999", "b1"]
        );
    }
}
