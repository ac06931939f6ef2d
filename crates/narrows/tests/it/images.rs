//! Networks on images: any size comes back, noise is undone, threads and SIMD levels change nothing that matters.

use crate::common::{evaluate, fit, fit_on, made, open, options, parse, recipe, reconstruction, some_rows};
use narrows::data::Values;
use narrows::{Compute, Dataset, FitOptions, Recipe, Shape, Source};

/// Bytes in which a bright patch of one colour lies somewhere on a slope of another.
fn patches(count: usize, shape: Shape) -> Dataset<'static> {
    let Shape { height, width, channels } = shape;
    let mut bytes = Vec::with_capacity(count * shape.len());
    for image in 0..count {
        let (top, left) = (image * 7 % (height - 3), image * 11 % (width - 3));
        for row in 0..height {
            for column in 0..width {
                let inside = (top..top + 4).contains(&row) && (left..left + 4).contains(&column);
                for channel in 0..channels {
                    let slope = (row * (channel + 1) + column * 2) * 60 / (height + 2 * width);
                    bytes.push(if inside { 240 - 50 * (channel as u8) } else { slope as u8 });
                }
            }
        }
    }
    made(bytes, shape)
}

fn mnist(count: usize) -> (Dataset<'static>, Dataset<'static>) {
    (some_rows(&open("mnist"), count, 1), some_rows(&open("mnist:test"), count / 4, 1))
}

#[test]
fn any_size_comes_back_in_its_own_size() {
    for shape in
        [Shape::image(27, 31, 3), Shape::image(20, 33, 1), Shape::image(9, 8, 2), Shape::image(5, 17, 4)]
    {
        let rows = patches(40, shape);
        for name in ["conv", "denoising"] {
            let recipe = recipe(
                name,
                &[
                    "train.epochs=3",
                    "train.batch_size=8",
                    "train.optimizer=adam",
                    "train.learning_rate=0.005",
                ],
            );
            let fit = fit(&recipe, &rows, &rows);
            let model = &fit.model;
            assert_eq!(fit.history.len(), 3);
            assert!(fit.history[2].train_loss < fit.history[0].train_loss, "{name} learns on {shape}");
            let on = |threads| model.clone().with_compute(Compute::with_threads(threads));
            let codes = on(1).encode(&rows).unwrap();
            let whole = on(3).reconstruct(&rows).unwrap();
            assert_eq!((whole.rows(), whole.shape()), (40, shape), "{name} gives {shape} back");
            assert_eq!((codes.rows(), codes.shape()), (40, model.code_shape()));
            assert!(on(2).decode(&codes).unwrap() == whole, "encode, then decode, is reconstruct");
            let Values::F32(whole) = whole.into_values() else { panic!("f32") };
            assert!(whole.iter().all(|value| (0.0..=255.0).contains(value)), "in the units of the rows");
        }
    }
}

#[test]
fn models_have_the_same_bytes_for_every_number_of_threads() {
    let (training, held_out) = mnist(600);
    for name in ["conv", "denoising"] {
        // A last batch that is shorter than the others.
        let recipe = recipe(name, &["train.epochs=2", "train.batch_size=128"]);
        let parameters = |threads: usize| {
            let fit = fit_on(threads, &recipe, &training, &held_out);
            let losses: Vec<u64> = fit.history.iter().map(|record| record.held_out_loss.to_bits()).collect();
            (fit.model.to_bytes().unwrap(), losses)
        };
        let one = parameters(1);
        for threads in [2, 3, 4] {
            assert!(one == parameters(threads), "{name} on {threads} threads");
        }
    }
}

#[test]
fn every_level_trains_to_the_same_loss() {
    let (training, held_out) = mnist(1000);
    for name in ["conv", "denoising"] {
        let recipe = recipe(name, &["train.epochs=1", "train.batch_size=64"]);
        let loss = |compute| {
            let options = FitOptions { compute, ..options(&held_out, 2) };
            narrows::fit(&recipe, &training, options).unwrap().history[0].held_out_loss
        };
        let best = Compute::with_threads(2);
        let least = loss(best);
        for compute in best.at_every_level() {
            let other = loss(compute);
            assert!(
                (least - other).abs() < 1e-3,
                "{name} at {}: {other}, at the best {least}",
                compute.simd()
            );
        }
    }
}

#[test]
fn a_network_that_was_shown_noise_takes_it_off() {
    let (training, held_out) = mnist(2000);
    let recipe = recipe(
        "denoising",
        &["train.epochs=6", "train.batch_size=32", "train.optimizer=adam", "train.learning_rate=0.003"],
    );
    let fit = fit(&recipe, &training, &held_out);
    let summary = reconstruction(&fit);
    // Judged by the clean rows: better than any PCA of the noisy ones, which keeps few components here.
    assert!(summary.evaluation.squared_error_per_row < 0.8 * summary.baselines.pca, "{}", summary.verdict);
    assert!(summary.verdict.starts_with("on noisy rows better than PCA-"), "{}", summary.verdict);
    let components = summary.baselines.pca_components.unwrap();
    assert!((5..200).contains(&components), "{components} components are best under noise");
    // The noise itself, 784 x the mean square of what clipping leaves of it, is far larger than what is left.
    assert!(summary.baselines.pca < 60.0);
    // The same noise each time it is judged.
    let alone = fit.model.clone().with_compute(Compute::with_threads(1));
    assert_eq!(evaluate(&alone, &held_out), summary.evaluation);
}

