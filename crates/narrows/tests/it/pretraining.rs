//! Layers trained one after the other: what they give to the whole network, and what is frozen meanwhile.

use crate::common::{
    fit, made, open, options, parameter, parameters, recipe, some_rows, try_fit, try_recipe, values,
};
use narrows::progress::{Ended, Stage};
use narrows::recipe::{AutoencoderRecipe, PretrainKind};
use narrows::{Dataset, Event, FitOptions, Model, Recipe, Shape, Source};
use std::ops::ControlFlow;

const LAYERS: [&str; 3] = [
    "encoder=[{dense=20}, \"sigmoid\", {dense=9}, \"tanh\", {dense=4}]",
    "decoder=[{dense=9}, \"tanh\", {dense=20}, \"sigmoid\", {dense=\"input\"}, \"sigmoid\"]",
    "train={optimizer=\"adam\", rate=0.003, batch=20, epochs=1, seed=5}",
];

fn digits() -> (Dataset<'static>, Dataset<'static>) {
    (some_rows(&open("mnist"), 400, 31), some_rows(&open("mnist:test"), 100, 9))
}

/// The network as pre-training leaves it: stopped before its first step.
fn start(settings: &[&str], threads: usize) -> Model {
    let (training, held_out) = digits();
    let settings: Vec<&str> = LAYERS.iter().chain(settings).copied().collect();
    let mut together = false;
    let mut watch = |event: &Event| {
        together |= matches!(event, Event::Stage(Stage::FineTuning));
        // The first step of all layers together has no smaller step before it: the rate is next to nothing.
        if together && matches!(event, Event::Step { .. }) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let options = FitOptions { watch: Some(&mut watch), ..options(&held_out, threads) };
    let fit = narrows::fit(&recipe("single", &settings), &training, options).unwrap();
    assert_eq!(fit.ended, Ended::Interrupted);
    assert_eq!(fit.pretraining.len(), 3);
    fit.model
}

#[test]
fn the_stack_is_what_autoencoders_of_autoencoders_give() {
    the_stack_is_that_by_hand("", [""; 3]);
}

#[test]
fn kl_is_paid_by_sigmoid_layers_and_l1_by_the_others_or_all() {
    let (kl, l1) = ("kl=0.01, target=0.1", "l1=0.002");
    the_stack_is_that_by_hand(&format!(", sparsity={{{kl}, {l1}}}"), [kl, l1, l1]);
    the_stack_is_that_by_hand(&format!(", sparsity={{{kl}}}"), [kl, "", ""]);
    the_stack_is_that_by_hand(&format!(", sparsity={{{l1}}}"), [l1; 3]);
}

/// The same layers by hand: each an autoencoder of its own, fitted by the front door on the codes of the one before. `more` is
/// what pre-training has beside epochs and rates, `sparsity` what each layer pays by itself, or nothing.
fn the_stack_is_that_by_hand(more: &str, sparsity: [&str; 3]) {
    let (training, held_out) = digits();
    // Nothing is learned together: the rate of the last training is 0 from its first step on, nearly.
    let quiet = "train={optimizer=\"sgd\", rate=1e-30, batch=20, epochs=1, seed=5}";
    let pretrain = format!("pretrain={{epochs=[3, 2, 2], rate=[0.3, 0.3, 0.1]{more}}}");
    let settings = [LAYERS[0], LAYERS[1], quiet, &pretrain];
    let whole = fit(&recipe("single", &settings), &training, &held_out);
    let widths: Vec<_> = whole.pretraining.iter().map(|layer| layer.widths).collect();
    assert_eq!(widths, [(784, 20), (20, 9), (9, 4)]);

    let (mut rows, mut judged) = (training.clone(), held_out.clone());
    let steps = [
        ("{dense=20}, \"sigmoid\"", "\"sigmoid\"", "bce", 3, 0.3),
        ("{dense=9}, \"tanh\"", "\"sigmoid\"", "bce", 2, 0.3),
        ("{dense=4}", "\"tanh\"", "mse", 2, 0.1),
    ];
    for (layer, (encoder, end, loss, epochs, rate)) in steps.into_iter().enumerate() {
        let seed = 5u64 + ((layer as u64 + 1) << 32);
        let mut settings = vec![
            format!("encoder=[{encoder}]"),
            format!("decoder=[{{dense=\"tied\"}}, {end}]"),
            format!("loss={loss}"),
            format!("scale={}", if layer == 0 { "unit" } else { "none" }),
            format!("train={{optimizer=\"sgd\", rate={rate}, batch=20, epochs={epochs}, seed={seed}}}"),
        ];
        if !sparsity[layer].is_empty() {
            settings.push(format!("sparsity={{{}}}", sparsity[layer]));
        }
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let alone = fit(&recipe("single", &settings), &rows, &judged);
        let losses = |history: &[narrows::progress::EpochRecord]| {
            history.iter().map(|record| (record.train_loss, record.held_out_loss)).collect::<Vec<_>>()
        };
        assert_eq!(losses(&whole.pretraining[layer].history), losses(&alone.history), "layer {layer}");
        // The weights that were learned alone are those the whole network starts from, in the decoder transposed.
        let own = parameter(&alone.model, "encoder.1.weights");
        assert_eq!(parameter(&whole.model, &format!("encoder.{}.weights", layer + 1)), own);
        assert_eq!(
            parameter(&whole.model, &format!("encoder.{}.bias", layer + 1)),
            parameter(&alone.model, "encoder.1.bias")
        );
        let mirror = parameter(&whole.model, &format!("decoder.{}.weights", 3 - layer));
        let (inputs, units) = whole.pretraining[layer].widths;
        assert!((0..inputs * units).all(|at| mirror[at % units * inputs + at / units] == own[at]));
        assert_eq!(
            parameter(&whole.model, &format!("decoder.{}.bias", 3 - layer)),
            parameter(&alone.model, "decoder.1.bias")
        );
        let codes = |dataset: &Dataset<'_>| alone.model.encode(dataset).unwrap();
        let (codes_of_rows, codes_of_judged) = (codes(&rows), codes(&judged));
        assert_eq!(codes_of_rows.shape(), Shape::flat(units));
        (rows, judged) = (codes_of_rows.into(), codes_of_judged.into());
    }
    // So its codes are those of the stack, bit for bit.
    let codes = whole.model.encode(&held_out).unwrap().into_values().into_f32();
    let mut stacked = vec![0.0; codes.len()];
    judged.rows.read_f32(0, &mut stacked).unwrap();
    assert_eq!(codes, stacked);
}

#[test]
fn threads_change_nothing_and_noise_and_shared_weights_do() {
    let usual = start(&["pretrain={epochs=2}"], 1);
    assert_eq!(parameters(&usual), parameters(&start(&["pretrain={epochs=2}"], 3)));
    for other in [
        "pretrain={epochs=2, noise={masking_noise=0.3}}",
        "pretrain={epochs=2, tied=false}",
        "pretrain={epochs=[2, 2, 3]}",
    ] {
        assert_ne!(parameters(&usual), parameters(&start(&[other], 2)), "{other}");
    }
}

#[test]
fn what_cannot_be_trained_layer_by_layer_is_refused() {
    let (training, held_out) = digits();
    for (settings, parts) in [
        (vec!["pretrain={epochs=0}"], vec!["pretrain.epochs", "at least 1"]),
        (vec!["pretrain={epochs=[1, 2]}"], vec!["pretrain", "2 entries", "3 layers"]),
        (vec!["pretrain={epochs=\"many\"}"], vec!["pretrain.epochs", "many", "whole number"]),
        (vec!["pretrain={epochs=true}"], vec!["pretrain.epochs", "one value, or a list"]),
        (vec!["pretrain={rate=-1.0}"], vec!["pretrain", "rate", "-1"]),
        (vec!["pretrain={noise={dense=3}}"], vec!["pretrain.noise", "masking_noise"]),
        (
            vec![
                "pretrain={sparsity={kl=0.1}}",
                "encoder=[{dense=20}, \"tanh\", {dense=9}, \"relu\", {dense=4}]",
            ],
            vec!["pretrain.sparsity.kl", "sigmoid", "l1"],
        ),
        (vec!["pretrain={nois=3}"], vec!["pretrain", "did you mean `noise`"]),
        (vec!["pretrain={}", "encoder=[{conv=3}, \"flatten\", {dense=4}]"], vec!["pretrain", "encoder[0]"]),
        (vec!["pretrain={}", "decoder=[{dense=\"input\"}, \"sigmoid\"]"], vec!["pretrain", "mirror"]),
    ] {
        let settings: Vec<&str> = LAYERS.iter().chain(&settings).copied().collect();
        let fit = try_recipe("single", &settings).and_then(|recipe| try_fit(&recipe, &training, &held_out));
        let error = fit.unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{settings:?}: `{part}` is not in: {error}");
        }
    }
}

