//! The parameters of a fitted network, by name, and the weights next to the rows as images.

use crate::data::Shape;
use crate::model::{Fitted, Model};
use crate::network::plan::{Op, Plan};
use crate::recipe::Noise;

/// A parameter of a network.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct NamedParameter<'a> {
    /// The name of its tensor in the model file: `encoder.1.weights`.
    pub name: &'a str,
    /// The sizes of its dimensions; the last varies fastest. Weights of a dense layer: inputs x units.
    pub shape: &'a [usize],
    /// Its values.
    pub values: &'a [f32],
}

/// What each of the [`WeightImages`] belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightsOf {
    /// A principal component.
    Component,
    /// A unit of the code.
    CodeUnit,
    /// A unit of the first dense layer.
    Unit,
    /// A kernel of the first convolution.
    Kernel,
}

/// Weights next to the rows as images, one after the other.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct WeightImages {
    /// What each image belongs to.
    pub of: WeightsOf,
    /// The shape of an image.
    pub shape: Shape,
    /// The images: n x height x width x channels.
    pub images: Vec<f32>,
}

impl Model {
    /// The parameters of a network in the order of its layers; none for a PCA, see [`Model::pca`].
    ///
    /// ```
    /// use narrows::{Autoencoder, Train};
    ///
    /// let iris = narrows_datasets::iris();
    /// let fit = Autoencoder::dense(&[4, 2]).train(Train { epochs: 5, ..Train::default() }).fit(&iris)?;
    /// let weights = fit.model.parameters().next().unwrap();
    /// assert_eq!((weights.name, weights.shape), ("encoder.1.weights", &[4, 2][..]));
    /// # Ok::<(), narrows::Error>(())
    /// ```
    pub fn parameters(&self) -> impl Iterator<Item = NamedParameter<'_>> {
        self.network().into_iter().flat_map(move |(plan, values)| {
            let own = plan.parameters.iter().filter(|parameter| self.part.needs(plan, parameter));
            own.map(|parameter| NamedParameter {
                name: &parameter.name,
                shape: &parameter.shape,
                values: &values[parameter.range.clone()],
            })
        })
    }

    /// The noise that a denoising network was trained to remove; empty for other models.
    pub fn noise(&self) -> &[Noise] {
        self.network().map_or(&[], |(plan, _)| &plan.noise)
    }

    /// The weights next to the rows as images: the components of a PCA, the weights of a decoder of one dense layer, else those
    /// of the first layer. `None` where the rows are no images, or no layer of weights is next to them.
    pub fn weight_images(&self) -> Option<WeightImages> {
        if !self.shape.is_image() {
            return None;
        }
        match &self.fitted {
            Fitted::Pca(pca) => Some(WeightImages {
                of: WeightsOf::Component,
                shape: self.shape,
                images: pca.components.iter().map(|&value| value as f32).collect(),
            }),
            Fitted::Network { plan, parameters } => network_weights(self.shape, plan, parameters),
        }
    }

    /// The plan and the parameter buffer that its ranges point into; for a network only.
    pub(crate) fn network(&self) -> Option<(&Plan, &[f32])> {
        match &self.fitted {
            Fitted::Pca(_) => None,
            Fitted::Network { plan, parameters } => Some((plan, parameters)),
        }
    }
}

fn network_weights(shape: Shape, plan: &Plan, parameters: &[f32]) -> Option<WeightImages> {
    // The rows of a decoder's weights are images already: code units x pixels.
    if let [step] = &plan.steps[plan.cut..]
        && let Op::Dense { weights, tied: false, .. } = &step.op
    {
        let images = parameters[weights.clone()].to_vec();
        return Some(WeightImages { of: WeightsOf::CodeUnit, shape, images });
    }
    let first = &plan.steps[0];
    let (of, weights, units, shape) = match &first.op {
        Op::Dense { weights, .. } => {
            let of = if plan.cut == 1 { WeightsOf::CodeUnit } else { WeightsOf::Unit };
            (of, weights, first.output.len(), shape)
        }
        Op::Convolution { geometry, weights, .. } => {
            let (height, width) = geometry.kernel;
            let shape = Shape::image(height, width, geometry.input.channels);
            (WeightsOf::Kernel, weights, geometry.output.channels, shape)
        }
        _ => return None,
    };
    let weights = &parameters[weights.clone()];
    let image = |unit: usize| weights.iter().skip(unit).step_by(units).copied();
    Some(WeightImages { of, shape, images: (0..units).flat_map(image).collect() })
}
