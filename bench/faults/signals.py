#!/usr/bin/env python3
"""Sends INT, TERM and HUP to every verb at moments spread over its time: it must end within two seconds with the exit code
of the signal (130, 143, 129), leave a model or checkpoints that are whole, and no temporary file."""

import array
import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import common

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
LIMIT = 2.0
# After this the process is killed.
PATIENCE = 30.0
# Of verbs that take longer, only so much of the beginning is disturbed.
LONGEST = 16.0
# Seconds that a resumed run may take to its first epoch.
RESUMES_WITHIN = 20.0


class Verb:
    """A command with `{folder}` for the folder of the inputs."""

    def __init__(self, name, command, checkpoints=False):
        self.name, self.command, self.checkpoints = name, command.split(), checkpoints

    def arguments(self, inputs):
        return [part.replace("{folder}", str(inputs)) for part in self.command]


def verbs(binary):
    """Every verb that can take longer than a moment."""
    fit = f"--out {common.MODEL} --report report"
    found = [
        Verb("fit pca mnist", f"fit pca mnist {fit}"),
        Verb("fit pca, 3000 x 6000", f"fit pca {{folder}}/wide.npy {fit}"),
        Verb("fit linear, 3000 x 6000", f"fit linear {{folder}}/wide.npy {fit}"),
        Verb("fit pca, large CSV", f"fit pca {{folder}}/large.csv --code-size 4 {fit}"),
        Verb("fit single", f"fit single mnist --epochs 8 {fit}", True),
        Verb("fit single, 3000 x 6000", f"fit single {{folder}}/wide.npy --epochs 2 {fit}", True),
        Verb("fit wide", f"fit wide mnist --epochs 1 {fit}", True),
        Verb("fit conv", f"fit conv mnist --epochs 1 {fit}", True),
        Verb("fit stacked", f"fit stacked mnist:test --epochs 2 {fit}", True),
        Verb("fit classifier", f"fit classifier mnist:test --epochs 2 {fit}", True),
        Verb("fit, random baseline",
             f"fit stacked mnist:test --layers 784-128-32 --epochs 3 --set pretrain.epochs=3 --random-baseline {fit}", True),
        Verb("compare", "compare single tied pca mnist --epochs 2 --report report"),
        Verb("compare, code sizes", "compare pca single mnist --epochs 1 --code-sizes 4,8,16 --report report"),
        Verb("encode", "encode {folder}/conv.narrows mnist --out codes.csv"),
        Verb("reconstruct", "reconstruct {folder}/conv.narrows mnist --out rows.npy"),
        Verb("evaluate", "evaluate {folder}/conv.narrows mnist"),
        Verb("evaluate, classifier", "evaluate {folder}/classifier.narrows mnist --report report"),
        Verb("predict", "predict {folder}/classifier.narrows mnist --out classes.csv"),
        Verb("data, large CSV", "data {folder}/large.csv"),
        Verb("reproduce", "reproduce hinton2006"),
    ]
    return found


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--moments", type=int, default=2, help="moments for each signal and verb [2]")
    parser.add_argument("--verb", action="append", help="only verbs of this name; may be given again")
    parser.add_argument("--seed", type=int, default=0)
    # Seconds are measured: one case at a time.
    parser.set_defaults(jobs=1)
    arguments = parser.parse_args()
    binary = common.Binary(arguments.binary, arguments.timeout)
    results = common.Results("signals", binary, ["verb", "seconds alone", "signals", "slowest end (s)", "of processor time", "over 2 s",
                                                 "other exit code", "not whole", "temporary files"])
    with common.private_folder(arguments.temp) as folder:
        inputs = folder / "inputs"
        make_inputs(binary, inputs)
        for verb in verbs(binary):
            if not arguments.verb or verb.name in arguments.verb:
                results.cases += disturb(binary, verb, inputs, folder, results, arguments)
    count = lambda condition: sum(1 for record in results.cases if condition(record))
    results.totals = {"signals": len(results.cases), "slow": count(lambda r: r["slow"]),
                      "other exit codes": count(lambda r: r["wrong_code"]), "not whole": count(lambda r: r["broken"]),
                      "left": count(lambda r: r["left"])}
    faults = sum(results.totals[name] for name in ("slow", "other exit codes", "not whole", "left"))
    return results.end(arguments, faults)


