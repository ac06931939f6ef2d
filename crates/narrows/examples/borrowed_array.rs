//! A large array is fitted where it lies: what a PCA needs beside it does not grow with its rows.
//!
//! `cargo run --release --example borrowed_array -- 350000` fits an array of 1 GB. The peak of memory is known on Linux only.

use narrows::Pca;
use ndarray::{Array2, ArrayView2};

const WIDTH: usize = 784;
/// What a fit may take beside the array.
const MOST: usize = 100_000_000;

fn main() -> narrows::Result<()> {
    let rows = std::env::args().nth(1).map_or(20_000, |rows| rows.parse().expect("a number of rows"));
    // Two directions with weights that differ from row to row, and a little of everything else.
    let array = Array2::from_shape_fn((rows, WIDTH), |(row, column)| {
        let (a, b) = ((row % 101) as f32 / 50.0 - 1.0, (row % 37) as f32 / 36.0 - 0.5);
        let rest = (row * 31 + column * 17) % 64;
        a * (column % 2) as f32 + b * (column % 3) as f32 + rest as f32 / 1000.0
    });
    let bytes = array.len() * size_of::<f32>();
    let view: ArrayView2<f32> = array.view();

    let begun = std::time::Instant::now();
    let pca = Pca::fit(view, 2)?;
    let seconds = begun.elapsed().as_secs_f64();
    assert!(pca.explained_variance_ratio().iter().sum::<f64>() > 0.99);

    println!("{rows} x {WIDTH}, {:.1} MB: fitted in {seconds:.2} s", bytes as f64 / 1e6);
    let Some(peak) = peak_memory() else { return Ok(()) };
    let beside = peak.saturating_sub(bytes);
    println!("peak {:.1} MB, {:.1} MB of it beside the array", peak as f64 / 1e6, beside as f64 / 1e6);
    assert!(beside < MOST, "the fit takes {beside} bytes beside the array");
    Ok(())
}

/// The most memory that this process has had at once, in bytes, where the system tells (Linux).
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}
