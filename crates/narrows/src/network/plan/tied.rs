//! Tied layers: the decoder's layers stand against those of the encoder, and may share their weights, transposed.

use narrows_kernels::conv::{ConvolutionKind, Geometry};

use super::build::{Builder, Place, checked, image};
use super::{Op, Step};
use crate::error::Result;

impl Builder<'_> {
    /// A layer of the decoder with weights of its own stands in the place of the one it mirrors.
    pub(super) fn mirrored(&mut self, place: &Place<'_>) {
        if place.part == "decoder" {
            self.unmirrored.pop();
        }
    }

    /// The step of the encoder that a tied layer mirrors.
    fn mirror(&mut self, place: &Place<'_>) -> Result<Step> {
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

    /// Dense with the weights of the layer it mirrors.
    pub(super) fn tied_dense(&mut self, place: &Place<'_>, bias: bool) -> Result<()> {
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
        self.image = mirror.input.is_image();
        Ok(())
    }

    /// The transpose of the convolution it mirrors. An image of the size that came out of that becomes one of the size
    /// that went into it; others (after pools that rounded up) are treated alike.
    pub(super) fn tied_convolution(&mut self, place: &Place<'_>, bias: bool) -> Result<()> {
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
            // As many more or fewer as there are strides between.
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
