//! Changes of bytes, texts and JSON values: small ones, at places where readers decide.

use serde_json::{Number, Value};

use crate::random::Random;

/// Bytes at the edges of ranges and in the syntax of the formats.
const BYTES: &[u8] = &[
    0, 1, 0x7f, 0x80, 0xff, b'\n', b'\r', b',', b';', b'"', b'.', b'-', b'(', b')', b'{', b'\'', b' ', b'9',
];

/// Numbers at the edges of ranges.
const INTEGERS: &[u64] = &[
    0,
    1,
    2,
    3,
    7,
    8,
    127,
    128,
    255,
    256,
    1000,
    32_767,
    65_535,
    65_536,
    1_000_000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// Numbers as texts.
pub const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "0.5",
    "1e38",
    "1e39",
    "-1e308",
    "1e309",
    "1e-320",
    "1e100000",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "9007199254740993",
    "18446744073709551616",
    "-9223372036854775809",
    "0x10",
    "1_000",
    "1,5",
    "1.000,5",
    "1.5.2",
    "1e",
    "e5",
    ".",
    "-",
    "+1",
    "١",
    "½",
    "1 000",
    "00012",
    "1e+5",
    ".5",
    "5.",
    "",
];

/// Changes bytes somewhere.
pub fn bytes(random: &mut Random, bytes: &mut Vec<u8>) {
    let length = bytes.len();
    let at = random.below(length + 1);
    let span = 1 + random.below(16.min(length.saturating_sub(at)).max(1));
    let end = (at + span).min(length);
    match random.below(9) {
        0 if at < length => bytes[at] ^= 1 << random.below(8),
        1 if at < length => bytes[at] = random.choose(BYTES),
        2 => bytes.insert(at, random.choose(BYTES)),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        5 if random.one_in(4) => bytes.truncate(at),
        6 => {
            let number = random.choose(INTEGERS);
            let width = random.choose(&[2, 4, 8]);
            let number = if random.one_in(2) { number.to_le_bytes() } else { number.to_be_bytes() };
            // The low bytes of the number, in whichever order.
            let number = if number[0] == 0 { &number[8 - width..] } else { &number[..width] };
            for (place, &byte) in bytes[at..].iter_mut().zip(number) {
                *place = byte;
            }
        }
        7 if at < length => bytes[at] = random.bits() as u8,
        _ => {
            let other = random.below(length + 1);
            let (from, to) = (at.min(other), at.max(other).min(at.min(other) + 32));
            let copy = bytes[from..to].to_vec();
            bytes.extend_from_slice(&copy);
        }
    }
}

/// The lines of a text changed: removed, doubled, exchanged, joined, cut.
pub fn lines(random: &mut Random, text: &mut String) {
    let mut lines: Vec<&str> = text.split('\n').collect();
    let (a, b) = (random.below(lines.len()), random.below(lines.len()));
    match random.below(4) {
        0 => drop(lines.remove(a)),
        1 => lines.insert(b, lines[a]),
        2 => lines.swap(a, b),
        _ => {
            let cut = random.below(lines[a].len() + 1);
            if let Some(begin) = lines[a].get(..cut) {
                lines[a] = begin;
            }
        }
    }
    *text = lines.join("\n");
}

/// Splits a text into words, numbers and single signs.
pub fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '.' || c == '-';
        let end = if is_word(first) {
            rest.find(|c: char| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..end]);
        rest = &rest[end..];
    }
    tokens
}

/// Changes one token of a text: to a number, a word of `words`, nothing, or another token of the text.
pub fn token(random: &mut Random, text: &mut String, words: &[&str]) {
    let parts = tokens(text);
    if parts.is_empty() {
        return;
    }
    let solid: Vec<usize> =
        (0..parts.len()).filter(|&i| parts[i].starts_with(|c: char| c.is_alphanumeric())).collect();
    let at =
        if solid.is_empty() || random.one_in(4) { random.below(parts.len()) } else { random.choose(&solid) };
    let new = match random.below(6) {
        0 | 1 => random.choose(NUMBERS),
        2 | 3 => random.choose(words),
        4 => parts[random.below(parts.len())],
        _ => "",
    };
    let mut changed = String::with_capacity(text.len() + new.len());
    for (number, part) in parts.iter().enumerate() {
        changed.push_str(if number == at { new } else { part });
    }
    *text = changed;
}

