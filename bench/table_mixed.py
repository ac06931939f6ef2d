#!/usr/bin/env python3
"""The recipe `table` beside the PCA of the same code size, on tables with names, categories, dates and gaps: 5-fold cross-validation.

The error of a column on rows that were not trained on: of numbers and dates the squared error of the reconstruction over that of the
training mean, of texts the share of wrong texts over that of the commonest one; a table's error is the mean over its columns. Of the
network's training rows some choose the best epoch; the test rows choose nothing. Cells that are missing do not count. Needs Python
3.9 or later and no package. See README.md beside this file.
"""

import argparse
import collections
import csv
import datetime
import pathlib
import random
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDS = 5


def value(cell):
    """A number, a date as a number, or a text; None where it is missing."""
    if cell in ("", "NA"):
        return None
    try:
        return float(cell)
    except ValueError:
        pass
    try:
        return float(datetime.date.fromisoformat(cell).toordinal())
    except ValueError:
        return cell


def write(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def error(train, test, rebuilt):
    """The error of one column."""
    known = [cell for cell in map(value, train) if cell is not None]
    pairs = [(value(a), value(b)) for a, b in zip(test, rebuilt)]
    pairs = [(a, b) for a, b in pairs if a is not None]
    if all(isinstance(cell, float) for cell in known) and len(set(known)) > 2:
        mean = statistics.fmean(known)
        return sum((a - b) ** 2 for a, b in pairs) / sum((a - mean) ** 2 for a, _ in pairs)
    commonest = collections.Counter(known).most_common(1)[0][0]
    return sum(a != b for a, b in pairs) / max(1, sum(a != commonest for a, _ in pairs))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=pathlib.Path, help="CSV files with a header")
    parser.add_argument("--narrows", default=ROOT / "target/release/narrows", help="the program [target/release/narrows]")
    parser.add_argument("--codes", default="2,4", help="code sizes [2,4]")
    arguments = parser.parse_args()
    print("| table | rows | code | network | PCA | network / PCA |\n|---|---|---|---|---|---|")
    for path in arguments.tables:
        header, *rows = list(csv.reader(open(path, newline="")))
        random.Random(0).shuffle(rows)
        for code in arguments.codes.split(","):
            found = []
            with tempfile.TemporaryDirectory() as folder:
                folder = pathlib.Path(folder)
                for fold in range(FOLDS):
                    known = [row for number, row in enumerate(rows) if number % FOLDS != fold]
                    cut = round(len(known) * 0.15)
                    whole = write(folder / "whole.csv", header, known)
                    training = write(folder / "training.csv", header, known[cut:])
                    choosing = write(folder / "choosing.csv", header, known[:cut])
                    test = write(folder / "test.csv", header, rows[fold::FOLDS])
                    errors = []
                    for recipe, data, held_out in [("table", training, choosing), ("pca", whole, test)]:
                        model, out = folder / "model.narrows", folder / "out.csv"
                        run = [arguments.narrows, "fit", recipe, data, "--held-out", held_out, "--code-size", code]
                        subprocess.run([*run, "--out", model, "--report", folder / "report", "--json"], check=True, capture_output=True)
                        subprocess.run([arguments.narrows, "reconstruct", model, test, "--out", out], check=True, capture_output=True)
                        names, *rebuilt = list(csv.reader(open(out, newline="")))
                        columns = [(header.index(name), at) for at, name in enumerate(names) if name in header]
                        of_column = [
                            error([row[a] for row in known], [row[a] for row in rows[fold::FOLDS]], [row[b] for row in rebuilt])
                            for a, b in columns
                            if [row[a] for row in rows[fold::FOLDS]] != [row[b] for row in rebuilt] or len({row[a] for row in known}) < len(known)
                        ]
                        errors.append(statistics.fmean(of_column))
                    found.append((*errors, errors[0] / errors[1]))
            cells = [f"{statistics.mean(v):.3f} ± {statistics.stdev(v) / FOLDS**0.5:.3f}" for v in zip(*found)]
            print(f"| {path.stem} | {len(rows)} | {code} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
