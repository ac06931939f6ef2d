//! [`Convolution`]: a convolution with the gather tables of its images, ready to run.

use super::gather::{self, GatherTable, PhasePair, TableNeeds, phase_pairs};
use super::geometry::{Geometry, Images};
use super::{gradient, multiply};
use crate::elementwise::activation::Activation;
use crate::gemm::Epilogue;
use crate::image::{Border, Image};
use crate::simd::{Level, dispatch};

/// A convolution with the gather tables of its images, ready to run.
#[derive(Debug, Clone)]
pub struct Convolution {
    geometry: Geometry,
    images: Images,
    forward: Vec<PhasePair>,
    backward: Vec<PhasePair>,
}

/// The lengths of the buffers of a convolution and the memory of its tables, found from its shape alone: nothing of the size of
/// an image is made. Numbers too large to count are `usize::MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvolutionNeeds {
    /// [`Convolution::packed_len`] of the forward and of the backward pass.
    pub packed: [usize; 2],
    /// [`Convolution::scratch_len`].
    pub scratch: usize,
    /// [`Convolution::sums_len`].
    pub sums: usize,
    /// Bytes of the gather tables.
    pub table_bytes: usize,
}

/// A pass over a convolution. Each pass has its own packed weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// [`Convolution::forward`].
    Forward,
    /// [`Convolution::backward`].
    Backward,
}

impl Convolution {
    /// Prepares a convolution. Without `gradients` only [`Convolution::forward`] may be called, and the layouts of the
    /// gradient images are ignored.
    ///
    /// # Panics
    /// If an image does not have the shape of the geometry, lacks the required border, or has 2^32 elements or more.
    pub fn new(geometry: Geometry, images: Images, gradients: bool) -> Self {
        let axes = geometry.axes();
        let check = |image: Image, shape: Image| {
            assert_eq!(image.without_border(), shape.without_border(), "the shape of an image");
            assert!(u32::try_from(image.len()).is_ok(), "an image of less than 2^32 elements");
        };
        check(images.input, geometry.input);
        check(images.output, geometry.output);
        if gradients {
            check(images.output_gradient, geometry.output);
            check(images.input_gradient, geometry.input);
        }
        assert!(covers(images.input.border, geometry.input_border()), "the border of the input");
        let companion = if gradients { images.output_gradient } else { images.output };
        let forward = phase_pairs(&axes.map(|axis| axis.forward()), images.input, images.output, companion);
        let backward = if goes_backward(geometry, images, gradients) {
            let phases = axes.map(|axis| axis.backward());
            phase_pairs(&phases, images.output_gradient, images.input_gradient, images.input)
        } else {
            Vec::new()
        };
        Self { geometry, images, forward, backward }
    }

    /// What [`Convolution::new`] of the same arguments needs.
    pub fn needs(geometry: Geometry, images: Images, gradients: bool) -> ConvolutionNeeds {
        let axes = geometry.axes();
        let forward = TableNeeds::of(&axes.map(|axis| axis.forward()), images.input, images.output);
        let backward = if goes_backward(geometry, images, gradients) {
            let phases = axes.map(|axis| axis.backward());
            TableNeeds::of(&phases, images.output_gradient, images.input_gradient)
        } else {
            TableNeeds::default()
        };
        ConvolutionNeeds {
            packed: [forward.packed, backward.packed],
            scratch: forward.largest.max(backward.largest),
            sums: forward.sums,
            table_bytes: forward.bytes.saturating_add(backward.bytes),
        }
    }

    /// Bytes of the gather tables.
    pub fn table_bytes(&self) -> usize {
        let pairs = self.forward.iter().chain(&self.backward);
        pairs.map(PhasePair::bytes).sum()
    }

    /// The shape of the convolution.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The table of the first phase of the forward pass.
    pub(super) fn into_forward_table(mut self) -> GatherTable {
        self.forward.swap_remove(0).table
    }

    pub(super) fn pairs(&self, pass: Pass) -> &[PhasePair] {
        match pass {
            Pass::Forward => &self.forward,
            Pass::Backward => &self.backward,
        }
    }

    /// Elements of the packed weights, at any level.
    pub fn packed_len(&self, pass: Pass) -> usize {
        self.pairs(pass).iter().map(|pair| pair.table.packed_len()).sum()
    }

    /// Elements of scratch that [`Convolution::pack`] needs.
    pub fn scratch_len(&self) -> usize {
        let pairs = self.forward.iter().chain(&self.backward);
        pairs.map(|pair| pair.table.k() * pair.table.columns).max().unwrap_or(0)
    }

    /// Packs the weights for a pass: per phase, with weights that multiply the same input added, in panels of whole
    /// registers.
    ///
    /// # Panics
    /// If a length does not match.
    pub fn pack(&self, level: Level, pass: Pass, packed: &mut [f32], weights: &[f32], scratch: &mut [f32]) {
        assert_eq!(weights.len(), self.geometry.weights_len());
        let mut packed = &mut packed[..self.packed_len(pass)];
        for pair in self.pairs(pass) {
            let table = &pair.table;
            let tap_weights = &mut scratch[..table.k() * table.columns];
            self.add_taps(pair, pass, tap_weights, weights);
            let (own, rest) = packed.split_at_mut(table.packed_len());
            dispatch!(level.for_columns(table.columns), s => gather::pack(s, own, tap_weights, table));
            packed = rest;
        }
    }

