//! Vector implementations of the exponential, logistic function, hyperbolic tangent, normal distribution and logarithm.
//!
//! Errors are a few units in the last place over the whole range. The results are the same on every operating system,
//! because no function calls the system's mathematics library. NaN propagates.

use super::traits::{F, Lanes, Simd};

/// e^x. The argument is clamped to -87.3..=88.0: the smallest result is 1.2e-38 (about the smallest normal number), the
/// largest e^88.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: F<S>) -> F<S> {
    let (minus_one, power) = exp_parts(s, x);
    s.mul(s.add(minus_one, s.constant(1.0)), power)
}

/// e^x - 1 without cancellation near 0. The argument is clamped as in [`exp`].
#[inline(always)]
pub(crate) fn exp_m1<S: Simd>(s: S, x: F<S>) -> F<S> {
    let (minus_one, power) = exp_parts(s, x);
    s.mul_add(minus_one, power, s.sub(power, s.constant(1.0)))
}

/// e^r - 1 and 2^n with e^x = 2^n e^r.
#[inline(always)]
fn exp_parts<S: Simd>(s: S, x: F<S>) -> (F<S>, F<S>) {
    // Range reduction (Cody and Waite 1980): x = n ln 2 + r with |r| <= ln(2)/2; ln 2 is split in two so that n ln 2 is
    // exact. The constant is the first argument of each clamp: `max(c, x)` returns its second argument if either is
    // NaN.
    let x = s.min(s.constant(88.0), s.max(s.constant(-87.3), x));
    let n = s.round(s.mul(x, s.constant(std::f32::consts::LOG2_E)));
    let r = s.mul_add(n, s.constant(-0.693_359_4), x);
    let r = s.mul_add(n, s.constant(2.121_944_4e-4), r);
    // e^r = 1 + r + r^2 q(r): q interpolates (e^r - 1 - r) / r^2 at Chebyshev nodes, with an error below 8e-9.
    let mut q = s.constant(0.001_393_365_2);
    for c in [0.008_363_182, 0.041_666_465, 0.166_665_77, 0.5] {
        q = s.mul_add(q, r, s.constant(c));
    }
    (s.mul_add(q, s.mul(r, r), r), s.power_of_two(n))
}

/// The logistic function and the quantity it shares with the binary cross-entropy, from one exponential and one
/// division.
pub(crate) struct Logistic<V> {
    /// 1 / (1 + e^-x)
    pub sigmoid: V,
    /// e^-|x|, in (0, 1]: binary cross-entropy needs ln(1 + u).
    pub u: V,
}

/// The logistic function of x, and e^-|x|.
#[inline(always)]
pub(crate) fn logistic<S: Simd>(s: S, x: F<S>) -> Logistic<F<S>> {
    let one = s.constant(1.0);
    let u = exp(s, s.negate(s.abs(x)));
    let inverse = s.div(one, s.add(one, u));
    Logistic { sigmoid: s.where_positive(x, inverse, s.mul(u, inverse)), u }
}

/// ln(1 + u) for u in 0..=1, with an error of a few units in the last place.
#[inline(always)]
pub(crate) fn ln_1p<S: Simd>(s: S, u: F<S>) -> F<S> {
    // 2 artanh(t) with t = u / (2 + u) <= 1/3: the series is cut after t^15, with a relative error below 2e-9.
    let t = s.div(u, s.add(s.constant(2.0), u));
    let t2 = s.mul(t, t);
    let mut p = s.constant(1.0 / 15.0);
    for c in [1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0, 1.0] {
        p = s.mul_add(p, t2, s.constant(c));
    }
    s.mul(s.add(t, t), p)
}

/// Tail and density of the standard normal distribution.
pub(crate) struct Normal<V> {
    /// The upper tail probability Phi(-a).
    pub tail: V,
    /// e^(-a^2 / 2) / sqrt(2 pi)
    pub density: V,
}

/// The standard normal distribution at `a` in 0..=12. The tail has an absolute error of 1e-7 and a relative error of
/// 1e-5.
#[inline(always)]
pub(crate) fn normal<S: Simd>(s: S, a: F<S>) -> Normal<F<S>> {
    // Phi(-a) = t p(t) e^(-a^2 / 2) with t = 1 / (1 + 0.4 a), the form of Abramowitz and Stegun (1964), 7.1.26, whose
    // own coefficients cancel in f32. These interpolate at Chebyshev nodes, in powers of t - 1/2; relative error below
    // 7.2e-7.
    let one = s.constant(1.0);
    let t = s.div(one, s.mul_add(s.constant(0.4), a, one));
    let middle = s.sub(t, s.constant(0.5));
    let mut p = s.constant(-0.037_293_36);
    for c in
        [0.058_755_43, 0.021_751_908, -0.104_573_03, -0.029_637_64, 0.211_175_88, 0.346_954_83, 0.282_662_7]
    {
        p = s.mul_add(p, middle, s.constant(c));
    }
    let e = exp(s, s.mul(s.constant(-0.5), s.mul(a, a)));
    Normal { tail: s.mul(s.mul(p, t), e), density: s.mul(s.constant(0.398_942_3), e) }
}

/// The natural logarithm of a positive normal number, with an absolute or relative error of about 1e-7. It uses no
/// fused operation, so the result has the same bits at every level.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // x = 2^n m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh((m - 1) / (m + 1)), whose series is cut after s^9.
    let bits = x.to_bits().wrapping_sub(0x3f35_04f3);
    let n = (bits as i32) >> 23;
    let m = f32::from_bits((bits & 0x007f_ffff) + 0x3f35_04f3);
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let series = ((((1.0 / 9.0) * s2 + 1.0 / 7.0) * s2 + 0.2) * s2 + 1.0 / 3.0) * s2 + 1.0;
    n as f32 * std::f32::consts::LN_2 + 2.0 * s * series
}