#[test]
fn fixed_noise_is_the_same_in_each_epoch() {
    let (training, held_out) = mnist(300);
    let loss = |fresh: bool, order: &str| {
        // One batch holds all rows and the rate is next to nothing: only the noise can change the loss.
        let noise = format!("{{ gaussian_noise = 0.5, clip = [0, 1], fresh = {fresh} }}");
        let recipe = recipe(
            "denoising",
            &[
                "train={ epochs = 2, batch = 300, optimizer = 'sgd', rate = 1e-9 }",
                &format!("encoder=[{noise}, {{ conv = 3 }}, 'relu', {{ max_pool = 2 }}]"),
                "decoder=[{ upsample = 2 }, { conv = 'input' }, 'sigmoid']",
                order,
            ],
        );
        let fit = fit(&recipe, &training, &held_out);
        [fit.history[0].train_loss, fit.history[1].train_loss]
    };
    let [first, second] = loss(false, "train.seed=1");
    assert!((first - second).abs() < 1e-7, "{first} {second}");
    let [first, second] = loss(true, "train.seed=1");
    assert!((first - second).abs() > 1e-7, "{first} {second}");
}

#[test]
fn the_best_epoch_is_kept_where_that_is_asked() {
    let (training, held_out) = mnist(256);
    // A rate so large that the loss goes up and down.
    let settings =
        ["train.epochs=8", "train.batch_size=16", "train.optimizer=sgd", "train.learning_rate=30.0"];
    let keep =
        |which: &'static str| fit(&recipe("conv", &[&settings[..], &[which]].concat()), &training, &held_out);
    let (last, best) = (keep("train.keep=last"), keep("train.keep=best"));
    let least = best.history.iter().map(|record| record.held_out_loss).fold(f64::INFINITY, f64::min);
    assert!((reconstruction(&best).evaluation.loss - least).abs() < 1e-6 * least);
    let end = last.history.last().unwrap().held_out_loss;
    assert!((reconstruction(&last).evaluation.loss - end).abs() < 1e-6 * end);
}

#[test]
fn what_cannot_work_is_refused_with_the_name_of_the_layer() {
    let refused = |encoder: &str, decoder: &str, shape: Shape, parts: &[&str]| {
        let text = format!("method='autoencoder'\nloss='mse'\nencoder=[{encoder}]\ndecoder=[{decoder}]");
        let Recipe::Autoencoder(recipe) = parse(&text) else { panic!("an autoencoder") };
        let error = narrows::network::plan::Plan::new(&recipe, shape).unwrap_err().to_string();
        parts.iter().for_each(|part| assert!(error.contains(part), "`{part}` is not in: {error}"));
    };
    let image = Shape::image(12, 10, 3);
    refused("{conv=4}", "{conv='input'}", Shape::flat(784), &["encoder[0]", "vector of 784", "`shape`"]);
    refused("{dense=4}", "{conv='input'}", image, &["decoder[0]", "vector of 4", "reshape"]);
    refused(
        "{max_pool=2}",
        "{conv=4}",
        image,
        &["decoder.1 gives 6x5x4", "the input is 12x10x3", "{ conv = \"input\" }"],
    );
    refused("{max_pool=2}", "{conv='input'}", image, &["decoder.1 gives 6x5x3", "upsample more"]);
    refused("{max_pool=2}", "{upsample=4}", image, &["decoder.1 gives 24x20x3", "upsample less"]);
    refused(
        "{max_pool=2}, {max_pool=2}",
        "{upsample=2}, {conv='input'}, {upsample=2}",
        Shape::image(13, 13, 1),
        &["decoder.2 gives 16x16x1", "end it with a conv"],
    );
    refused(
        "{max_pool=2}",
        "{upsample=2}, {conv=3, kernel=30, padding='none'}",
        image,
        &["decoder[1]", "kernel of 30"],
    );
    refused("{max_pool=13, padding='none'}", "{upsample=2}", image, &["encoder[0]", "square of 13"]);
    refused(
        "{conv=2}, {gaussian_noise=0.1}",
        "{conv='input'}",
        image,
        &["encoder[1]", "before every other layer"],
    );
    refused(
        "{conv=2}",
        "{gaussian_noise=0.1}, {conv='input'}",
        image,
        &["decoder[0]", "before every other layer"],
    );
    refused("{conv=2}", "'unflatten'", image, &["decoder[0]", "flatten"]);
    refused("'flatten'", "{dense=5}, 'unflatten'", image, &["decoder[1]", "12x10x3 was flattened"]);
    refused("{dense=6}, {reshape=[2, 2, 2]}", "{dense='input'}", image, &["encoder[1]", "2x2x2"]);
    refused("{conv=4000000000, kernel=1000}", "{conv='input'}", image, &["encoder[0]", "too many"]);
    refused(
        "{upsample=256}, {upsample=256}, {upsample=256}",
        "{max_pool=2}",
        image,
        &["encoder[", "too large"],
    );
    refused(
        "{dense=48}, {reshape=[4, 4, 3]}",
        "{conv=3}",
        Shape::flat(48),
        &["decoder.1 gives 4x4x3", "flatten"],
    );
}
