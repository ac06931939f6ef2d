//! The peak multiply-add throughput of this machine, on one thread and on several, at every SIMD level: the upper bound
//! for every other kernel. `cargo run --release -p narrows-kernels --example peak -- [THREADS]`

// The SIMD abstraction is private to the crate, so the example compiles its source as a module of its own.
#[allow(dead_code, unused_imports, unused_macros)]
#[path = "../src/simd/mod.rs"]
mod simd;

use std::hint::black_box;
use std::time::Instant;

use narrows_kernels::team;
use simd::{Lanes, Level, Simd, dispatch};

const ROUNDS: usize = 20_000_000;

/// Independent chains of multiply-adds: more than the processor has in flight.
const CHAINS: usize = 12;

fn main() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let most = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(processors);
    for level in Level::available() {
        for threads in [1, most] {
            // The best of five: other load on the machine can only slow it down.
            let best = (0..5)
                .map(|_| {
                    let start = Instant::now();
                    team::run(threads, (), |worker, _| {
                        black_box(multiply_adds(level, black_box(ROUNDS)));
                        worker.wait();
                    })
                    .expect("the system starts threads");
                    start.elapsed().as_secs_f64()
                })
                .fold(f64::INFINITY, f64::min);
            let (operations, _) = multiply_adds(level, 1);
            let gflops = (operations * ROUNDS * threads) as f64 / best / 1e9;
            println!("{:>7} {threads} threads {gflops:>8.1} GFLOP/s", level.name());
        }
    }
}

/// Runs `rounds` rounds of independent multiply-adds in registers, without memory accesses. Returns the number of
/// floating-point operations (a multiplication and an addition each), and the sum of the chains, so that the compiler
/// keeps them.
fn multiply_adds(level: Level, rounds: usize) -> (usize, f32) {
    #[inline(always)]
    fn run<S: Simd>(s: S, rounds: usize) -> (usize, f32) {
        // Opaque to the compiler, which would otherwise compute one chain instead of all, or none.
        let (factor, term) = black_box((s.constant(0.999_9), s.constant(1e-4)));
        let mut sums = black_box([s.constant(1.0); CHAINS]);
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = s.mul_add(*sum, factor, term);
            }
        }
        let all = black_box(sums).into_iter().fold(s.constant(0.0), |all, sum| s.add(all, sum));
        (2 * CHAINS * <S as Lanes<f32>>::COUNT * rounds, s.sum(all))
    }
    dispatch!(level, s => run(s, rounds))
}
