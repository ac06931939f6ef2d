//! Hashes that tell contents apart, fast enough for all rows of a data set (XXH3). They are no protection against intent.

use xxhash_rust::xxh3::Xxh3Default;

/// A hash that is fed piece by piece.
#[derive(Default)]
pub(crate) struct ContentHash(Xxh3Default);

impl ContentHash {
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn count(&mut self, count: usize) {
        self.bytes(&(count as u64).to_le_bytes());
    }

    /// 32 hexadecimal digits.
    pub fn text(&self) -> String {
        format!("{:032x}", self.0.digest128())
    }
}

/// 32 hexadecimal digits for some bytes.
pub(crate) fn of(bytes: &[u8]) -> String {
    let mut hash = ContentHash::default();
    hash.bytes(bytes);
    hash.text()
}

/// 16 hexadecimal digits for a short text.
pub(crate) fn short(bytes: &[u8]) -> String {
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(bytes))
}
