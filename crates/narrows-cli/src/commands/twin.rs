//! What `narrows fit --twin` says of networks from two kinds of start.

use narrows::experiments::random_baseline::{BaselineRun, RandomBaseline};
use serde_json::json;

use crate::output;

/// What the last line of JSON says of them.
pub fn json(twins: &RandomBaseline) -> serde_json::Value {
    let run = |run: &BaselineRun| {
        json!({
            "seed": run.seed,
            "pretraining_steps": run.steps.0,
            "steps": run.steps.1,
            "seconds": run.seconds,
            "figure": run.metric,
            "train_loss": run.history.iter().map(|record| record.train_loss).collect::<Vec<_>>(),
            "held_out_loss": run.history.iter().map(|record| record.held_out_loss).collect::<Vec<_>>(),
            "held_out_error_rate": run.history.iter().map(|record| record.held_out_error_rate).collect::<Vec<_>>(),
        })
    };
    let (pretrained, random) = twins.spreads();
    json!({
        "figure": if twins.is_classifier { "error" } else { "squared_error_per_row" },
        "pretrained": { "spread": pretrained, "runs": twins.pretrained.iter().map(run).collect::<Vec<_>>() },
        "random": { "spread": random, "runs": twins.random.iter().map(run).collect::<Vec<_>>() },
        "answer": twins.answer(),
    })
}

/// A table with a line for each seed, and the answer.
pub fn print(twins: &RandomBaseline) -> anyhow::Result<()> {
    let (header, rows) = twins.table("this");
    output::table(&header, &rows)?;
    output::line(format!("\n{}\n", twins.answer()))
}
