//! Folding of batch normalisation into the dense layer beside it: the plain chain that is left has the same outputs.
//!
//! With the running mean m and variance v, y = scale (x - m) / sqrt(v + epsilon) + shift is y = a x + b for each column:
//! a = scale / sqrt(v + epsilon), b = shift - a m. Beside a dense layer, x W + c:
//!
//! ```text
//! behind it       (x W + c) a + b = x (W a) + (c a + b)       a times the columns of W
//! in front of it  (a x + b) W + c = x (a W) + (b W + c)       a times the rows of W
//! ```

use std::ops::Range;

use narrows_kernels::Activation;

use super::build::Builder;
use super::{EPSILON, Op, Plan, Step};
use crate::error::{Error, Result};
use crate::recipe::{AutoencoderRecipe, ClassifierRecipe, Layer};

/// The dense step that a batch normalisation is folded into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Neighbour {
    Before(usize),
    Behind(usize),
}

impl Neighbour {
    fn step(self) -> usize {
        let (Self::Before(step) | Self::Behind(step)) = self;
        step
    }
}

impl Plan {
    /// The same network without batch normalisation, with its recipe and parameters: its outputs are those of this network
    /// with the running means and variances.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub(crate) fn folded(
        self,
        recipe: &AutoencoderRecipe,
        parameters: Vec<f32>,
    ) -> Result<(AutoencoderRecipe, Self, Vec<f32>)> {
        if !self.is_normalized() {
            return Ok((recipe.clone(), self, parameters));
        }
        let (input, columns) = (self.input, self.columns.clone());
        self.fold([&recipe.encoder, &recipe.decoder], &parameters, |[encoder, decoder]| {
            let recipe = AutoencoderRecipe { encoder, decoder, ..recipe.clone() };
            let plan = Self::with_columns(&recipe, input, &columns)?;
            Ok((recipe, plan))
        })
    }

    /// As [`Plan::folded`], of a classifier.
    pub(crate) fn folded_classifier(
        self,
        recipe: &ClassifierRecipe,
        parameters: Vec<f32>,
    ) -> Result<(ClassifierRecipe, Self, Vec<f32>)> {
        if !self.is_normalized() {
            return Ok((recipe.clone(), self, parameters));
        }
        let (input, classes) = (self.input, self.output().len());
        self.fold([&recipe.encoder, &[]], &parameters, |[encoder, _]| {
            let recipe = ClassifierRecipe { encoder, ..recipe.clone() };
            let plan = Self::classifier(&recipe, input, classes)?;
            Ok((recipe, plan))
        })
    }

    /// The recipe, plan and parameters that `rebuild` makes of the layers on both sides without batch normalisation.
    fn fold<S>(
        self,
        layers: [&[Layer]; 2],
        parameters: &[f32],
        rebuild: impl FnOnce([Vec<Layer>; 2]) -> Result<(S, Self)>,
    ) -> Result<(S, Self, Vec<f32>)> {
        let mut folding = Folding::new(&self, parameters);
        for (at, step) in self.steps.iter().enumerate() {
            if let Op::BatchNorm { .. } = step.op {
                let neighbour =
                    self.neighbour(at).map_err(|reason| Error::recipe(format!("{}: {reason}", step.name)))?;
                folding.fold(at, neighbour);
            }
        }
        let (recipe, plan) = rebuild(self.without_normalization(layers, &folding.biases))?;
        let folded = folding.parameters(&plan);
        Ok((recipe, plan, folded))
    }

    /// The layers of both sides without batch normalisation, with a bias in every dense layer that has one now.
    fn without_normalization(
        &self,
        [encoder, decoder]: [&[Layer]; 2],
        biases: &[Option<Vec<f64>>],
    ) -> [Vec<Layer>; 2] {
        let part = |layers: &[Layer], steps: Range<usize>| {
            let is_dense = |at: &usize| matches!(self.steps[*at].op, Op::Dense { .. });
            // Each layer with dense weights is one dense step.
            let mut dense = steps.filter(is_dense);
            let plain = layers.iter().filter(|layer| **layer != Layer::BatchNorm).cloned();
            plain
                .map(|mut layer| {
                    if let Layer::Dense { bias, .. } = &mut layer {
                        *bias = dense.next().is_some_and(|at| biases[at].is_some());
                    } else if matches!(layer, Layer::Variational { .. }) {
                        dense.next();
                    }
                    layer
                })
                .collect()
        };
        [part(encoder, 0..self.cut), part(decoder, self.cut..self.steps.len())]
    }

    /// The dense layer that the batch normalisation of step `at` can be folded into, on its side of the cut; dropout, which
    /// exists in training only, may stand between. The reason where there is none.
    fn neighbour(&self, at: usize) -> std::result::Result<Neighbour, String> {
        let side = if at < self.cut { 0..self.cut } else { self.cut..self.steps.len() };
        let is_seen = |step: &usize| !matches!(self.steps[*step].op, Op::Dropout { .. });
        let is_dense = |step: usize| matches!(self.steps[step].op, Op::Dense { .. });
        let before = (side.start..at).rev().find(is_seen);
        let behind = (at + 1..side.end).find(is_seen);
        let before =
            before.filter(|&step| is_dense(step) && self.steps[step].activation == Activation::Linear);
        let behind = behind.filter(|&step| is_dense(step) && self.steps[at].activation == Activation::Linear);
        let both = [before.map(Neighbour::Before), behind.map(Neighbour::Behind)];
        let own = |neighbour: &Neighbour| !self.is_shared(neighbour.step());
        if let Some(neighbour) = both.into_iter().flatten().find(own) {
            return Ok(neighbour);
        }
        Err(match both.into_iter().flatten().next() {
            Some(shared) => format!(
                "batch_norm would become part of {} when training ends, whose weights are shared",
                self.steps[shared.step()].name
            ),
            None => "batch_norm has no dense layer beside it, on this side of the code, that it can become part of when training ends".to_owned(),
        })
    }

    /// Whether another step has the same weights.
    fn is_shared(&self, step: usize) -> bool {
        let weights = |step: usize| self.steps[step].op.parameters().map(|(weights, _)| weights);
        (0..self.steps.len()).any(|other| other != step && weights(other) == weights(step))
    }
}

