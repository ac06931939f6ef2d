//! Rows of your own: made when they are asked for, or from an array.

use std::f64::consts::TAU;

use narrows::data::{Dataset, Element, Shape, Source};
use narrows::{FitOptions, HeldOut, Recipe};
use ndarray::Array2;

/// Sine waves of one frequency, each of another height and phase, sampled at `samples` points. No row is ever stored.
struct Waves {
    count: usize,
    samples: usize,
}

fn value(height: f64, phase: f64, sample: usize, samples: usize) -> f64 {
    height * (TAU * sample as f64 / samples as f64 + phase).sin()
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
        for (row, out) in (first..).zip(out.chunks_exact_mut(self.samples)) {
            let (height, phase) = (1.0 + (row % 7) as f64, row as f64 * 0.37);
            for (sample, out) in out.iter_mut().enumerate() {
                *out = value(height, phase, sample, self.samples);
            }
        }
        Ok(())
    }
}

fn main() -> narrows::Result<()> {
    let waves = Waves { count: 1_000, samples: 50 };

    // The held-out rows are an array: 3 waves that are not among those.
    let others = [(2.0, 0.1), (5.5, 0.2), (0.3, 0.3)];
    let others = Array2::from_shape_fn((3, 50), |(row, sample)| {
        let (height, phase) = others[row];
        value(height, phase, sample, 50)
    });

    // a sin(x + p) = a cos(p) sin(x) + a sin(p) cos(x): two numbers say all there is to say about such a wave.
    let held_out = Dataset::from(&others);
    let options = FitOptions { held_out: HeldOut::Rows(&held_out), ..FitOptions::default() };
    let fit = narrows::fit(&Recipe::pca(2), &waves as &dyn Source, options)?;
    println!("{}", fit.verdict());
    let summary = fit.summary().and_then(|summary| summary.reconstruction()).expect("a PCA reconstructs");
    assert!(summary.evaluation.explained_variance > 1.0 - 1e-9);
    Ok(())
}
