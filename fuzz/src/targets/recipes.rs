//! Recipes: TOML texts. A case is the text. What is accepted must be valid for good: it is written, read again, compiled for
//! rows of several shapes, and its memory is counted.

use narrows::fit::training_memory;
use narrows::network::plan::Plan;
use narrows::recipe::{RecipeFile, to_json, to_toml};
use narrows::{Recipe, Shape};

use super::{Target, Verdict, check_message};
use crate::campaign::Journal;
use crate::mutate;
use crate::random::Random;

/// The place in messages.
const PLACE: &str = "case.toml";

/// Height, width and channels of the rows that recipes are compiled for.
const SHAPES: [(usize, usize, usize); 5] = [(1, 4, 1), (1, 1, 1), (28, 28, 1), (7, 5, 3), (100, 100, 1)];

/// Texts beside the built-in recipes: everything that a recipe can say.
const MORE: &[&str] = &[
    "method = \"autoencoder\"\nscale = \"standard\"\nloss = \"huber\"\nencoder = [{ dropout = 0.1 }, { dense = 5 }, \"gelu\", { variational = 2, kl = 0.1 }]\ndecoder = [{ dense = 5 }, \"silu\", { dense = \"tied\" }]\nweights = { max_norm = 2.0, l2 = 1e-4 }\ntrain = { optimizer = \"adamw\", epochs = 3, batch_size = 7, schedule = \"cosine\", warm_up = 0.1, clip_norm = 1.0, patience = 2 }\n",
    "method = \"autoencoder\"\nencoder = [{ conv = 3, kernel = 5, stride = 2, padding = \"none\" }, \"relu\", { max_pool = 2, padding = \"auto\" }, \"flatten\", { dense = 4 }]\ndecoder = [{ dense = \"flatten\" }, \"unflatten\", { upsample = 2 }, { transposed_conv = \"tied\" }]\n",
    "method = \"classifier\"\nencoder = [{ dense = 6 }, \"batch_norm\", \"relu\"]\nfrozen = true\nlabelled = 10\npretrain = { epochs = [1, 2], noise = [{ gaussian_noise = 0.1 }], learning_rate = 0.1, tied = true }\ntrain = { optimizer = \"sgd\", momentum = 0.9, nesterov = true, epochs = 1 }\n",
    "method = \"pca\"\ncode_size = 2\nscale = \"unit\"\n",
];

const WORDS: &[&str] = &[
    "method",
    "autoencoder",
    "pca",
    "classifier",
    "encoder",
    "decoder",
    "dense",
    "conv",
    "transposed_conv",
    "max_pool",
    "average_pool",
    "upsample",
    "reshape",
    "flatten",
    "unflatten",
    "dropout",
    "masking_noise",
    "gaussian_noise",
    "salt_and_pepper_noise",
    "batch_norm",
    "variational",
    "relu",
    "sigmoid",
    "tanh",
    "softmax",
    "linear",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "softplus",
    "input",
    "tied",
    "same",
    "none",
    "auto",
    "kernel",
    "stride",
    "padding",
    "bias",
    "scale",
    "unit",
    "standard",
    "min_max",
    "loss",
    "bce",
    "mse",
    "mae",
    "huber",
    "cross_entropy",
    "weights",
    "init",
    "glorot",
    "he",
    "l1",
    "l2",
    "max_norm",
    "sparsity",
    "pretrain",
    "noise",
    "epochs",
    "train",
    "optimizer",
    "adam",
    "adamw",
    "sgd",
    "rmsprop",
    "adadelta",
    "learning_rate",
    "batch_size",
    "seed",
    "keep",
    "best",
    "last",
    "patience",
    "min_delta",
    "schedule",
    "one_cycle",
    "cosine",
    "step",
    "constant",
    "code_size",
    "about",
    "frozen",
    "labelled",
    "true",
    "false",
    "{ dense = 3 }",
    "{ conv = 2 }",
    "{ max_pool = 2 }",
    "{ upsample = 2 }",
    "{ transposed_conv = 1, stride = 28 }",
    "[]",
    "{}",
    "[1, 2]",
    "\"\\u001b[2J\"",
    "=",
    ",",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "\n",
];

