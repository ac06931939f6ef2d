//! One step of gradient descent: parameters, gradients and what the optimiser remembers, read and written once. Every number
//! is treated alone, so any cut of the slices gives the same bits.
//!
//! A rule is written once, for the registers of one place (`Rule`). Two loops use it: [`descend`], over gradients that lie
//! in memory, and `TileDescent`, over the tiles of a product as they are computed
//! ([`crate::matrix::multiply_and_descend`]).

use std::ops::Range;

use crate::simd::{F, Lanes, Level, Simd, dispatch, prefetch};

/// Settings of Adadelta (Zeiler 2012). E and D are running means of squared gradients and squared steps:
/// E = rho E + (1 - rho) g^2; step = g sqrt(D + epsilon) / sqrt(E + epsilon); D = rho D + (1 - rho) step^2; p -= rate step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adadelta {
    /// Step size; the method's own is 1.
    pub rate: f32,
    /// How much of the running means is kept at each step.
    pub rho: f32,
    /// Added to both running means.
    pub epsilon: f32,
}

/// Settings of gradient descent with momentum (Sutskever et al. 2013, in PyTorch's form): v = momentum v + g;
/// p -= rate v, or with Nesterov p -= rate (g + momentum v).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sgd {
    /// Step size.
    pub rate: f32,
    /// How much of the velocity is kept at each step; 0 is plain descent.
    pub momentum: f32,
    /// Whether the step looks ahead along the velocity (Nesterov).
    pub nesterov: bool,
}

/// Settings of RMSprop (Tieleman and Hinton 2012): E = rho E + (1 - rho) g^2; p -= rate g / (sqrt(E) + epsilon).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsProp {
    /// Step size.
    pub rate: f32,
    /// How much of the running mean is kept at each step.
    pub rho: f32,
    /// Added to the root.
    pub epsilon: f32,
}

/// Settings of Adam (Kingma and Ba 2015) and, with weight decay, of AdamW (Loshchilov and Hutter 2019):
/// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// p -= rate weight_decay p; p -= rate (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + epsilon).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adam {
    /// Step size.
    pub rate: f32,
    /// How much of the mean gradient is kept at each step.
    pub beta1: f32,
    /// How much of the mean squared gradient is kept at each step.
    pub beta2: f32,
    /// Added to the root.
    pub epsilon: f32,
    /// Share of a parameter taken off at each step, times the rate (AdamW); 0 is Adam.
    pub weight_decay: f32,
    /// How many steps there have been, this one included: from 1.
    pub step: u64,
}

/// An optimiser with all its settings.
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
    /// How many numbers it remembers for each parameter: 1 or 2.
    pub fn memories(&self) -> usize {
        match self {
            Self::Sgd(_) | Self::RmsProp(_) => 1,
            Self::Adadelta(_) | Self::Adam(_) => 2,
        }
    }

    /// The same with its rate times `share`.
    #[must_use]
    pub fn with_rate(mut self, share: f32) -> Self {
        match &mut self {
            Self::Adadelta(settings) => settings.rate *= share,
            Self::Sgd(settings) => settings.rate *= share,
            Self::RmsProp(settings) => settings.rate *= share,
            Self::Adam(settings) => settings.rate *= share,
        }
        self
    }
}

/// One step: parameters change by what the optimiser makes of their gradients. `memory` are the numbers it remembers, one for
/// each parameter in each slice; the second is empty where it remembers one ([`Optimizer::memories`]). Says whether all
/// gradients were finite.
///
/// # Panics
/// Where the lengths differ, or the number of a step is 0.
pub fn descend(
    level: Level,
    parameters: &mut [f32],
    memory: [&mut [f32]; 2],
    gradients: &[f32],
    optimizer: Optimizer,
) -> bool {
    check(optimizer, parameters.len(), &memory);
    assert_eq!(parameters.len(), gradients.len());
    dispatch!(level, s => with_rule!(optimizer.ready(), rule => run(s, rule, parameters, memory, gradients)))
}

/// One step of some parameters; whether all their gradients were finite.
#[inline(always)]
fn run<S: Simd, R: Rule>(s: S, rule: R, p: &mut [f32], [a, b]: [&mut [f32]; 2], gradients: &[f32]) -> bool {
    let zero = s.constant(0.0);
    // 0 as long as no gradient is infinite or no number.
    let mut spoilt = zero;
    for at in (0..p.len()).step_by(<S as Lanes<f32>>::COUNT) {
        let gradient = s.read(gradients, at);
        let second = if R::MEMORIES == 2 { s.read(b, at) } else { zero };
        let [p_, a_, b_] = rule.step(s, gradient, [s.read(p, at), s.read(a, at), second]);
        s.write(p, at, p_);
        s.write(a, at, a_);
        if R::MEMORIES == 2 {
            s.write(b, at, b_);
        }
        spoilt = s.mul_add(gradient, zero, spoilt);
    }
    s.sum(spoilt) == 0.0
}

/// Whether the memory of an optimiser belongs to so many parameters.
fn check(optimizer: Optimizer, parameters: usize, memory: &[&mut [f32]; 2]) {
    let second = if optimizer.memories() == 2 { parameters } else { 0 };
    assert!(memory[0].len() == parameters && memory[1].len() == second, "memory for {parameters} parameters");
    assert!(!matches!(optimizer, Optimizer::Adam(Adam { step: 0, .. })), "steps count from 1");
}

/// One step of the parameters of a matrix, tile after tile. What an optimiser remembers and the parameters come from far away,
/// three numbers for each gradient: those of the next tile are asked for beforehand, so that they travel while its
/// gradients are computed.
pub(crate) struct TileDescent<'a> {
    level: Level,
    rule: Ready,
    parameters: &'a mut [f32],
    memory: [&'a mut [f32]; 2],
    /// Of the matrix.
    columns: usize,
    is_finite: bool,
}

