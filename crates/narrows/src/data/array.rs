//! Conversion between rows and `ndarray`, the array type of the public interface.

use std::sync::Arc;

use ndarray::{Array, Array2, ArrayView, ArrayView2, Axis, Dimension, Ix2, Ix3, Ix4, IxDyn};

use super::{Dataset, Element, Shape, Source, Stored, Table, Values};
use crate::error::Result;

/// The number types of rows: u8, f32 and f64.
pub trait Number: Copy + Send + Sync + 'static + sealed::Sealed {
    /// The number type as a value.
    const ELEMENT: Element;

    /// Wraps numbers of this type.
    fn values(numbers: Vec<Self>) -> Values;

    /// Names the type of numbers in memory.
    fn stored(numbers: &[Self]) -> Stored<'_>;

    /// The number in double precision, which is exact.
    fn to_f64(self) -> f64;

    /// The number in single precision, rounded if necessary.
    fn to_f32(self) -> f32;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Number for u8 {
    const ELEMENT: Element = Element::U8;

    fn values(numbers: Vec<Self>) -> Values {
        Values::U8(numbers)
    }

    fn stored(numbers: &[Self]) -> Stored<'_> {
        Stored::U8(numbers)
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn to_f32(self) -> f32 {
        f32::from(self)
    }
}

impl Number for f32 {
    const ELEMENT: Element = Element::F32;

    fn values(numbers: Vec<Self>) -> Values {
        Values::F32(numbers)
    }

    fn stored(numbers: &[Self]) -> Stored<'_> {
        Stored::F32(numbers)
    }

    fn to_f64(self) -> f64 {
        f64::from(self)
    }

    fn to_f32(self) -> f32 {
        self
    }
}

impl Number for f64 {
    const ELEMENT: Element = Element::F64;

    fn values(numbers: Vec<Self>) -> Values {
        Values::F64(numbers)
    }

    fn stored(numbers: &[Self]) -> Stored<'_> {
        Stored::F64(numbers)
    }

    fn to_f64(self) -> f64 {
        self
    }

    fn to_f32(self) -> f32 {
        self as f32
    }
}

/// The rows of a borrowed array. Nothing is copied or checked when it is made.
struct ArrayRows<'a, T> {
    /// The first axis counts the rows.
    array: ArrayView<'a, T, IxDyn>,
    shape: Shape,
}

impl<'a, T: Number> ArrayRows<'a, T> {
    fn new<D: Dimension>(array: ArrayView<'a, T, D>) -> Self {
        let array = array.into_dyn();
        let shape = match array.shape()[1..] {
            [width] => Shape::flat(width),
            [height, width] => Shape::image(height, width, 1),
            [height, width, channels] => Shape::image(height, width, channels),
            _ => unreachable!("arrays of 2 to 4 dimensions are taken"),
        };
        Self { array, shape }
    }

    fn copy_row<U>(&self, row: usize, out: &mut [U], convert: impl Fn(T) -> U) {
        let row = self.array.index_axis(Axis(0), row);
        match row.as_slice() {
            Some(numbers) => out.iter_mut().zip(numbers).for_each(|(out, &number)| *out = convert(number)),
            None => out.iter_mut().zip(row).for_each(|(out, &number)| *out = convert(number)),
        }
    }
}

impl<T: Number> Source for ArrayRows<'_, T> {
    fn rows(&self) -> usize {
        self.array.shape()[0]
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn element(&self) -> Element {
        T::ELEMENT
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> Result<()> {
        for (row, out) in (first..).zip(out.chunks_exact_mut(self.shape.len())) {
            self.copy_row(row, out, T::to_f64);
        }
        Ok(())
    }

    fn read_f32(&self, first: usize, out: &mut [f32]) -> Result<()> {
        for (row, out) in (first..).zip(out.chunks_exact_mut(self.shape.len())) {
            self.copy_row(row, out, T::to_f32);
        }
        Ok(())
    }

    fn stored(&self, first: usize, rows: usize) -> Option<Stored<'_>> {
        let width = self.shape.len();
        self.array.as_slice().map(|numbers| T::stored(&numbers[first * width..(first + rows) * width]))
    }
}

macro_rules! datasets_of_arrays {
    ($($dimension:ty)*) => {$(
        /// The rows of an array, borrowed; the first axis counts the rows.
        impl<'a, T: Number> From<ArrayView<'a, T, $dimension>> for Dataset<'a> {
            fn from(array: ArrayView<'a, T, $dimension>) -> Self {
                Self::new("array", Arc::new(ArrayRows::new(array)))
            }
        }

        /// The rows of an array, borrowed; the first axis counts the rows.
        impl<'a, T: Number> From<&'a Array<T, $dimension>> for Dataset<'a> {
            fn from(array: &'a Array<T, $dimension>) -> Self {
                array.view().into()
            }
        }
    )*};
}
datasets_of_arrays!(Ix2 Ix3 Ix4);

