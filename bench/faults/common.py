"""What the scripts of this folder share: running a binary with time limits, the fits that are disturbed, resuming a run
until it is done, tables and records."""

import argparse
import concurrent.futures
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = "m.narrows"
REPORT = "report"

# Rust's exit code of a panic.
PANIC = 101


# ---------------------------------------------------------------------------------------------------------- arguments


def parser(description):
    """The options that every script has."""
    # Ended from outside, a script still takes its folders, mounts and cgroups away.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--binary", required=True, type=Path, help="the binary `narrows` that is measured")
    found.add_argument("--json", type=Path, metavar="FILE", help="write a record of every case")
    found.add_argument("--timeout", type=float, default=60, help="seconds that one run may take [60]")
    found.add_argument("--jobs", type=int, default=2, help="cases at a time [2]")
    found.add_argument("--temp", type=Path, help="folder for temporary files [the system's]")
    return found


@contextlib.contextmanager
def private_folder(parent=None):
    """A folder of this process alone, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="narrows-faults-", dir=parent)).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_parallel(function, cases, jobs):
    """Applies a function to the cases, in threads (each waits for its processes), and gives results in order."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        try:
            return list(pool.map(function, cases))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


# ------------------------------------------------------------------------------------------------------------ running


class Outcome:
    """How a process ended."""

    def __init__(self, code, stdout, stderr, seconds, timed_out):
        self.code, self.stdout, self.stderr = code, stdout, stderr
        self.seconds, self.timed_out = seconds, timed_out

    @property
    def ok(self):
        return self.code == 0 and not self.timed_out

    @property
    def panicked(self):
        return self.code == PANIC or "panicked at" in self.stderr

    @property
    def died(self):
        """Whether it ended by a signal, a panic or the time limit, and not by a decision of its own."""
        return self.timed_out or self.panicked or self.code < 0

    def end(self):
        """The end in a word or two."""
        if self.timed_out:
            return "time-out"
        if self.code < 0:
            return signal.Signals(-self.code).name
        return f"panic {self.code}" if self.panicked else f"exit {self.code}"

    def message(self):
        """The line of standard error that says most: an error, a panic, or else the last."""
        lines = [line for line in self.stderr.strip().splitlines() if line.strip()]
        for mark in ("error", "thread ", "memory allocation"):
            found = [line for line in lines if line.startswith(mark)]
            if found:
                return found[0][:300]
        return lines[-1][:300] if lines else ""

    def errors(self):
        """The lines of standard error that begin with `error`."""
        return [line for line in self.stderr.splitlines() if line.startswith("error")]

    def record(self):
        return {"end": self.end(), "seconds": round(self.seconds, 3), "message": self.message()}


def start(command, folder, environment=None, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
          stderr=subprocess.PIPE, setup=None):
    """Starts a process in a session of its own, so that it can be ended with its children and nothing else."""
    return subprocess.Popen([os.fspath(part) for part in command], cwd=folder, stdin=stdin, stdout=stdout,
                            stderr=stderr, env={**os.environ, **(environment or {})}, start_new_session=True,
                            preexec_fn=setup)


