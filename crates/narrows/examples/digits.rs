//! An autoencoder trained on some handwritten digits, watched as it goes, and stopped when it is good enough.

use std::ops::ControlFlow;
use std::sync::Arc;

use narrows::compute::Compute;
use narrows::data::{self, Dataset, Subset};
use narrows::fit::fit;
use narrows::progress::{Ended, Event};
use narrows::recipe::RecipeFile;

fn main() -> narrows::Result<()> {
    // The first 5,000 images of MNIST's test set; a tenth of them is held out.
    let digits = narrows_datasets::mnist_test();
    let some =
        Dataset { rows: Arc::new(Subset::new(digits.rows, (0..5_000).collect())), labels: None, ..digits };
    let (training, held_out) = data::hold_out(&some, 0.1, 0)?;

    let mut recipe = RecipeFile::open("single")?;
    recipe.set("train.optimizer=adam")?;
    recipe.set("train.rate=0.003")?;
    let spec = recipe.recipe()?;

    // Everything that happens is told to one callback; its answer is to go on or to stop.
    let mut callback = |event: &Event| match event {
        Event::Epoch(record) => {
            println!(
                "epoch {:2}: loss {:.4}, held out {:.4}",
                record.epoch, record.train_loss, record.held_out_loss
            );
            if record.held_out_loss < 0.13 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
        _ => ControlFlow::Continue(()),
    };
    let fit = fit(&spec, &training, &held_out, Compute::new(None), &mut callback)?;

    let summary = fit.summary();
    println!("{}", summary.verdict);
    assert_eq!(fit.ended, Ended::Interrupted);
    assert!(summary.epochs < 50 && summary.evaluation.loss < 0.13);
    assert!(summary.evaluation.squared_error_per_row < 0.5 * summary.baselines.mean);
    Ok(())
}
