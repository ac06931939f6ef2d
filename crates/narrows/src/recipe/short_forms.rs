//! Short forms of a recipe: the widths of dense layers as `784-128-32`, the size of the code, the kind of pre-training.

use super::{AutoencoderRecipe, ClassifierRecipe, Function, Layer, PretrainKind, Recipe, Units};
use crate::error::{Error, Result};

impl Recipe {
    /// Sets the size of the code: the components of a PCA, the units of the encoder's last layer of a network.
    ///
    /// # Errors
    /// Where the size is 0, or the code is an image, whose size follows from the rows.
    pub fn set_code_size(&mut self, size: usize) -> Result<()> {
        match self {
            Self::Pca(pca) => pca.code_size = Some(size),
            Self::Autoencoder(network) => network.set_code_size(size)?,
            Self::Classifier(network) => network.set_code_size(size)?,
        }
        self.validate()
    }

    /// Replaces the layers of a network by dense ones of the short form `784-128-32`, from the input to the code (the decoder
    /// is mirrored), or of a classifier to the classes. `input` is the length of a row, `classes` the number of classes.
    ///
    /// # Errors
    /// Where the form is none, does not fit the rows or the classes, or the recipe is a PCA.
    pub fn set_layers(&mut self, widths: &str, input: usize, classes: Option<usize>) -> Result<()> {
        match self {
            Self::Pca(_) => {
                return Err(Error::recipe("layers: a PCA has no layers").hint("its size is `code_size`"));
            }
            Self::Autoencoder(network) => network.set_layers(widths, input)?,
            Self::Classifier(network) => {
                if let Some(classes) = classes {
                    network.set_layers(widths, input, classes)?;
                }
            }
        }
        self.validate()
    }

    /// Sets the kind of layer-wise pre-training by its names, such as `relu,denoising`; `none` takes it away.
    ///
    /// # Errors
    /// Where a name is none of a kind, kinds do not go together, or the recipe is a PCA.
    pub fn set_pretrain(&mut self, kinds: &str) -> Result<()> {
        let kinds = PretrainKind::parse_list(kinds).map_err(|error| error.at("pretrain"))?;
        match self {
            Self::Pca(_) => {
                return Err(Error::recipe("pretrain: a PCA has no layers")
                    .hint("networks have some, such as the recipe `stacked`"));
            }
            Self::Autoencoder(network) => network.set_pretrain(&kinds),
            Self::Classifier(network) => network.set_pretrain(&kinds),
        }
        .map_err(|error| error.at("pretrain"))?;
        self.validate()
    }
}

impl AutoencoderRecipe {
    /// Replaces the layers by dense ones of the short form `784-128-64-32`: from the input to the code, the decoder
    /// mirrored. What comes before the first layer stays (noise, dropout). Functions are kept: between layers the encoder's first, at the code its last, at the end the decoder's last.
    /// So is a `batch_norm` between layers: before each function of a part that has one.
    pub fn set_layers(&mut self, short: &str, input: usize) -> Result<()> {
        let widths = widths(short, input, &format!("from the input to the code, such as {input}-128-32"))?;
        let others = &widths[..];
        let function = |layers: &[Layer]| {
            layers.iter().find_map(|layer| match layer {
                Layer::Function(function) => Some(*function),
                _ => None,
            })
        };
        let between = function(&self.encoder).unwrap_or(Function::Linear);
        let of_code = self.code_function().unwrap_or(Function::Linear);
        let end = match self.decoder.last() {
            Some(Layer::Function(function)) => *function,
            _ => Function::Linear,
        };
        let has_bias =
            |layers: &[Layer]| layers.iter().all(|layer| !matches!(layer, Layer::Dense { bias: false, .. }));
        let biases = (has_bias(&self.encoder), has_bias(&self.decoder));
        let tied = self.is_tied();
        let normalized = |layers: &[Layer]| layers.contains(&Layer::BatchNorm).then_some(Layer::BatchNorm);
        let normalized = (normalized(&self.encoder), normalized(&self.decoder));
        // Noise, dropout on the input and a code that is drawn at random are not widths: they stay.
        let before: Vec<Layer> = self
            .encoder
            .iter()
            .take_while(|layer| matches!(layer, Layer::Noise(_) | Layer::Dropout { .. }))
            .cloned()
            .collect();
        let beta = self.encoder.iter().find_map(|layer| match layer {
            Layer::Variational { beta, .. } => Some(*beta),
            _ => None,
        });
        let dense = |units, bias| Layer::Dense { units, bias };
        let mirrored = |units| if tied { Units::Tied } else { units };
        // What it says is not of these layers.
        self.about = None;
        let (code, between_widths) = others.split_last().expect("not empty");
        let hidden = |units, bias, normalized: &Option<Layer>| {
            [Some(dense(units, bias)), normalized.clone(), Some(Layer::Function(between))]
                .into_iter()
                .flatten()
        };
        let deeper =
            between_widths.iter().flat_map(|&width| hidden(Units::Count(width), biases.0, &normalized.0));
        let code = match beta {
            Some(beta) => vec![Layer::Variational { units: *code, beta }],
            None => vec![dense(Units::Count(*code), biases.0), Layer::Function(of_code)],
        };
        self.encoder = before.into_iter().chain(deeper).chain(code).collect();
        self.decoder = between_widths
            .iter()
            .rev()
            .flat_map(|&width| hidden(mirrored(Units::Count(width)), biases.1, &normalized.1))
            .chain([dense(mirrored(Units::Input), biases.1), Layer::Function(end)])
            .collect();
        Ok(())
    }

