//! The layers of a network: types and constructors. Their form in recipe files is in [`super::layer_text`].

use serde::{Deserialize, Serialize};

/// A layer of a network. Images are height x width x channels, channel last.
///
/// ```
/// use narrows::{Autoencoder, Layer};
///
/// let encoder = [Layer::conv(8), Layer::relu(), Layer::max_pool(2)];
/// let decoder = [Layer::upsample(2), Layer::conv_to_input(), Layer::sigmoid()];
/// let autoencoder = Autoencoder::new(encoder, decoder);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Layer {
    /// Dense (fully connected) layer: y = x W + b. `{ dense = 32 }`, `{ dense = "input", bias = false }`.
    Dense {
        /// Number of outputs.
        units: Units,
        /// Whether a bias is added to each output.
        bias: bool,
    },
    /// Two-dimensional convolution: `{ conv = 16, kernel = 3, stride = 1, padding = "same" }`.
    Convolution {
        /// Number of output channels.
        channels: Units,
        /// Height and width of the kernel (3 x 3).
        kernel: [usize; 2],
        /// Stride along both axes, in pixels of the input (1).
        stride: usize,
        /// Padding of the input ("same").
        padding: Padding,
        /// Whether a bias is added to each output channel.
        bias: bool,
    },
    /// Transposed convolution, the gradient of a convolution with respect to its input:
    /// `{ transposed_conv = 16, kernel = 3, stride = 2 }`.
    TransposedConvolution {
        /// Number of output channels.
        channels: Units,
        /// Height and width of the kernel (3 x 3).
        kernel: [usize; 2],
        /// Stride along both axes, in pixels of the output (2).
        stride: usize,
        /// "same": the output is `stride` times as large as the input; "none": it is larger by the rest of the kernel.
        padding: Padding,
        /// Whether a bias is added to each output channel.
        bias: bool,
    },
    /// Max pooling over squares that do not overlap: `{ max_pool = 2 }`.
    MaxPool {
        /// Side of a square, in pixels.
        size: usize,
        /// "same": partial squares at the edges count (the size is rounded up); "none": they are left out.
        padding: Padding,
    },
    /// Average pooling over squares that do not overlap: `{ average_pool = 2 }`.
    AveragePool {
        /// Side of a square, in pixels.
        size: usize,
        /// As for [`Layer::MaxPool`].
        padding: Padding,
    },
    /// Nearest-neighbour upsampling: `{ upsample = 2 }`.
    Upsample {
        /// Number of copies of each pixel along each axis.
        factor: usize,
    },
    /// A vector as an image of the same numbers: `{ reshape = [7, 7, 32] }`.
    Reshape {
        /// Height, width, channels.
        shape: [usize; 3],
    },
    /// An image as a vector of the same numbers: `"flatten"`.
    Flatten,
    /// The inverse of the encoder's last `"flatten"`: `"unflatten"`.
    Unflatten,
    /// Batch normalisation (Ioffe and Szegedy 2015): y = g (x - m) / sqrt(v + epsilon) + b for each unit, with mean m and
    /// variance v of the batch and learned g and b: `"batch_norm"`. When training ends it is folded into the dense layer
    /// beside it, so no model file contains it.
    BatchNorm,
    /// Dropout (Srivastava et al. 2014), in training only: `{ dropout = 0.2 }`. The values that are kept are divided by
    /// 1 - dropout rate, so that sums keep their expected size.
    Dropout {
        /// Dropout rate: the probability that a value is set to 0.
        share: f32,
    },
    /// The last layer of a variational encoder (Kingma and Welling 2014): two dense layers give mean and log variance of a normal
    /// distribution over codes. In training the code is drawn from it, otherwise it is the mean:
    /// `{ variational = 20, beta = 1.0 }`.
    Variational {
        /// Size of the code (latent dimension).
        units: usize,
        /// Weight of the KL divergence from the standard normal, against the loss summed over the columns of a row (the beta of
        /// a beta-VAE, Higgins et al. 2017).
        beta: f32,
    },
    /// Noise on the input, in training and in the evaluation of denoising networks: `{ gaussian_noise = 0.5, clip = [0, 1] }`,
    /// `{ masking_noise = 0.3 }`, `{ salt_and_pepper = 0.1 }`.
    Noise(Noise),
    /// An activation function: `"relu"`.
    Function(Function),
}

