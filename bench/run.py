#!/usr/bin/env python3
"""Seconds per epoch of Narrows and of other libraries, in alternation on this machine. See README.md beside this file."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROWS = 60_000

# The widths of the dense layers, from the input to the output.
WIDTHS = {
    "single": [784, 32, 784],
    "deep": [784, 128, 64, 32, 64, 128, 784],
    "wide": [784, 1000, 500, 250, 30, 250, 500, 1000, 784],
}

# The 3 x 3 convolutions: pixels of the output, channels in, channels out.
CONVOLUTIONS = {
    "conv": [(784, 1, 16), (196, 16, 8), (49, 8, 8), (16, 8, 8), (64, 8, 8), (196, 8, 16), (784, 16, 1)],
    "denoising": [(784, 1, 32), (196, 32, 32), (49, 32, 32), (196, 32, 32), (784, 32, 1)],
}

MODELS = [*WIDTHS, *CONVOLUTIONS]

# The same batch for all.
BATCH = {"single": 128, "deep": 128, "wide": 256, "conv": 256, "denoising": 128}

# A recipe that is not built in, and its peers: they have Adam, at batches of 128 and of 256.
WIDE = ROOT / "bench/wide.toml"
WIDE_PEERS = ROOT / "bench/wide_peers.py"


def operations_per_row(model):
    """Multiplications and additions of one training row: forward, weight gradients, input gradients.

    By the direct algorithm, each takes two per weight and place, 6 in all; the first layer needs no gradient of its input,
    which saves 2 of each of its.
    """
    if model in WIDTHS:
        layers = [a * b for a, b in zip(WIDTHS[model], WIDTHS[model][1:])]
    else:
        layers = [places * 9 * inputs * outputs for places, inputs, outputs in CONVOLUTIONS[model]]
    return 6 * sum(layers) - 2 * layers[0]


def peak(options):
    """The multiply-adds that the machine can do at most on these threads, in GFLOP/s: the best SIMD level's."""
    if not options.peak.exists():
        return None
    done = subprocess.run([options.peak, str(options.threads)], capture_output=True, text=True, check=True)
    return max(float(line.split()[-2]) for line in done.stdout.splitlines() if f" {options.threads} threads" in line)


def run(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def narrows(options, model):
    """The median over the epochs of one run, and the run's last line."""
    with tempfile.TemporaryDirectory() as folder:
        lines = run([options.narrows, "fit", WIDE if model == "wide" else model, "mnist", "--epochs", options.epochs, "--threads",
                     options.threads, "--out", f"{folder}/model.narrows", "--report", folder, "--json",
                     "--set", f"train.precision={options.precision}"])
    seconds = [line["seconds"] for line in lines if line["event"] == "epoch"]
    return statistics.median(seconds), lines[-1]


def peer(options, name, model):
    """The median over the epochs of one run. `torch@128` is torch with batches of 128."""
    name, _, batch = name.partition("@")
    script = WIDE_PEERS if model == "wide" else options.peers
    command = [options.python, script, name, model, "--epochs", options.epochs, "--threads", options.threads,
               "--batch", batch or BATCH[model], "--images", options.images]
    return run(command + (["--data", options.data] if options.data else []))[-1]["seconds_per_epoch"]


def processor():
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
        return f"{names[0]}, {len(names)} processors"
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def revision():
    done = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def write_record(record):
    records = ROOT / "bench/records"
    records.mkdir(exist_ok=True)
    path = records / f"{record['date'][:19].replace(':', '')}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"wrote {path.relative_to(ROOT)}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--narrows", default=ROOT / "target/release/narrows", help="the program [target/release/narrows]")
    parser.add_argument("--peak", type=pathlib.Path, default=ROOT / "target/release/examples/peak",
                        help="the program that measures the machine [target/release/examples/peak]")
    parser.add_argument("--images", type=int, default=ROWS, help="how many images the peers train on, where all take too long; "
                        "their seconds are for 60,000 all the same")
    parser.add_argument("--peers", help="the peers' script: PEERS PEER MODEL --epochs N --threads T prints one JSON line")
    parser.add_argument("--python", default=sys.executable, help="the Python that has the peers' libraries")
    parser.add_argument("--data", help="the folder of MNIST for the peers' script")
    parser.add_argument("--peer", nargs="+", default=["torch", "torch-compiled", "keras-jax"], help="peers to run; torch@128: with batches of 128")
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16"], help="the precision of Narrows' products [f32]")
    parser.add_argument("--model", nargs="+", default=MODELS, choices=MODELS, help="networks to train")
    parser.add_argument("--rounds", type=int, default=5, help="how often all are run in turn [5]")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of one run [3]")
    parser.add_argument("--threads", type=int, default=2, help="threads of each [2]")
    options = parser.parse_args()
    peers = options.peer if options.peers else []

    machine = f"{processor()}, {options.threads} threads"
    record = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine,
        "threads": options.threads,
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "revision": revision(),
        "rounds": options.rounds,
        "epochs": options.epochs,
        "precision": options.precision,
        "rows": ROWS,
        "images_of_peers": options.images,
        "peak_gflops": peak(options),  # the best of all rounds: what else the machine does can only lower it
        "models": {},
    }
    for model in options.model:
        seconds = {name: [] for name in ["narrows", *peers]}
        for turn in range(options.rounds):
            record["peak_gflops"] = record["peak_gflops"] and max(record["peak_gflops"], peak(options))
            one, done = narrows(options, model)
            seconds["narrows"].append(one)
            for name in peers:
                seconds[name].append(peer(options, name, model))
            print(f"{model}, round {turn + 1}: " + ", ".join(f"{name} {s[-1]:.4f} s" for name, s in seconds.items()),
                  file=sys.stderr)
        medians = {name: statistics.median(s) for name, s in seconds.items()}
        operations = operations_per_row(model) * ROWS
        fastest = min((medians[name] for name in peers), default=None)
        record["simd"] = done["simd"]
        record["models"][model] = {
            "seconds_per_epoch": seconds,
            "median_seconds_per_epoch": medians,
            "operations_per_epoch": operations,
            "narrows_gflops": operations / medians["narrows"] / 1e9,
            "narrows_share_of_peak": record["peak_gflops"] and operations / medians["narrows"] / 1e9 / record["peak_gflops"],
            "narrows_images_per_second": ROWS / medians["narrows"],
            "fastest_peer_to_narrows": fastest and fastest / medians["narrows"],
        }

    at_most = f", at most {record['peak_gflops']:.0f} GFLOP/s" if record["peak_gflops"] else ""
    print(f"Seconds per epoch of 60,000 images, median of {options.rounds} rounds. {machine}, {record['simd']}{at_most}.\n")
    print("| network | Narrows | " + "".join(f"{name} | " for name in peers) + "fastest peer / Narrows | GFLOP/s of Narrows | share of peak |")
    print("|---|" + "---|" * (len(peers) + 4))
    for model, found in record["models"].items():
        cells = [f"{found['median_seconds_per_epoch'][name]:.3f}" for name in ["narrows", *peers]]
        ratio = found["fastest_peer_to_narrows"]
        cells += [f"{ratio:.1f}" if ratio else "", f"{found['narrows_gflops']:.0f}"]
        share = found["narrows_share_of_peak"]
        cells.append(f"{share * 100:.0f} %" if share else "")
        print(f"| {model} | " + " | ".join(cells) + " |")

    write_record(record)


if __name__ == "__main__":
    main()