    /// Computes the weights of a phase, k x columns: for each tap the sum over its kernel positions.
    fn add_taps(&self, pair: &PhasePair, pass: Pass, tap_weights: &mut [f32], weights: &[f32]) {
        let Geometry { kernel: (_, width), input, output, .. } = self.geometry;
        let (inputs, outputs) = (input.channels, output.channels);
        let mut blocks = tap_weights.chunks_exact_mut((inputs * outputs).max(1));
        for rows in &pair.taps[0] {
            for columns in &pair.taps[1] {
                let block = blocks.next().expect("one block for each pair of taps");
                block.fill(0.0);
                for (row, column) in positions(rows, columns) {
                    let position = &weights[(row * width + column) * inputs * outputs..][..inputs * outputs];
                    match pass {
                        Pass::Forward => block.iter_mut().zip(position).for_each(|(sum, w)| *sum += w),
                        Pass::Backward => add_transposed(block, position, outputs),
                    }
                }
            }
        }
    }

    /// The forward pass: y = activation(bias + w * x). Weights packed by [`Convolution::pack`] for [`Pass::Forward`].
    ///
    /// # Panics
    /// If a length does not match.
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
        self.multiply(level, Pass::Forward, y, x, packed, Epilogue::Forward { bias, activation });
    }

    /// The backward pass: the gradient at x from the gradient at y, times the derivative of the activation that
    /// computed x. Weights packed for [`Pass::Backward`].
    ///
    /// # Panics
    /// If a length does not match, or the gradient at y lacks the required border.
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
        let epilogue = Epilogue::Backward { activation, outputs: x };
        self.multiply(level, Pass::Backward, x_gradient, y_gradient, packed, epilogue);
    }

    fn multiply(
        &self,
        level: Level,
        pass: Pass,
        written: &mut [f32],
        read: &[f32],
        mut packed: &[f32],
        epilogue: Epilogue<'_>,
    ) {
        for pair in self.pairs(pass) {
            let table = &pair.table;
            dispatch!(level.for_columns(table.columns), s => {
                multiply::multiply(s, written, read, packed, table, epilogue)
            });
            packed = &packed[table.packed_len()..];
        }
    }

    /// Elements of the sums that [`Convolution::accumulate_gradient`] adds to.
    pub fn sums_len(&self) -> usize {
        self.forward.iter().map(|pair| pair.table.k() * pair.table.columns).sum()
    }

    /// Adds one image's contribution to the gradient of the weights to `sums`, per tap.
    /// [`Convolution::reduce_gradient`] computes the gradient from the sums of all images.
    ///
    /// # Panics
    /// If a length does not match.
    pub fn accumulate_gradient(&self, level: Level, sums: &mut [f32], x: &[f32], y_gradient: &[f32]) {
        assert!(x.len() == self.images.input.len() && y_gradient.len() == self.images.output_gradient.len());
        assert_eq!(sums.len(), self.sums_len());
        let mut sums = sums;
        for pair in &self.forward {
            let table = &pair.table;
            let (own, rest) = sums.split_at_mut(table.k() * table.columns);
            dispatch!(level.for_columns(table.columns), s => gradient::gradient(s, own, x, y_gradient, table));
            sums = rest;
        }
    }

    /// The gradient of the weights: each kernel position gets the sum over all taps that contain it.
    ///
    /// # Panics
    /// If a length does not match.
    pub fn reduce_gradient(&self, level: Level, gradient: &mut [f32], sums: &[f32]) {
        assert!(gradient.len() == self.geometry.weights_len() && sums.len() == self.sums_len());
        gradient.fill(0.0);
        let mut sums = sums;
        for pair in &self.forward {
            let table = &pair.table;
            let (own, rest) = sums.split_at(table.k() * table.columns);
            let transposed =
                dispatch!(level.for_columns(table.columns), s => gather::sums_are_transposed(s, table));
            self.add_to_positions(pair, gradient, own, transposed);
            sums = rest;
        }
    }

    /// Adds the sums of each tap of a phase to the kernel positions of the tap.
    fn add_to_positions(&self, pair: &PhasePair, gradient: &mut [f32], sums: &[f32], transposed: bool) {
        let Geometry { kernel: (_, width), input, output, .. } = self.geometry;
        let (inputs, outputs) = (input.channels, output.channels);
        let k = pair.table.k();
        let mut first = 0;
        for rows in &pair.taps[0] {
            for columns in &pair.taps[1] {
                for (row, column) in positions(rows, columns) {
                    let to = &mut gradient[(row * width + column) * inputs * outputs..][..inputs * outputs];
                    if transposed {
                        for (i, to) in to.chunks_exact_mut(outputs).enumerate() {
                            for (o, to) in to.iter_mut().enumerate() {
                                *to += sums[o * k + first + i];
                            }
                        }
                    } else {
                        let from = &sums[first * outputs..][..inputs * outputs];
                        to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                    }
                }
                first += inputs;
            }
        }
    }
}

/// The kernel positions of a pair of taps, row by row.
fn positions(rows: &[usize], columns: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    rows.iter().flat_map(move |&row| columns.iter().map(move |&column| (row, column)))
}

/// Adds the transpose of a matrix with rows of `columns` elements.
fn add_transposed(sums: &mut [f32], matrix: &[f32], columns: usize) {
    let rows = matrix.len() / columns;
    for (i, row) in matrix.chunks_exact(columns).enumerate() {
        for (j, value) in row.iter().enumerate() {
            sums[j * rows + i] += value;
        }
    }
}

/// Returns whether a convolution has tables for the backward pass.
fn goes_backward(geometry: Geometry, images: Images, gradients: bool) -> bool {
    gradients && covers(images.output_gradient.border, geometry.output_gradient_border())
}

/// Returns whether a border is at least as wide as required on each side.
fn covers(border: Border, required: Border) -> bool {
    border.top >= required.top
        && border.bottom >= required.bottom
        && border.left >= required.left
        && border.right >= required.right
}
