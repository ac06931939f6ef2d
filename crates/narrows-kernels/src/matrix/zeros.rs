//! Products that leave out what adds nothing.
//!
//! Where all of a tile's numbers of A are 0 at a step, the step adds nothing. Pixels around a picture, words that a text does
//! not have, units that are off: for digits of MNIST a tile of six rows can leave out 56 % of its steps, one of six pixels
//! side by side 66 %. Where it is worth while, A is copied tile after tile without these steps, and beside each tile lies
//! the list of those that remain, by which the steps of B are found.

use super::View;

/// Steps worth leaving out: one of so many.
const WORTH: usize = 4;

/// Steps looked at together.
const WIDTH: usize = 16;

/// Whether many steps of the tiles of A can be left out, by a few of them from all over.
#[inline(always)]
pub(super) fn are_many<T: Copy + PartialEq + Default>(a: &View<'_, T>, height: usize) -> bool {
    if a.row_stride != 1 && a.column_stride != 1 || a.rows < height || a.columns < WORTH {
        return false;
    }
    let last = a.rows / height - 1;
    let mut remain = 0;
    let sample = [0, last / 3, last * 2 / 3, last];
    for tile in sample {
        each_step(a, tile * height, height, |_, remains| remain += usize::from(remains));
    }
    remain <= sample.len() * (a.columns - a.columns / WORTH)
}

/// Copies a tile of A, its `rows` rows from `row` on: for each step that has a number other than 0 the numbers of the rows side
/// by side, `height` apart from step to step; and which steps these are. Answers how many there are.
#[inline(always)]
pub(super) fn pack_tile<T: Copy + PartialEq + Default>(
    to: &mut [T],
    list: &mut [u32],
    a: &View<'_, T>,
    row: usize,
    rows: usize,
    height: usize,
) -> usize {
    let mut found = 0;
    // Written in any case, kept where the step remains: no branch to be guessed.
    if a.row_stride == 1 {
        each_step(a, row, rows, |step, remains| {
            let from = &a.data[step * a.column_stride + row..][..rows];
            to[found * height..][..rows].copy_from_slice(from);
            list[found] = step as u32;
            found += usize::from(remains);
        });
        return found;
    }
    each_step(a, row, rows, |step, remains| {
        list[found] = step as u32;
        found += usize::from(remains);
    });
    for (to, step) in to.chunks_exact_mut(height).zip(&list[..found]) {
        for (i, to) in to[..rows].iter_mut().enumerate() {
            *to = a.data[(row + i) * a.row_stride + *step as usize];
        }
    }
    found
}

/// Calls `note` for each step, in order, with whether any of the rows has a number there that is not 0. Rows or steps lie one
/// number apart.
#[inline(always)]
fn each_step<T: Copy + PartialEq + Default>(
    a: &View<'_, T>,
    row: usize,
    rows: usize,
    mut note: impl FnMut(usize, bool),
) {
    let zero = T::default();
    if a.row_stride == 1 {
        for step in 0..a.columns {
            let numbers = &a.data[step * a.column_stride + row..][..rows];
            note(step, numbers.iter().fold(false, |any, x| any | (*x != zero)));
        }
        return;
    }
    for first in (0..a.columns).step_by(WIDTH) {
        let width = WIDTH.min(a.columns - first);
        let mut remains = [false; WIDTH];
        for i in row..row + rows {
            let numbers = &a.data[i * a.row_stride + first..][..width];
            if let Ok(numbers) = <&[T; WIDTH]>::try_from(numbers) {
                (0..WIDTH).for_each(|j| remains[j] |= numbers[j] != zero);
            } else {
                numbers.iter().zip(&mut remains).for_each(|(x, remains)| *remains |= *x != zero);
            }
        }
        for (j, remains) in remains[..width].iter().enumerate() {
            note(first + j, *remains);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_without_its_zeros_is_the_tile() {
        let (rows, depth, height) = (20, 37, 6);
        for run in [1, 7, 37, 60] {
            // In runs, one number of three is not 0.
            let number = |at: usize| if at / run % 3 == 1 { at as f32 } else { [0.0, -0.0][at % 2] };
            let numbers: Vec<f32> = (0..rows * depth).map(number).collect();
            for a in [View::new(&numbers, rows, depth), View::new(&numbers, depth, rows).transposed()] {
                for row in (0..rows).step_by(height) {
                    let own = row..rows.min(row + height);
                    let remains = |step: &usize| own.clone().any(|i| a.at(i, *step) != 0.0);
                    let want: Vec<usize> = (0..depth).filter(remains).collect();
                    let (mut to, mut list) = (vec![f32::NAN; depth * height], vec![u32::MAX; depth]);
                    let found = pack_tile(&mut to, &mut list, &a, row, own.len(), height);
                    let steps: Vec<usize> = list[..found].iter().map(|step| *step as usize).collect();
                    assert_eq!(steps, want, "{run} {row}");
                    for (place, step) in steps.into_iter().enumerate() {
                        let numbers: Vec<f32> = own.clone().map(|i| a.at(i, step)).collect();
                        assert_eq!(to[place * height..][..own.len()], numbers, "{run} {row} {step}");
                    }
                }
            }
        }
    }

    #[test]
    fn zeros_are_many_where_whole_steps_are_0() {
        let (ones, zeros) = ([1.0f32; 600], [0.0f32; 600]);
        let chess: Vec<f32> = (0..600).map(|at| (at % 2) as f32).collect();
        let by_rows = |numbers| are_many(&View::new(numbers, 30, 20), 6);
        let by_columns = |numbers| are_many(&View::new(numbers, 20, 30).transposed(), 6);
        assert!(!by_rows(&ones) && !by_columns(&ones) && by_rows(&zeros) && by_columns(&zeros));
        // Every other step of six rows is 0; of six numbers side by side there is always one that is not.
        assert!(by_rows(&chess) && !by_columns(&chess));
        // No whole tile: not looked at.
        assert!(!are_many(&View::new(&zeros[..100], 5, 20), 6));
    }
}
