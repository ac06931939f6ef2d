//! Optimizer steps: Adadelta, SGD, RMSprop, Adam and AdamW. A step reads and writes parameters and optimizer state
//! once. Every element is updated independently, so splitting the slices does not change a bit.
//!
//! Each update rule is written once, on registers (`UpdateRule`). Two loops apply it: [`step`], to gradients in state,
//! and `TileStep`, to the tiles of a product as they are computed ([`crate::gemm::multiply_and_step`]).

use std::ops::Range;

use crate::simd::{F, Lanes, Level, Simd, dispatch, prefetch};

/// Settings of Adadelta (Zeiler 2012). E and D are running means of squared gradients and squared steps: E = rho E + (1
/// - rho) g^2; step = g sqrt(D + epsilon) / sqrt(E + epsilon); D = rho D + (1 - rho) step^2; p -= rate step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adadelta {
    /// Learning rate; 1 in the paper.
    pub rate: f32,
    /// Decay factor of the running means.
    pub rho: f32,
    /// Added to both running means before the square root.
    pub epsilon: f32,
}

/// Settings of gradient descent with momentum (Sutskever et al. 2013, in PyTorch's form): v = momentum v + g;
/// p -= rate v, or with Nesterov p -= rate (g + momentum v).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub rate: f32,
    /// Decay factor of the velocity; 0 is gradient descent without momentum.
    pub momentum: f32,
    /// Uses Nesterov momentum if true.
    pub nesterov: bool,
}

/// Settings of RMSprop (Tieleman and Hinton 2012): E = rho E + (1 - rho) g^2; p -= rate g / (sqrt(E) + epsilon).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsProp {
    /// Learning rate.
    pub rate: f32,
    /// Decay factor of the running mean.
    pub rho: f32,
    /// Added to the square root.
    pub epsilon: f32,
}

/// Settings of Adam (Kingma and Ba 2015) and, with weight decay, of AdamW (Loshchilov and Hutter 2019):
/// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// p -= rate weight_decay p; p -= rate (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub rate: f32,
    /// Decay factor of the first moment.
    pub beta1: f32,
    /// Decay factor of the second moment.
    pub beta2: f32,
    /// Added to the square root.
    pub epsilon: f32,
    /// Decoupled weight decay, as a fraction of the parameter times the learning rate (AdamW); 0 is Adam.
    pub weight_decay: f32,
    /// Number of this step, from 1.
    pub step: u64,
}

/// An optimizer with its settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Optimizer {
    /// See [`Adadelta`].
    Adadelta(Adadelta),
    /// See [`Sgd`].
    Sgd(Sgd),
    /// See [`RmsProp`].
    RmsProp(RmsProp),
    /// See [`Adam`].
    Adam(Adam),
}

impl Optimizer {
    /// State values per parameter: 1 or 2.
    pub fn state_slots(&self) -> usize {
        match self {
            Self::Sgd(_) | Self::RmsProp(_) => 1,
            Self::Adadelta(_) | Self::Adam(_) => 2,
        }
    }

    /// The same optimizer with its learning rate multiplied by `factor`.
    #[must_use]
    pub fn with_scaled_rate(mut self, factor: f32) -> Self {
        match &mut self {
            Self::Adadelta(settings) => settings.rate *= factor,
            Self::Sgd(settings) => settings.rate *= factor,
            Self::RmsProp(settings) => settings.rate *= factor,
            Self::Adam(settings) => settings.rate *= factor,
        }
        self
    }
}

/// An optimizer step: updates parameters and state from the gradients. Each slice of `state` has one value per
/// parameter; the second is empty if the optimizer has one slot ([`Optimizer::state_slots`]). Returns whether all
/// gradients were finite.
///
/// # Panics
/// If the lengths differ, or Adam's step number is 0.
pub fn step(
    level: Level,
    parameters: &mut [f32],
    state: [&mut [f32]; 2],
    gradients: &[f32],
    optimizer: Optimizer,
) -> bool {
    check_state(optimizer, parameters.len(), &state);
    assert_eq!(parameters.len(), gradients.len());
    dispatch!(level, s => with_rule!(optimizer.prepare(), rule => update_slice(s, rule, parameters, state, gradients)))
}