/// The parameters of a network while its normalisation is folded, in double precision: each number is rounded once, at the
/// end.
struct Folding<'a> {
    plan: &'a Plan,
    parameters: Vec<f64>,
    /// For each step its bias; a dense layer without one may get one.
    biases: Vec<Option<Vec<f64>>>,
}

impl<'a> Folding<'a> {
    fn new(plan: &'a Plan, parameters: &[f32]) -> Self {
        let parameters: Vec<f64> = parameters.iter().map(|&value| f64::from(value)).collect();
        let bias = |step: &Step| {
            let (_, bias) = step.op.parameters()?;
            Some(parameters[bias?.clone()].to_vec())
        };
        let biases = plan.steps.iter().map(bias).collect();
        Self { plan, parameters, biases }
    }

    /// Folds the normalisation of step `at` into the dense layer beside it.
    fn fold(&mut self, at: usize, neighbour: Neighbour) {
        let (factors, offsets) = self.affine(at);
        let dense = &self.plan.steps[neighbour.step()];
        let Op::Dense { weights, .. } = &dense.op else { unreachable!("a neighbour is a dense layer") };
        let outputs = dense.output.len();
        let weights = &mut self.parameters[weights.clone()];
        let bias = self.biases[neighbour.step()].get_or_insert_with(|| vec![0.0; outputs]);
        match neighbour {
            Neighbour::Before(_) => {
                for row in weights.chunks_exact_mut(outputs) {
                    row.iter_mut().zip(&factors).for_each(|(weight, factor)| *weight *= factor);
                }
                for (j, bias) in bias.iter_mut().enumerate() {
                    *bias = *bias * factors[j] + offsets[j];
                }
            }
            Neighbour::Behind(_) => {
                for (i, row) in weights.chunks_exact_mut(outputs).enumerate() {
                    for (weight, bias) in row.iter_mut().zip(&mut *bias) {
                        *bias += offsets[i] * *weight;
                        *weight *= factors[i];
                    }
                }
            }
        }
    }