    /// Changes how its layers are trained alone, as [`PretrainKind::apply`].
    pub fn set_pretrain(&mut self, kinds: &[PretrainKind]) -> Result<()> {
        PretrainKind::apply(kinds, &mut self.encoder, &mut self.decoder, &mut self.pretrain)?;
        // What it says is not of this training.
        self.about = None;
        Ok(())
    }

    /// Sets the size of the code: the units of the encoder's last layer.
    ///
    /// # Errors
    /// Where the size is 0, or the code is an image, whose size follows from the rows.
    pub fn set_code_size(&mut self, size: usize) -> Result<()> {
        set_last_units(&mut self.encoder, size)
    }
}

impl ClassifierRecipe {
    /// Sets the size of the features that classes are predicted from: the units of the encoder's last layer.
    ///
    /// # Errors
    /// Where the size is 0, or the encoder has no such layer.
    pub fn set_code_size(&mut self, size: usize) -> Result<()> {
        set_last_units(&mut self.encoder, size)
    }

    /// Changes how its layers are trained alone, as [`PretrainKind::apply`]; all of them are hidden.
    pub fn set_pretrain(&mut self, kinds: &[PretrainKind]) -> Result<()> {
        // The softmax layer stands behind the last.
        self.encoder.push(Layer::Dense { units: Units::Input, bias: true });
        let applied = PretrainKind::apply(kinds, &mut self.encoder, &mut Vec::new(), &mut self.pretrain);
        self.encoder.pop();
        // What it says is not of this training.
        self.about = None;
        applied
    }

    /// Replaces the layers by dense ones of the short form `784-500-250-10`: from the input to the classes. What comes before
    /// the first layer stays (noise, dropout), and so does what follows it: its function, dropout.
    pub fn set_layers(&mut self, short: &str, input: usize, classes: usize) -> Result<()> {
        let widths = widths(
            short,
            input,
            &format!("from the input to the classes, such as {input}-500-250-{classes}"),
        )?;
        let (outputs, hidden) = widths.split_last().expect("not empty");
        if *outputs != classes {
            return Err(Error::recipe(format!(
                "layers `{short}`: the training rows have {classes} classes, not {outputs}"
            )));
        }
        let is_dense = |layer: &&Layer| matches!(layer, Layer::Dense { .. });
        let first = self.encoder.iter().position(|layer| is_dense(&layer)).unwrap_or(self.encoder.len());
        let (before, layers) = self.encoder.split_at(first);
        let bias = !matches!(layers.first(), Some(Layer::Dense { bias: false, .. }));
        let after: Vec<Layer> = match layers {
            [_, rest @ ..] => rest.iter().take_while(|layer| !is_dense(layer)).cloned().collect(),
            [] => vec![Layer::Function(Function::Relu)],
        };
        // What it says is not of these layers.
        self.about = None;
        if hidden.is_empty() {
            self.pretrain = None;
        }
        self.encoder = before
            .iter()
            .cloned()
            .chain(hidden.iter().flat_map(|&width| {
                [Layer::Dense { units: Units::Count(width), bias }].into_iter().chain(after.iter().cloned())
            }))
            .collect();
        Ok(())
    }
}

/// Sets the units of the last layer of an encoder.
fn set_last_units(encoder: &mut [Layer], size: usize) -> Result<()> {
    if size == 0 {
        return Err(Error::recipe("code_size: must be at least 1"));
    }
    for layer in encoder.iter_mut().rev() {
        match layer {
            Layer::Dense { units, .. } => {
                *units = Units::Count(size);
                return Ok(());
            }
            Layer::Variational { units, .. } => {
                *units = size;
                return Ok(());
            }
            Layer::Convolution { .. } | Layer::TransposedConvolution { .. } => {
                return Err(Error::recipe(
                    "code_size: the code of this network is an image; its size follows from the rows",
                )
                .hint("change the channels of the encoder's last conv in a recipe of your own"));
            }
            Layer::MaxPool { .. }
            | Layer::AveragePool { .. }
            | Layer::Upsample { .. }
            | Layer::Reshape { .. }
            | Layer::Flatten
            | Layer::Unflatten
            | Layer::BatchNorm
            | Layer::Dropout { .. }
            | Layer::Noise(_)
            | Layer::Function(_) => {}
        }
    }
    Err(Error::recipe("code_size: the encoder has no dense layer to set it in"))
}

/// The widths of the short form `784-128-32`, without the first: that is the row's.
fn widths(short: &str, input: usize, expected: &str) -> Result<Vec<usize>> {
    let widths = short
        .split('-')
        .map(|part| part.trim().parse::<usize>().ok().filter(|&width| width > 0))
        .collect::<Option<Vec<_>>>()
        .filter(|widths| widths.len() > 1)
        .ok_or_else(|| Error::recipe(format!("layers `{short}`: expected widths {expected}")))?;
    if widths[0] != input {
        return Err(Error::recipe(format!(
            "layers `{short}`: a row of the data has {input} numbers, not {}",
            widths[0]
        )));
    }
    Ok(widths[1..].to_vec())
}
