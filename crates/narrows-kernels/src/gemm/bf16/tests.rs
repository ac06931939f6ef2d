//! Tests of the products in bfloat16, with every unit of this processor.

use super::*;
use crate::Activation;
use crate::reference;

/// Whole numbers from -8 to 8: exact in bfloat16, and so are the sums of their products in single precision.
fn whole_numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % 17
    };
    (0..count).map(|_| next() as f32 - 8.0).collect()
}

fn view(data: &[f32], rows: usize, columns: usize, transpose: bool) -> View<'_, f32> {
    if transpose { View::new(data, columns, rows).transposed() } else { View::new(data, rows, columns) }
}

fn check(m: usize, n: usize, k: usize, transpose: (bool, bool), which: usize) {
    let (a, b) = (whole_numbers(m * k, 1), whole_numbers(k * n, 2));
    let (bias, start) = (whole_numbers(n, 3), whole_numbers(m * n, 4));
    let (a, b) = (view(&a, m, k, transpose.0), view(&b, k, n, transpose.1));
    let epilogue = match which {
        0 => Epilogue::Store,
        1 => Epilogue::Accumulate,
        2 => Epilogue::Forward { bias: Some(&bias), activation: Activation::Relu },
        _ => Epilogue::Backward { activation: Activation::Relu, outputs: &start },
    };
    let mut want = start.clone();
    reference::multiply(&mut want, a, b, epilogue);
    for level in Level::available() {
        for unit in Unit::available(level) {
            let mut c = start.clone();
            let mut scratch = vec![f32::NAN; scratch_len(m, n, k)];
            multiply(unit, &mut c, a, b, epilogue, &mut scratch);
            assert_eq!(c, want, "{} {m}x{n}x{k} {transpose:?} {epilogue:?}", unit.name());
        }
    }
}

#[test]
fn products_of_whole_numbers_are_exact_at_all_sizes_to_70() {
    for size in 0..=70 {
        for (m, n, k) in [(size, 19, 7), (35, size, 33), (13, 40, size)] {
            for which in 0..4 {
                check(m, n, k, (size % 2 == 0, size % 3 == 0), which);
            }
        }
    }
}

#[test]
fn products_of_whole_numbers_are_exact_at_the_sizes_of_networks() {
    for transpose in [(false, false), (false, true), (true, false), (true, true)] {
        check(64, 784, 128, transpose, 2);
        check(390, 100, 256, transpose, 0);
        // More than fits into the packed block of A.
        check(70, 40, 9000, transpose, 1);
    }
}

#[test]
fn sums_are_within_rounding_of_exact_sums_of_rounded_operands() {
    let (m, n, k) = (45, 50, 300);
    let numbers = |count, seed| -> Vec<f32> {
        whole_numbers(count, seed)
            .iter()
            .enumerate()
            .map(|(i, x)| x * (1.0 + (i % 997) as f32 / 1e3))
            .collect()
    };
    let (a, b) = (numbers(m * k, 5), numbers(k * n, 6));
    for unit in Unit::available(Level::detect()) {
        let mut c = vec![0.0; m * n];
        let mut scratch = vec![0.0; scratch_len(m, n, k)];
        multiply(unit, &mut c, View::new(&a, m, k), View::new(&b, k, n), Epilogue::Store, &mut scratch);
        for i in 0..m {
            for j in 0..n {
                let pairs = (0..k).map(|l| (rounded(a[i * k + l]), rounded(b[l * n + j])));
                let products = pairs.map(|(x, y)| f64::from(x) * f64::from(y));
                let (sum, size) = products.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
                let error = (f64::from(c[i * n + j]) - sum).abs();
                assert!(error <= size * 1e-5, "{} at {i}, {j}: {error}", unit.name());
            }
        }
    }
}

#[test]
fn rows_and_columns_do_not_depend_on_the_others() {
    let (m, n, k) = (70, 90, 130);
    let (a, b) = (whole_numbers(m * k, 7), whole_numbers(k * n, 8));
    let a: Vec<f32> = a.iter().map(|x| x / 3.0).collect();
    for unit in Unit::available(Level::detect()) {
        let mut scratch = vec![0.0; scratch_len(m, n, k)];
        let mut whole = vec![0.0; m * n];
        multiply(unit, &mut whole, View::new(&a, m, k), View::new(&b, k, n), Epilogue::Store, &mut scratch);
        for first in [0, 1, 17, 40] {
            let mut part = vec![0.0; (m - first) * n];
            let rows = View::new(&a[first * k..], m - first, k);
            multiply(unit, &mut part, rows, View::new(&b, k, n), Epilogue::Store, &mut scratch);
            assert_eq!(part, whole[first * n..], "{} from row {first}", unit.name());
        }
    }
}

#[test]
fn rounds_to_nearest_and_ties_to_even_as_the_processor_does() {
    let bits = |value: f32| value.to_bits();
    // 1 + 2^-8 is halfway between 1 and 1 + 2^-7: to even. 1 + 3 x 2^-8 is halfway, too: up.
    assert_eq!(rounded(1.0 + f32::powi(2.0, -8)), 1.0);
    assert_eq!(rounded(1.0 + 3.0 * f32::powi(2.0, -8)), 1.0 + f32::powi(2.0, -6));
    assert_eq!(rounded(f32::MAX), f32::INFINITY);
    assert_eq!(bits(rounded(-1e-40)), bits(-0.0));
    assert!(rounded(f32::NAN).is_nan() && rounded(f32::from_bits(0x7f80_0001)).is_nan());
    // Each number times 1.
    let values: Vec<f32> = (0..4096u32).map(|i| f32::from_bits(0x3f80_0000 + i * 0x0801)).collect();
    for unit in Unit::available(Level::detect()) {
        let mut c = vec![0.0; values.len()];
        let mut scratch = vec![0.0; scratch_len(values.len(), 1, 1)];
        let (a, one) = (View::new(&values, values.len(), 1), [1.0]);
        multiply(unit, &mut c, a, View::new(&one, 1, 1), Epilogue::Store, &mut scratch);
        let want: Vec<f32> = values.iter().map(|value| rounded(*value)).collect();
        assert_eq!(c, want, "{}", unit.name());
    }
}

#[test]
fn a_step_equals_a_product_and_a_step() {
    let (m, n, k) = (50, 70, 40);
    let (a, b) = (whole_numbers(k * m, 9), whole_numbers(k * n, 10));
    let (a, b) = (View::new(&a, k, m).transposed(), View::new(&b, k, n));
    let optimizer = Optimizer::Adam(crate::optimizer::Adam {
        rate: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-7,
        weight_decay: 0.0,
        step: 3,
    });
    let level = Level::detect();
    for unit in Unit::available(level) {
        let mut scratch = vec![0.0; scratch_len(m, n, k)];
        let start = (whole_numbers(m * n, 11), vec![0.5; m * n], vec![0.25; m * n]);
        let mut one = start.clone();
        let state = [&mut one.1[..], &mut one.2[..]];
        assert!(multiply_and_step((unit, level), &mut one.0, state, a, b, optimizer, &mut scratch));
        let mut two = start.clone();
        let mut gradients = vec![0.0; m * n];
        multiply(unit, &mut gradients, a, b, Epilogue::Store, &mut scratch);
        let state = [&mut two.1[..], &mut two.2[..]];
        assert!(crate::optimizer::step(level, &mut two.0, state, &gradients, optimizer));
        assert_eq!(one, two, "{}", unit.name());
    }
}