/// Changes one place of a JSON value: a number, a text, a flag, a field or an element; or puts `donor` or a part of it there.
pub fn json(random: &mut Random, value: &mut Value, donor: &Value, words: &[&str]) {
    let places = count(value);
    let donated = nth(donor, random.below(count(donor))).clone();
    let place = nth_mut(value, random.below(places));
    match place {
        Value::Number(number) if !random.one_in(6) => *place = Value::Number(another_number(random, number)),
        Value::String(text) if random.one_in(2) => *text = random.choose(words).to_owned(),
        Value::Bool(flag) => *flag = !*flag,
        Value::Array(list) if !list.is_empty() && !random.one_in(5) => {
            let (a, b) = (random.below(list.len()), random.below(list.len()));
            match random.below(4) {
                0 => drop(list.remove(a)),
                1 => list.insert(b, list[a].clone()),
                2 => list.swap(a, b),
                _ => list.insert(b, donated),
            }
        }
        Value::Object(fields) if !fields.is_empty() && !random.one_in(5) => {
            let name = fields.keys().nth(random.below(fields.len())).cloned().unwrap_or_default();
            match random.below(4) {
                0 | 1 => drop(fields.shift_remove(&name)),
                2 => drop(fields.insert(random.choose(words).to_owned(), donated)),
                _ => drop(fields.insert(name, donated)),
            }
        }
        _ => {
            *place = match random.below(5) {
                0 => Value::Null,
                1 => Value::Bool(random.one_in(2)),
                2 => Value::String(random.choose(words).to_owned()),
                3 => Value::Number(another_number(random, &Number::from(1))),
                _ => donated,
            }
        }
    }
}

fn another_number(random: &mut Random, number: &Number) -> Number {
    let near = number.as_u64().unwrap_or(1);
    match random.below(8) {
        0 => Number::from(near.wrapping_add(1)),
        1 => Number::from(near.saturating_sub(1)),
        2 => Number::from(near / 2),
        3 => Number::from(random.below(40)),
        4 | 5 => Number::from(random.choose(INTEGERS)),
        6 => Number::from(-(random.below(1000) as i64)),
        _ => {
            let value =
                random.choose(&[0.0, -0.5, 0.5, 1.0, 1.5, 1e-300, 1e-30, 1e30, 1e300, -1e300, f64::MAX]);
            Number::from_f64(value).unwrap_or(Number::from(0))
        }
    }
}

/// The number of places of a value: itself and all within.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The place with this number.
fn nth(value: &Value, mut number: usize) -> &Value {
    if number == 0 {
        return value;
    }
    number -= 1;
    let children: Vec<&Value> = match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    };
    for child in children {
        let places = count(child);
        if number < places {
            return nth(child, number);
        }
        number -= places;
    }
    value
}

fn nth_mut(value: &mut Value, mut number: usize) -> &mut Value {
    if number == 0 {
        return value;
    }
    number -= 1;
    // The child is found first: a borrow that may be returned from a loop cannot be given back.
    let children: Vec<usize> = match &*value {
        Value::Array(list) => list.iter().map(count).collect(),
        Value::Object(fields) => fields.values().map(count).collect(),
        _ => Vec::new(),
    };
    let mut index = 0;
    while index < children.len() && number >= children[index] {
        number -= children[index];
        index += 1;
    }
    if index == children.len() {
        return value;
    }
    let child = match value {
        Value::Array(list) => list.get_mut(index),
        Value::Object(fields) => fields.values_mut().nth(index),
        _ => None,
    };
    nth_mut(child.expect("the index is below the number of children"), number)
}
