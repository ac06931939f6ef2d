//! The product beside its plain twin, at every level.

use super::*;
use crate::plain;
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

/// Runs a product at every level of the processor, and through tiles and panels of the 16-lane levels.
fn each(m: usize, n: usize, k: usize, transpose: (bool, bool), finish: usize, zeros: bool) {
    let (mut a, b) = (numbers(m * k, 1), numbers(k * n, 2));
    // In some products most steps of a tile are 0, here and there others.
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
    assert!(!zeros || m < 12 || k < 30 || zeros::are_many(&a, 12), "zeros that are left out");
    let finish = match finish {
        0 => Finish::Store,
        1 => Finish::Accumulate,
        2 => Finish::Forward { bias: Some(&bias), activation: Activation::Sigmoid },
        3 => Finish::Forward { bias: None, activation: Activation::Relu },
        _ => Finish::Backward { activation: Activation::Tanh, outputs: &start },
    };
    let mut want = start.clone();
    plain::multiply(&mut want, a, b, finish);
    let close = |name: &str, got: &[f32]| {
        for (at, (got, want)) in got.iter().zip(&want).enumerate() {
            // Each of k sums of numbers up to 1 in size may be rounded.
            let allowed = 1e-6 * (k as f32 + 4.0);
            assert!(
                (got - want).abs() <= allowed,
                "{name} {m}x{n}x{k} {transpose:?} {finish:?} at {at}: {got}, want {want}"
            );
        }
    };
    let mut scratch = vec![f32::NAN; scratch_len(k)];
    for level in Level::available() {
        let mut c = start.clone();
        // What one product leaves in the scratch is nothing to the next.
        scratch.fill(f32::NAN);
        multiply(level, &mut c, a, b, finish, &mut scratch);
        close(level.name(), &c);
    }
    let mut c = start.clone();
    scratch.fill(f32::NAN);
    sweep(Portable::<16>, Target::Matrix(&mut c), a, b, finish, &mut scratch);
    close("16 lanes", &c);
}

#[test]
fn equals_its_plain_twin_at_all_sizes_to_67() {
    for size in 0..=67 {
        for (m, n, k) in [(size, 19, 7), (5, size, 11), (13, 9, size)] {
            for finish in 0..5 {
                each(m, n, k, (size % 2 == 0, size % 3 == 0), finish, size % 5 == 0);
            }
        }
    }
}

#[test]
fn equals_its_plain_twin_at_the_sizes_of_networks() {
    // The last three: several blocks of copied rows of A, and some with rows left over.
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
            each(m, n, k, transpose, 2, false);
            each(m, n, k, transpose, 2, true);
        }
    }
}

#[test]
fn a_cut_changes_no_bit() {
    // Few and many panels, without zeros and with: what is left out depends on the cut. The smallest numbers lose their last
    // bits, and then their sign must not depend on it either.
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
                multiply(level, c, a, b, Finish::Store, &mut scratch);
            };
            let bits = |numbers: &[f32]| numbers.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
            let mut whole = vec![0.0; m * n];
            product(&mut whole, View::new(&a, m, k), View::new(&b, k, n));
            for cut in [1, 6, 20, 36] {
                let mut parts = vec![0.0; m * n];
                let (above, below) = parts.split_at_mut(cut * n);
                product(above, View::new(&a[..cut * k], cut, k), View::new(&b, k, n));
                product(below, View::new(&a[cut * k..], m - cut, k), View::new(&b, k, n));
                assert_eq!(bits(&whole), bits(&parts), "{} {n} {zeros} cut at row {cut}", level.name());
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
        multiply(Level::detect(), &mut [], a, b, Finish::Store, &mut []);
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
            for finish in [FinishWide::Store, FinishWide::Accumulate, FinishWide::Bias(&bias)] {
                let mut want = vec![0.5; m * n];
                plain::multiply_f64(&mut want, a, b, finish);
                let mut runs: Vec<Vec<f64>> = Vec::new();
                for level in Level::available() {
                    let mut c = vec![0.5; m * n];
                    multiply_f64(level, &mut c, a, b, finish, &mut scratch);
                    runs.push(c);
                }
                let mut c = vec![0.5; m * n];
                sweep(Portable::<8>, Target::Matrix(&mut c), a, b, finish, &mut scratch);
                runs.push(c);
                for c in runs {
                    assert!(c.iter().zip(&want).all(|(c, want)| (c - want).abs() < 1e-13 * (k as f64 + 2.0)));
                }
            }
        }
    }
}