/// The sum of the logarithms of the lanes.
#[inline(always)]
pub(crate) fn sum_of_ln<S: Simd>(s: S, x: F<S>) -> f32 {
    let mut numbers = [1.0; 16];
    s.write(&mut numbers[..<S as Lanes<f32>>::COUNT], 0, x);
    numbers.map(ln).iter().sum()
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: F<S>) -> F<S> {
    logistic(s, x).sigmoid
}

/// tanh x.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: F<S>) -> F<S> {
    let one = s.constant(1.0);
    let size = s.abs(x);
    // Away from 0: 1 - 2 / (e^2|x| + 1), with the sign of x. It rounds to 1 from 9.1 on, and propagates NaN.
    let e = exp(s, s.min(s.constant(20.0), s.add(size, size)));
    let far = s.sub(one, s.div(s.constant(2.0), s.add(e, one)));
    let far = s.where_positive(x, far, s.negate(far));
    // Near 0 that difference cancels: up to |x| = 0.4 use the odd Taylor series to x^13.
    let x2 = s.mul(x, x);
    let mut p = s.constant(21844.0 / 6_081_075.0);
    for c in [-1382.0 / 155_925.0, 62.0 / 2835.0, -17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0] {
        p = s.mul_add(p, x2, s.constant(c));
    }
    let near = s.mul_add(s.mul(p, x2), x, x);
    s.where_positive(s.sub(size, s.constant(0.4)), far, near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, dispatch};

    /// Calls `check` with all functions of `x`, at every level of this processor and at 16 lanes.
    fn each_level(x: f32, check: impl Fn(&str, [f32; 8])) {
        #[inline(always)]
        fn all<S: Simd>(s: S, x: f32) -> [f32; 8] {
            let mut out = [0.0; 8];
            let v = s.constant(x);
            let both = logistic(s, v);
            let normal = normal(s, s.min(s.constant(12.0), s.abs(v)));
            let values = [
                exp(s, v),
                tanh(s, v),
                both.sigmoid,
                s.add(s.constant(1.0), both.u),
                exp_m1(s, v),
                ln_1p(s, both.u),
                normal.tail,
                normal.density,
            ];
            for (slot, value) in values.into_iter().enumerate() {
                s.write(&mut out[slot..slot + 1], 0, value);
            }
            // All lanes hold ln(1 + e^-|x|), so their mean is the value of one.
            let lanes = <S as Lanes<f32>>::COUNT as f32;
            out[3] = sum_of_ln(s, s.add(s.constant(1.0), both.u)) / lanes;
            out
        }
        for level in Level::available() {
            check(level.name(), dispatch!(level, s => all(s, x)));
        }
        check("16 lanes", all(crate::simd::Portable::<16>, x));
    }

    #[test]
    fn within_a_few_units_in_the_last_place_of_double_precision() {
        let points = (-12_000..=12_000)
            .map(|i| i as f32 * 0.007_31)
            .chain([0.0, 1e-30, -1e-30, 1e-6, 0.399_999, 0.400_001]);
        for x in points {
            let exact = f64::from(x);
            let want = [
                exact.clamp(-87.3, 88.0).exp(),
                exact.tanh(),
                1.0 / (1.0 + (-exact).exp()),
                (-exact.abs()).exp().ln_1p(),
                exact.clamp(-87.3, 88.0).exp_m1(),
                (-exact.abs()).exp().ln_1p(),
            ];
            each_level(x, |level, got| {
                let names =
                    ["exp", "tanh", "sigmoid", "sum of logarithms", "exp less one", "logarithm of 1 + u"];
                for (name, (want, got)) in names.iter().zip(want.iter().zip(got)) {
                    let error = (f64::from(got) - want).abs();
                    // 4 units in the last place, or the smallest normal number. The sum of logarithms gets
                    // 1 + u rounded to f32, so its absolute error is that of an f32 near 1.
                    let small = if *name == "sum of logarithms" { 1.2e-7 } else { 1.2e-38 };
                    assert!(
                        error <= 4.0 * want.abs() * f64::from(f32::EPSILON) + small,
                        "{name}({x}) at {level}: {got}, exactly {want}"
                    );
                }
            });
        }
    }

    #[test]
    fn the_tail_of_the_normal_distribution_is_the_integral_of_its_density() {
        // Integrates the density from 12 inwards by the trapezoidal rule; steps of 1/1024 are accurate to 1e-8.
        let density = |a: f64| (-0.5 * a * a).exp() / std::f64::consts::TAU.sqrt();
        let mut tail = 0.0;
        for step in (0..12 * 1024).rev() {
            let a = f64::from(step) / 1024.0;
            tail += (density(a) + density(a + 1.0 / 1024.0)) / 2048.0;
            each_level(a as f32, |level, got| {
                assert!(
                    (f64::from(got[6]) - tail).abs() < 2e-7,
                    "tail at {a} at {level}: {}, {tail}",
                    got[6]
                );
                assert!((f64::from(got[7]) - density(a)).abs() < 1e-7, "density at {a} at {level}");
            });
        }
        assert!((tail - 0.5).abs() < 1e-7);
    }

    #[test]
    fn extremes_and_nan() {
        each_level(f32::NAN, |level, mut got| {
            // The sum of logarithms is not defined for NaN.
            got[3] = f32::NAN;
            assert!(got.iter().all(|v| v.is_nan()), "{level} {got:?}");
        });
        each_level(f32::INFINITY, |_, got| assert!(got[1] == 1.0 && got[2] == 1.0 && got[3] < 1e-7));
        each_level(f32::NEG_INFINITY, |_, got| assert!(got[1] == -1.0 && got[2] < 1e-37 && got[3] < 1e-7));
    }
}