/// Updates some parameters; returns whether all their gradients were finite.
#[inline(always)]
fn update_slice<S: Simd, R: UpdateRule>(
    s: S,
    rule: R,
    p: &mut [f32],
    [a, b]: [&mut [f32]; 2],
    gradients: &[f32],
) -> bool {
    let zero = s.constant(0.0);
    // 0 until a gradient is infinite or NaN: gradient * 0 is then NaN.
    let mut nonfinite = zero;
    for at in (0..p.len()).step_by(<S as Lanes<f32>>::COUNT) {
        let gradient = s.read(gradients, at);
        let second = if R::STATE_SLOTS == 2 { s.read(b, at) } else { zero };
        let [p_, a_, b_] = rule.step(s, gradient, [s.read(p, at), s.read(a, at), second]);
        s.write(p, at, p_);
        s.write(a, at, a_);
        if R::STATE_SLOTS == 2 {
            s.write(b, at, b_);
        }
        nonfinite = s.mul_add(gradient, zero, nonfinite);
    }
    s.sum(nonfinite) == 0.0
}

/// Panics if the state does not have the length for so many parameters.
fn check_state(optimizer: Optimizer, parameters: usize, state: &[&mut [f32]; 2]) {
    let second = if optimizer.state_slots() == 2 { parameters } else { 0 };
    assert!(state[0].len() == parameters && state[1].len() == second, "state for {parameters} parameters");
    assert!(!matches!(optimizer, Optimizer::Adam(Adam { step: 0, .. })), "steps count from 1");
}

/// An optimizer step of the parameters of a matrix, tile by tile. Parameters and state are in no near cache, up to
/// three values per gradient: those of the next tile are prefetched, so that they arrive while its gradients are
/// computed.
pub(crate) struct TileStep<'a> {
    level: Level,
    rule: PreparedRule,
    parameters: &'a mut [f32],
    state: [&'a mut [f32]; 2],
    /// Columns of the matrix.
    columns: usize,
    is_finite: bool,
}

impl<'a> TileStep<'a> {
    /// As [`step`], for a matrix of `columns` columns.
    pub fn new(
        level: Level,
        optimizer: Optimizer,
        parameters: &'a mut [f32],
        state: [&'a mut [f32]; 2],
        columns: usize,
    ) -> Self {
        check_state(optimizer, parameters.len(), &state);
        Self { level, rule: optimizer.prepare(), parameters, state, columns, is_finite: true }
    }

    /// Updates the parameters in these rows and columns from their gradients, which are row-major with rows `stride`
    /// apart.
    pub fn update(&mut self, gradients: &[f32], stride: usize, rows: Range<usize>, columns: Range<usize>) {
        let Self { level, rule, parameters, state: [first, second], columns: width, is_finite } = self;
        // The next tile is the one below this one.
        for row in rows.end..rows.end + rows.len() {
            let start = row * *width + columns.start;
            if start + columns.len() > parameters.len() {
                break;
            }
            for values in [&parameters[..], first, second] {
                prefetch(values.get(start..start + columns.len()).unwrap_or_default());
            }
        }
        dispatch!(level, s => with_rule!(*rule, rule => {
            for (row, gradients) in rows.zip(gradients.chunks(stride)) {
                let range = row * *width + columns.start..row * *width + columns.end;
                let second = if second.is_empty() { &mut [][..] } else { &mut second[range.clone()] };
                let state = [&mut first[range.clone()], second];
                *is_finite &= update_slice(s, rule, &mut parameters[range], state, gradients);
            }
        }));
    }

    /// Returns whether all gradients so far were finite.
    pub fn is_finite(&self) -> bool {
        self.is_finite
    }
}

/// An update rule with the constants of one step, applied to registers.
trait UpdateRule: Copy {
    /// State values per parameter.
    const STATE_SLOTS: usize;

    /// The parameter and the state after the step, from those before it.
    fn step<S: Simd>(self, s: S, gradient: F<S>, state: [F<S>; 3]) -> [F<S>; 3];
}

/// Evaluates an expression with the update rule. The expression is compiled once per rule, so no loop branches on the
/// rule.
macro_rules! with_rule {
    ($prepared:expr, $rule:ident => $body:expr) => {
        match $prepared {
            PreparedRule::Adadelta($rule) => $body,
            PreparedRule::Sgd($rule) => $body,
            PreparedRule::RmsProp($rule) => $body,
            PreparedRule::Adam($rule) => $body,
        }
    };
}
use with_rule;

/// The update rule of an optimizer for one step.
#[derive(Clone, Copy)]
enum PreparedRule {
    Adadelta(Adadelta),
    Sgd(Sgd),
    RmsProp(RmsProp),
    Adam(AdamStep),
}

impl Optimizer {
    fn prepare(self) -> PreparedRule {
        match self {
            Self::Adadelta(rule) => PreparedRule::Adadelta(rule),
            Self::Sgd(rule) => PreparedRule::Sgd(rule),
            Self::RmsProp(rule) => PreparedRule::RmsProp(rule),
            Self::Adam(settings) => PreparedRule::Adam(settings.prepare()),
        }
    }
}

impl UpdateRule for Adadelta {
    const STATE_SLOTS: usize = 2;

