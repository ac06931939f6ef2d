//! What `narrows fit --twin` says of networks from two kinds of start.

use narrows::experiments::random_baseline::{Run, Twins};
use serde_json::json;

use crate::output;

/// What the last line of JSON says of them.
pub fn json(twins: &Twins) -> serde_json::Value {
    let run = |run: &Run| {
        json!({
            "seed": run.seed,
            "pretraining_steps": run.steps.0,
            "steps": run.steps.1,
            "seconds": run.seconds,
            "figure": run.figure,
            "train_loss": run.history.iter().map(|record| record.train_loss).collect::<Vec<_>>(),
            "validation_loss": run.history.iter().map(|record| record.held_out_loss).collect::<Vec<_>>(),
            "validation_error": run.history.iter().map(|record| record.held_out_error_rate).collect::<Vec<_>>(),
        })
    };
    let (pretrained, random) = twins.spreads();
    json!({
        "figure": if twins.tells_classes { "error" } else { "squared_error_per_row" },
        "pretrained": { "spread": pretrained, "runs": twins.pretrained.iter().map(run).collect::<Vec<_>>() },
        "random": { "spread": random, "runs": twins.random.iter().map(run).collect::<Vec<_>>() },
        "answer": twins.answer(),
    })
}

/// A table with a line for each seed, and the answer.
pub fn print(twins: &Twins) -> anyhow::Result<()> {
    let contents = narrows::report::starts_of(twins, "this");
    output::table(&contents.header, &contents.rows)?;
    output::line(format!("\n{}\n", contents.answer))
}