def end_session(process):
    """Kills a process that `start` started, and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def finish(process, began, timeout):
    """Waits for a process and collects its output; after the time limit it is killed."""
    timed_out = False
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
        end_session(process)
        stdout, stderr = process.communicate()
    except BaseException:
        end_session(process)
        process.wait()
        raise
    text = lambda output: (output or b"").decode(errors="replace")
    return Outcome(process.returncode, text(stdout), text(stderr), time.monotonic() - began, timed_out)


def wait(process, seconds):
    """Waits so long, or until the process ends; whether it has ended."""
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False


def run(command, folder, timeout=60, **options):
    """Runs a command to its end or its time limit."""
    began = time.monotonic()
    return finish(start(command, folder, **options), began, timeout)


class Binary:
    """A binary `narrows` and what it can do."""

    def __init__(self, path, timeout=60):
        self.path, self.timeout = path.resolve(), timeout
        if not os.access(self.path, os.X_OK):
            sys.exit(f"{path}: there is no program")
        self.version = self("--version").stdout.strip()
        shown = self("show", "single", "--set", "train.checkpoint=0")
        self.has_checkpoint_field = shown.ok
        self.resumes_comparisons = "--resume" in self("compare", "--help").stdout
        self.resumes_reproductions = "--resume" in self("reproduce", "--help").stdout

    def __call__(self, *arguments, folder="/tmp", timeout=None, **options):
        return run([self.path, *arguments], folder, timeout or self.timeout, **options)

    def opens(self, model):
        """Whether a model file is whole."""
        return self("show", model, folder=Path(model).parent).ok

    def every_epoch(self):
        """The options that ask for a checkpoint after every epoch, where the binary knows them."""
        return ["--set", "train.checkpoint=0"] if self.has_checkpoint_field else []

    def record(self):
        return {"version": self.version, "sha256": hashlib.sha256(self.path.read_bytes()).hexdigest()[:16],
                "checkpoint_field": self.has_checkpoint_field, "compare_resume": self.resumes_comparisons,
                "reproduce_resume": self.resumes_reproductions}


CLOCK = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
/* Time since the first question runs ten million times as fast. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    static struct timespec first;
    static int asked;
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (failed || clock != CLOCK_MONOTONIC) return failed;
    if (!asked) { first = *now; asked = 1; }
    __int128 passed = (now->tv_sec - first.tv_sec) * (__int128)1000000000 + now->tv_nsec - first.tv_nsec;
    passed *= 10000000;
    now->tv_sec = first.tv_sec + passed / 1000000000;
    now->tv_nsec = passed % 1000000000;
    return 0;
}
"""


def fast_clock(binary, folder):
    """Environment in which a binary without `train.checkpoint` writes a checkpoint after every epoch all the same: a library
    in front of the C library lets its clock run fast. Empty where it is not needed or there is no C compiler."""
    if binary.has_checkpoint_field:
        return {}
    if shutil.which("cc") is None:
        print("note: no C compiler, so that the binary's checkpoints stay a minute apart", file=sys.stderr)
        return {}
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return {"LD_PRELOAD": str(library)}


# --------------------------------------------------------------------------------------------------------------- fits


class Fit:
    """A command that is disturbed and taken up again."""

    def __init__(self, name, *arguments, comparison=False, more_than_model=False, trained=True):
        self.name, self.arguments = name, list(arguments)
        self.comparison = comparison
        # Whether work goes on after the model is written that --resume should take up.
        self.more_than_model = more_than_model or comparison
        # Whether the binary's option for checkpoints applies.
        self.trained = trained

    def command(self, binary, resume=False):
        found = [binary.path, *self.arguments, "--report", REPORT, "--json", "--threads", "2"]
        if self.trained:
            found += binary.every_epoch()
        if not self.comparison:
            found += ["--out", MODEL]
        if resume:
            found.append("--resume")
        return found

    def can_resume(self, binary):
        return binary.resumes_comparisons if self.comparison else self.trained


SCALED = ["--set", "scale=min_max"]
PRETRAINED = ["--set", "pretrain.epochs=3"]


def short_fits():
    """Fits of a tenth of a second, of every kind."""
    return [
        Fit("pca", "fit", "pca", "iris", "--code-size", "2", trained=False),
        Fit("single", "fit", "single", "iris", *SCALED, "--epochs", "4"),
        Fit("stacked", "fit", "stacked", "iris", *SCALED, *PRETRAINED, "--layers", "4-8-3", "--epochs", "3"),
        Fit("classifier", "fit", "classifier", "iris", *PRETRAINED, "--layers", "4-16-8-3", "--epochs", "3"),
        Fit("random baseline", "fit", "stacked", "iris", *SCALED, *PRETRAINED, "--layers", "4-8-3", "--epochs", "2",
            "--random-baseline", more_than_model=True),
        Fit("compare", "compare", "single", "sparse", "pca", "iris", "--epochs", "3", "--seeds", "2", comparison=True),
    ]


