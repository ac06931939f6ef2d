//! Convolutions: the size of their output, their padding, their weights.

use std::ops::Range;

use narrows_kernels::conv::{ConvolutionKind, Geometry};

use super::build::{Builder, Filter, LayerRef, checked, image};
use super::{Op, ParameterKind, Step};
use crate::data::Shape;
use crate::error::Result;
use crate::recipe::{Padding, Units};

/// The movement of the filters of a convolution over its input.
struct Placement {
    kind: ConvolutionKind,
    /// Zeros above and to the left.
    padding: (usize, usize),
    /// Height and width of the output.
    size: (usize, usize),
}

impl Builder<'_> {
    pub(super) fn convolution(
        &mut self,
        place: &LayerRef<'_>,
        filter: Filter,
        stride: usize,
        padding: Padding,
    ) -> Result<()> {
        let is_padded = self.choose_padding(padding);
        let input = self.plan.output();
        let axis = |size: usize, kernel: usize, is_padded: bool| {
            if is_padded {
                let output = size.div_ceil(stride);
                let zeros = ((output - 1) * stride + kernel).saturating_sub(size);
                Ok(((zeros / 2).min(kernel - 1), output))
            } else if size >= kernel {
                Ok((0, (size - kernel) / stride + 1))
            } else {
                Err(place
                    .error(format!("a kernel of {kernel} does not fit into an image of {input}"))
                    .hint("a smaller kernel, padding = \"same\", or fewer pools"))
            }
        };
        let (top, height) = axis(input.height, filter.kernel[0], is_padded[0])?;
        let (left, width) = axis(input.width, filter.kernel[1], is_padded[1])?;
        let kind = self.take_upsampling(stride).unwrap_or(ConvolutionKind::Plain { stride });
        self.weighted_sums(place, filter, Placement { kind, padding: (top, left), size: (height, width) })
    }

    /// Whether a layer is padded, along the height and along the width. For "auto" the next two bits of the choice say it.
    fn choose_padding(&mut self, padding: Padding) -> [bool; 2] {
        match padding {
            Padding::Same => [true; 2],
            Padding::None => [false; 2],
            Padding::Auto => {
                let choice = self.choice & 3;
                self.choice >>= 2;
                [choice & 1 == 0, choice & 2 == 0]
            }
        }
    }

    /// An upsampling just before a convolution, on the same side of the cut, becomes part of it.
    fn take_upsampling(&mut self, stride: usize) -> Option<ConvolutionKind> {
        let Some(Step { op: Op::Upsample { factor }, .. }) = self.plan.steps[self.first..].last() else {
            return None;
        };
        let factor = *factor;
        (stride == 1).then(|| {
            self.plan.steps.pop();
            ConvolutionKind::Upsampled { factor }
        })
    }

    pub(super) fn transposed_convolution(
        &mut self,
        place: &LayerRef<'_>,
        filter: Filter,
        stride: usize,
        padding: Padding,
    ) -> Result<()> {
        let (input, kernel) = (self.plan.output(), filter.kernel);
        // Without padding the kernel reaches past the last pixel.
        let overhang =
            if padding == Padding::None { kernel[0].max(kernel[1]).saturating_sub(stride) } else { 0 };
        self.growth = self.growth.saturating_mul(stride).saturating_add(overhang);
        let axis = |size: usize, kernel: usize| {
            let overhang = kernel.saturating_sub(stride);
            let same = padding == Padding::Same;
            let output = size.checked_mul(stride)?.checked_add(if same { 0 } else { overhang })?;
            Some((if same { overhang / 2 } else { 0 }, output))
        };
        let too_large = || place.error(format!("an image of {input} becomes too large"));
        let (top, height) = axis(input.height, kernel[0]).ok_or_else(too_large)?;
        let (left, width) = axis(input.width, kernel[1]).ok_or_else(too_large)?;
        let kind = ConvolutionKind::Transposed { stride };
        self.weighted_sums(place, filter, Placement { kind, padding: (top, left), size: (height, width) })
    }

    fn weighted_sums(&mut self, place: &LayerRef<'_>, filter: Filter, placement: Placement) -> Result<()> {
        self.needs_image(place)?;
        let channels = match filter.channels {
            Units::Count(count) => count,
            Units::Input | Units::Wide | Units::Narrow | Units::Flatten | Units::Tied => {
                self.plan.input.channels
            }
        };
        let (input, (height, width)) = (self.plan.output(), placement.size);
        let output = checked(Some(height), Some(width), channels)
            .ok_or_else(|| place.error(format!("{height}x{width}x{channels} numbers are too many")))?;
        let kernel = (filter.kernel[0], filter.kernel[1]);
        let area = kernel.0 * kernel.1;
        let (fan_in, fan_out) = (area.saturating_mul(input.channels), area.saturating_mul(channels));
        self.bridge(place.part, true);
        let shape = vec![kernel.0, kernel.1, input.channels, channels];
        let kind = ParameterKind::Weights { fan_in, fan_out };
        let (weights, bias) = self.parameters(place, shape, kind, filter.bias)?;
        let Placement { kind, padding, .. } = placement;
        let geometry = Geometry { kind, kernel, padding, input: image(input), output: image(output) };
        self.mirrored(place);
        self.push_convolution(place, geometry, weights, bias, false, output)
    }

    pub(super) fn push_convolution(
        &mut self,
        place: &LayerRef<'_>,
        geometry: Geometry,
        weights: Range<usize>,
        bias: Option<Range<usize>>,
        tied: bool,
        output: Shape,
    ) -> Result<()> {
        let (input, kernel) = (self.plan.output(), geometry.kernel);
        let lengths = [
            geometry.input.with_border(geometry.input_border()).len(),
            geometry.output.with_border(geometry.output_gradient_border()).len(),
        ];
        if lengths.iter().any(|&len| len > u32::MAX as usize) {
            return Err(place.error(format!(
                "an image of {input} is too large for a kernel of {}x{}",
                kernel.0, kernel.1
            )));
        }
        self.push_step(place.part, Op::Convolution { geometry, weights, bias, tied }, output);
        self.is_image = true;
        Ok(())
    }
}