    /// The a and b of each column of a normalisation: y = a x + b.
    fn affine(&self, at: usize) -> (Vec<f64>, Vec<f64>) {
        let step = &self.plan.steps[at];
        let Op::BatchNorm { scale, shift, mean, variance } = &step.op else {
            unreachable!("step {at} normalises batches")
        };
        let value = |range: &Range<usize>, j: usize| self.parameters[range.start + j];
        let factor = |j: usize| value(scale, j) / (value(variance, j) + f64::from(EPSILON)).sqrt();
        let columns = step.output.len();
        let factors: Vec<f64> = (0..columns).map(factor).collect();
        let offsets = (0..columns).map(|j| value(shift, j) - factors[j] * value(mean, j)).collect();
        (factors, offsets)
    }

    /// The parameters of the network without normalisation: the same layers with weights, in the same order.
    fn parameters(&self, plan: &Plan) -> Vec<f32> {
        // The product may be too large for single precision if the network diverged.
        let narrow = |value: f64| value.clamp(f32::MIN.into(), f32::MAX.into()) as f32;
        let mut folded = vec![0.0; plan.buffer_len];
        let mut write = |to: &Range<usize>, from: &[f64]| {
            folded[to.clone()].iter_mut().zip(from).for_each(|(to, from)| *to = narrow(*from));
        };
        let old = self.plan.steps.iter().zip(&self.biases);
        let old = old.filter_map(|(step, bias)| Some((step.op.parameters()?.0, bias)));
        let new = plan.steps.iter().filter_map(|step| step.op.parameters());
        for ((to, to_bias), (from, bias)) in new.zip(old) {
            write(to, &self.parameters[from.clone()]);
            if let (Some(to), Some(bias)) = (to_bias, bias) {
                write(to, bias);
            }
        }
        folded
    }
}

