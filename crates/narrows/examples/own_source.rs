//! Rows of your own: from a `Vec`, or made when they are asked for.

use std::f64::consts::TAU;
use std::ops::ControlFlow;
use std::sync::Arc;

use narrows::compute::Compute;
use narrows::data::{Dataset, Element, Shape, Source, Table, Values};
use narrows::fit::fit;
use narrows::recipe::file::Recipe;

/// Sine waves of one frequency, each of another height and phase, sampled at `samples` points. No row is ever stored.
struct Waves {
    count: usize,
    samples: usize,
}

impl Waves {
    fn value(&self, row: usize, sample: usize) -> f64 {
        let (height, phase) = (1.0 + (row % 7) as f64, row as f64 * 0.37);
        height * (TAU * sample as f64 / self.samples as f64 + phase).sin()
    }
}

impl Source for Waves {
    fn rows(&self) -> usize {
        self.count
    }

    fn shape(&self) -> Shape {
        Shape::flat(self.samples)
    }

    fn element(&self) -> Element {
        Element::F64
    }

    fn read_f64(&self, first: usize, out: &mut [f64]) -> narrows::Result<()> {
        for (row, out) in (first..self.count).zip(out.chunks_exact_mut(self.samples)) {
            out.iter_mut().enumerate().for_each(|(sample, out)| *out = self.value(row, sample));
        }
        Ok(())
    }
}

fn dataset(name: &str, rows: impl Source + 'static) -> Dataset<'static> {
    Dataset::new(name, Arc::new(rows))
}

fn main() -> narrows::Result<()> {
    let training = dataset("waves", Waves { count: 1_000, samples: 50 });

    // The rows to judge by come from a vector: 3 waves that were not among those.
    let waves = [(2.0, 0.1), (5.5, 0.2), (0.3, 0.3)];
    let values = waves.iter().flat_map(|&(height, phase): &(f64, f64)| {
        (0..50).map(move |sample| height * (TAU * f64::from(sample) / 50.0 + phase).sin())
    });
    let held_out = dataset("three waves", Table::new(Values::F64(values.collect()), Shape::flat(50))?);

    // a sin(x + p) = a cos(p) sin(x) + a sin(p) cos(x): two numbers say all there is to say about such a wave.
    let mut recipe = Recipe::open("pca")?;
    recipe.set("code_size=2")?;
    let fit =
        fit(&recipe.spec()?, &training, &held_out, Compute::new(None), &mut |_| ControlFlow::Continue(()))?;
    println!("{}", fit.summary().verdict);
    assert!(fit.summary().evaluation.explained_variance > 1.0 - 1e-9);
    Ok(())
}
