//! Unrolling over the rows of a tile.

/// The largest number of rows of a tile at any level.
pub(crate) const MAX_ROWS: usize = 14;

/// Unrolls a block over the rows of a tile, `ROWS` in the scope. The row index is a constant in each copy, so the compiler keeps
/// the accumulators in registers regardless of the rest of the function: an array that is indexed by a variable, or a loop that
/// the compiler leaves as one, moves them to memory.
macro_rules! each_row {
    ($i:ident => $body:block) => {
        $crate::simd::each_row!(@ $i $body 0 1 2 3 4 5 6 7 8 9 10 11 12 13)
    };
    (@ $i:ident $body:block $($row:literal)*) => {
        const { assert!(ROWS <= $crate::simd::MAX_ROWS) }
        $(if ROWS > $row {
            #[allow(non_upper_case_globals)]
            const $i: usize = $row;
            $body
        })*
    };
}
pub(crate) use each_row;
