//! An autoencoder trained on some handwritten digits, watched as it goes, and stopped when it is good enough.

use std::ops::ControlFlow;

use narrows::progress::Ended;
use narrows::{Event, FitOptions, Recipe};

fn main() -> narrows::Result<()> {
    // The first 5,000 images of MNIST's test set; a tenth of them is held out.
    let digits = narrows_datasets::mnist_test().select((0..5_000).collect());
    let recipe =
        Recipe::open("single")?.with("train.optimizer", "adam")?.with("train.learning_rate", 0.003)?;

    // Everything that happens is told to one callback; its answer is to go on or to stop.
    let mut watch = |event: &Event| match event {
        Event::Epoch(record) => {
            println!("epoch {:2}: held-out loss {:.4}", record.epoch, record.held_out_loss);
            if record.held_out_loss < 0.13 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    };
    let options = FitOptions { watch: Some(&mut watch), ..FitOptions::default() };
    let fit = narrows::fit(&recipe, &digits, options)?;

    println!("{}", fit.verdict());
    assert_eq!(fit.ended, Ended::Interrupted);
    let summary =
        fit.summary().and_then(|summary| summary.reconstruction()).expect("an autoencoder reconstructs");
    assert!(summary.epochs < 50 && summary.evaluation.loss < 0.13);
    assert!(summary.evaluation.squared_error_per_row < 0.5 * summary.baselines.mean);
    Ok(())
}
