//! A tile of C: its registers, and its position in C.

/// NR, the width of a tile, in vector registers.
pub(super) const NR_VECTORS: usize = 2;

/// Largest MR (rows of a tile) of any level.
pub(super) const MAX_MR: usize = 12;

/// Largest NR of any level: [`NR_VECTORS`] vectors of 16 lanes.
pub(super) const MAX_NR: usize = NR_VECTORS * 16;

/// The accumulators of a tile of `ROWS` rows.
pub(super) type Accumulators<V, const ROWS: usize> = [[V; NR_VECTORS]; ROWS];

/// The position of a tile in C, and the memory it is stored to.
#[derive(Clone, Copy)]
pub(super) struct TilePosition<T> {
    /// Address of the tile's first element, and the elements between its rows.
    pub c: *mut T,
    pub c_row_stride: usize,
    /// First row and column of the tile in C, and the number of columns of C.
    pub row: usize,
    pub column: usize,
    pub c_columns: usize,
    /// Columns of the tile that lie inside C: from 1 to NR.
    pub width: usize,
}
