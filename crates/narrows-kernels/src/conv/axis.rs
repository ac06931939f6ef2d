//! One axis of a convolution: the inputs that each output reads, and the kernel positions it reads them with.
//!
//! Each of the three kinds of convolution, and the input gradient of each, is a list of [`Phase`]s: outputs a constant
//! step apart that read inputs a constant stride apart with the same taps. Height and width are independent of each
//! other, so a phase of a two-dimensional convolution is a phase of the height combined with a phase of the width.
//!
//! With output r, input i, kernel position k of K and padding p:
//!
//! | kind | r and i are connected if | form of its input gradient |
//! |---|---|---|
//! | plain, stride s | i = s r + k - p | transposed |
//! | transposed, stride s | r = s i + k - p | plain |
//! | upsampled by f, then plain with stride 1 | i = floor((r + k - p) / f) | plain with stride f and K + f - 1 taps |
//!
//! In an upsampled image adjacent outputs read few distinct inputs. The weights that multiply the same input are added
//! beforehand: for f = 2 and K = 3, two taps remain of three.

/// The kind of a convolution: how outputs and inputs are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConvolutionKind {
    /// A convolution whose outputs are `stride` inputs apart.
    Plain {
        /// Inputs from one output to the next.
        stride: usize,
    },
    /// A transposed convolution: each input adds to the outputs around it, which are `stride` outputs apart.
    Transposed {
        /// Outputs from one input to the next.
        stride: usize,
    },
    /// Nearest-neighbour upsampling by `factor`, then a convolution of stride 1.
    Upsampled {
        /// Repetitions of each input.
        factor: usize,
    },
}

/// One axis of a convolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub kind: ConvolutionKind,
    pub kernel: usize,
    pub padding: usize,
    pub inputs: usize,
    pub outputs: usize,
}

/// The outputs `first + step n` for n below `count`. Output n reads the inputs `stride n + offset + t`, one for each
/// tap t, each multiplied by the sum of the weights at the kernel positions `taps[t]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Phase {
    pub first: usize,
    pub step: usize,
    pub count: usize,
    pub stride: usize,
    pub offset: isize,
    pub taps: Vec<Vec<usize>>,
}

impl Axis {
    /// The phases of the forward pass: outputs read inputs.
    pub fn forward(&self) -> Vec<Phase> {
        match self.kind {
            ConvolutionKind::Plain { stride } => self.plain(stride, self.outputs),
            ConvolutionKind::Transposed { stride } => self.transposed(stride, self.outputs),
            ConvolutionKind::Upsampled { factor } => phases(factor, self.outputs, |phase| {
                // Rounds down, also for negative values.
                let source =
                    |k: usize| ((phase + k) as isize - self.padding as isize).div_euclid(factor as isize);
                let offset = source(0);
                let mut taps = vec![Vec::new(); (source(self.kernel - 1) - offset) as usize + 1];
                (0..self.kernel).for_each(|k| taps[(source(k) - offset) as usize].push(k));
                (offset, taps)
            }),
        }
    }

    /// The phases of the backward pass: input gradients read output gradients.
    pub fn backward(&self) -> Vec<Phase> {
        match self.kind {
            ConvolutionKind::Plain { stride } => self.transposed(stride, self.inputs),
            ConvolutionKind::Transposed { stride } => self.plain(stride, self.inputs),
            ConvolutionKind::Upsampled { factor } => {
                let taps = (0..self.kernel + factor - 1)
                    // Output gradient c (counted from the first tap) reaches input i through repetition u = c - (K - 1)
                    // + k.
                    .map(|c| {
                        (0..self.kernel)
                            .filter(|k| (self.kernel - 1..self.kernel - 1 + factor).contains(&(c + k)))
                            .collect()
                    })
                    .collect();
                let offset = self.padding as isize - (self.kernel as isize - 1);
                vec![Phase { first: 0, step: 1, count: self.inputs, stride: factor, offset, taps }]
            }
        }
    }

    fn plain(&self, stride: usize, count: usize) -> Vec<Phase> {
        let taps = (0..self.kernel).map(|k| vec![k]).collect();
        vec![Phase { first: 0, step: 1, count, stride, offset: -(self.padding as isize), taps }]
    }

    fn transposed(&self, stride: usize, outputs: usize) -> Vec<Phase> {
        phases(stride, outputs, |phase| {
            // Only every stride-th kernel position coincides with an input, the last position with the first input.
            let mut positions: Vec<usize> =
                (0..self.kernel).filter(|k| (phase + self.padding) % stride == k % stride).collect();
            positions.reverse();
            let input = |k: usize| ((phase + self.padding) as isize - k as isize) / stride as isize;
            let offset = positions.first().map_or(0, |&k| input(k));
            (offset, positions.into_iter().map(|k| vec![k]).collect())
        })
    }
}