impl Table {
    /// Copies an array (rows x columns) of any memory order. For images, use [`Table::reshape`] on the result. To fit or apply a
    /// model no copy is needed: a view converts into a [`Dataset`].
    ///
    /// # Errors
    /// Where the array is empty or has values that are not finite.
    ///
    /// ```
    /// use narrows::data::{Shape, Source, Table};
    ///
    /// let array = ndarray::array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]];
    /// let table = Table::from_array(array.t())?; // any view
    /// assert_eq!((table.rows(), table.shape()), (2, Shape::flat(3)));
    /// # Ok::<(), narrows::Error>(())
    /// ```
    pub fn from_array<T: Number>(array: ArrayView2<'_, T>) -> Result<Self> {
        Self::new(T::values(array.iter().copied().collect()), Shape::flat(array.ncols()))
    }

    /// The rows as an array in single precision (rows x columns).
    pub fn to_array_f32(&self) -> Array2<f32> {
        self.values().array(self.shape().len(), f32::from, |value| value, |value| value as f32)
    }

    /// The rows as an array in double precision (rows x columns).
    pub fn to_array_f64(&self) -> Array2<f64> {
        self.values().array(self.shape().len(), f64::from, f64::from, |value| value)
    }
}

impl Values {
    /// The numbers as an array of `width` columns.
    fn array<T>(
        &self,
        width: usize,
        from_u8: impl Fn(u8) -> T,
        from_f32: impl Fn(f32) -> T,
        from_f64: impl Fn(f64) -> T,
    ) -> Array2<T> {
        let numbers: Vec<T> = match self {
            Self::U8(values) => values.iter().map(|&value| from_u8(value)).collect(),
            Self::F32(values) => values.iter().map(|&value| from_f32(value)).collect(),
            Self::F64(values) => values.iter().map(|&value| from_f64(value)).collect(),
        };
        Array2::from_shape_vec((numbers.len() / width, width), numbers).expect("a table has whole rows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn arrays_come_back_as_they_went() {
        let numbers = array![[1.5, 2.0, -3.0], [4.0, 5.0, 6.25]];
        let table = Table::from_array(numbers.view()).unwrap();
        assert_eq!(table.to_array_f64(), numbers);
        assert_eq!(Table::from_array(numbers.t()).unwrap().to_array_f64(), numbers.t());
        let bytes = array![[1u8, 255], [3, 4]];
        let table = Table::from_array(bytes.view()).unwrap();
        assert_eq!(table.values(), &Values::U8(vec![1, 255, 3, 4]));
        assert_eq!(table.to_array_f32(), array![[1.0, 255.0], [3.0, 4.0]]);
        assert!(Table::from_array(Array2::<f32>::zeros((0, 3)).view()).is_err());
        assert!(Table::from_array(array![[f32::NAN]].view()).is_err());
    }

    /// Borrowed views of any memory order give the rows that a copy gives.
    #[test]
    fn borrowed_arrays_are_read_as_their_copies() {
        let numbers = Array2::from_shape_fn((7, 5), |(i, j)| (10 * i + j) as f64 + 0.25);
        let mut backwards = numbers.view();
        backwards.invert_axis(Axis(1));
        for view in [numbers.view(), numbers.t(), backwards] {
            let dataset = Dataset::from(view);
            let copy = Table::from_array(view).unwrap();
            assert_eq!((dataset.rows.rows(), dataset.rows.shape()), (copy.rows(), copy.shape()));
            let indices = [2, 0, 1, 2];
            let len = indices.len() * copy.shape().len();
            let (mut found, mut wanted) = (vec![0.0; len], vec![0.0; len]);
            dataset.rows.gather_f64(&indices, &mut found).unwrap();
            copy.gather_f64(&indices, &mut wanted).unwrap();
            assert_eq!(found, wanted);
            let (mut found, mut wanted) = (vec![0.0f32; len], vec![0.0f32; len]);
            dataset.rows.gather_f32(&indices, &mut found).unwrap();
            copy.gather_f32(&indices, &mut wanted).unwrap();
            assert_eq!(found, wanted);
        }
        let images = ndarray::Array4::<u8>::from_elem((3, 4, 5, 2), 7);
        assert_eq!(Dataset::from(&images).rows.shape(), Shape::image(4, 5, 2));
    }
}
