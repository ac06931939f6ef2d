#!/usr/bin/env python3
"""Odd targets of --out, two runs at once, readers that go away, broken standard error, paths that are not UTF-8, special
files as inputs, results that are not finite, terminal escapes. Each case prints what is wrong, or `good`."""

import gzip
import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time

import common

CASES = []
# Seconds after which a run on a tiny input hangs.
HANGS = 8
ODD_NAME = b"odd\xff"


def case(group, name):
    """Marks a function of (binary, folder, inputs) as a case: it gives what is wrong, or nothing."""
    def mark(function):
        CASES.append((group, name, function))
        return function
    return mark


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--group", action="append", help="only cases of this group; may be given again")
    arguments = parser.parse_args()
    binary = common.Binary(arguments.binary, arguments.timeout)
    results = common.Results("outputs", binary, ["group", "case", "verdict"])
    with common.private_folder(arguments.temp) as folder:
        inputs = folder / "inputs"
        make_inputs(binary, inputs)

        def trial(numbered):
            number, (group, name, function) = numbered
            own = folder / f"trial-{number}"
            shutil.copytree(inputs, own)
            try:
                fault = function(binary, own)
                if not fault and common.temporary_files(own):
                    fault = "temporary files left"
            except Skipped as skipped:
                return {"group": group, "case": name, "fault": "", "verdict": f"skipped: {skipped}"}
            finally:
                shutil.rmtree(own, ignore_errors=True)
            return {"group": group, "case": name, "fault": fault or "", "verdict": fault or "good"}

        chosen = [one for one in CASES if not arguments.group or one[0] in arguments.group]
        results.cases = common.in_parallel(trial, list(enumerate(chosen)), arguments.jobs)
    for record in results.cases:
        results.row(record["group"], record["case"], record["verdict"])
    faults = sum(bool(record["fault"]) for record in results.cases)
    results.totals = {"cases": len(results.cases)}
    return results.end(arguments, faults)


class Skipped(Exception):
    """Why a case cannot be tried here."""


def make_inputs(binary, folder):
    """Small models, data in three formats, labels, a recipe."""
    folder.mkdir()
    done = [
        binary("fit", "pca", "iris", "--code-size", "2", "--out", "pca.narrows", "--report", "r", folder=folder),
        binary("fit", "single", "iris", *common.SCALED, "--epochs", "2", "--out", "single.narrows", "--report", "r",
               folder=folder),
        binary("fit", "classifier", "iris", "--layers", "4-8-3", "--set", "pretrain.epochs=1", "--epochs", "1", "--out",
               "classifier.narrows", "--report", "r", folder=folder),
        binary("reconstruct", "pca.narrows", "iris", "--out", "data.npy", folder=folder),
        binary("reconstruct", "pca.narrows", "iris", "--out", "data.csv", folder=folder),
        binary("encode", "pca.narrows", "iris", "--out", "codes.npy", folder=folder),
    ]
    for one in done:
        if not one.ok:
            sys.exit(f"the inputs could not be made: {one.message()}")
    shutil.rmtree(folder / "r")
    (folder / "labels.csv").write_text("class\n" + "".join(f"kind {row % 3}\n" for row in range(150)))
    (folder / "own.toml").write_text('method = "pca"\ncode_size = 2\nscale = "none"\n')


FIT = ["--report", "report"]


def ended_well(ended):
    """What is wrong with the way a run ended, whatever it did."""
    if ended.died:
        return f"{ended.end()}: {ended.message()[:100]}"
    if ended.code == 1 and not ended.stderr.strip():
        return "exit 1 without a message"
    return ""


# ------------------------------------------------------------------------------------------------------------- targets