impl Builder<'_> {
    /// Refuses batch normalisation that cannot be folded, and names the layer.
    pub(super) fn check_normalized(&self) -> Result<()> {
        for (step, place) in &self.normalized {
            if let Some(image) = self.plan.steps.iter().find(|step| step.op.is_on_images()) {
                return Err(place
                    .error(format!(
                        "batch_norm is for networks of dense layers, and {} is {}",
                        image.name,
                        image.operation()
                    ))
                    .hint("leave it out"));
            }
            self.plan.neighbour(*step).map_err(|reason| {
                let hint = if reason.ends_with("shared") {
                    "leave out batch_norm, or \"tied\""
                } else {
                    "put it between a dense layer and its function, or between a function and the next dense layer"
                };
                place.error(reason).hint(hint)
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use narrows_kernels::Level;

    use super::*;
    use crate::data::Shape;
    use crate::network::engine::Inference;
    use crate::network::init::initial_parameters;
    use crate::recipe::Recipe;
    use crate::recipe::RecipeFile;

    fn recipe(encoder: &str, decoder: &str) -> AutoencoderRecipe {
        let text = format!("method='autoencoder'\nloss='mse'\nencoder=[{encoder}]\ndecoder=[{decoder}]");
        let Recipe::Autoencoder(recipe) = RecipeFile::parse("test", "test", &text).unwrap().recipe().unwrap()
        else {
            panic!("an autoencoder")
        };
        recipe
    }

    /// Compares codes and reconstructions of a network with those of the folded one; returns the layers of that.
    #[track_caller]
    fn check(encoder: &str, decoder: &str) -> (Vec<Layer>, Vec<Layer>) {
        let recipe = recipe(encoder, decoder);
        let plan = Plan::new(&recipe, Shape::flat(9)).unwrap();
        let mut parameters = initial_parameters(&plan, 7);
        // Scales, shifts and statistics that have an effect; variances and scales stay positive.
        for parameter in &plan.parameters {
            for (at, value) in parameters[parameter.range.clone()].iter_mut().enumerate() {
                *value += 0.2 + 0.3 * ((at * 29 % 13) as f32 / 6.0 - 1.0);
            }
        }
        let rows: Vec<f32> = (0..9 * 20).map(|at| (at * 37 % 101) as f32 / 50.0 - 1.0).collect();
        let (found_spec, found, folded) = plan.clone().folded(&recipe, parameters.clone()).unwrap();
        assert_eq!(found, Plan::new(&found_spec, Shape::flat(9)).unwrap());
        assert!(!found.is_normalized() && folded.len() == found.buffer_len);
        let level = Level::detect();
        let codes = Inference::encoder(level, &plan, &parameters).forward(&rows, false).to_vec();
        let near = |got: &[f32], want: &[f32]| {
            assert_eq!(got.len(), want.len());
            let largest = want.iter().fold(1.0f32, |largest, value| largest.max(value.abs()));
            assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5 * largest), "{got:?} {want:?}");
        };
        near(Inference::encoder(level, &found, &folded).forward(&rows, false), &codes);
        let want = Inference::decoder(level, &plan, &parameters).forward(&codes, false).to_vec();
        near(Inference::decoder(level, &found, &folded).forward(&codes, false), &want);
        (found_spec.encoder, found_spec.decoder)
    }

    #[test]
    fn the_folded_chain_is_plain_and_has_the_same_outputs() {
        let plain = |encoder: &str, decoder: &str| {
            let recipe = recipe(encoder, decoder);
            (recipe.encoder, recipe.decoder)
        };
        let tail = "{dense=6}, 'relu', {dense='input'}";
        // Behind a dense layer and in front of one; a bias appears where there was none.
        let want = plain("{dense=6}, 'relu', {dense=3}", tail);
        assert_eq!(check("{dense=6}, 'batch_norm', 'relu', {dense=3}", tail), want);
        assert_eq!(check("{dense=6, bias=false}, 'batch_norm', 'relu', {dense=3}", tail), want);
        assert_eq!(check("{dense=6}, 'relu', 'batch_norm', {dense=3, bias=false}", tail), want);
        // No bias appears that is not needed.
        let without = "{dense=6, bias=false}, 'batch_norm', 'tanh', {dense=3, bias=false}";
        assert_eq!(check(without, tail), plain("{dense=6}, 'tanh', {dense=3, bias=false}", tail));
        // Both into the same layer; the rows themselves; at the code and behind it.
        assert_eq!(
            check(
                "'batch_norm', {dense=6}, 'batch_norm', 'gelu', 'batch_norm', {dense=3}, 'batch_norm', 'tanh'",
                "'batch_norm', {dense='input'}, 'batch_norm', 'sigmoid'"
            ),
            plain("{dense=6}, 'gelu', {dense=3}, 'tanh'", "{dense='input'}, 'sigmoid'")
        );
        // Dropout may stand in between, and a variational layer is dense.
        let drawn =
            "{dense=6}, {dropout=0.5}, 'batch_norm', 'relu', 'batch_norm', {dropout=0.1}, {variational=2}";
        assert_eq!(
            check(drawn, "{dense=4, bias=false}, {dense='input'}"),
            plain(
                "{dense=6}, {dropout=0.5}, 'relu', {dropout=0.1}, {variational=2}",
                "{dense=4, bias=false}, {dense='input'}"
            )
        );
        // Weights that are shared are left alone where there are others.
        check("{dense=6}, 'relu', {dense=3}", "{dense='tied'}, 'relu', 'batch_norm', {dense='input'}");
    }

    #[test]
    fn normalization_that_cannot_be_folded_is_refused() {
        let image = Shape::image(6, 6, 1);
        for (encoder, decoder, parts) in [
            // No dense layer beside it, or only one across the code.
            (
                "{dense=6}, 'relu', 'batch_norm', 'tanh', {dense=3}",
                "{dense='input'}",
                ["encoder[2]", "no dense layer beside it", "between a dense layer and its function"],
            ),
            (
                "{dense=6}, 'relu', 'batch_norm'",
                "{dense='input'}",
                ["encoder[2]", "on this side of the code", "function"],
            ),
            (
                "{dense=6}",
                "'batch_norm', 'relu', {dense='input'}",
                ["decoder[0]", "on this side of the code", "function"],
            ),
            // Weights that are shared.
            ("{dense=6}, 'batch_norm', 'relu'", "{dense='tied'}", ["encoder[1]", "encoder.1", "shared"]),
            (
                "{dense=6}, 'relu', {dense=3}",
                "{dense='tied'}, 'batch_norm', 'relu', {dense='tied'}",
                ["decoder[1]", "shared", "tied"],
            ),
            // Images.
            (
                "{conv=2}, 'relu', 'flatten', {dense=3}, 'batch_norm'",
                "{dense='input'}",
                ["encoder[4]", "networks of dense layers", "encoder.1 is conv 2"],
            ),
        ] {
            let error = Plan::new(&recipe(encoder, decoder), image).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
        }
    }
}
