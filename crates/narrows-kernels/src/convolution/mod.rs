//! Convolutions of images, channel last: plain with any stride, transposed, and of an image upsampled just before; forward,
//! and the gradients at the input and at the weights.
//!
//! ```text
//! y[r, c, o]  =  activation( bias[o] + sum over k, l, i of x[row(r, k), column(c, l), i] w[k, l, i, o] )
//! ```
//!
//! where [`Kind`] says which row and column, and x is 0 outside the image. All is direct: no copy of patches, no
//! transform. A convolution is cut into phases (see `axis`), each a product of matrices whose rows lie where the
//! pixels lie (see `window`). Images are stored with the border that [`Geometry`] asks for, so that no loop asks whether
//! it stands at an edge.

mod axis;
mod gradient;
mod multiply;
mod pooled;
mod tall;
mod window;

pub use axis::Kind;

use crate::activation::Activation;
use crate::image::{Border, Image};
use crate::matrix::Finish;
use crate::simd::{Level, dispatch};
use axis::{Axis, Phase, overhang};
use window::{Place, Window};

/// What is connected to what. Heights, widths and channels of the images count; their borders do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// How outputs lie to inputs.
    pub kind: Kind,
    /// Height and width of the kernel.
    pub kernel: (usize, usize),
    /// Zeros above the image and before it, at most one less than the kernel.
    pub padding: (usize, usize),
    /// What comes in.
    pub input: Image,
    /// What goes out: as many rows and columns as are wanted, from the first on.
    pub output: Image,
}

impl Geometry {
    /// Numbers of w: kernel height x kernel width x input channels x output channels, in this order.
    pub fn weights_len(&self) -> usize {
        self.kernel.0 * self.kernel.1 * self.input.channels * self.output.channels
    }

    /// The border that the input needs for the forward pass.
    pub fn input_border(&self) -> Border {
        border(&self.axes().map(|axis| axis.forward()), self.input)
    }

    /// The border that the gradient of the output needs for the gradient of the input.
    pub fn output_gradient_border(&self) -> Border {
        border(&self.axes().map(|axis| axis.backward()), self.output)
    }

    /// Multiply-adds of a forward pass by the direct algorithm: every kernel position of every output.
    pub fn multiply_adds(&self) -> usize {
        let (places, channels) = match self.kind {
            // Each input spreads over the kernel.
            Kind::Transposed { .. } => (self.input.height * self.input.width, self.output.channels),
            _ => (self.output.height * self.output.width, self.output.channels),
        };
        places * channels * self.kernel.0 * self.kernel.1 * self.input.channels
    }

    /// Height and width.
    fn axes(&self) -> [Axis; 2] {
        let axis =
            |kernel, padding, inputs, outputs| Axis { kind: self.kind, kernel, padding, inputs, outputs };
        [
            axis(self.kernel.0, self.padding.0, self.input.height, self.output.height),
            axis(self.kernel.1, self.padding.1, self.input.width, self.output.width),
        ]
    }
}

fn border(phases: &[Vec<Phase>; 2], image: Image) -> Border {
    let [(top, bottom), (left, right)] =
        [overhang(&phases[0], image.height), overhang(&phases[1], image.width)];
    Border { top, bottom, left, right }
}

/// The images of a convolution in memory. Each has the border that who reads it needs.
#[derive(Debug, Clone, Copy)]
pub struct Images {
    /// x, with at least [`Geometry::input_border`].
    pub input: Image,
    /// y.
    pub output: Image,
    /// The gradient at y, with at least [`Geometry::output_gradient_border`] where [`Convolution::backward`] is called.
    pub output_gradient: Image,
    /// The gradient at x.
    pub input_gradient: Image,
}

/// A convolution with its images' places in memory, ready to run.
#[derive(Debug, Clone)]
pub struct Convolution {
    geometry: Geometry,
    images: Images,
    forward: Vec<Part>,
    backward: Vec<Part>,
}

/// A phase along the height with one along the width.
#[derive(Debug, Clone)]
struct Part {
    window: Window,
    /// The kernel positions of each tap of each axis.
    taps: [Vec<Vec<usize>>; 2],
}

/// Which of the two sets of packed weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// For [`Convolution::forward`].
    Forward,
    /// For [`Convolution::backward`].
    Backward,
}