    #[inline(always)]
    fn step<S: Simd>(self, s: S, g: F<S>, [p, e, d]: [F<S>; 3]) -> [F<S>; 3] {
        let (rho, rest) = (s.constant(self.rho), s.constant(1.0 - self.rho));
        let epsilon = s.constant(self.epsilon);
        let e = s.mul_add(rho, e, s.mul(rest, s.mul(g, g)));
        // The root of the ratio instead of the ratio of two roots.
        let step = s.mul(g, s.sqrt(s.div(s.add(d, epsilon), s.add(e, epsilon))));
        let d = s.mul_add(rho, d, s.mul(rest, s.mul(step, step)));
        [s.mul_add(s.constant(-self.rate), step, p), e, d]
    }
}

impl UpdateRule for Sgd {
    const STATE_SLOTS: usize = 1;

    #[inline(always)]
    fn step<S: Simd>(self, s: S, g: F<S>, [p, v, none]: [F<S>; 3]) -> [F<S>; 3] {
        let momentum = s.constant(self.momentum);
        let v = s.mul_add(momentum, v, g);
        let step = if self.nesterov { s.mul_add(momentum, v, g) } else { v };
        [s.mul_add(s.constant(-self.rate), step, p), v, none]
    }
}

impl UpdateRule for RmsProp {
    const STATE_SLOTS: usize = 1;

    #[inline(always)]
    fn step<S: Simd>(self, s: S, g: F<S>, [p, e, none]: [F<S>; 3]) -> [F<S>; 3] {
        let (rho, rest) = (s.constant(self.rho), s.constant(1.0 - self.rho));
        let e = s.mul_add(rho, e, s.mul(rest, s.mul(g, g)));
        let step = s.div(g, s.add(s.sqrt(e), s.constant(self.epsilon)));
        [s.mul_add(s.constant(-self.rate), step, p), e, none]
    }
}

/// Adam with the factors that are constant in a step.
#[derive(Clone, Copy)]
struct AdamStep {
    /// -rate / (1 - beta1^step)
    scaled_rate: f32,
    /// 1 / sqrt(1 - beta2^step)
    root_scale: f32,
    /// 1 - rate weight_decay, the factor of decoupled weight decay.
    keep: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
}

impl Adam {
    fn prepare(self) -> AdamStep {
        let Self { rate, beta1, beta2, epsilon, weight_decay, step } = self;
        let power = step.min(i32::MAX as u64) as i32;
        let correct1 = 1.0 - f64::from(beta1).powi(power);
        let correct2 = 1.0 - f64::from(beta2).powi(power);
        AdamStep {
            scaled_rate: -(f64::from(rate) / correct1) as f32,
            root_scale: (1.0 / correct2.sqrt()) as f32,
            keep: 1.0 - rate * weight_decay,
            beta1,
            beta2,
            epsilon,
        }
    }
}

impl UpdateRule for AdamStep {
    const STATE_SLOTS: usize = 2;

    #[inline(always)]
    fn step<S: Simd>(self, s: S, g: F<S>, [p, m, v]: [F<S>; 3]) -> [F<S>; 3] {
        let (beta1, rest1) = (s.constant(self.beta1), s.constant(1.0 - self.beta1));
        let (beta2, rest2) = (s.constant(self.beta2), s.constant(1.0 - self.beta2));
        let m = s.mul_add(beta1, m, s.mul(rest1, g));
        let v = s.mul_add(beta2, v, s.mul(rest2, s.mul(g, g)));
        let root = s.mul_add(s.sqrt(v), s.constant(self.root_scale), s.constant(self.epsilon));
        let kept = s.mul(s.constant(self.keep), p);
        [s.mul_add(s.constant(self.scaled_rate), s.div(m, root), kept), m, v]
    }
}
