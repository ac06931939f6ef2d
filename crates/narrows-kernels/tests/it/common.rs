//! Test data and comparisons that the test modules share.

use narrows_kernels::Level;

/// Pseudorandom numbers between -`size` and `size`, the same on every run.
pub fn numbers(count: usize, seed: u32, size: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / 8_388_608.0 - 1.0) * size
        })
        .collect()
}

/// The values in double precision.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Lengths up to several registers, and a few large ones.
pub fn lengths() -> impl Iterator<Item = usize> {
    (0..=67).chain([784, 1000, 4097])
}

/// Asserts that each value is within `relative` times its reference plus `absolute`.
#[track_caller]
pub fn close(what: &str, level: Level, got: &[f32], want: &[f64], relative: f64, absolute: f64) {
    assert_eq!(got.len(), want.len());
    for (at, (&got, &want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(got) - want).abs();
        assert!(
            error <= relative * want.abs() + absolute,
            "{what} at {} [{at} of {}]: {got}, want {want}",
            level.name(),
            want.abs()
        );
    }
}
