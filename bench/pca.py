#!/usr/bin/env python3
"""PCA of MNIST's 60,000 training images with 32 components, and their codes: Narrows and other libraries in alternation.

Needs a Python with numpy and scikit-learn; scikit-learn-intelex, faiss and torch take part where they are installed. Each is
timed on rows in memory: starting the program, reading and writing files are not in it. Narrows is measured from bytes and
from numbers in single precision, the others from single precision, which they need. See README.md beside this file.
"""

import argparse
import datetime
import gzip
import json
import os
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

from run import ROOT, peak, processor, revision, write_record

COMPONENTS = 32


def fits(images, threads):
    """What fits a PCA: name, whether it is exact, work."""
    from sklearn.decomposition import PCA

    yield "scikit-learn covariance_eigh", True, lambda: PCA(COMPONENTS, svd_solver="covariance_eigh").fit(images)
    yield "scikit-learn randomized", False, lambda: PCA(COMPONENTS, svd_solver="randomized", random_state=0).fit(images)
    try:
        from sklearnex.decomposition import PCA as OneDal

        yield "scikit-learn-intelex", True, lambda: OneDal(COMPONENTS, svd_solver="covariance_eigh").fit(images)
    except ImportError:
        pass
    try:
        import faiss

        faiss.omp_set_num_threads(threads)
        yield "faiss PCAMatrix", True, lambda: faiss.PCAMatrix(images.shape[1], COMPONENTS).train(images)
    except ImportError:
        pass
    try:
        import torch

        torch.set_num_threads(threads)
        rows = torch.from_numpy(images)
        yield "torch pca_lowrank", False, lambda: torch.pca_lowrank(rows, COMPONENTS)
    except ImportError:
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--narrows", default=ROOT / "target/release/narrows", help="the program [target/release/narrows]")
    parser.add_argument("--peak", type=pathlib.Path, default=ROOT / "target/release/examples/peak",
                        help="the program that measures the machine [target/release/examples/peak]")
    parser.add_argument("--data", required=True, type=pathlib.Path, help="the folder of MNIST")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)

    import numpy
    from sklearn.decomposition import PCA

    packed = gzip.open(options.data / "train-images-idx3-ubyte.gz").read()
    pixels = numpy.frombuffer(packed, numpy.uint8)[16:].reshape(-1, 784)
    images = pixels.astype("f4") / 255
    record = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": f"{processor()}, {options.threads} threads",
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "revision": revision(),
        "rounds": options.rounds,
        "components": COMPONENTS,
        "peak_gflops": peak(options),
    }

    def timed(work):
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    with tempfile.TemporaryDirectory() as folder:
        numpy.save(f"{folder}/bytes.npy", pixels)
        numpy.save(f"{folder}/single.npy", images)

        def run(*arguments):
            return subprocess.run([str(options.narrows), *arguments, "--threads", str(options.threads)], check=True,
                                  capture_output=True, text=True)

        def narrows_fit(rows):
            model = pathlib.Path(folder, f"{rows}.narrows")
            model.unlink(missing_ok=True)
            done = run("fit", "pca", f"{folder}/{rows}.npy", "--code-size", str(COMPONENTS), "--held-out", f"{folder}/{rows}.npy", "--out",
                       str(model), "--report", f"{folder}/{rows}", "--json")
            lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
            return next(line["seconds"] for line in lines if line["event"] == "fit")

        def narrows_encode(rows):
            codes = pathlib.Path(folder, "codes.npy")
            codes.unlink(missing_ok=True)
            done = run("encode", f"{folder}/{rows}.npy".replace(".npy", ".narrows"), f"{folder}/{rows}.npy", "--out", str(codes))
            return float(re.search(r"computed in ([0-9.]+) s", done.stderr)[1])

        fitted = PCA(COMPONENTS, svd_solver="covariance_eigh").fit(images)
        ways = {
            "fit": {
                "Narrows, bytes": (True, lambda: narrows_fit("bytes")),
                "Narrows, single precision": (True, lambda: narrows_fit("single")),
                **{name: (exact, lambda work=work: timed(work)) for name, exact, work in fits(images, options.threads)},
            },
            "encode": {
                "Narrows, bytes": (True, lambda: narrows_encode("bytes")),
                "Narrows, single precision": (True, lambda: narrows_encode("single")),
                "scikit-learn transform": (True, lambda: timed(lambda: fitted.transform(images))),
            },
        }
        for task, these in ways.items():
            seconds = {name: [] for name in these}
            for _ in range(options.rounds):
                for name, (_, work) in these.items():
                    seconds[name].append(work())
            medians = {name: statistics.median(all) for name, all in seconds.items()}
            peers = [medians[name] for name, (exact, _) in these.items() if exact and not name.startswith("Narrows")]
            record[task] = {"seconds": seconds, "median_seconds": medians, "fastest_exact_peer": min(peers)}
            print(f"\n| {task} | seconds, median of {options.rounds} | fastest exact peer / it |\n|---|---|---|")
            for name, (exact, _) in these.items():
                kind = "" if exact else " (approximate)"
                print(f"| {name}{kind} | {medians[name]:.3f} | {min(peers) / medians[name]:.2f} |")
    write_record(record)


if __name__ == "__main__":
    main()
