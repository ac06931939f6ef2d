//! A look at the footer of a Parquet file before it is decoded.
//!
//! The decoder reserves memory for as many row groups and children as the footer announces, and follows nested groups by
//! recursion. A few changed bytes could so ask for hundreds of gigabytes, which ends the process. Here each list is compared with
//! the bytes that are left, and the tree of the schema with its elements.

/// Nested structures of a footer, and nested groups of a schema. Real ones have fewer than ten.
const DEEPEST: usize = 64;

/// Why a footer is refused; it is a structure in the compact protocol of Thrift.
pub(crate) fn check(footer: &[u8]) -> Result<(), &'static str> {
    let mut reader = Reader { rest: footer, children: Vec::new(), elements: 0 };
    reader.structure(0, Place::File)?;
    check_tree(&reader.children, reader.elements)
}

/// The number of children of each element, in the order of a walk through the tree.
fn check_tree(children: &[i64], elements: usize) -> Result<(), &'static str> {
    if children.len() > elements {
        return Err("its schema has more groups than elements");
    }
    // What is still to come of each group around the current element.
    let mut open: Vec<i64> = Vec::new();
    for &count in children {
        while open.last() == Some(&0) {
            open.pop();
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        if !(0..=elements as i64).contains(&count) {
            return Err("a group of its schema has more children than there are elements");
        }
        if count > 0 {
            open.push(count);
        }
        if open.len() > DEEPEST {
            return Err("its schema is nested too deeply");
        }
    }
    Ok(())
}

/// Where a structure stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    File,
    SchemaElement,
    Elsewhere,
}

struct Reader<'a> {
    rest: &'a [u8],
    /// The number of children of each element of the schema; 0 for a column.
    children: Vec<i64>,
    elements: usize,
}

const ENDS: &str = "its footer ends too early";
const DEEP: &str = "its footer is nested too deeply";

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, &'static str> {
        let (&first, rest) = self.rest.split_first().ok_or(ENDS)?;
        self.rest = rest;
        Ok(first)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), &'static str> {
        let bytes = usize::try_from(bytes).map_err(|_| ENDS)?;
        self.rest = self.rest.get(bytes..).ok_or(ENDS)?;
        Ok(())
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("its footer has a number that is too long")
    }

    /// A signed number.
    fn integer(&mut self) -> Result<i64, &'static str> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn structure(&mut self, depth: usize, place: Place) -> Result<(), &'static str> {
        if depth > DEEPEST {
            return Err(DEEP);
        }
        let mut id = 0i64;
        let mut children = 0;
        loop {
            let head = self.byte()?;
            let (step, kind) = (head >> 4, head & 0xf);
            if kind == 0 {
                break;
            }
            id = if step == 0 { self.integer()? } else { id.saturating_add(i64::from(step)) };
            match (place, id, kind) {
                (Place::SchemaElement, 5, 4..=6) => children = self.integer()?,
                (Place::File, 2, 9) => self.list(depth, Place::SchemaElement)?,
                // The bool of a field is its type.
                (_, _, 1 | 2) => {}
                _ => self.value(kind, depth)?,
            }
        }
        if place == Place::SchemaElement {
            self.children.push(children);
        }
        Ok(())
    }

    fn list(&mut self, depth: usize, place: Place) -> Result<(), &'static str> {
        let head = self.byte()?;
        let (short, kind) = (u64::from(head >> 4), head & 0xf);
        let size = if short == 15 { self.number()? } else { short };
        // Each item takes a byte or more.
        if size > self.rest.len() as u64 {
            return Err("its footer announces a list that is longer than the footer");
        }
        if place == Place::SchemaElement {
            self.elements = self.elements.max(size as usize);
        }
        for _ in 0..size {
            if kind == 12 {
                self.structure(depth + 1, place)?;
            } else if matches!(kind, 1 | 2) {
                self.skip(1)?;
            } else {
                self.value(kind, depth + 1)?;
            }
        }
        Ok(())
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<(), &'static str> {
        if depth > DEEPEST {
            return Err(DEEP);
        }
        match kind {
            3 => self.skip(1),
            4..=6 => self.number().map(|_| ()),
            7 => self.skip(8),
            8 => {
                let length = self.number()?;
                self.skip(length)
            }
            9 | 10 => self.list(depth, Place::Elsewhere),
            11 => {
                let size = self.number()?;
                if size > self.rest.len() as u64 {
                    return Err("its footer announces a map that is longer than the footer");
                }
                let kinds = if size > 0 { self.byte()? } else { 0 };
                for _ in 0..size {
                    for kind in [kinds >> 4, kinds & 0xf] {
                        if matches!(kind, 1 | 2) { self.skip(1)? } else { self.value(kind, depth + 1)? }
                    }
                }
                Ok(())
            }
            12 => self.structure(depth + 1, Place::Elsewhere),
            13 => self.skip(16),
            _ => Err("its footer has a value of an unknown type"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_trees_that_cannot_be_are_refused() {
        // Field 2, a list of structures: 2^31 - 1 of them.
        assert!(check(&[0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0, 0]).unwrap_err().contains("longer"));
        // Three elements; the first has 1,000,000 children (field 5, i32).
        let wide = [0x29, 0x3c, 0x55, 0x80, 0x89, 0x7a, 0, 0, 0, 0];
        assert!(check(&wide).unwrap_err().contains("more children"));
        // 200 groups of one child in each other.
        let mut deep = vec![0x29, 0xfc, 200, 1];
        (0..200).for_each(|_| deep.extend([0x55, 2, 0]));
        deep.push(0);
        assert!(check(&deep).unwrap_err().contains("too deeply"));
        assert!(check(&[0x1c; 300]).unwrap_err().contains("too deeply"));
        // Three elements: a root of two columns.
        assert_eq!(check(&[0x29, 0x3c, 0x55, 4, 0, 0, 0, 0]), Ok(()));
        assert_eq!(check(&[]), Err(ENDS));
    }
}