@case("target", "device")
def _(binary, folder):
    if os.geteuid() != 0:
        raise Skipped("only root makes devices")
    os.mknod(folder / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    ended = binary("fit", "pca", "iris", "--out", "null", *FIT, folder=folder)
    return ended_well(ended) or ("" if stat.S_ISCHR(os.lstat(folder / "null").st_mode) else "the device was replaced")


@case("target", "FIFO")
def _(binary, folder):
    os.mkfifo(folder / "fifo")
    ended = binary("fit", "pca", "iris", "--out", "fifo", *FIT, folder=folder, timeout=HANGS)
    return ended_well(ended) or ("" if stat.S_ISFIFO(os.lstat(folder / "fifo").st_mode) else "the FIFO was replaced")


@case("target", "FIFO, encode")
def _(binary, folder):
    os.mkfifo(folder / "fifo.csv")
    ended = binary("encode", "pca.narrows", "iris", "--out", "fifo.csv", folder=folder, timeout=HANGS)
    return ended_well(ended) or ("" if stat.S_ISFIFO(os.lstat(folder / "fifo.csv").st_mode) else "the FIFO was replaced")


@case("target", "folder")
def _(binary, folder):
    (folder / "there").mkdir()
    ended = binary("fit", "pca", "iris", "--out", "there", *FIT, folder=folder)
    return ended_well(ended) or ("" if ended.code == 1 else "was not refused")


def overwrites(name, command, kept):
    """A case in which a command must not overwrite one of its inputs."""
    def function(binary, folder):
        before = (folder / kept).read_bytes()
        ended = binary(*command, folder=folder)
        if (folder / kept).read_bytes() != before:
            return f"{kept} was overwritten, {ended.end()}"
        return ended_well(ended) or ("" if ended.code == 1 else "the input was given as the output and not refused")
    case("target", name)(function)


overwrites("data = out, fit NPY", ["fit", "pca", "data.npy", "--out", "data.npy", *FIT], "data.npy")
overwrites("data = out, fit CSV", ["fit", "pca", "data.csv", "--out", "data.csv", *FIT], "data.csv")
overwrites("data = out, spelt otherwise", ["fit", "pca", "data.npy", "--out", "./x/../data.npy", *FIT], "data.npy")
overwrites("data = out, encode", ["encode", "pca.narrows", "data.npy", "--out", "data.npy"], "data.npy")
overwrites("data = out, reconstruct", ["reconstruct", "pca.narrows", "data.csv", "--out", "data.csv"], "data.csv")
overwrites("data = out, decode", ["decode", "pca.narrows", "codes.npy", "--out", "codes.npy"], "codes.npy")
overwrites("data = out, predict", ["predict", "classifier.narrows", "data.csv", "--out", "data.csv"], "data.csv")
overwrites("held out = out", ["fit", "pca", "iris", "--held-out", "data.npy", "--out", "data.npy", *FIT], "data.npy")
overwrites("labels = out", ["fit", "classifier", "data.npy", "--labels-file", "labels.csv", "--layers", "4-4-3", "--epochs",
                            "1", "--out", "labels.csv", *FIT], "labels.csv")
overwrites("labels = out, encode", ["encode", "pca.narrows", "data.npy", "--labels-file", "labels.csv", "--out",
                                    "labels.csv"], "labels.csv")
overwrites("recipe = out", ["fit", "own.toml", "iris", "--out", "own.toml", *FIT], "own.toml")


@case("target", "model = out")
def _(binary, folder):
    os.rename(folder / "pca.narrows", folder / "model.csv")
    before = (folder / "model.csv").read_bytes()
    ended = binary("encode", "model.csv", "iris", "--out", "model.csv", folder=folder)
    return ended_well(ended) or ("" if (folder / "model.csv").read_bytes() == before else "the model was overwritten")


@case("target", "symlink to the data")
def _(binary, folder):
    os.symlink("data.npy", folder / "link.npy")
    before = (folder / "data.npy").read_bytes()
    ended = binary("encode", "pca.narrows", "data.npy", "--out", "link.npy", folder=folder)
    if (folder / "data.npy").read_bytes() != before:
        return "the data were overwritten"
    return ended_well(ended) or ("" if os.path.islink(folder / "link.npy") else "the link was replaced")


@case("target", "hard link of the data")
def _(binary, folder):
    os.link(folder / "data.npy", folder / "link.npy")
    before = (folder / "data.npy").read_bytes()
    ended = binary("encode", "pca.narrows", "data.npy", "--out", "link.npy", folder=folder)
    return ended_well(ended) or ("" if (folder / "data.npy").read_bytes() == before else "the data were overwritten")


@case("target", "symlink")
def _(binary, folder):
    (folder / "store").mkdir()
    shutil.copy(folder / "pca.narrows", folder / "store" / "real.narrows")
    os.symlink("store/real.narrows", folder / "link.narrows")
    before = (folder / "store" / "real.narrows").read_bytes()
    ended = binary("fit", "pca", "iris", "--code-size", "3", "--out", "link.narrows", *FIT, folder=folder)
    if not os.path.islink(folder / "link.narrows"):
        return "the link was replaced by a file"
    changed = (folder / "store" / "real.narrows").read_bytes() != before
    return ended_well(ended) or ("" if changed == ended.ok else "the exit code does not say what happened")


@case("target", "symlink to nothing")
def _(binary, folder):
    os.symlink("not-yet.narrows", folder / "link.narrows")
    ended = binary("fit", "pca", "iris", "--out", "link.narrows", *FIT, folder=folder)
    return ended_well(ended) or ("" if os.path.islink(folder / "link.narrows") else "the link was replaced by a file")


@case("target", "symlink in a circle")
def _(binary, folder):
    os.symlink("b.narrows", folder / "a.narrows")
    os.symlink("a.narrows", folder / "b.narrows")
    ended = binary("fit", "pca", "iris", "--out", "a.narrows", *FIT, folder=folder)
    return ended_well(ended) or ("" if os.path.islink(folder / "a.narrows") else "the link was replaced by a file")


@case("target", "mode 0600 of a model")
def _(binary, folder):
    os.chmod(folder / "pca.narrows", 0o600)
    ended = binary("fit", "pca", "iris", "--code-size", "3", "--out", "pca.narrows", *FIT, folder=folder)
    mode = stat.S_IMODE(os.stat(folder / "pca.narrows").st_mode)
    return ended_well(ended) or ("" if mode == 0o600 else f"the mode became {mode:04o}")


@case("target", "mode 0600 of codes")
def _(binary, folder):
    os.chmod(folder / "codes.npy", 0o600)
    ended = binary("encode", "pca.narrows", "iris", "--out", "codes.npy", folder=folder)
    mode = stat.S_IMODE(os.stat(folder / "codes.npy").st_mode)
    return ended_well(ended) or ("" if mode == 0o600 else f"the mode became {mode:04o}")


@case("target", "report into a file")
def _(binary, folder):
    ended = binary("fit", "pca", "iris", "--out", "m.narrows", "--report", "own.toml", folder=folder)
    return ended_well(ended) or ("" if ended.code == 1 else "was not refused")


# ------------------------------------------------------------------------------------------------------------ two runs

LONG = ["fit", "single", "mnist:test", "--held-out", "0.1", "--epochs", "60", "--out", "m.narrows"]


@case("two runs", "one --out")
def _(binary, folder):
    first = common.start([binary.path, *LONG, "--report", "r1"], folder)
    began = time.monotonic()
    if common.wait(first, 1.5):
        return "the first run ended at once"
    second = binary(*LONG[:-4], "--epochs", "1", *LONG[-2:], "--report", "r2", folder=folder)
    ended = common.finish(first, began, binary.timeout)
    if second.ok:
        return "the second run began as well" + (", and the last wins" if ended.ok else "")
    return ended_well(second) or ("" if ended.ok else f"the first run failed: {ended.message()[:100]}")


@case("two runs", "the lock of a killed run")
def _(binary, folder):
    first = common.start([binary.path, *LONG, "--report", "r1"], folder)
    common.wait(first, 1.5)
    common.end_session(first)
    first.communicate()
    second = binary("fit", "single", "mnist:test", "--held-out", "0.1", "--epochs", "1", "--out", "m.narrows", "--report",
                    "r2", folder=folder)
    return "" if second.ok else f"the next run was refused: {second.message()[:100]}"


@case("two runs", "one --report of comparisons")
def _(binary, folder):
    command = ["compare", "single", "tied", "pca", "mnist:test", "--held-out", "0.1", "--epochs", "15", "--report", "r"]
    first = common.start([binary.path, *command], folder)
    began = time.monotonic()
    if common.wait(first, 1.5):
        return "the first run ended at once"
    second = binary("compare", "pca", "linear", "mnist:test", "--held-out", "0.1", "--report", "r", folder=folder)
    ended = common.finish(first, began, binary.timeout)
    torn = common.torn_files(binary, folder)
    return ended_well(second) or ended_well(ended) or (f"not whole: {torn}" if torn else "")


# ------------------------------------------------------------------------------------------------- readers that go away


def closed_pipe():
    """The writing end of a pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def with_output(binary, command, folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE):
    """Runs a command with outputs that cannot be written."""
    try:
        return common.run([binary.path, *command], folder, binary.timeout, stdout=stdout, stderr=stderr)
    finally:
        for output in (stdout, stderr):
            if output not in (subprocess.PIPE, subprocess.DEVNULL):
                os.close(output)


TRAIN = ["fit", "single", "mnist:test", "--held-out", "0.1", "--epochs", "12", "--out", "m.narrows", *FIT]


def cut_short(binary, folder, ended, what):
    """What is wrong with a fit whose output could not be written: it may finish or say that it did not."""
    whole = folder / "whole"
    whole.mkdir()
    binary(*TRAIN, folder=whole)
    model = folder / "m.narrows"
    finished = model.exists() and model.read_bytes() == (whole / "m.narrows").read_bytes()
    if ended.died:
        return ended.end()
    if not finished and ended.ok:
        return "the fit was cut short, exit 0"
    if ended.code != 0 and what not in ended.stderr:
        return f"the message does not name {what}: {ended.message()[:100] or '(none)'}"
    return ""


@case("reader gone", "fit --json | head -1")
def _(binary, folder):
    process = common.start([binary.path, *TRAIN, "--json"], folder)
    began = time.monotonic()
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    ended = common.finish(process, began, binary.timeout)
    return cut_short(binary, folder, ended, "standard output")


@case("reader gone", "fit --json > /dev/full")
def _(binary, folder):
    ended = with_output(binary, [*TRAIN, "--json"], folder, stdout=os.open("/dev/full", os.O_WRONLY))
    return cut_short(binary, folder, ended, "standard output")


@case("reader gone", "fit | (nobody)")
def _(binary, folder):
    ended = with_output(binary, TRAIN, folder, stdout=closed_pipe())
    return cut_short(binary, folder, ended, "standard output")


def listing(name, command):
    """A listing without a reader: success, or the end by SIGPIPE."""
    def function(binary, folder):
        ended = with_output(binary, command, folder, stdout=closed_pipe())
        return "" if ended.code in (0, -signal.SIGPIPE, 128 + signal.SIGPIPE) else ended_well(ended) or f"exit {ended.code}"
    case("reader gone", name)(function)


listing("recipes", ["recipes"])
listing("show", ["show", "pca.narrows"])
listing("show --json", ["show", "pca.narrows", "--json"])
listing("data", ["data", "data.csv"])
listing("help", ["--help"])
listing("evaluate", ["evaluate", "pca.narrows", "iris"])


@case("reader gone", "compare --json")
def _(binary, folder):
    command = ["compare", "single", "pca", "iris", "--epochs", "2", "--report", "r", "--json"]
    ended = with_output(binary, command, folder, stdout=closed_pipe())
    done = (folder / "r" / "report.html").exists()
    if ended.ok and not done:
        return "the comparison was cut short, exit 0"
    return ended_well(ended)


# ------------------------------------------------------------------------------------------------ broken standard error


def broken_errors(name, command, both=False, prepare=None):
    """The same command with each kind of broken standard error: no panic, and the exit code it has otherwise."""
    def one(kind, make):
        def function(binary, folder):
            if prepare:
                prepare(folder)
            usual = binary(*command, folder=folder)
            stderr = make()
            stdout = make() if both else subprocess.PIPE
            ended = with_output(binary, command, folder, stdout=stdout, stderr=stderr)
            if ended.died:
                return ended.end()
            return "" if both or ended.code == usual.code else f"exit {ended.code} instead of {usual.code}"
        case("standard error", f"{name}, {kind}")(function)
    one("pipe without reader", closed_pipe)
    one("/dev/full", lambda: os.open("/dev/full", os.O_WRONLY))


def large_numbers(folder):
    (folder / "large.csv").write_text("a,b\n" + "1e30,2e30\n-1e30,1e29\n" * 20)


broken_errors("a missing model", ["show", "missing.narrows"])
broken_errors("a wrong option", ["fit", "--no-such-option"])
broken_errors("encode", ["encode", "pca.narrows", "data.csv", "--out", "out.npy"])
broken_errors("evaluate", ["evaluate", "pca.narrows", "data.csv"])
broken_errors("fit", ["fit", "single", "iris", *common.SCALED, "--epochs", "2", "--out", "m.narrows", *FIT])
broken_errors("fit, both outputs", ["fit", "single", "iris", *common.SCALED, "--epochs", "2", "--out", "m.narrows", *FIT], True)
broken_errors("a fit that diverges", ["fit", "tied", "iris", "--set", "train.learning_rate=1e30", "--set",
                                      'train.optimizer="sgd"', "--epochs", "5", "--out", "m.narrows", *FIT])
broken_errors("compare", ["compare", "single", "pca", "iris", "--epochs", "1", "--report", "r"])


@case("standard error", "closed descriptor")
def _(binary, folder):
    command = f"exec '{binary.path}' show missing.narrows 2>&-"
    ended = common.run(["sh", "-c", command], folder)
    return ended.end() if ended.died or ended.code != 1 else ""


@case("standard error", "all descriptors closed, model whole")
def _(binary, folder):
    command = f"exec '{binary.path}' fit pca iris --out m.narrows --report r <&- >&- 2>&-"
    ended = common.run(["sh", "-c", command], folder)
    if ended.died:
        return ended.end()
    return "" if binary.opens(folder / "m.narrows") else "the model is missing or not whole"


# ------------------------------------------------------------------------------------------------- paths that are not UTF-8


def odd_path(name, command, prepare=None):
    """A command with `{odd}` for a name that is not UTF-8: success or one clear message."""
    def function(binary, folder):
        if prepare:
            prepare(folder)
        parts = [os.fsencode(part).replace(b"{odd}", ODD_NAME) for part in command]
        ended = common.run([binary.path, *parts], folder, binary.timeout)
        return ended_well(ended)
    case("not UTF-8", name)(function)


def rename_to_odd(name, ending):
    return lambda folder: os.rename(folder / name, os.path.join(os.fsencode(folder), ODD_NAME + ending))


odd_path("fit --out", ["fit", "pca", "iris", "--out", "{odd}.narrows", *FIT])
odd_path("fit --out --json", ["fit", "pca", "iris", "--out", "{odd}.narrows", *FIT, "--json"])
odd_path("fit --report", ["fit", "pca", "iris", "--out", "m.narrows", "--report", "{odd}"])
odd_path("fit --report --json", ["fit", "pca", "iris", "--out", "m.narrows", "--report", "{odd}", "--json"])
odd_path("fit single --out", ["fit", "single", "iris", *common.SCALED, "--epochs", "2", "--out", "{odd}.narrows", *FIT])
odd_path("encode --out", ["encode", "pca.narrows", "iris", "--out", "{odd}.csv", "--json"])
odd_path("encode, model", ["encode", "{odd}.narrows", "iris", "--out", "o.csv", "--json"], rename_to_odd("pca.narrows", b".narrows"))
odd_path("encode, data", ["encode", "pca.narrows", "{odd}.csv", "--out", "o.csv", "--json"], rename_to_odd("data.csv", b".csv"))
odd_path("fit, data", ["fit", "pca", "{odd}.csv", "--out", "m.narrows", *FIT, "--json"], rename_to_odd("data.csv", b".csv"))
odd_path("fit, recipe", ["fit", "{odd}.toml", "iris", "--out", "m.narrows", *FIT, "--json"], rename_to_odd("own.toml", b".toml"))
odd_path("evaluate --json", ["evaluate", "{odd}.narrows", "iris", "--json"], rename_to_odd("pca.narrows", b".narrows"))
odd_path("evaluate --report --json", ["evaluate", "classifier.narrows", "iris", "--report", "{odd}", "--json"])
odd_path("compare --report --json", ["compare", "pca", "linear", "iris", "--report", "{odd}", "--json"])
odd_path("compare --report", ["compare", "pca", "linear", "iris", "--report", "{odd}"])
odd_path("predict --out --json", ["predict", "classifier.narrows", "iris", "--out", "{odd}.csv", "--json"])
odd_path("split --out-dir --json", ["split", "pca.narrows", "--out-dir", "{odd}", "--json"])
odd_path("split, model", ["split", "{odd}.narrows", "--json"], rename_to_odd("pca.narrows", b".narrows"))
odd_path("show --json", ["show", "{odd}.narrows", "--json"], rename_to_odd("pca.narrows", b".narrows"))
odd_path("data --json", ["data", "{odd}.csv", "--json"], rename_to_odd("data.csv", b".csv"))
odd_path("--labels-file", ["data", "data.csv", "--labels-file", "{odd}.csv", "--json"], rename_to_odd("labels.csv", b".csv"))


# ------------------------------------------------------------------------------------------------------- special inputs


def refuses(name, command, prepare, memory=None, seconds=HANGS):
    """A special file in place of an input must be refused soon and without taking the memory."""
    def function(binary, folder):
        prepare(folder)
        setup = None
        if memory:
            setup = lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        ended = binary(*command, folder=folder, timeout=seconds, setup=setup)
        if ended.timed_out:
            return f"hangs: over {seconds} s"
        return ended_well(ended) or ("" if ended.code == 1 else f"exit {ended.code}")
    case("special input", name)(function)


def fifo(name):
    return lambda folder: os.mkfifo(folder / name)


def sparse(name, beginning=b""):
    def function(folder):
        with open(folder / name, "wb") as file:
            file.write(beginning)
            file.truncate(30 << 30)
    return function


def nothing(_):
    pass


def bomb(name, begin=b""):
    """A megabyte of gzip that unpacks to a gigabyte."""
    def function(folder):
        with gzip.open(folder / name, "wb", compresslevel=1) as file:
            file.write(begin)
            for _ in range(256):
                file.write(bytes(4 << 20))
    return function


GIB = 1 << 30
refuses("FIFO as model", ["show", "f.narrows"], fifo("f.narrows"))
refuses("FIFO as model, encode", ["encode", "f.narrows", "iris", "--out", "o.csv"], fifo("f.narrows"))
refuses("FIFO as recipe", ["show", "f.toml"], fifo("f.toml"))
refuses("FIFO as recipe, fit", ["fit", "f.toml", "iris", "--out", "m.narrows", *FIT], fifo("f.toml"))
refuses("FIFO as data, CSV", ["data", "f.csv"], fifo("f.csv"))
refuses("FIFO as data, NPY", ["fit", "pca", "f.npy", "--out", "m.narrows", *FIT], fifo("f.npy"))
refuses("FIFO as labels", ["data", "data.csv", "--labels-file", "f.csv"], fifo("f.csv"))
refuses("FIFO as held-out rows", ["fit", "pca", "iris", "--held-out", "f.csv", "--out", "m.narrows", *FIT], fifo("f.csv"))
refuses("FIFO as start", ["fit", "single", "iris", "--start-from", "f.narrows", "--out", "m.narrows", *FIT], fifo("f.narrows"))
refuses("/dev/zero as model", ["show", "/dev/zero"], nothing, 3 * GIB)
refuses("/dev/zero as recipe", ["fit", "/dev/zero", "iris", "--out", "m.narrows", *FIT], nothing, 3 * GIB)
refuses("/dev/zero as data", ["data", "/dev/zero"], nothing, 3 * GIB)
refuses("/dev/zero by the name of a CSV", ["data", "zero.csv"], lambda folder: os.symlink("/dev/zero", folder / "zero.csv"),
        3 * GIB)
refuses("/dev/zero as labels", ["data", "data.csv", "--labels-file", "zero.csv"],
        lambda folder: os.symlink("/dev/zero", folder / "zero.csv"), 3 * GIB)
refuses("30 GB of nothing as model", ["show", "s.narrows"], sparse("s.narrows"), 3 * GIB)
refuses("30 GB of nothing as recipe", ["show", "s.toml"], sparse("s.toml"), 3 * GIB)
refuses("30 GB of nothing as CSV", ["data", "s.csv"], sparse("s.csv", b"a,b\n1,2\n"), 3 * GIB, 30)
refuses("30 GB of nothing as labels", ["data", "data.csv", "--labels-file", "s.csv"], sparse("s.csv"), 3 * GIB, 30)
refuses("a gzip bomb as CSV", ["data", "b.csv.gz"], bomb("b.csv.gz"), GIB, 20)
refuses("a gzip bomb as CSV with rows", ["data", "b.csv.gz"], bomb("b.csv.gz", b"a,b\n1,2\n"), GIB, 20)
refuses("a gzip bomb as labels", ["data", "data.csv", "--labels-file", "b.csv.gz"], bomb("b.csv.gz"), GIB, 20)
refuses("a folder as model", ["show", "there"], lambda folder: (folder / "there").mkdir())
refuses("a folder as data", ["data", "there.csv"], lambda folder: (folder / "there.csv").mkdir())


# --------------------------------------------------------------------------------------------------- results not finite


def not_finite(text):
    """Whether a CSV or JSON text holds a number that is none."""
    cells = text.lower().replace("\n", ",").replace(":", ",").replace("}", ",").replace(" ", ",").split(",")
    return any(cell.strip("-+") in ("inf", "nan", "infinity") for cell in cells)


@case("not finite", "reconstruct of rows near 1e100")
def _(binary, folder):
    (folder / "large.csv").write_text("a,b\n" + "1e100,2e100\n" * 10)
    fit = binary("fit", "single", "large.csv", *common.SCALED, "--epochs", "3", "--code-size", "1", "--out", "m.narrows", *FIT,
                 folder=folder)
    if not fit.ok:
        return ended_well(fit)
    ended = binary("reconstruct", "m.narrows", "large.csv", "--out", "o.csv", folder=folder)
    if ended.ok and not_finite((folder / "o.csv").read_text()):
        return "numbers that are not finite were written, exit 0"
    return ended_well(ended)


def fit_small(binary, folder, recipe, *more):
    done = binary("fit", recipe, "data.csv", "--code-size", "2", "--epochs", "2", *more, "--out", "m.narrows", *FIT,
                  folder=folder)
    if not done.ok:
        raise Skipped(f"{recipe} could not be fitted: {done.message()[:80]}")


@case("not finite", "encode of a row of 1e300, vae")
def _(binary, folder):
    fit_small(binary, folder, "vae", *common.SCALED)
    (folder / "large.csv").write_text("1e300,1e300,-1e300,1e300\n" * 3)
    ended = binary("encode", "m.narrows", "large.csv", "--out", "o.csv", folder=folder)
    if ended.ok and not_finite((folder / "o.csv").read_text()):
        return "numbers that are not finite were written, exit 0"
    return ended_well(ended)


@case("not finite", "decode of codes of 1e300")
def _(binary, folder):
    (folder / "large.csv").write_text("1e300,1e300\n-1e308,1e308\n")
    ended = binary("decode", "pca.narrows", "large.csv", "--out", "o.csv", folder=folder)
    if ended.ok and not_finite((folder / "o.csv").read_text()):
        return "numbers that are not finite were written, exit 0"
    return ended_well(ended)


@case("not finite", "evaluate of a row of 1e300")
def _(binary, folder):
    fit_small(binary, folder, "vae", *common.SCALED)
    (folder / "large.csv").write_text("1e300,1e300,-1e300,1e300\n" * 3)
    ended = binary("evaluate", "m.narrows", "large.csv", "--json", folder=folder)
    losses = [value for record in common.lines(ended.stdout) for name, value in record.items() if "loss" in name or "error" in name]
    if ended.ok and (not_finite(ended.stdout) or None in losses):
        return "a loss that is not finite, exit 0"
    return ended_well(ended)


@case("not finite", "predict for a row of 1e300")
def _(binary, folder):
    (folder / "large.csv").write_text("1e300,1e300,-1e300,1e300\n" * 3)
    ended = binary("predict", "classifier.narrows", "large.csv", "--out", "o.csv", folder=folder)
    if ended.ok and not_finite((folder / "o.csv").read_text()):
        return "numbers that are not finite were written, exit 0"
    return ended_well(ended)


# ----------------------------------------------------------------------------------------------------- terminal escapes

ESCAPE = "\x1b"


def escapes(name, commands, prepare, file=None):
    """Nothing that is printed (or written into a table) may hold the escape character."""
    def function(binary, folder):
        prepare(folder)
        for command in commands:
            ended = binary(*command, folder=folder)
            if ended.died:
                return ended.end()
        text = ended.stdout + ended.stderr + ((folder / file).read_text() if file and (folder / file).exists() else "")
        return "the escape character is printed" if ESCAPE in text else ""
    case("escapes", name)(function)


def escaped_classes(folder):
    (folder / "labels.csv").write_text("class\n" + "".join(f"kind {row % 3}{ESCAPE}[2J\n" for row in range(150)))


def escaped_about(folder):
    (folder / "own.toml").write_text('method = "pca"\nabout = "\\u001b[2J"\ncode_size = 2\nscale = "none"\n')


def escaped_columns(folder):
    text = (folder / "data.csv").read_text().splitlines()
    rows = text if text[0][:1].isdigit() or text[0][:1] == "-" else text[1:]
    (folder / "data.csv").write_text("\n".join([",".join(f"{ESCAPE}[2J{number}" for number in range(4)), *rows]) + "\n")


CLASSIFIER = ["fit", "classifier", "data.npy", "--labels-file", "labels.csv", "--layers", "4-4-3", "--set",
              "pretrain.epochs=1", "--epochs", "1", "--out", "m.narrows", *FIT]
escapes("about, show of a recipe", [["show", "own.toml"]], escaped_about)
escapes("about, fit", [["fit", "own.toml", "iris", "--out", "m.narrows", *FIT]], escaped_about)
escapes("about, show of a model", [["fit", "own.toml", "iris", "--out", "m.narrows", *FIT], ["show", "m.narrows"]], escaped_about)
escapes("classes, data", [["data", "data.npy", "--labels-file", "labels.csv"]], escaped_classes)
escapes("classes, fit", [CLASSIFIER], escaped_classes)
escapes("classes, show", [CLASSIFIER, ["show", "m.narrows"]], escaped_classes)
escapes("classes, evaluate", [CLASSIFIER, ["evaluate", "m.narrows", "data.npy", "--labels-file", "labels.csv"]], escaped_classes)
escapes("classes, predict", [CLASSIFIER, ["predict", "m.narrows", "data.npy", "--safe-csv", "--out", "o.csv"]], escaped_classes, "o.csv")
escapes("columns, data", [["data", "data.csv"]], escaped_columns)
escapes("the name of a file", [["show", f"no{ESCAPE}[2Jthing.narrows"]], nothing)
escapes("a cell", [["data", "bad.csv"]], lambda folder: (folder / "bad.csv").write_text(f"a,b\n1,2\n1,{ESCAPE}[2J\n"))


@case("escapes", "JSON stays JSON")
def _(binary, folder):
    escaped_about(folder)
    ended = binary("show", "own.toml", "--json", folder=folder)
    try:
        json.loads(ended.stdout.splitlines()[0])
    except (ValueError, IndexError):
        return f"no JSON: {ended.stdout[:80]!r}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