#[test]
fn the_filters_of_a_layer_are_products_of_the_weights_down_to_the_rows() {
    let (training, held_out) = digits();
    // Nothing is learned together, so the weights that the layers learned alone are those of the model.
    let settings = [
        "encoder=[{dense=120}, \"sigmoid\", {dense=9}, \"tanh\", {dense=4}]",
        "decoder=[{dense=9}, \"tanh\", {dense=120}, \"sigmoid\", {dense=\"input\"}, \"sigmoid\"]",
        "train={optimizer=\"sgd\", rate=1e-30, batch=20, epochs=1, seed=5}",
        "pretrain={epochs=2, rate=0.3}",
    ];
    let whole = fit(&recipe("single", &settings), &training, &held_out);
    let widths = [784, 120, 9, 4];
    // Row by row: what reaches a unit from a row with one number at 1, were there no functions and no biases.
    let mut reaches: Vec<Vec<f64>> =
        (0..784).map(|pixel| (0..784).map(|at| f64::from(u8::from(at == pixel))).collect()).collect();
    for (layer, sides) in widths.windows(2).enumerate() {
        let (inputs, units) = (sides[0], sides[1]);
        let weights = parameter(&whole.model, &format!("encoder.{}.weights", layer + 1));
        let weight = |input: usize, unit: usize| f64::from(weights[input * units + unit]);
        for row in &mut reaches {
            let sum = |unit| (0..inputs).map(|input| row[input] * weight(input, unit)).sum();
            *row = (0..units).map(sum).collect();
        }
        let filters = &whole.pretraining[layer].filters;
        let kept = units.min(100);
        assert_eq!(filters.len(), kept * 784, "layer {layer}");
        let largest = reaches.iter().flatten().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        assert!(largest > 1e-3);
        for unit in 0..kept {
            for (pixel, row) in reaches.iter().enumerate() {
                let found = f64::from(filters[unit * 784 + pixel]);
                // Sums of at most 120 products, in single precision.
                assert!(
                    (found - row[unit]).abs() < 1e-5 * largest,
                    "layer {layer}, unit {unit}, pixel {pixel}"
                );
            }
        }
    }

    let flat = Shape::flat(784);
    let rows = |dataset: &Dataset<'_>| {
        made(values(dataset).into_iter().map(|value| value as f32 / 255.0).collect(), flat)
    };
    let whole = fit(&recipe("single", &settings), &rows(&training), &rows(&held_out));
    assert!(whole.pretraining.iter().all(|layer| layer.filters.is_empty()), "flat rows have no pictures");
}

