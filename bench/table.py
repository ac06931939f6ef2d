#!/usr/bin/env python3
"""The recipe `table` beside the PCA of the same code size, on tables of numbers: 5-fold cross-validation.

For each table and code size: the squared error per standardised number of rows that were not trained on, the mean over the folds
with its standard error, for the network and for the PCA, and the mean of the folds' ratios. The PCA is fitted to all training
rows; of the network's, some choose the best epoch. The test rows choose nothing. Needs Python 3.9 or later and no
package. A table is a CSV file of numbers whose last column is the class; `;` may separate. See README.md beside this file.
"""

import argparse
import json
import pathlib
import random
import re
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDS = 5


def read(path):
    """The numbers of a table without its first line and its last column."""
    lines = path.read_text().splitlines()[1:]
    return [[float(value) for value in re.split("[;,]", line)[:-1]] for line in lines if line]


def write(path, rows):
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    return path


def standardised(rows, others):
    """The other rows less the means of the rows, divided by their standard deviations."""
    columns = list(zip(*rows))
    means = [statistics.fmean(column) for column in columns]
    deviations = [statistics.stdev(column) or 1 for column in columns]
    return [[(x - m) / s for x, m, s in zip(row, means, deviations)] for row in others]


def fit_and_test(narrows, arguments, test):
    """The squared error per number on the test rows, and the seconds of the fit."""
    model = test.parent / "model.narrows"
    command = [narrows, "fit", *arguments, "--set", "scale=none", "--out", model, "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = subprocess.run([narrows, "evaluate", model, test, "--json"], check=True, capture_output=True, text=True)
    return json.loads(found.stdout.splitlines()[-1])["evaluation"]["mse"], json.loads(done[-1])["seconds"]


def mean(values):
    return statistics.mean(values), statistics.stdev(values) / len(values) ** 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=pathlib.Path, help="CSV files")
    parser.add_argument("--narrows", default=ROOT / "target/release/narrows", help="the program [target/release/narrows]")
    parser.add_argument("--codes", default="2,4", help="code sizes [2,4]")
    parser.add_argument("--rows", type=int, default=10**9, help="take at most so many rows of each table, at random [all]")
    parser.add_argument("--validation", type=float, default=0.15,
                        help="the share of the training rows by which the network chooses its best epoch [0.15]; with 0 the test "
                        "rows only watch, and train.keep must be last")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a setting of the recipe")
    arguments = parser.parse_args()
    print("| table | rows x columns | code | network | PCA | network / PCA | seconds |")
    print("|---|---|---|---|---|---|---|")
    for path in arguments.tables:
        rows = read(path)
        random.Random(0).shuffle(rows)
        rows = rows[: arguments.rows]
        for code in map(int, arguments.codes.split(",")):
            found = []
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                for fold in range(FOLDS):
                    known = [row for number, row in enumerate(rows) if number % FOLDS != fold]
                    test = write(folder / "test.csv", standardised(known, rows[fold::FOLDS]))
                    known = standardised(known, known)
                    cut = round(len(known) * arguments.validation)
                    training = write(folder / "training.csv", known[cut:])
                    validation = write(folder / "validation.csv", known[:cut]) if cut else test
                    size = ["--code-size", str(code)]
                    settings = [part for setting in arguments.set for part in ("--set", setting)]
                    network, seconds = fit_and_test(
                        arguments.narrows, ["table", training, "--held-out", validation, *size, *settings], test)
                    whole = write(folder / "whole.csv", known)
                    pca, _ = fit_and_test(arguments.narrows, ["pca", whole, "--held-out", test, *size], test)
                    found.append((network, pca, network / pca, seconds))
            *errors, seconds = zip(*found)
            cells = ["{:.4f} ± {:.4f}".format(*mean(values)) for values in errors]
            shape = f"{len(rows)} x {len(rows[0])}"
            print(f"| {path.stem} | {shape} | {code} | {' | '.join(cells)} | {statistics.median(seconds):.2f} |", flush=True)


if __name__ == "__main__":
    main()
