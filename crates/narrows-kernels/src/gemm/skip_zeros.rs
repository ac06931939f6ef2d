//! Skips all-zero k-slices of A.
//!
//! The *k-slice* of a tile of A is its column at one k: one element for each of its rows. If all of them are 0, the
//! rank-1 update of that k adds nothing and is skipped. The zeros are the background pixels of images, the absent words
//! of documents and inactive relu units. For MNIST digits 56 % of the slices of six rows are zero, and 66 % of the
//! slices of six adjacent pixels. If skipping is worthwhile, A is packed by tile with all-zero k-slices dropped; each
//! tile carries the indices of the slices kept, by which the rows of B are found.

use super::view::View;

/// Zeros are skipped if at least one in so many k-slices of the sampled tiles is zero.
const MIN_ZERO_SHARE: usize = 4;

/// K-slices that are tested together if the columns of A are contiguous.
const SLICES_PER_TEST: usize = 16;

/// Returns whether many k-slices of A's tiles of `mr` rows are zero, estimated from four tiles spread over A. Testing four
/// tiles costs next to nothing, so a product without zeros does not get slower.
#[inline(always)]
pub(super) fn is_worthwhile<T: Copy + PartialEq + Default>(a: &View<'_, T>, mr: usize) -> bool {
    if a.row_stride != 1 && a.column_stride != 1 || a.rows < mr || a.columns < MIN_ZERO_SHARE {
        return false;
    }
    let last = a.rows / mr - 1;
    let mut kept = 0;
    let sample = [0, last / 3, last * 2 / 3, last];
    for tile in sample {
        each_slice(a, tile * mr, mr, |_, is_nonzero| kept += usize::from(is_nonzero));
    }
    kept <= sample.len() * (a.columns - a.columns / MIN_ZERO_SHARE)
}

/// Packs the nonzero k-slices of the tile of A that begins at `row` and has `rows` rows: slice after slice into
/// `packed`, `mr` elements apart, and their indices into `indices`. Returns the number of slices kept.
#[inline(always)]
pub(super) fn pack_tile<T: Copy + PartialEq + Default>(
    packed: &mut [T],
    indices: &mut [u32],
    a: &View<'_, T>,
    row: usize,
    rows: usize,
    mr: usize,
) -> usize {
    let mut kept = 0;
    // Branchless: each slice is written, and the count advances only past nonzero ones.
    if a.row_stride == 1 {
        each_slice(a, row, rows, |l, is_nonzero| {
            let slice = &a.data[l * a.column_stride + row..][..rows];
            packed[kept * mr..][..rows].copy_from_slice(slice);
            indices[kept] = l as u32;
            kept += usize::from(is_nonzero);
        });
        return kept;
    }
    each_slice(a, row, rows, |l, is_nonzero| {
        indices[kept] = l as u32;
        kept += usize::from(is_nonzero);
    });
    for (slice, l) in packed.chunks_exact_mut(mr).zip(&indices[..kept]) {
        for (i, x) in slice[..rows].iter_mut().enumerate() {
            *x = a.data[(row + i) * a.row_stride + *l as usize];
        }
    }
    kept
}

/// Calls `visit` for each k-slice of a tile, in order, with its index and whether it has a nonzero element. One of A's
/// strides is 1.
#[inline(always)]
fn each_slice<T: Copy + PartialEq + Default>(
    a: &View<'_, T>,
    row: usize,
    rows: usize,
    mut visit: impl FnMut(usize, bool),
) {
    let zero = T::default();
    if a.row_stride == 1 {
        for l in 0..a.columns {
            let slice = &a.data[l * a.column_stride + row..][..rows];
            visit(l, slice.iter().fold(false, |any, x| any | (*x != zero)));
        }
        return;
    }
    for first in (0..a.columns).step_by(SLICES_PER_TEST) {
        let count = SLICES_PER_TEST.min(a.columns - first);
        let mut is_nonzero = [false; SLICES_PER_TEST];
        for i in row..row + rows {
            let values = &a.data[i * a.row_stride + first..][..count];
            if let Ok(values) = <&[T; SLICES_PER_TEST]>::try_from(values) {
                (0..SLICES_PER_TEST).for_each(|j| is_nonzero[j] |= values[j] != zero);
            } else {
                values.iter().zip(&mut is_nonzero).for_each(|(x, is_nonzero)| *is_nonzero |= *x != zero);
            }
        }
        for (j, is_nonzero) in is_nonzero[..count].iter().enumerate() {
            visit(first + j, *is_nonzero);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_tile_has_all_its_nonzero_slices() {
        let (rows, k, mr) = (20, 37, 6);
        for run in [1, 7, 37, 60] {
            // In runs of `run`, one element of three is nonzero.
            let number = |at: usize| if at / run % 3 == 1 { at as f32 } else { [0.0, -0.0][at % 2] };
            let numbers: Vec<f32> = (0..rows * k).map(number).collect();
            for a in [View::new(&numbers, rows, k), View::new(&numbers, k, rows).transposed()] {
                for row in (0..rows).step_by(mr) {
                    let tile = row..rows.min(row + mr);
                    let is_nonzero = |l: &usize| tile.clone().any(|i| a.at(i, *l) != 0.0);
                    let want: Vec<usize> = (0..k).filter(is_nonzero).collect();
                    let (mut packed, mut indices) = (vec![f32::NAN; k * mr], vec![u32::MAX; k]);
                    let kept = pack_tile(&mut packed, &mut indices, &a, row, tile.len(), mr);
                    let slices: Vec<usize> = indices[..kept].iter().map(|index| *index as usize).collect();
                    assert_eq!(slices, want, "{run} {row}");
                    for (position, l) in slices.into_iter().enumerate() {
                        let slice: Vec<f32> = tile.clone().map(|i| a.at(i, l)).collect();
                        assert_eq!(packed[position * mr..][..tile.len()], slice, "{run} {row} {l}");
                    }
                }
            }
        }
    }

    #[test]
    fn zeros_is_worthwhile_where_whole_steps_are_0() {
        let (ones, zeros) = ([1.0f32; 600], [0.0f32; 600]);
        let chess: Vec<f32> = (0..600).map(|at| (at % 2) as f32).collect();
        let by_rows = |numbers| is_worthwhile(&View::new(numbers, 30, 20), 6);
        let by_columns = |numbers| is_worthwhile(&View::new(numbers, 20, 30).transposed(), 6);
        assert!(!by_rows(&ones) && !by_columns(&ones) && by_rows(&zeros) && by_columns(&zeros));
        // Every other k-slice of six rows is zero; six adjacent elements of a row always include a nonzero one.
        assert!(by_rows(&chess) && !by_columns(&chess));
        // There is no whole tile to sample.
        assert!(!is_worthwhile(&View::new(&zeros[..100], 5, 20), 6));
    }
}