#[test]
fn dead_units_of_a_layer_are_those_that_no_held_out_row_wakes() {
    let (training, held_out) = digits();
    let settings = [
        "encoder=[{dense=40}, \"relu\", {dense=4}]",
        "decoder=[{dense=40}, \"relu\", {dense=\"input\"}, \"sigmoid\"]",
        "train={optimizer=\"sgd\", rate=1e-30, batch=20, epochs=1, seed=5}",
        "pretrain={epochs=3, rate=0.5, sparsity={l1=0.02}}",
    ];
    let whole = fit(&recipe("single", &settings), &training, &held_out);
    let (weights, biases) =
        (parameter(&whole.model, "encoder.1.weights"), parameter(&whole.model, "encoder.1.bias"));
    let pixels = values(&held_out);
    let wakes = |unit: usize| {
        pixels.chunks_exact(784).any(|row| {
            let sum: f64 = (0..784).map(|at| row[at] / 255.0 * f64::from(weights[at * 40 + unit])).sum();
            sum + f64::from(biases[unit]) > 0.0
        })
    };
    let dead = (0..40).filter(|&unit| !wakes(unit)).count();
    assert!(dead > 0 && dead < 40, "{dead}");
    assert_eq!(whole.pretraining[0].dead_units(), Some(dead));
    assert_eq!(whole.pretraining[1].dead_units(), Some(0), "a linear unit says something of every row");
}

#[test]
fn a_layer_keeps_its_best_epoch_where_the_whole_does() {
    let (training, held_out) = digits();
    let fit_with = |keep: &str| {
        let settings = ["pretrain={epochs=8, rate=[1.0, 0.003, 0.003]}", &format!("train.keep={keep}")];
        let settings: Vec<&str> = LAYERS.iter().chain(&settings).copied().collect();
        fit(&recipe("single", &settings), &training, &held_out).pretraining.swap_remove(0)
    };
    let (last, best) = (fit_with("last"), fit_with("best"));
    assert_eq!((last.kept_epoch, last.kept()), (None, last.history.last()));
    let least = best.history.iter().map(|record| record.held_out_loss).fold(f64::INFINITY, f64::min);
    assert_eq!(best.kept().unwrap().held_out_loss, least);
    assert!(best.kept_epoch < Some(8), "it got worse again: {:?}", best.history);
    assert_ne!(best.filters, last.filters);
}

fn network(settings: &[&str]) -> AutoencoderRecipe {
    let Recipe::Autoencoder(network) = recipe("stacked", settings) else { panic!("a network") };
    AutoencoderRecipe { about: None, ..network }
}