impl<'a> TileDescent<'a> {
    /// As [`descend`], for a matrix of so many columns.
    pub fn new(
        level: Level,
        optimizer: Optimizer,
        parameters: &'a mut [f32],
        memory: [&'a mut [f32]; 2],
        columns: usize,
    ) -> Self {
        check(optimizer, parameters.len(), &memory);
        Self { level, rule: optimizer.ready(), parameters, memory, columns, is_finite: true }
    }

    /// The step of the parameters in these rows and columns, by their gradients, row after row and `stride` apart.
    pub fn descend(&mut self, gradients: &[f32], stride: usize, rows: Range<usize>, columns: Range<usize>) {
        let Self { level, rule, parameters, memory: [first, second], columns: width, is_finite } = self;
        // The next tile is the one below.
        for row in rows.end..rows.end + rows.len() {
            let place = row * *width + columns.start;
            if place + columns.len() > parameters.len() {
                break;
            }
            for numbers in [&parameters[..], first, second] {
                prefetch(numbers.get(place..place + columns.len()).unwrap_or_default());
            }
        }
        dispatch!(level, s => with_rule!(*rule, rule => {
            for (row, gradients) in rows.zip(gradients.chunks(stride)) {
                let place = row * *width + columns.start..row * *width + columns.end;
                let second = if second.is_empty() { &mut [][..] } else { &mut second[place.clone()] };
                let memory = [&mut first[place.clone()], second];
                *is_finite &= run(s, rule, &mut parameters[place], memory, gradients);
            }
        }));
    }

    /// Whether all gradients so far were finite.
    pub fn is_finite(&self) -> bool {
        self.is_finite
    }
}

/// A rule, made ready for one step: what it makes of the gradient, the parameter and what it remembers, at the places of one
/// register.
trait Rule: Copy {
    /// How many of the two memories it uses.
    const MEMORIES: usize;

    /// The parameter and the memories after the step, from those before.
    fn step<S: Simd>(self, s: S, gradient: F<S>, state: [F<S>; 3]) -> [F<S>; 3];
}

/// Names the rule in an expression, which is compiled once for each: no rule is asked for in a loop.
macro_rules! with_rule {
    ($ready:expr, $rule:ident => $body:expr) => {
        match $ready {
            Ready::Adadelta($rule) => $body,
            Ready::Sgd($rule) => $body,
            Ready::RmsProp($rule) => $body,
            Ready::Adam($rule) => $body,
        }
    };
}
use with_rule;

/// The rule of an optimiser for one step.
#[derive(Clone, Copy)]
enum Ready {
    Adadelta(Adadelta),
    Sgd(Sgd),
    RmsProp(RmsProp),
    Adam(AdamStep),
}

impl Optimizer {
    fn ready(self) -> Ready {
        match self {
            Self::Adadelta(rule) => Ready::Adadelta(rule),
            Self::Sgd(rule) => Ready::Sgd(rule),
            Self::RmsProp(rule) => Ready::RmsProp(rule),
            Self::Adam(settings) => Ready::Adam(settings.ready()),
        }
    }
}

impl Rule for Adadelta {
    const MEMORIES: usize = 2;

    #[inline(always)]
    fn step<S: Simd>(self, s: S, g: F<S>, [p, e, d]: [F<S>; 3]) -> [F<S>; 3] {
        let (rho, rest) = (s.constant(self.rho), s.constant(1.0 - self.rho));
        let epsilon = s.constant(self.epsilon);
        let e = s.mul_add(rho, e, s.mul(rest, s.mul(g, g)));
        // One root of the ratio instead of the ratio of two roots.
        let step = s.mul(g, s.sqrt(s.div(s.add(d, epsilon), s.add(e, epsilon))));
        let d = s.mul_add(rho, d, s.mul(rest, s.mul(step, step)));
        [s.mul_add(s.constant(-self.rate), step, p), e, d]
    }
}

impl Rule for Sgd {
    const MEMORIES: usize = 1;

    #[inline(always)]
    fn step<S: Simd>(self, s: S, g: F<S>, [p, v, none]: [F<S>; 3]) -> [F<S>; 3] {
        let momentum = s.constant(self.momentum);
        let v = s.mul_add(momentum, v, g);
        let step = if self.nesterov { s.mul_add(momentum, v, g) } else { v };
        [s.mul_add(s.constant(-self.rate), step, p), v, none]
    }
}

impl Rule for RmsProp {
    const MEMORIES: usize = 1;

    #[inline(always)]
    fn step<S: Simd>(self, s: S, g: F<S>, [p, e, none]: [F<S>; 3]) -> [F<S>; 3] {
        let (rho, rest) = (s.constant(self.rho), s.constant(1.0 - self.rho));
        let e = s.mul_add(rho, e, s.mul(rest, s.mul(g, g)));
        let step = s.div(g, s.add(s.sqrt(e), s.constant(self.epsilon)));
        [s.mul_add(s.constant(-self.rate), step, p), e, none]
    }
}

/// Adam with what is the same for all parameters of a step.
#[derive(Clone, Copy)]
struct AdamStep {
    /// -rate / (1 - beta1^step)
    scaled_rate: f32,
    /// 1 / sqrt(1 - beta2^step)
    root_scale: f32,
    /// What is left of a parameter after its decay.
    keep: f32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
}

impl Adam {
    fn ready(self) -> AdamStep {
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

impl Rule for AdamStep {
    const MEMORIES: usize = 2;

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