/// Constructors of the common layers, with default settings.
impl Layer {
    /// A dense layer of `units` outputs, with biases.
    pub fn dense(units: usize) -> Self {
        Self::Dense { units: Units::Count(units), bias: true }
    }

    /// A dense layer with one output for each column of a row, with biases: the last layer of most decoders.
    pub fn dense_to_input() -> Self {
        Self::Dense { units: Units::Input, bias: true }
    }

    /// A convolution to `channels` channels: kernel 3 x 3, stride 1, padding "same", with biases.
    pub fn conv(channels: usize) -> Self {
        Self::convolution_of(Units::Count(channels))
    }

    /// As [`Layer::conv`], to the channels of the input: the last layer of a decoder of images.
    pub fn conv_to_input() -> Self {
        Self::convolution_of(Units::Input)
    }

    fn convolution_of(channels: Units) -> Self {
        Self::Convolution { channels, kernel: [3, 3], stride: 1, padding: Padding::Same, bias: true }
    }

    /// Max pooling over squares of `size` x `size` pixels; partial squares at the edges count.
    pub fn max_pool(size: usize) -> Self {
        Self::MaxPool { size, padding: Padding::Same }
    }

    /// Nearest-neighbour upsampling by `factor` along each axis.
    pub fn upsample(factor: usize) -> Self {
        Self::Upsample { factor }
    }

    /// Dropout with the dropout rate `share` (0 to below 1), in training only.
    pub fn dropout(share: f32) -> Self {
        Self::Dropout { share }
    }

    /// Masking noise (Vincent et al. 2010): each value is set to 0 with probability `share`; new noise in each epoch.
    pub fn masking_noise(share: f32) -> Self {
        Self::Noise(Noise { kind: NoiseKind::Masking { share }, fresh: true })
    }

    /// Additive Gaussian noise of a standard deviation, in scaled units; new noise in each epoch.
    pub fn gaussian_noise(deviation: f32) -> Self {
        Self::Noise(Noise { kind: NoiseKind::Gaussian { deviation, clip: None }, fresh: true })
    }

    /// The activation [`Function::Relu`].
    pub fn relu() -> Self {
        Self::Function(Function::Relu)
    }

    /// The activation [`Function::Sigmoid`].
    pub fn sigmoid() -> Self {
        Self::Function(Function::Sigmoid)
    }

    /// The activation [`Function::Tanh`].
    pub fn tanh() -> Self {
        Self::Function(Function::Tanh)
    }

    /// The activation function, if the layer is one.
    pub(crate) fn function(&self) -> Option<Function> {
        if let Self::Function(function) = self { Some(*function) } else { None }
    }

    /// The outputs of a dense layer or the output channels of a convolution, as the recipe states them.
    pub(crate) fn units(&self) -> Option<Units> {
        match self {
            Self::Dense { units, .. } => Some(*units),
            Self::Convolution { channels, .. } | Self::TransposedConvolution { channels, .. } => {
                Some(*channels)
            }
            Self::MaxPool { .. }
            | Self::AveragePool { .. }
            | Self::Upsample { .. }
            | Self::Reshape { .. }
            | Self::Flatten
            | Self::Unflatten
            | Self::BatchNorm
            | Self::Dropout { .. }
            | Self::Variational { .. }
            | Self::Noise(_)
            | Self::Function(_) => None,
        }
    }
}

/// A number of outputs or channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Units {
    /// This number.
    Count(usize),
    /// The number of columns of a row; for convolutions, the number of channels of a row.
    Input,
    /// Twice the number of columns, but 32 at least and 512 at most; dense layers only.
    Wide,
    /// A code for the number of columns: a quarter of it, but 2 at least and 32 at most; dense layers only.
    Narrow,
    /// The length of the encoder's last `"flatten"`; dense layers only.
    Flatten,
    /// Tied weights, in decoders only: the transposed weights of the encoder layer that this layer mirrors, and therefore the
    /// size of that layer's input.
    Tied,
}

