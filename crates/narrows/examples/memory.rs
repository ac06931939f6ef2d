//! The memory that fits are told to take, beside what they take: the growth of the process's peak. For Linux.
//!
//! ```text
//! cargo run --release --example memory
//! ```

use narrows::data::Values;
use narrows::{FitOptions, HeldOut, Recipe, Shape, Table};

/// Recipe, rows, shape of a row, units or components of the code, rows of a batch, whether the numbers are in double precision.
type Case = (&'static str, usize, Shape, Option<usize>, usize, bool);

fn cases() -> Vec<Case> {
    let image = Shape::image(28, 28, 1);
    vec![
        ("pca", 1000, Shape::flat(6000), None, 0, false),
        ("pca", 3000, Shape::flat(1500), None, 0, true),
        ("linear", 3000, Shape::flat(1500), None, 128, false),
        ("single", 10_000, image, Some(4000), 128, false),
        ("single", 20_000, Shape::flat(800), None, 128, true),
        ("deep", 10_000, image, None, 9000, false),
        ("conv", 5000, image, None, 5000, false),
        ("conv", 500, Shape::image(96, 96, 3), None, 256, false),
        ("denoising", 2000, Shape::image(64, 64, 1), None, 128, false),
        ("vae", 10_000, image, None, 5000, false),
        ("stacked", 20_000, image, None, 128, false),
        ("single", 2000, Shape::flat(5000), Some(1000), 128, false),
    ]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Each fit has a process of its own, whose peak is that of the fit.
    if let Some(number) = std::env::args().nth(1) {
        return measure(cases()[number.parse::<usize>()?]);
    }
    for number in 0..cases().len() {
        let program = std::env::current_exe()?;
        std::process::Command::new(program).arg(number.to_string()).status()?;
    }
    Ok(())
}

fn measure((name, rows, shape, code_size, batch, is_double): Case) -> Result<(), Box<dyn std::error::Error>> {
    let mut recipe = Recipe::open(name)?;
    if name != "pca" {
        let epochs = if name == "linear" { 0 } else { 1 };
        recipe = recipe.with("train.epochs", epochs)?.with("train.batch_size", batch)?;
    }
    if name == "stacked" {
        recipe = recipe.with("pretrain.epochs", 1)?;
    }
    if let Some(size) = code_size {
        recipe = recipe.with("code_size", size)?;
    }
    // A generator of 64-bit numbers by Marsaglia: the rows need no more than to differ.
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut table = |rows: usize| {
        let count = rows * shape.len();
        let values = if is_double {
            Values::F64((0..count).map(|_| (next() >> 11) as f64 / (1u64 << 53) as f64).collect())
        } else {
            Values::U8((0..count).map(|_| (next() >> 56) as u8).collect())
        };
        Table::new(values, shape)
    };
    let (training, held_out) = (table(rows)?, table(rows / 10)?);
    let held_out = (&held_out).into();
    let before = peak().ok_or("no VmHWM in /proc/self/status")?;
    let options = FitOptions { held_out: HeldOut::Rows(&held_out), ..FitOptions::default() };
    let fit = narrows::fit(&recipe, &training, options)?;
    let used = (peak().unwrap_or(before) - before) / 1024.0;
    let told = fit.memory as f64 / f64::from(1 << 20);
    println!(
        "{name:10} {rows:6} rows of {shape:9} batch {batch:5}: told {told:7.1} MiB, used {used:7.1} MiB, ratio {:.2}",
        told / used
    );
    Ok(())
}

/// The largest resident set so far, in kB.
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
