#!/usr/bin/env python3
"""Missing values, planted in whole tables and filled: Narrows (probabilistic PCA), scikit-learn, and the means of columns.

Numbers are taken away completely at random. The error of a method is the root of the mean squared difference from what was taken
away, in standard deviations of the columns, with its mean and standard error over seeds. Needs a Python with numpy and
scikit-learn, and the example `impute` (cargo build --release -p narrows --example impute). See README.md beside this file.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time
import warnings

import numpy

from run import ROOT


def tables():
    """Complete tables: name, numbers."""
    from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine

    for name, load in [("iris", load_iris), ("wine", load_wine), ("diabetes", load_diabetes), ("breast cancer", load_breast_cancer)]:
        yield name, load().data


def planted(table, share, seed):
    """A copy in which a share of the numbers is missing; each row keeps one, and each column two."""
    random = numpy.random.default_rng(seed)
    gaps = random.random(table.shape) < share
    gaps[gaps.all(axis=1), 0] = False
    gaps[:2] = False
    return numpy.where(gaps, numpy.nan, table)


def standardised(rows, work):
    """What `work` fills rows with, which it gets with columns of mean 0 and deviation 1, as far as they are known."""
    mean, deviation = numpy.nanmean(rows, axis=0), numpy.nanstd(rows, axis=0, ddof=1)
    return work((rows - mean) / deviation) * deviation + mean


def narrows(program, rows, components):
    """Filled rows, and what the program says of its fit."""
    with tempfile.TemporaryDirectory() as folder:
        given, filled = pathlib.Path(folder, "rows"), pathlib.Path(folder, "filled")
        rows.astype("<f8").tofile(given)
        command = [program, given, str(rows.shape[1]), str(components), filled]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return numpy.fromfile(filled, "<f8").reshape(rows.shape), json.loads(done.stdout or "{}")


def methods(program):
    """What fills rows: name, work."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer

    yield "means of columns", lambda rows: numpy.where(numpy.isnan(rows), numpy.nanmean(rows, axis=0), rows)
    for components in (2, 4):
        yield f"Narrows, PCA-{components}", lambda rows, k=components: narrows(program, rows, k)[0]
    yield "Narrows, PCA, all components", lambda rows: narrows(program, rows, 0)[0]
    yield "KNNImputer", lambda rows: standardised(rows, KNNImputer().fit_transform)
    yield "IterativeImputer", lambda rows: standardised(rows, IterativeImputer(random_state=0).fit_transform)


def errors(options):
    """Prints a table of errors."""
    shares = [float(share) for share in options.shares]
    print("| table | method | " + " | ".join(f"{share:.0%} missing" for share in shares) + " | seconds |")
    print("|---|---|" + "---|" * (len(shares) + 1))
    for name, table in tables():
        deviation = table.std(axis=0, ddof=1)
        for method, work in methods(options.program):
            cells, seconds = [], 0.0
            for share in shares:
                found = []
                for seed in range(options.seeds):
                    rows = planted(table, share, seed)
                    started = time.perf_counter()
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # the iterative imputer says where it has not converged
                        filled = work(rows)
                    seconds += time.perf_counter() - started
                    gaps = numpy.isnan(rows)
                    assert (filled[~gaps] == rows[~gaps]).all() or "Imputer" in method  # observed numbers are kept
                    found.append(float(numpy.sqrt((((filled - table) / deviation)[gaps] ** 2).mean())))
                cells.append(f"{statistics.mean(found):.3f} ± {statistics.stdev(found) / len(found) ** 0.5:.3f}")
            print(f"| {name} {table.shape[0]} x {table.shape[1]} | {method} | " + " | ".join(cells)
                  + f" | {seconds / len(shares) / options.seeds:.3f} |", flush=True)


def many_rows(options):
    """Prints the seconds for many rows of a few factors."""
    random = numpy.random.default_rng(0)
    n, d, k = options.rows, 20, 5
    table = random.standard_normal((n, k)) @ random.standard_normal((k, d)) + 0.3 * random.standard_normal((n, d))
    rows = planted(table, 0.05, 0)
    filled, fit = narrows(options.program, rows, k)
    error = numpy.sqrt((((filled - table) / table.std(axis=0))[numpy.isnan(rows)] ** 2).mean())
    print(f"\n{n} x {d}, 5 % missing, PCA-{k}: fit {fit['fit_seconds']:.2f} s ({fit['sweeps']} sweeps, {fit['patterns']} patterns), "
          f"filling {fit['impute_seconds']:.2f} s, error {error:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/examples/impute",
                        help="the example `impute` [target/release/examples/impute]")
    parser.add_argument("--shares", nargs="+", default=[0.05, 0.2, 0.4], help="what is taken away [0.05 0.2 0.4]")
    parser.add_argument("--seeds", type=int, default=5, help="[5]")
    parser.add_argument("--rows", type=int, default=0, help="rows of a large table whose seconds are measured [none]")
    options = parser.parse_args()
    errors(options)
    if options.rows:
        many_rows(options)


if __name__ == "__main__":
    main()