def longer_fits():
    """Fits of a second or two, of every kind."""
    small = ["--held-out", "0.1"]
    return [
        Fit("pca", "fit", "pca", "mnist:test", *small, trained=False),
        Fit("single", "fit", "single", "mnist:test", *small, "--epochs", "8"),
        Fit("dropout, one_cycle", "fit", "deep", "mnist:test", *small, "--epochs", "6",
            "--set", "train.schedule=one_cycle"),
        Fit("patience", "fit", "single", "mnist:test", *small, "--epochs", "12", "--set", "train.patience=2",
            "--set", "train.learning_rate=0.01"),
        Fit("conv", "fit", "conv", "mnist:test", *small, "--epochs", "3"),
        Fit("vae", "fit", "vae", "mnist:test", *small, "--epochs", "3"),
        Fit("stacked", "fit", "stacked", "mnist:test", *small, "--layers", "784-128-32", "--set", "pretrain.epochs=3",
            "--epochs", "4"),
        Fit("classifier", "fit", "classifier", "mnist:test", *small, "--layers", "784-64-64-10",
            "--set", "pretrain.epochs=2", "--epochs", "4"),
        Fit("random baseline", "fit", "stacked", "mnist:test", *small, "--layers", "784-64-16", "--set",
            "pretrain.epochs=2", "--epochs", "3", "--random-baseline", more_than_model=True),
        Fit("compare", "compare", "single", "tied", "pca", "mnist:test", *small, "--epochs", "3", comparison=True),
    ]


def lines(text):
    """The records of a `--json` output; a line that was cut off is left out."""
    found = []
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict):
                found.append(record)
    return found


def steps(text):
    """What a run announced as done: epochs, and fits of a comparison. The time tells a repetition from a line that is only
    printed again."""
    names = ("event", "recipe", "pretrained", "seed", "layer", "epoch")
    return {tuple(record.get(name) for name in names): record.get("seconds")
            for record in lines(text) if record.get("event") in ("epoch", "layer_epoch", "compared")}


def repeated(before, after):
    """How many of the announced steps were done again."""
    return sum(1 for step, seconds in before.items() if step in after and after[step] != seconds)


def without_times(record):
    """A record without its seconds, which differ from run to run."""
    if isinstance(record, dict):
        return {key: without_times(value) for key, value in record.items() if "seconds" not in key}
    return [without_times(value) for value in record] if isinstance(record, list) else record


def result(fit, folder, stdout):
    """What must be equal to an undisturbed run: the model's bytes, or a comparison's record."""
    if fit.comparison:
        found = [without_times(record) for record in lines(stdout) if record.get("event") == "comparison"]
        return json.dumps(found[-1]) if found else None
    model = folder / MODEL
    return hashlib.sha256(model.read_bytes()).hexdigest() if model.exists() else None


def undisturbed(binary, fit, folder, environment=None):
    """The result of a run that nothing disturbs, and its seconds."""
    folder.mkdir()
    done = run(fit.command(binary), folder, binary.timeout, environment=environment)
    if not done.ok:
        sys.exit(f"{fit.name}: the undisturbed run failed: {done.end()}: {done.message()}")
    return result(fit, folder, done.stdout), done.seconds


class Resumed:
    """How a disturbed run came to its end."""

    def __init__(self):
        self.began_anew = False
        self.repeated = 0
        self.equal = False
        self.torn = []
        self.left = []
        self.messages = []

    @property
    def lost(self):
        """Checkpoints are written after every epoch, so that at most the last step that was announced is done again."""
        return self.repeated >= 2

    def record(self):
        return {"began_anew": self.began_anew, "repeated": self.repeated, "lost": self.lost, "equal": self.equal,
                "torn": self.torn, "left": self.left, "messages": self.messages}


