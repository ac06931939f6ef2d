//! Short forms that change several fields of a recipe: widths of dense layers as `784-128-32`, the code size, kinds of
//! pre-training.

use super::{AutoencoderRecipe, ClassifierRecipe, Function, Layer, PretrainKind, Recipe, Units};
use crate::error::{Error, Result};

impl Recipe {
    /// Sets the code size: the number of components of a PCA, the units of the last dense layer of an encoder.
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

    /// Replaces the layers of a network by dense layers, written as `784-128-32`: the widths from the input to the code, with a
    /// mirrored decoder; for a classifier, from the input to the classes. `input` is the number of columns, `classes` the
    /// number of classes; without it, a classifier is not changed.
    ///
    /// # Errors
    /// Where `widths` is malformed or does not fit the rows or the classes, or the recipe is a PCA.
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

    /// Sets layer-wise pre-training by the names of kinds, such as `relu,denoising` (see [`PretrainKind`]); `none` removes it.
    ///
    /// # Errors
    /// Where a name is unknown, kinds contradict each other, or the recipe is a PCA.
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
    /// Replaces the layers by dense layers, written as `784-128-64-32`: the widths from the input to the code, with a mirrored
    /// decoder. These properties of the old network are kept:
    ///
    /// - noise and dropout on the input, a variational code, tied weights, layers without biases;
    /// - the activation functions of the encoder's first layer (for all hidden layers), of the code and of the output;
    /// - batch normalisation, before each hidden function of an encoder or decoder that has it.
    ///
    /// # Errors
    /// Where `short` is malformed, or its first width is not `input`, the number of columns.
    pub fn set_layers(&mut self, short: &str, input: usize) -> Result<()> {
        let widths = widths(short, input, &format!("from the input to the code, such as {input}-128-32"))?;
        let (code, hidden_widths) = widths.split_last().expect("not empty");
        let function = self.encoder.iter().find_map(Layer::function).unwrap_or(Function::Linear);
        let of_encoder = Hidden { function, ..Hidden::of(&self.encoder) };
        let of_decoder = Hidden { function, ..Hidden::of(&self.decoder) };
        let is_tied = self.is_tied();
        let mirrored = |units| if is_tied { Units::Tied } else { units };

        let encoder_layers = hidden_widths.iter().flat_map(|&width| of_encoder.layers(Units::Count(width)));
        let encoder =
            self.input_layers().chain(encoder_layers).chain(self.code_layers(*code, of_encoder.bias));
        let decoder_layers =
            hidden_widths.iter().rev().flat_map(|&width| of_decoder.layers(mirrored(Units::Count(width))));
        let output = Layer::Dense { units: mirrored(Units::Input), bias: of_decoder.bias };
        let output_function = self.decoder.last().and_then(Layer::function).unwrap_or(Function::Linear);
        let decoder = decoder_layers.chain([output, Layer::Function(output_function)]);
        (self.encoder, self.decoder) = (encoder.collect(), decoder.collect());
        // The description is of the layers that were replaced.
        self.about = None;
        Ok(())
    }

    /// The noise and dropout on the input.
    fn input_layers(&self) -> impl Iterator<Item = Layer> {
        let is_kept = |layer: &&Layer| matches!(layer, Layer::Noise(_) | Layer::Dropout { .. });
        self.encoder.iter().take_while(is_kept).cloned()
    }

    /// The layers of a code of `units` units, of the kind that the network has.
    fn code_layers(&self, units: usize, bias: bool) -> Vec<Layer> {
        let beta = self
            .encoder
            .iter()
            .find_map(|layer| if let Layer::Variational { beta, .. } = layer { Some(*beta) } else { None });
        match beta {
            Some(beta) => vec![Layer::Variational { units, beta }],
            None => {
                let function = self.code_function().unwrap_or(Function::Linear);
                vec![Layer::Dense { units: Units::Count(units), bias }, Layer::Function(function)]
            }
        }
    }

    /// Sets layer-wise pre-training: see [`PretrainKind::apply`].
    ///
    /// # Errors
    /// As [`PretrainKind::apply`].
    pub fn set_pretrain(&mut self, kinds: &[PretrainKind]) -> Result<()> {
        PretrainKind::apply(kinds, &mut self.encoder, &mut self.decoder, &mut self.pretrain)?;
        // The description is of the training that is replaced.
        self.about = None;
        Ok(())
    }

    /// Sets the code size: the units of the encoder's last dense layer.
    ///
    /// # Errors
    /// Where the size is 0, or the code is an image, whose size follows from the rows.
    pub fn set_code_size(&mut self, size: usize) -> Result<()> {
        set_last_units(&mut self.encoder, size)
    }
}

/// Properties of the hidden layers of an encoder or a decoder.
struct Hidden {
    bias: bool,
    is_normalized: bool,
    function: Function,
}

impl Hidden {
    /// The properties that layers have; the function is left linear.
    fn of(layers: &[Layer]) -> Self {
        Self {
            bias: layers.iter().all(|layer| !matches!(layer, Layer::Dense { bias: false, .. })),
            is_normalized: layers.contains(&Layer::BatchNorm),
            function: Function::Linear,
        }
    }

    /// A dense layer with these properties.
    fn layers(&self, units: Units) -> impl Iterator<Item = Layer> + use<> {
        let dense = Layer::Dense { units, bias: self.bias };
        let normalization = self.is_normalized.then_some(Layer::BatchNorm);
        [Some(dense), normalization, Some(Layer::Function(self.function))].into_iter().flatten()
    }
}

impl ClassifierRecipe {
    /// Sets the number of features that the softmax layer reads: the units of the encoder's last dense layer.
    ///
    /// # Errors
    /// Where the size is 0, or the encoder has no such layer.
    pub fn set_code_size(&mut self, size: usize) -> Result<()> {
        set_last_units(&mut self.encoder, size)
    }

    /// Sets layer-wise pre-training: see [`PretrainKind::apply`]. All layers of the encoder are hidden layers.
    ///
    /// # Errors
    /// As [`PretrainKind::apply`].
    pub fn set_pretrain(&mut self, kinds: &[PretrainKind]) -> Result<()> {
        // Stands for the softmax layer, which makes the last layer of the encoder a hidden one.
        self.encoder.push(Layer::Dense { units: Units::Input, bias: true });
        let applied = PretrainKind::apply(kinds, &mut self.encoder, &mut Vec::new(), &mut self.pretrain);
        self.encoder.pop();
        // The description is of the training that is replaced.
        self.about = None;
        applied
    }

    /// Replaces the layers by dense layers, written as `784-500-250-10`: the widths from the input to the classes. Layers before
    /// the first dense layer (noise, dropout) are kept; those between it and the next (function, dropout) follow each new layer.
    ///
    /// # Errors
    /// Where `short` is malformed, or does not begin with `input`, the number of columns, or end with `classes`.
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
        // The description is of the layers that are replaced.
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

/// Sets the units of the last dense or variational layer of an encoder.
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

/// Reads widths such as `784-128-32`; returns them without the first, which must be `input`. `expected` completes the error
/// message for malformed text.
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