/// Padding of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Padding {
    /// Zeros around the image, so that the output has the size of the input divided by the stride, rounded up.
    #[default]
    Same,
    /// No padding: the output is smaller than with [`Padding::Same`].
    None,
    /// One of the two for each axis, chosen so that the output of the network has the size of its input.
    Auto,
}

/// Noise on the input of a denoising network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Distribution of the noise.
    pub kind: NoiseKind,
    /// Whether noise is drawn anew in each epoch; otherwise a row has the same noise in every epoch.
    pub fresh: bool,
}

/// Distribution of the noise.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum NoiseKind {
    /// Additive Gaussian noise.
    Gaussian {
        /// Standard deviation, in the scaled units that the network reads.
        deviation: f32,
        /// Lower and upper limit that noisy values are clipped to. Clipped noise is no longer normal.
        clip: Option<(f32, f32)>,
    },
    /// Masking noise (Vincent et al. 2010): values are set to 0.
    Masking {
        /// Probability that a value is set to 0.
        share: f32,
    },
    /// Salt-and-pepper noise (Vincent et al. 2010): values are set to 0 or to 1, with equal probability.
    SaltAndPepper {
        /// Probability that a value is set.
        share: f32,
    },
}

impl NoiseKind {
    /// A short description for layer tables: `gaussian noise 0.5`.
    pub fn title(self) -> String {
        match self {
            Self::Gaussian { deviation, clip: None } => format!("gaussian noise {deviation}"),
            Self::Gaussian { deviation, clip: Some((low, high)) } => {
                format!("gaussian noise {deviation}, clipped to {low}..{high}")
            }
            Self::Masking { share } => format!("masking noise {share}"),
            Self::SaltAndPepper { share } => format!("salt and pepper {share}"),
        }
    }
}

/// Activation functions, applied to each value (softmax: to each row).
///
/// ```
/// use narrows::{Function, Layer};
///
/// assert_eq!(Layer::Function(Function::Relu), Layer::relu());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Function {
    /// x
    Linear,
    /// max(0, x) (Nair and Hinton 2010)
    Relu,
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// tanh x
    Tanh,
    /// e^x divided by the sum of e^x over the row
    Softmax,
    /// x where x > 0, else 0.01 x (Maas et al. 2013)
    LeakyRelu,
    /// x where x > 0, else e^x - 1 (Clevert et al. 2016)
    Elu,
    /// x Phi(x), with the standard normal distribution function Phi (Hendrycks and Gimpel 2016)
    Gelu,
    /// x / (1 + e^-x) (Elfwing et al. 2018; also called swish)
    Silu,
    /// ln(1 + e^x) (Dugas et al. 2001)
    Softplus,
}

impl Function {
    /// All functions, in the order in which messages list them.
    pub(super) const ALL: [Self; 10] = [
        Self::Linear,
        Self::Relu,
        Self::LeakyRelu,
        Self::Elu,
        Self::Gelu,
        Self::Silu,
        Self::Softplus,
        Self::Sigmoid,
        Self::Tanh,
        Self::Softmax,
    ];