def resume(binary, fit, folder, before, reference, environment=None):
    """Takes a disturbed run up again as a user would: with --resume, and from the beginning where that is refused. `before` is
    what the disturbed run announced."""
    found = Resumed()
    found.torn = torn_files(binary, folder)
    is_finished = not fit.more_than_model and result(fit, folder, "") == reference
    stdout = ""
    if fit.can_resume(binary):
        again = run(fit.command(binary, resume=True), folder, binary.timeout, environment=environment)
        stdout = again.stdout
        if not again.ok:
            found.messages.append(again.message())
        if again.died:
            found.torn.append(f"resume: {again.end()}")
        if any(word in again.stderr for word in ("damaged", "truncated", "cut short", "content hash")):
            found.torn.append(f"resume: {again.message()}")
        done = again.ok
    else:
        done = False
    # What a killed run left beside a finished result goes with the next run.
    if not done and (not is_finished or leftovers(folder)):
        found.began_anew = not is_finished
        again = run(fit.command(binary), folder, binary.timeout, environment=environment)
        stdout = again.stdout
        if not again.ok:
            found.messages.append(again.message())
    # What stands in its place is not lost, whatever is done again for a report.
    found.repeated = repeated({} if is_finished else before, steps(stdout))
    found.equal = result(fit, folder, stdout) == reference
    found.torn += torn_files(binary, folder)
    found.left = leftovers(folder)
    return found


def announced(stdout):
    """What a disturbed run said that it had done: nothing that could be lost where it had said all and written all."""
    return {} if is_over(stdout) else steps(stdout)


def is_over(stdout):
    """Whether a run has said its last word, which is said when all is written."""
    return any(f'"event":"{event}"' in stdout for event in ("fit", "comparison", "paper"))


def rescue_file(message, folder, reference):
    """A file other than the model that a message names and whose content is the model's."""
    for word in re.split(r"[\s`'\"(),;]+", message):
        path = Path(folder, word.rstrip(":."))
        if word and path.is_file() and path.name != MODEL and hashlib.sha256(path.read_bytes()).hexdigest() == reference:
            return path
    return None


def leftovers(folder):
    """Temporary files, locks and checkpoints in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")
                  if path.name.startswith(".narrows-") or path.name.endswith(".lock") or ".checkpoint" in path.name)


def temporary_files(folder):
    """Temporary files in a folder."""
    return [name for name in leftovers(folder) if Path(name).name.startswith(".narrows-")]


ENDS = {".html": b"</html>", ".svg": b"</svg>", ".png": b"IEND\xaeB\x60\x82", ".json": b"}"}


def torn_files(binary, folder):
    """Files under their final names that are not whole."""
    found = []
    for path in folder.rglob("*"):
        if not path.is_file() or path.name.startswith("."):
            continue
        end = ENDS.get(path.suffix)
        if end and not path.read_bytes().rstrip().endswith(end):
            found.append(str(path.relative_to(folder)))
        if path.name == MODEL and not binary.opens(path):
            found.append(MODEL)
    return found


# ------------------------------------------------------------------------------------------------------------- records


class Results:
    """A table for people and a record of every case for later."""

    def __init__(self, script, binary, columns):
        self.script, self.binary, self.columns = script, binary, columns
        self.rows, self.cases, self.totals, self.notes = [], [], {}, []
        self.began = time.time()

    def row(self, *values):
        self.rows.append([str(value) for value in values])

    def case(self, **record):
        self.cases.append(record)

    def show(self):
        widths = [max(len(row[column]) for row in [self.columns, *self.rows]) for column in range(len(self.columns))]
        line = lambda row: "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
        print(line(self.columns))
        print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
        for row in self.rows:
            print(line(row))
        print()
        for note in self.notes:
            print(f"note: {note}")
        print(f"{self.script}: " + ", ".join(f"{value} {name}" for name, value in self.totals.items()))

    def end(self, arguments, faults):
        """Prints the table, writes the record and gives the exit code: 1 where there were faults."""
        self.totals["faults"] = faults
        self.show()
        if arguments.json:
            record = {
                "script": self.script,
                "binary": self.binary.record(),
                "machine": {"system": platform.platform(), "processors": os.cpu_count(), "load": os.getloadavg()},
                "seconds": round(time.time() - self.began, 1),
                "totals": self.totals,
                "notes": self.notes,
                "table": [dict(zip(self.columns, row)) for row in self.rows],
                "cases": self.cases,
            }
            arguments.json.write_text(json.dumps(record, indent=1, default=str) + "\n")
        return 1 if faults else 0
