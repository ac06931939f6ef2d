//! Tests of the product against the reference implementation, at every level.

use super::*;
use crate::elementwise::activation::Activation;
use crate::reference;
use crate::simd::Portable;

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 8_388_608.0 - 1.0
        })
        .collect()
}

/// Checks a product at every level of the processor, and with the tiles and panels of 16-lane levels.
fn check(m: usize, n: usize, k: usize, transpose: (bool, bool), epilogue: usize, zeros: bool) {
    let (mut a, b) = (numbers(m * k, 1), numbers(k * n, 2));
    // Two thirds of the k-slices of a tile are zero, in a pattern that changes with the rows.
    if zeros {
        for (at, x) in a.iter_mut().enumerate() {
            let (i, step) = if transpose.0 { (at % m, at / m) } else { (at / k, at % k) };
            *x *= f32::from(step / 5 % 3 == i / 100 % 3);
        }
    }
    let bias = numbers(n, 3);
    let start = numbers(m * n, 4);
    let view = |data, rows, columns, transpose| {
        if transpose { View::new(data, columns, rows).transposed() } else { View::new(data, rows, columns) }
    };
    let (a, b) = (view(&a, m, k, transpose.0), view(&b, k, n, transpose.1));
    assert!(!zeros || m < 12 || k < 30 || skip_zeros::is_worthwhile(&a, 12), "zeros are skipped");
    let epilogue = match epilogue {
        0 => Epilogue::Store,
        1 => Epilogue::Accumulate,
        2 => Epilogue::Forward { bias: Some(&bias), activation: Activation::Sigmoid },
        3 => Epilogue::Forward { bias: None, activation: Activation::Relu },
        _ => Epilogue::Backward { activation: Activation::Tanh, outputs: &start },
    };
    let mut want = start.clone();
    reference::multiply(&mut want, a, b, epilogue);
    let close = |name: &str, got: &[f32]| {
        for (at, (got, want)) in got.iter().zip(&want).enumerate() {
            // k additions of values up to 1 in magnitude, each rounded.
            let allowed = 1e-6 * (k as f32 + 4.0);
            assert!(
                (got - want).abs() <= allowed,
                "{name} {m}x{n}x{k} {transpose:?} {epilogue:?} at {at}: {got}, want {want}"
            );
        }
    };
    let mut scratch = vec![f32::NAN; scratch_len(k)];
    for level in Level::available() {
        let mut c = start.clone();
        // The result does not depend on the contents of the scratch.
        scratch.fill(f32::NAN);
        multiply(level, &mut c, a, b, epilogue, &mut scratch);
        close(level.name(), &c);
    }
    let mut c = start.clone();
    scratch.fill(f32::NAN);
    gemm(Portable::<16>, Output::Matrix(&mut c), a, b, epilogue, &mut scratch);
    close("16 lanes", &c);
}

#[test]
fn equals_the_reference_at_all_sizes_to_67() {
    for size in 0..=67 {
        for (m, n, k) in [(size, 19, 7), (5, size, 11), (13, 9, size)] {
            for epilogue in 0..5 {
                check(m, n, k, (size % 2 == 0, size % 3 == 0), epilogue, size % 5 == 0);
            }
        }
    }
}

#[test]
fn equals_the_reference_at_the_sizes_of_networks() {
    // In the last three A takes several packed blocks, some of them with a partial tile.
    for (m, n, k) in [
        (128, 32, 784),
        (64, 784, 32),
        (96, 100, 130),
        (784, 32, 128),
        (700, 130, 256),
        (101, 140, 700),
        (215, 100, 784),
    ] {
        for transpose in [(false, false), (false, true), (true, false), (true, true)] {
            check(m, n, k, transpose, 2, false);
            check(m, n, k, transpose, 2, true);
        }
    }
}