impl Convolution {
    /// Finds all places. Without `gradients` only [`Convolution::forward`] can be called, and the images of gradients do not
    /// matter.
    ///
    /// # Panics
    /// Where an image has another shape than the geometry says, lacks its border, or has 2^32 numbers.
    pub fn new(geometry: Geometry, images: Images, gradients: bool) -> Self {
        let axes = geometry.axes();
        let of = |image: Image, shape: Image| {
            assert_eq!(
                image.with_border(Border::NONE),
                shape.with_border(Border::NONE),
                "the shape of an image"
            );
            assert!(u32::try_from(image.len()).is_ok(), "an image of less than 2^32 numbers");
        };
        of(images.input, geometry.input);
        of(images.output, geometry.output);
        if gradients {
            of(images.output_gradient, geometry.output);
            of(images.input_gradient, geometry.input);
        }
        assert!(covers(images.input.border, geometry.input_border()), "the border of the input");
        let beside = if gradients { images.output_gradient } else { images.output };
        let forward = parts(&axes.map(|axis| axis.forward()), images.input, images.output, beside);
        let backward =
            if gradients && covers(images.output_gradient.border, geometry.output_gradient_border()) {
                let phases = axes.map(|axis| axis.backward());
                parts(&phases, images.output_gradient, images.input_gradient, images.input)
            } else {
                Vec::new()
            };
        Self { geometry, images, forward, backward }
    }