    /// The name in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softmax => "softmax",
            Self::LeakyRelu => "leaky_relu",
            Self::Elu => "elu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Softplus => "softplus",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Layer, String> {
        let table = format!("layer = {text}").parse::<toml::Table>().unwrap();
        #[derive(Deserialize)]
        struct One {
            layer: Layer,
        }
        One::deserialize(toml::Value::Table(table)).map(|one| one.layer).map_err(|error| error.to_string())
    }

    #[test]
    fn every_layer_survives_its_own_text() {
        for text in [
            "{ dense = 32 }",
            "{ dense = \"input\", bias = false }",
            "{ dense = \"flatten\" }",
            "{ conv = 16 }",
            "{ conv = \"input\", kernel = [3, 5], stride = 2, padding = \"none\", bias = false }",
            "{ conv = 16, kernel = 1, padding = \"auto\" }",
            "{ transposed_conv = 8 }",
            "{ transposed_conv = 8, kernel = 4, stride = 3, padding = \"none\" }",
            "{ max_pool = 2 }",
            "{ average_pool = 3, padding = \"none\" }",
            "{ upsample = 2 }",
            "{ reshape = [7, 7, 32] }",
            "\"flatten\"",
            "\"unflatten\"",
            "\"batch_norm\"",
            "\"relu\"",
            "\"leaky_relu\"",
            "{ dense = \"tied\", bias = false }",
            "{ transposed_conv = \"tied\" }",
            "{ dropout = 0.2 }",
            "{ variational = 20 }",
            "{ variational = 2, kl = 0.5 }",
            "{ gaussian_noise = 0.5, clip = [0, 1] }",
            "{ gaussian_noise = 0.1, fresh = false }",
            "{ masking_noise = 0.3 }",
            "{ salt_and_pepper = 0.25, fresh = false }",
        ] {
            let layer = read(text).unwrap();
            let json = serde_json::to_value(&layer).unwrap();
            assert_eq!(serde_json::from_value::<Layer>(json.clone()).unwrap(), layer);
            let written = toml::Value::try_from(&layer).unwrap().to_string();
            assert_eq!(read(&written).unwrap(), layer, "{written}");
            // Nothing that was not said, and short numbers.
            assert_eq!(written.matches('=').count(), text.matches('=').count(), "{written} for {text}");
            assert!(written.len() <= text.len() + 8, "{written}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, parts) in [
            ("{ cnov = 16 }", vec!["unknown layer `cnov`", "did you mean `conv`"]),
            ("{ conv = 16, kernal = 3 }", vec!["setting of `conv`", "did you mean `kernel`"]),
            ("{ kernel = 3 }", vec!["which layer"]),
            ("{ conv = 16, dense = 3 }", vec!["two layers"]),
            ("{ conv = 0 }", vec!["conv: expected a number from 1 to 4294967295", "found 0"]),
            ("{ conv = \"flatten\" }", vec!["conv", "\"input\""]),
            ("{ conv = 4, kernel = [3] }", vec!["kernel: expected a side, or [height, width]"]),
            ("{ conv = 4, kernel = 100000 }", vec!["kernel"]),
            ("{ conv = 4, padding = \"valid\" }", vec!["padding: expected \"same\" or \"none\" or \"auto\""]),
            ("{ max_pool = 2, stride = 1 }", vec!["setting of `max_pool`"]),
            ("{ upsample = 2, factor = 1 }", vec!["`upsample` has no settings"]),
            ("{ gaussian_noise = -1 }", vec!["gaussian_noise", "at least 0"]),
            ("{ gaussian_noise = 0.5, clip = [1, 0] }", vec!["clip", "the lower first"]),
            ("{ dropout = 1 }", vec!["dropout", "below 1"]),
            ("{ dropout = 0.5, share = 1 }", vec!["`dropout` has no settings"]),
            ("{ conv = \"tied\" }", vec!["conv: expected", "\"input\""]),
            ("{ transposed_conv = \"tied\", stride = 2 }", vec!["stride", "the layer it mirrors"]),
            ("{ variational = 0 }", vec!["variational", "at least 1"]),
            ("{ variational = 2, bet = 1 }", vec!["setting of `variational`", "beta"]),
            ("{ variational = 2, beta = 1, kl = 2 }", vec!["kl is the older name of beta"]),
            ("\"lealy_relu\"", vec!["did you mean `leaky_relu`"]),
            ("{ masking_noise = 1.5 }", vec!["masking_noise", "from 0 to 1"]),
            ("\"batchnorm\"", vec!["did you mean `batch_norm`"]),
            ("\"rellu\"", vec!["unknown function `rellu`", "did you mean `relu`"]),
            ("3", vec!["a layer such as"]),
        ] {
            let error = read(text).unwrap_err();
            for part in parts {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
        }
    }
}
