//! Tied layers: a layer of the decoder that uses the weights of the encoder's layer opposite, transposed.

use narrows_kernels::conv::{ConvolutionKind, Geometry};

use super::build::{Builder, LayerRef, checked, image};
use super::{Op, Step};
use crate::error::Result;

impl Builder<'_> {
    /// Counts a layer of the decoder with weights of its own: the encoder's layer opposite is no longer to be tied.
    pub(super) fn mirrored(&mut self, place: &LayerRef<'_>) {
        if place.part == "decoder" {
            self.unmirrored.pop();
        }
    }

    /// The step of the encoder opposite a tied layer.
    fn mirror(&mut self, place: &LayerRef<'_>) -> Result<Step> {
        if place.part != "decoder" {
            return Err(place.error("a tied layer mirrors one of the encoder: it belongs to the decoder"));
        }
        let step = self.unmirrored.pop();
        step.map(|step| self.plan.steps[step].clone()).ok_or_else(|| {
            place
                .error("the encoder has no layer left to mirror")
                .hint("as many layers with weights on both sides")
        })
    }

    /// A dense layer with the weights of the dense layer opposite.
    pub(super) fn tied_dense(&mut self, place: &LayerRef<'_>, bias: bool) -> Result<()> {
        let mirror = self.mirror(place)?;
        let Op::Dense { weights, .. } = mirror.op else {
            return Err(place
                .error(format!("mirrors {}, which is a convolution", mirror.name))
                .hint("{ transposed_conv = \"tied\" }"));
        };
        let (input, wanted) = (self.plan.output(), mirror.output.len());
        if input.len() != wanted {
            return Err(place.error(format!(
                "mirrors {}, which gives {wanted} numbers; {} come in here",
                mirror.name,
                input.len()
            )));
        }
        self.bridge(place.part, false);
        let bias = self.bias(place, mirror.input.len(), bias)?;
        self.push_step(place.part, Op::Dense { weights, bias, tied: true }, mirror.input);
        self.is_image = mirror.input.is_image();
        Ok(())
    }

    /// The transpose of the convolution opposite. An image with the size of that one's output gets the size of its input; an
    /// image of another size (after pools that rounded up) grows or shrinks by as many strides.
    pub(super) fn tied_convolution(&mut self, place: &LayerRef<'_>, bias: bool) -> Result<()> {
        self.needs_image(place)?;
        let mirror = self.mirror(place)?;
        let Op::Convolution {
            geometry:
                Geometry { kind: ConvolutionKind::Plain { stride }, kernel, padding, input: from, output: to },
            weights,
            ..
        } = mirror.op
        else {
            return Err(place
                .error(format!("mirrors {}, which is no plain convolution", mirror.name))
                .hint("{ dense = \"tied\" } mirrors a dense layer"));
        };
        let input = self.plan.output();
        if input.channels != to.channels {
            return Err(place.error(format!(
                "mirrors {}, which gives {} channels; {} come in here",
                mirror.name, to.channels, input.channels
            )));
        }
        let axis = |size: usize, small: usize, large: usize| {
            let change = size.abs_diff(small).checked_mul(stride)?;
            if size >= small {
                large.checked_add(change)
            } else {
                large.checked_sub(change).filter(|&size| size > 0)
            }
        };
        let sizes = (axis(input.height, to.height, from.height), axis(input.width, to.width, from.width));
        let output = checked(sizes.0, sizes.1, from.channels).ok_or_else(|| {
            place.error(format!("an image of {input} cannot be made larger by {}", mirror.name))
        })?;
        self.growth =
            self.growth.saturating_mul(stride).saturating_add(kernel.0.max(kernel.1).saturating_sub(stride));
        self.bridge(place.part, true);
        let bias = self.bias(place, from.channels, bias)?;
        let geometry = Geometry {
            kind: ConvolutionKind::Transposed { stride },
            kernel,
            padding,
            input: image(input),
            output: image(output),
        };
        self.push_convolution(place, geometry, weights, bias, true, output)
    }
}