def make_inputs(binary, folder):
    """Models and data sets: a wide array and a large table of random numbers."""
    folder.mkdir()
    generator = random.Random(0)
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (3000, 6000), }"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(folder / "wide.npy", "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
        array.array("f", [byte / 255 for byte in generator.randbytes(6000 * 3000)]).tofile(file)
    with open(folder / "large.csv", "w") as file:
        file.write(",".join(f"column{number}" for number in range(40)) + "\n")
        block = "".join(",".join(f"{generator.random():.6f}" for _ in range(40)) + "\n" for _ in range(2000))
        for _ in range(400):
            file.write(block)
    for name, recipe in [("conv", ["conv"]), ("classifier", ["classifier", "--set", "pretrain.epochs=1"])]:
        done = binary("fit", *recipe, "mnist:test", "--epochs", "1", "--out", folder / f"{name}.narrows", "--report",
                      folder / "report", folder=folder)
        if not done.ok:
            sys.exit(f"{name}: the model for the other verbs could not be fitted: {done.message()}")


def disturb(binary, verb, inputs, folder, results, arguments):
    """All signals to one verb; a record for each."""
    alone = folder / "alone"
    alone.mkdir()
    done = common.run([binary.path, *verb.arguments(inputs)], alone, LONGEST)
    common.shutil.rmtree(alone)
    if not (done.ok or done.timed_out):
        results.notes.append(f"{verb.name}: left out, fails undisturbed: {done.message()}")
        return []
    moments = random.Random(f"{arguments.seed} {verb.name}")
    records = []
    for number in SIGNALS:
        for part in range(arguments.moments):
            # The moments are spread evenly, each drawn within its part.
            moment = done.seconds * (part + moments.random()) / arguments.moments
            records.append({"verb": verb.name, **signalled(binary, verb, inputs, folder / "trial", number, moment)})
    heard = [record for record in records if not record["before"]]
    results.row(verb.name, f"{done.seconds:.1f}{'+' if done.timed_out else ''}", len(heard),
                f"{max((record['after'] for record in heard), default=0):.2f}",
                f"{max((record['processor'] for record in heard), default=0):.2f}", sum(r["slow"] for r in records),
                sum(r["wrong_code"] for r in records), sum(bool(r["broken"]) for r in records),
                sum(bool(r["left"]) for r in records))
    return records


def signalled(binary, verb, inputs, folder, number, moment):
    """One run that gets one signal."""
    folder.mkdir()
    process = common.start([binary.path, *verb.arguments(inputs)], folder)
    began = time.monotonic()
    waited = common.wait(process, moment)
    spent = processor_seconds(process.pid)
    sent = time.monotonic()
    if not waited:
        process.send_signal(number)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = common.finish(process, sent, PATIENCE)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - spent
    # A signal that comes before the handler is there ends the process by itself; a shell shows the same code.
    codes = (128 + number, -number)
    swallowed = ended.code == 0 and ended.seconds > 0.25
    record = {"signal": signal.Signals(number).name, "moment": round(moment, 3), "before": waited,
              "after": 0.0 if waited else round(ended.seconds, 3), "processor": round(max(processor, 0), 3), "code": ended.code, "end": ended.end(),
              "message": ended.message(), "slow": not waited and ended.seconds > LIMIT,
              "wrong_code": not waited and ended.code not in codes and (ended.code != 0 or swallowed)}
    record["left"] = common.temporary_files(folder)
    record["broken"] = [] if waited else broken(binary, verb, inputs, folder)
    common.shutil.rmtree(folder)
    return record


def processor_seconds(number):
    """What a process has used of the processors."""
    try:
        text = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in text.rsplit(")", 1)[1].split()[11:13]) / os.sysconf("SC_CLK_TCK")


def broken(binary, verb, inputs, folder):
    """Files that are not whole, and checkpoints that a resumed run does not take."""
    found = common.torn_files(binary, folder)
    if verb.checkpoints and any(".checkpoint" in name for name in common.leftovers(folder)):
        process = common.start([binary.path, *verb.arguments(inputs), "--resume", "--json"], folder)
        began = time.monotonic()
        # Its first lines tell that it goes on.
        timer = threading.Timer(RESUMES_WITHIN, lambda: common.end_session(process))
        timer.start()
        line = process.stdout.readline()
        timer.cancel()
        common.end_session(process)
        ended = common.finish(process, began, PATIENCE)
        if not line and ended.errors():
            found.append(f"resume: {ended.message()}")
    return found


if __name__ == "__main__":
    sys.exit(main())
