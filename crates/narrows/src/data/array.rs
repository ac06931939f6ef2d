//! Rows from and to `ndarray`, the array type of the public interface.

use ndarray::{Array2, ArrayView2};

use super::{Shape, Table, Values};
use crate::error::{Error, Result};

/// A number type that rows can be stored in: u8, f32 or f64.
pub trait Number: Copy + sealed::Sealed {
    /// Numbers of this type as values.
    fn values(numbers: Vec<Self>) -> Values;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Number for u8 {
    fn values(numbers: Vec<Self>) -> Values {
        Values::U8(numbers)
    }
}

impl Number for f32 {
    fn values(numbers: Vec<Self>) -> Values {
        Values::F32(numbers)
    }
}

impl Number for f64 {
    fn values(numbers: Vec<Self>) -> Values {
        Values::F64(numbers)
    }
}

impl Table {
    /// A copy of an array (rows x numbers), of any memory order. For images, [`Table::reshape`] follows.
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
}

impl Values {
    /// As an array in single precision, `width` numbers a row. Refuses a length that is not a whole number of rows.
    pub fn to_array_f32(&self, width: usize) -> Result<Array2<f32>> {
        self.array(width, f32::from, |value| value, |value| value as f32)
    }

    /// As an array in double precision, `width` numbers a row. Refuses a length that is not a whole number of rows.
    pub fn to_array_f64(&self, width: usize) -> Result<Array2<f64>> {
        self.array(width, f64::from, f64::from, |value| value)
    }

    fn array<T>(
        &self,
        width: usize,
        from_u8: impl Fn(u8) -> T,
        from_f32: impl Fn(f32) -> T,
        from_f64: impl Fn(f64) -> T,
    ) -> Result<Array2<T>> {
        let numbers: Vec<T> = match self {
            Self::U8(values) => values.iter().map(|&value| from_u8(value)).collect(),
            Self::F32(values) => values.iter().map(|&value| from_f32(value)).collect(),
            Self::F64(values) => values.iter().map(|&value| from_f64(value)).collect(),
        };
        let (len, rows) = (numbers.len(), numbers.len().checked_div(width).unwrap_or(0));
        Array2::from_shape_vec((rows, width), numbers)
            .map_err(|_| Error::data(format!("{len} numbers are not a whole number of rows of {width}")))
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
        assert_eq!(table.values().to_array_f64(3).unwrap(), numbers);
        assert_eq!(Table::from_array(numbers.t()).unwrap().values().to_array_f64(2).unwrap(), numbers.t());
        let bytes = array![[1u8, 255], [3, 4]];
        let table = Table::from_array(bytes.view()).unwrap();
        assert_eq!(table.values(), &Values::U8(vec![1, 255, 3, 4]));
        assert_eq!(table.values().to_array_f32(2).unwrap(), array![[1.0, 255.0], [3.0, 4.0]]);
        for width in [0, 3] {
            assert!(table.values().to_array_f32(width).is_err());
        }
        assert!(Table::from_array(Array2::<f32>::zeros((0, 3)).view()).is_err());
        assert!(Table::from_array(array![[f32::NAN]].view()).is_err());
    }
}