/// One phase for each residue of the outputs modulo `step`; its outputs read adjacent inputs. `describe` returns the
/// offset and the taps of a phase.
fn phases(step: usize, outputs: usize, describe: impl Fn(usize) -> (isize, Vec<Vec<usize>>)) -> Vec<Phase> {
    (0..step.min(outputs))
        .map(|first| {
            let (offset, taps) = describe(first);
            Phase { first, step, count: (outputs - first).div_ceil(step), stride: 1, offset, taps }
        })
        .collect()
}

/// The number of elements that the phases read before the first and past the last of `len` elements.
pub(super) fn overhang(phases: &[Phase], len: usize) -> (usize, usize) {
    phases.iter().filter(|phase| phase.count > 0 && !phase.taps.is_empty()).fold(
        (0, 0),
        |(before, after), phase| {
            let last =
                (phase.stride * (phase.count - 1)) as isize + phase.offset + phase.taps.len() as isize - 1;
            (
                before.max((-phase.offset).max(0) as usize),
                after.max((last + 1 - len as isize).max(0) as usize),
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All (output, input, kernel position) connected by the definition.
    fn definition(axis: &Axis) -> Vec<(usize, usize, usize)> {
        let (p, inside) = (axis.padding as isize, |i: isize, len: usize| (0..len as isize).contains(&i));
        let mut all = Vec::new();
        for k in 0..axis.kernel {
            for r in 0..axis.outputs {
                for i in 0..axis.inputs {
                    let (r_, i_, k_) = (r as isize, i as isize, k as isize);
                    let connected = match axis.kind {
                        ConvolutionKind::Plain { stride } => i_ == stride as isize * r_ + k_ - p,
                        ConvolutionKind::Transposed { stride } => r_ == stride as isize * i_ + k_ - p,
                        ConvolutionKind::Upsampled { factor } => {
                            let up = r_ + k_ - p;
                            inside(up, axis.inputs * factor) && up as usize / factor == i
                        }
                    };
                    if connected {
                        all.push((r, i, k));
                    }
                }
            }
        }
        all.sort_unstable();
        all
    }

    /// The same triples from the phases, which read `len` elements and the zeros around them.
    fn connections(phases: &[Phase], len: usize) -> Vec<(usize, usize, usize)> {
        let (before, after) = overhang(phases, len);
        let mut all = Vec::new();
        for phase in phases {
            for n in 0..phase.count {
                for (t, positions) in phase.taps.iter().enumerate() {
                    let read = (phase.stride * n + t) as isize + phase.offset;
                    assert!(read >= -(before as isize) && read < (len + after) as isize, "inside the border");
                    for &k in positions {
                        if (0..len as isize).contains(&read) {
                            all.push((phase.first + phase.step * n, read as usize, k));
                        }
                    }
                }
            }
        }
        all.sort_unstable();
        all
    }

    #[test]
    fn phases_have_the_connections_of_the_definition_forward_and_backward() {
        for kernel in 1..=5 {
            for padding in 0..kernel {
                for step in 1..=3 {
                    for kind in [
                        ConvolutionKind::Plain { stride: step },
                        ConvolutionKind::Transposed { stride: step },
                        ConvolutionKind::Upsampled { factor: step },
                    ] {
                        for (inputs, outputs) in [(1, 1), (4, 7), (5, 5), (7, 3), (6, 12), (7, 13)] {
                            let axis = Axis { kind, kernel, padding, inputs, outputs };
                            let want = definition(&axis);
                            assert_eq!(connections(&axis.forward(), inputs), want, "{axis:?}");
                            let mut back: Vec<_> = connections(&axis.backward(), outputs)
                                .into_iter()
                                .map(|(i, r, k)| (r, i, k))
                                .collect();
                            back.sort_unstable();
                            assert_eq!(back, want, "{axis:?}, backward");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn an_upsampled_kernel_of_three_has_two_taps() {
        let axis = Axis {
            kind: ConvolutionKind::Upsampled { factor: 2 },
            kernel: 3,
            padding: 1,
            inputs: 7,
            outputs: 14,
        };
        let taps: Vec<_> = axis.forward().into_iter().map(|phase| (phase.offset, phase.taps)).collect();
        assert_eq!(taps, [(-1, vec![vec![0], vec![1, 2]]), (0, vec![vec![0, 1], vec![2]])]);
        assert_eq!(axis.backward()[0].taps.len(), 4);
    }
}
