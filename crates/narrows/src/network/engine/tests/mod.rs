//! Tests of the engine; here the networks and rows that they share.

mod footprint;
mod gradients;
mod steps;

use crate::data::Shape;
use crate::network::plan::Plan;
use crate::recipe::{Recipe, RecipeFile};

fn network(encoder: &str, decoder: &str, loss: &str, shape: Shape) -> Plan {
    let text = format!("method='autoencoder'\nloss='{loss}'\nencoder=[{encoder}]\ndecoder=[{decoder}]");
    let Recipe::Autoencoder(spec) = RecipeFile::parse("test", "test", &text).unwrap().recipe().unwrap()
    else {
        panic!()
    };
    Plan::new(&spec, shape).unwrap()
}

/// Rows of probabilities: in 0..1, each row's sum 1.
fn rows(count: usize, width: usize) -> Vec<f32> {
    (0..count)
        .flat_map(|i| {
            let row: Vec<f32> = (0..width).map(|j| ((i * 37 + j * 11) % 17) as f32 + 0.5).collect();
            let sum: f32 = row.iter().sum();
            row.into_iter().map(move |value| value / sum).collect::<Vec<_>>()
        })
        .collect()
}