fn changed(settings: &[&str], kinds: &str) -> narrows::Result<AutoencoderRecipe> {
    let mut network = network(settings);
    network.set_pretrain(&PretrainKind::parse_list(kinds)?)?;
    Ok(network)
}

#[test]
fn kinds_make_of_a_recipe_what_its_fields_would() {
    let relu = [
        "encoder=[{dense=1000}, \"relu\", {dense=500}, \"relu\", {dense=250}, \"relu\", {dense=30}]",
        "decoder=[{dense=250}, \"relu\", {dense=500}, \"relu\", {dense=1000}, \"relu\", {dense=\"input\"}, \"sigmoid\"]",
    ];
    let tanh = relu.map(|side| side.replace("relu", "tanh"));
    let masking = "pretrain={epochs=10, noise={masking_noise=0.25}}";
    let of_stacked: &[(&str, &[&str])] = &[
        ("sigmoid", &[]),
        ("relu", &relu),
        ("relu, relu", &relu),
        ("tanh", &[&tanh[0], &tanh[1]]),
        ("denoising", &[masking]),
        ("relu,denoising", &[relu[0], relu[1], masking]),
        // Layers that end in sigmoid have a mean activity that can be asked for; the code of this network is linear.
        ("sparse", &["pretrain={epochs=10, sparsity={kl=3e-4, target=0.1, l1=1e-4}}"]),
        ("sparse,relu", &[relu[0], relu[1], "pretrain={epochs=10, sparsity={l1=1e-4}}"]),
        (
            "denoising,sparse",
            &["pretrain={epochs=10, noise={masking_noise=0.25}, sparsity={kl=3e-4, target=0.1, l1=1e-4}}"],
        ),
    ];
    for (kinds, fields) in of_stacked {
        assert_eq!(changed(&[], kinds).unwrap(), network(fields), "{kinds}");
    }
    let without = AutoencoderRecipe { pretrain: None, ..network(&relu) };
    assert_eq!(changed(&[], "relu,none").unwrap(), without);

    // What the recipe says already stays.
    for (own, kind) in
        [("pretrain={noise={gaussian_noise=0.5}}", "denoising"), ("pretrain={sparsity={l1=0.5}}", "sparse")]
    {
        assert_eq!(changed(&[own], kind).unwrap(), network(&[own]), "{kind}");
    }
    // All end in sigmoid: nothing pays L1.
    let own = ["encoder=[{dense=9}, \"sigmoid\"]", "decoder=[{dense=\"input\"}, \"sigmoid\"]"];
    let sparse = [own[0], own[1], "pretrain={epochs=10, sparsity={kl=3e-4, target=0.1}}"];
    assert_eq!(changed(&own, "sparse").unwrap(), network(&sparse));
    // What has no pre-training gets it; what stands before, after and between the dense layers stays where it is.
    let mut odd = network(&[
        "encoder=[\"tanh\", {dropout=0.1}, {dense=9}, {dropout=0.2}, {dense=8}, {dropout=0.3}, \"tanh\", \"elu\", {dense=7}, \"elu\"]",
    ]);
    odd.pretrain = None;
    odd.set_pretrain(&[PretrainKind::Relu]).unwrap();
    let expected = [
        "encoder=[\"tanh\", {dropout=0.1}, {dense=9}, \"relu\", {dropout=0.2}, {dense=8}, {dropout=0.3}, \"relu\", {dense=7}, \"elu\"]",
        relu[1],
        "pretrain={}",
    ];
    assert_eq!(odd, network(&expected));
}

#[test]
fn kinds_that_contradict_one_another_or_do_not_exist_are_refused() {
    let single = ["encoder=[{dense=9}, \"sigmoid\"]", "decoder=[{dense=\"input\"}, \"sigmoid\"]"];
    let cases: &[(&[&str], &str, &[&str])] = &[
        (&[], "rellu", &["rellu", "did you mean `relu`", "denoising"]),
        (&[], "", &["kind ``", "sigmoid, tanh, relu"]),
        (&[], "relu,", &["kind ``"]),
        (&[], "relu,denoising,tanh", &["relu and tanh", "one function"]),
        (&[], "none,denoising", &["none and denoising"]),
        (&[], "sparse,none", &["none and sparse"]),
        (&single, "tanh", &["tanh", "no layer is hidden", "`layers`"]),
    ];
    for (settings, kinds, parts) in cases {
        let error = changed(settings, kinds).unwrap_err().to_string();
        for part in *parts {
            assert!(error.contains(part), "{kinds}: `{part}` is not in: {error}");
        }
    }
}