    /// What is connected to what.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn parts(&self, direction: Direction) -> &[Part] {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Backward => &self.backward,
        }
    }

    /// Numbers that packed weights take at any level.
    pub fn packed_len(&self, direction: Direction) -> usize {
        self.parts(direction).iter().map(|part| part.window.packed_len()).sum()
    }

    /// Numbers of scratch that [`Convolution::pack`] needs.
    pub fn scratch_len(&self) -> usize {
        let parts = self.forward.iter().chain(&self.backward);
        parts.map(|part| part.window.depth() * part.window.columns).max().unwrap_or(0)
    }

    /// Packs the weights as the kernels read them: per phase, those that meet the same number added, in panels of
    /// registers.
    ///
    /// # Panics
    /// Where a length does not fit.
    pub fn pack(
        &self,
        level: Level,
        direction: Direction,
        packed: &mut [f32],
        weights: &[f32],
        scratch: &mut [f32],
    ) {
        assert_eq!(weights.len(), self.geometry.weights_len());
        let mut packed = &mut packed[..self.packed_len(direction)];
        for part in self.parts(direction) {
            let sums = &mut scratch[..part.window.depth() * part.window.columns];
            self.collect(part, direction, sums, weights);
            let (own, rest) = packed.split_at_mut(part.window.packed_len());
            dispatch!(level.for_columns(part.window.columns), s => window::pack(s, own, sums, &part.window));
            packed = rest;
        }
    }

    /// The weights of a phase, depth x columns.
    fn collect(&self, part: &Part, direction: Direction, sums: &mut [f32], weights: &[f32]) {
        let Geometry { kernel: (_, width), input, output, .. } = self.geometry;
        let (inputs, outputs) = (input.channels, output.channels);
        let mut blocks = sums.chunks_exact_mut((inputs * outputs).max(1));
        for rows in &part.taps[0] {
            for columns in &part.taps[1] {
                let block = blocks.next().expect("one block for each pair of taps");
                block.fill(0.0);
                for &k in rows {
                    for &l in columns {
                        let own = &weights[(k * width + l) * inputs * outputs..][..inputs * outputs];
                        match direction {
                            Direction::Forward => block.iter_mut().zip(own).for_each(|(sum, w)| *sum += w),
                            Direction::Backward => {
                                for (i, own) in own.chunks_exact(outputs).enumerate() {
                                    for (o, w) in own.iter().enumerate() {
                                        block[o * inputs + i] += w;
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// y = activation(bias + w * x). Weights packed by [`Convolution::pack`] for [`Direction::Forward`].
    ///
    /// # Panics
    /// Where a length does not fit.
    pub fn forward(
        &self,
        level: Level,
        y: &mut [f32],
        x: &[f32],
        packed: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
    ) {
        assert!(y.len() == self.images.output.len() && x.len() == self.images.input.len());
        self.multiply(level, Direction::Forward, y, x, packed, Finish::Forward { bias, activation });
    }

    /// The gradient at x from the one at y, times the derivative of the activation that made x. Weights packed for
    /// [`Direction::Backward`].
    ///
    /// # Panics
    /// Where a length does not fit, or the gradient at y has no border.
    pub fn backward(
        &self,
        level: Level,
        x_gradient: &mut [f32],
        y_gradient: &[f32],
        packed: &[f32],
        activation: Activation,
        x: &[f32],
    ) {
        let Images { input, output_gradient, input_gradient, .. } = self.images;
        assert!(x_gradient.len() == input_gradient.len() && y_gradient.len() == output_gradient.len());
        assert!(x.len() == input.len() && !self.backward.is_empty());
        let finish = Finish::Backward { activation, outputs: x };
        self.multiply(level, Direction::Backward, x_gradient, y_gradient, packed, finish);
    }

    fn multiply(
        &self,
        level: Level,
        direction: Direction,
        to: &mut [f32],
        from: &[f32],
        mut packed: &[f32],
        finish: Finish<'_>,
    ) {
        for part in self.parts(direction) {
            let window = &part.window;
            dispatch!(level.for_columns(window.columns), s => multiply::multiply(s, to, from, packed, window, finish));
            packed = &packed[window.packed_len()..];
        }
    }

    /// Numbers of the sums that [`Convolution::gradient`] adds to.
    pub fn sums_len(&self) -> usize {
        self.forward.iter().map(|part| part.window.depth() * part.window.columns).sum()
    }

    /// Adds one image's part of the gradient of the weights to `sums`, which [`Convolution::fold`] makes a gradient of.
    ///
    /// # Panics
    /// Where a length does not fit.
    pub fn gradient(&self, level: Level, sums: &mut [f32], x: &[f32], y_gradient: &[f32]) {
        assert!(x.len() == self.images.input.len() && y_gradient.len() == self.images.output_gradient.len());
        assert_eq!(sums.len(), self.sums_len());
        let mut sums = sums;
        for part in &self.forward {
            let window = &part.window;
            let (own, rest) = sums.split_at_mut(window.depth() * window.columns);
            dispatch!(level.for_columns(window.columns), s => gradient::gradient(s, own, x, y_gradient, window));
            sums = rest;
        }
    }

    /// The gradient of the weights from the sums: each kernel position gets the sums of every tap it is part of.
    ///
    /// # Panics
    /// Where a length does not fit.
    pub fn fold(&self, level: Level, gradient: &mut [f32], sums: &[f32]) {
        let Geometry { kernel: (_, width), input, output, .. } = self.geometry;
        let (inputs, outputs) = (input.channels, output.channels);
        assert!(gradient.len() == self.geometry.weights_len() && sums.len() == self.sums_len());
        gradient.fill(0.0);
        let mut sums = sums;
        for part in &self.forward {
            let window = &part.window;
            let (own, rest) = sums.split_at(window.depth() * window.columns);
            let transposed =
                dispatch!(level.for_columns(window.columns), s => window::sums_are_transposed(s, window));
            let mut first = 0;
            for rows in &part.taps[0] {
                for columns in &part.taps[1] {
                    for &k in rows {
                        for &l in columns {
                            let to = &mut gradient[(k * width + l) * inputs * outputs..][..inputs * outputs];
                            if transposed {
                                for (i, to) in to.chunks_exact_mut(outputs).enumerate() {
                                    for (o, to) in to.iter_mut().enumerate() {
                                        *to += own[o * window.depth() + first + i];
                                    }
                                }
                            } else {
                                let from = &own[first * outputs..][..inputs * outputs];
                                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                            }
                        }
                    }
                    first += inputs;
                }
            }
            sums = rest;
        }
    }
}

/// The forward pass of a plain convolution with what follows it: bias, relu, and the maximum of squares of two by two. Only
/// what is left is stored, and which of the four it was.
#[derive(Debug, Clone)]
pub struct PooledConvolution {
    window: Window,
    input: Image,
    small: Image,
}

impl PooledConvolution {
    /// The pass into the pool's output `small`; none where it cannot be done in one: squares that are not whole, strides,
    /// or fewer than 8 channels.
    ///
    /// # Panics
    /// As [`Convolution::new`].
    pub fn new(geometry: Geometry, input: Image, small: Image) -> Option<Self> {
        let output = geometry.output;
        let whole = output.height == 2 * small.height && output.width == 2 * small.width;
        if !whole || geometry.kind != (Kind::Plain { stride: 1 }) || small.channels != output.channels {
            return None;
        }
        let plain = small.with_border(Border::NONE);
        let images = Images { input, output, output_gradient: output, input_gradient: input };
        let mut window = Convolution::new(geometry, images, false).forward.swap_remove(0).window;
        let mut places = Vec::with_capacity(window.places.len());
        for row in 0..small.height {
            for column in 0..small.width {
                for (down, right) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let place = (2 * row + down) * output.width + 2 * column + right;
                    let (row, column) = (row as isize, column as isize);
                    places.push(Place {
                        from: window.places[place].from,
                        to: small.at(row, column) as u32,
                        beside: plain.at(row, column) as u32,
                    });
                }
            }
        }
        window = Window::new(places, window.rows, window.run, window.pitch, window.columns);
        pooled::can_be_pooled(&window).then_some(Self { window, input, small })
    }

    /// Whether an activation never falls and is exact at every level: only then is the largest result the result of the
    /// largest sum.
    pub fn can_end_in(activation: Activation) -> bool {
        matches!(activation, Activation::Linear | Activation::Relu)
    }

    /// The maxima of activation(bias + w * x), and into `winners`, an image without a border, which pixel of the square it
    /// was. Weights packed by [`Convolution::pack`] for [`Direction::Forward`].
    ///
    /// # Panics
    /// Where a length does not fit, or with an activation that [`PooledConvolution::can_end_in`] refuses.
    pub fn forward(
        &self,
        level: Level,
        small: &mut [f32],
        winners: Option<&mut [f32]>,
        x: &[f32],
        packed: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
    ) {
        assert!(
            small.len() == self.small.len() && x.len() == self.input.len() && Self::can_end_in(activation)
        );
        let window = &self.window;
        dispatch!(level.for_columns(window.columns), s => {
            pooled::multiply_pooled(s, small, winners, x, packed, window, bias, activation)
        });
    }
}

fn covers(border: Border, needed: Border) -> bool {
    border.top >= needed.top
        && border.bottom >= needed.bottom
        && border.left >= needed.left
        && border.right >= needed.right
}

/// Every phase of the height with every phase of the width.
fn parts(phases: &[Vec<Phase>; 2], read: Image, written: Image, beside: Image) -> Vec<Part> {
    let mut parts = Vec::new();
    for down in &phases[0] {
        for across in &phases[1] {
            let mut places = Vec::with_capacity(down.count * across.count);
            for i in 0..down.count {
                for j in 0..across.count {
                    let from = |phase: &Phase, n: usize| (phase.stride * n) as isize + phase.offset;
                    let to = |phase: &Phase, n: usize| (phase.first + phase.step * n) as isize;
                    let at = |image: Image, row: isize, column: isize| image.at(row, column) as u32;
                    let empty = down.taps.is_empty() || across.taps.is_empty();
                    places.push(Place {
                        from: if empty { 0 } else { at(read, from(down, i), from(across, j)) },
                        to: at(written, to(down, i), to(across, j)),
                        beside: at(beside, to(down, i), to(across, j)),
                    });
                }
            }
            let rows = if across.taps.is_empty() { 0 } else { down.taps.len() };
            let run = if down.taps.is_empty() { 0 } else { across.taps.len() * read.channels };
            parts.push(Part {
                window: Window::new(places, rows, run, read.pitch(), written.channels),
                taps: if rows == 0 {
                    [Vec::new(), Vec::new()]
                } else {
                    [down.taps.clone(), across.taps.clone()]
                },
            });
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain;
    use crate::simd::Portable;

    /// The panels and tiles of 16 lanes, through arrays: levels that a processor lacks are tested all the same.
    #[test]
    fn sixteen_lanes_are_the_definition_too() {
        let numbers = |count: usize, step: usize| -> Vec<f32> {
            (0..count).map(|at| (at * step % 101) as f32 / 50.0 - 1.0).collect()
        };
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
        for inputs in [1, 3, 8, 16] {
            for outputs in [1, 5, 8, 16, 17, 32, 48] {
                let (input, output) = (Image::plain(5, 6, inputs), Image::plain(5, 6, outputs));
                let kind = Kind::Plain { stride: 1 };
                let geometry = Geometry { kind, kernel: (3, 3), padding: (1, 1), input, output };
                let bordered = input.with_border(geometry.input_border());
                let images =
                    Images { input: bordered, output, output_gradient: output, input_gradient: input };
                let convolution = Convolution::new(geometry, images, true);
                let window = &convolution.forward[0].window;
                let (x, dy) = (numbers(input.len(), 37), numbers(output.len(), 53));
                let weights = numbers(geometry.weights_len(), 29);
                let mut placed = vec![0.0; bordered.len()];
                crate::image::copy(&mut placed, bordered, &x, input);
                let near = |what: &str, got: f32, want: f64| {
                    assert!(
                        (f64::from(got) - want).abs() < 1e-3,
                        "{what} {inputs} > {outputs}: {got}, want {want}"
                    );
                };

                let s = Portable::<16>;
                let mut packed = vec![f32::NAN; window.packed_len()];
                window::pack(s, &mut packed, &weights, window);
                let mut y = vec![0.0; output.len()];
                multiply::multiply(s, &mut y, &placed, &packed, window, Finish::Store);
                let want = plain::convolve(&geometry, &wide(&x), &wide(&weights), &vec![0.0; outputs]);
                y.iter().zip(want).for_each(|(&got, want)| near("forward", got, want));

                let depth = window.depth();
                let mut sums = vec![0.0; depth * outputs];
                gradient::gradient(s, &mut sums, &placed, &dy, window);
                let (_, want) = plain::convolve_backward(&geometry, &wide(&x), &wide(&weights), &wide(&dy));
                let transposed = window::sums_are_transposed(s, window);
                for (at, want) in want.into_iter().enumerate() {
                    let (row, column) = (at / outputs, at % outputs);
                    let place = if transposed { column * depth + row } else { at };
                    near("weight gradient", sums[place], want);
                }
            }
        }
    }
}