/// The target.
pub struct Recipes {
    texts: Vec<String>,
}

impl Default for Recipes {
    fn default() -> Self {
        Self::new()
    }
}

impl Recipes {
    /// The target, with the built-in recipes as texts.
    pub fn new() -> Self {
        let built_in =
            RecipeFile::names().filter_map(|name| Recipe::open(name).ok()).map(|recipe| to_toml(&recipe));
        Self { texts: built_in.chain(MORE.iter().map(|text| (*text).to_owned())).collect() }
    }
}

impl Target for Recipes {
    fn generate(&mut self, random: &mut Random, _: &Journal) -> Vec<u8> {
        let mut text = random.choose(&self.texts);
        for _ in 0..1 + random.below(4) {
            match random.below(8) {
                0 => mutate::lines(random, &mut text),
                1 => {
                    // A line of another recipe.
                    let other = &self.texts[random.below(self.texts.len())];
                    let lines: Vec<&str> = other.lines().collect();
                    let line = lines[random.below(lines.len())];
                    text = if random.one_in(2) {
                        format!("{line}\n{text}")
                    } else {
                        format!("{text}\n{line}\n")
                    };
                }
                2 if random.one_in(3) => {
                    let mut bytes = text.into_bytes();
                    mutate::bytes(random, &mut bytes);
                    text = String::from_utf8_lossy(&bytes).into_owned();
                }
                _ => mutate::token(random, &mut text, WORDS),
            }
        }
        text.into_bytes()
    }

    fn run(&mut self, case: &[u8]) -> Result<Verdict, String> {
        let Ok(text) = std::str::from_utf8(case) else { return Ok(Verdict::Refused) };
        let recipe = match RecipeFile::parse("case", PLACE, text).and_then(|file| file.recipe()) {
            Ok(recipe) => recipe,
            Err(error) => return check_message(&error.to_string(), PLACE).map(|()| Verdict::Refused),
        };
        if let Err(error) = recipe.validate() {
            return check_message(&error.to_string(), "").map(|()| Verdict::Refused);
        }
        let written = to_toml(&recipe);
        match RecipeFile::parse("case", PLACE, &written).and_then(|file| file.recipe()) {
            Ok(again) if again == recipe => {}
            Ok(_) => return Err(format!("text: another recipe comes of it: {written:?}")),
            Err(error) => return Err(format!("text: is not read again: {error}: {written:?}")),
        }
        if to_json(&recipe).is_null() {
            return Err("json: a valid recipe has none".to_owned());
        }
        for shape in SHAPES {
            compile(&recipe, Shape::image(shape.0, shape.1, shape.2))?;
        }
        // Large images take their time: some recipes are compiled for them.
        if case.len().is_multiple_of(8) {
            compile(&recipe, Shape::image(1000, 1000, 1))?;
        }
        Ok(Verdict::Accepted)
    }
}

/// Compiles a recipe for rows of a shape.
fn compile(recipe: &Recipe, shape: Shape) -> Result<(), String> {
    let plan = match recipe {
        Recipe::Autoencoder(recipe) => Plan::new(recipe, shape),
        Recipe::Classifier(recipe) => Plan::classifier(recipe, shape, 3),
        _ => return Ok(()),
    };
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => return check_message(&error.to_string(), ""),
    };
    if plan.table().rows.is_empty() && plan.parameter_count() > 0 {
        return Err("table: has no rows".to_owned());
    }
    if let Some(train) = recipe.train()
        && let Ok(memory) = training_memory(&plan, train, 2)
        && memory.total() < plan.parameter_count()
    {
        return Err("memory: less than the parameters".to_owned());
    }
    Ok(())
}
