//! The multiply-adds that this machine can do at most, on one thread and on several, at every SIMD level.
//! `cargo run --release -p narrows-kernels --example peak -- [THREADS]`

use std::time::Instant;

use narrows_kernels::{Level, lockstep, measure};

const ROUNDS: usize = 20_000_000;

fn main() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let most = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(processors);
    for level in Level::available() {
        for threads in [1, most] {
            // The best of a few: what else the machine does can only slow it down.
            let best = (0..5)
                .map(|_| {
                    let start = Instant::now();
                    lockstep::run(threads, (), |member, _| {
                        std::hint::black_box(measure::multiply_adds(level, std::hint::black_box(ROUNDS)));
                        member.wait();
                    });
                    start.elapsed().as_secs_f64()
                })
                .fold(f64::INFINITY, f64::min);
            let (operations, _) = measure::multiply_adds(level, 1);
            let gflops = (operations * ROUNDS * threads) as f64 / best / 1e9;
            println!("{:>7} {threads} threads {gflops:>8.1} GFLOP/s", level.name());
        }
    }
}
