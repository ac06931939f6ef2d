//! A PCA as a linear network: h = P (x - m) is a dense layer with the bias -P m, and y = P'h + m is one with the bias m.
//! The network can be trained further or get more layers.

use crate::data::Shape;
use crate::error::{Error, Result};
use crate::model::{Fitted, Model, Part};
use crate::network::plan::Plan;
use crate::pca::Pca;
use crate::recipe::{AutoencoderRecipe, Init, Layer, Loss, Recipe, Train, Units, Weights};

impl Model {
    /// Converts a fitted PCA to a network with two dense layers, equal to it up to rounding to single precision. `train` has
    /// the settings for further training. The network keeps the summary, because its metrics are the same.
    ///
    /// # Errors
    /// If the model is not a PCA, or a part of one.
    pub fn to_network(&self, train: Train) -> Result<Model> {
        self.must_have(Part::Whole, "become a network")?;
        let (Fitted::Pca(pca), Recipe::Pca(recipe)) = (&self.fitted, &self.recipe) else {
            return Err(Error::model("the model is a network already"));
        };
        let dense = |units| Layer::Dense { units, bias: true };
        let network = AutoencoderRecipe {
            about: Some("a PCA as a linear network".to_owned()),
            scale: recipe.scale,
            encoder: vec![dense(Units::Count(pca.code_size()))],
            decoder: vec![dense(Units::Input)],
            loss: Loss::Mse,
            sparsity: None,
            pretrain: None,
            weights: Weights { init: Init::ClosedForm, ..Weights::default() },
            train,
        };
        let plan = Plan::new(&network, self.shape)?;
        let parameters = parameters(pca, &plan, self.shape);
        Ok(Model {
            recipe: Recipe::Autoencoder(network),
            fitted: Fitted::Network { plan, parameters },
            ..self.clone()
        })
    }
}

/// The parameters of the two dense layers. Weights are stored as inputs x units.
fn parameters(pca: &Pca, plan: &Plan, shape: Shape) -> Vec<f32> {
    let (d, k) = (shape.len(), pca.code_size());
    let mut parameters = vec![0.0; plan.buffer_len];
    let divisors = pca.divisors();
    let names = ["encoder.1.weights", "encoder.1.bias", "decoder.1.weights", "decoder.1.bias"];
    for name in names {
        let parameter = plan.parameters.iter().find(|parameter| parameter.name == name);
        let range = parameter.expect("two dense layers with biases").range.clone();
        let component = |unit: usize| &pca.components[unit * d..][..d];
        let along = |unit: usize| component(unit).iter().zip(&pca.mean).map(|(a, b)| a * b).sum::<f64>();
        for (at, value) in parameters[range].iter_mut().enumerate() {
            *value = match name {
                "encoder.1.weights" => component(at % k)[at / k] / divisors[at % k],
                "encoder.1.bias" => -along(at) / divisors[at],
                "decoder.1.weights" => component(at / d)[at % d] * divisors[at / d],
                _ => pca.mean[at],
            } as f32;
        }
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data;
    use crate::fit::{FitOptions, HeldOut, fit};

    #[test]
    fn a_pca_and_its_network_say_the_same() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../narrows-datasets/data/iris.csv");
        let rows = data::open(path, &data::OpenOptions::default()).unwrap();
        for (whiten, scale) in [(false, "none"), (true, "standard")] {
            let recipe = Recipe::pca(3).with("whiten", whiten).unwrap().with("scale", scale).unwrap();
            let options = FitOptions { held_out: HeldOut::Rows(&rows), ..FitOptions::default() };
            let pca = fit(&recipe, &rows, options).unwrap().model;
            let network = pca.to_network(Train::default()).unwrap();
            for verb in [Model::encode, Model::reconstruct] {
                let numbers = |model: &Model| verb(model, &rows).unwrap().into_values().into_f64();
                let (wanted, found) = (numbers(&pca), numbers(&network));
                assert_eq!(wanted.len(), found.len());
                assert!(wanted.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-5 * a.abs().max(1.0)));
            }
            // It survives its file, and is no PCA any more.
            let again = Model::from_bytes(&network.to_bytes().unwrap()).unwrap();
            assert_eq!(again, network);
            assert!(again.to_network(Train::default()).is_err());
        }
    }
}
