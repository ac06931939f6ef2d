//! Buffers that begin at a cache line.

use std::ops::{Deref, DerefMut};

/// A cache line, which is also the widest vector and a row of a tile.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

/// The types of numbers for which any bits are a value.
pub trait Number: Copy {}
impl Number for u8 {}
impl Number for i8 {}
impl Number for u32 {}
impl Number for f32 {}

/// A buffer of zeros that begins at a cache line: no vector and no row of a tile crosses two.
pub struct Aligned<T> {
    lines: Vec<Line>,
    len: usize,
    numbers: std::marker::PhantomData<T>,
}

impl<T: Number> Aligned<T> {
    /// A buffer of so many zeros.
    pub fn zeros(len: usize) -> Self {
        let lines = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        Self { lines: vec![Line([0; 64]); lines], len, numbers: std::marker::PhantomData }
    }
}

impl<T: Number> Deref for Aligned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the lines have room for so many numbers, are aligned for them, and any bits are a number.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Number> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