#[test]
fn a_split_changes_no_bit() {
    // Few and many panels, with and without zeros, because the slices skipped depend on the split. Products of the
    // smallest values underflow to zeros, whose sign must not depend on the split either.
    let (m, k) = (37, 29);
    for (n, zeros, size) in
        [(45, false, 1.0), (170, false, 1.0), (45, true, 1.0), (170, true, 1.0), (170, true, 1e-30)]
    {
        let (mut a, b) = (numbers(m * k, 1), numbers(k * n, 2));
        a.iter_mut().for_each(|x| *x *= size);
        let b: Vec<f32> = b.into_iter().map(|x| x * size * size.sqrt()).collect();
        if zeros {
            a.iter_mut().enumerate().for_each(|(at, x)| *x *= f32::from((at % k / 3 + at / k / 7) % 2 == 0));
        }
        for level in Level::available() {
            let product = |c: &mut [f32], a: View<'_, f32>, b: View<'_, f32>| {
                let mut scratch = vec![f32::NAN; scratch_len(k)];
                multiply(level, c, a, b, Epilogue::Store, &mut scratch);
            };
            let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
            let mut whole = vec![0.0; m * n];
            product(&mut whole, View::new(&a, m, k), View::new(&b, k, n));
            for cut in [1, 6, 20, 36] {
                let mut parts = vec![0.0; m * n];
                let (above, below) = parts.split_at_mut(cut * n);
                product(above, View::new(&a[..cut * k], cut, k), View::new(&b, k, n));
                product(below, View::new(&a[cut * k..], m - cut, k), View::new(&b, k, n));
                assert_eq!(bits(&whole), bits(&parts), "{} {n} {zeros} split at row {cut}", level.name());
                let mut part = vec![0.0; m * cut];
                product(&mut part, View::new(&a, m, k), View::new(&b, k, n).columns(3, cut));
                for i in 0..m {
                    assert_eq!(bits(&part[i * cut..][..cut]), bits(&whole[i * n + 3..][..cut]));
                }
            }
        }
    }
}

#[test]
fn sizes_that_overflow_are_refused() {
    let refused = |work: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err();
    let numbers = [0.0f32; 8];
    assert!(refused(&|| {
        View::new(&numbers[..2], usize::MAX / 3 + 1, 3);
    }));
    assert!(refused(&|| {
        let _ = View::new(&numbers, 2, 4).columns(1, usize::MAX);
    }));
    assert!(refused(&|| {
        let (a, b) = (View::new(&[], 1 << 33, 0), View::new(&[], 0, 1 << 31));
        multiply(Level::detect(), &mut [], a, b, Epilogue::Store, &mut []);
    }));
}

#[test]
fn double_precision_too() {
    for (m, n, k) in [(1, 1, 1), (7, 13, 5), (33, 40, 64), (30, 17, 66)] {
        let a: Vec<f64> = numbers(m * k, 5).into_iter().map(f64::from).collect();
        let b: Vec<f64> = numbers(k * n, 6).into_iter().map(f64::from).collect();
        let bias: Vec<f64> = numbers(n, 7).into_iter().map(f64::from).collect();
        let mut scratch = vec![0.0; scratch_len(k)];
        for (a, b) in [
            (View::new(&a, m, k), View::new(&b, k, n)),
            (View::new(&a, k, m).transposed(), View::new(&b, n, k).transposed()),
        ] {
            for epilogue in [EpilogueF64::Store, EpilogueF64::Accumulate, EpilogueF64::Bias(&bias)] {
                let mut want = vec![0.5; m * n];
                reference::multiply_f64(&mut want, a, b, epilogue);
                let mut runs: Vec<Vec<f64>> = Vec::new();
                for level in Level::available() {
                    let mut c = vec![0.5; m * n];
                    multiply_f64(level, &mut c, a, b, epilogue, &mut scratch);
                    runs.push(c);
                }
                let mut c = vec![0.5; m * n];
                gemm(Portable::<8>, Output::Matrix(&mut c), a, b, epilogue, &mut scratch);
                runs.push(c);
                for c in runs {
                    assert!(c.iter().zip(&want).all(|(c, want)| (c - want).abs() < 1e-13 * (k as f64 + 2.0)));
                }
            }
        }
    }
}
