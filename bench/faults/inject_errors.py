#!/usr/bin/env python3
"""Lets the writing of the model fail (its write, fsync, rename and the making of its folder; a full disk, a failing one, a
used-up quota; once, and from there on), and sees whether anything is lost: the run must say so with exit code 1, and the
trained model must be had by --resume or from the file that the message names."""

import hashlib
import re
import sys

import common
import strace

ERRORS = ["ENOSPC", "EIO", "EDQUOT"]
MODEL = "deep/m.narrows"


class FitIntoFolder(common.Fit):
    """A fit whose model goes into a folder that is not there yet."""

    def command(self, binary, resume=False):
        return [MODEL if part == common.MODEL else part for part in super().command(binary, resume)]


def main():
    arguments = common.parser(__doc__).parse_args()
    strace.require()
    binary = common.Binary(arguments.binary, arguments.timeout)
    results = common.Results("inject_errors", binary, ["call", "error", "fails", "exit", "kept", "equal", "left", "message"])
    fit = FitIntoFolder("single", "fit", "single", "iris", *common.SCALED, "--epochs", "5")
    with common.private_folder(arguments.temp) as folder:
        (folder / "undisturbed").mkdir()
        done = common.run(fit.command(binary), folder / "undisturbed", arguments.timeout)
        if not done.ok:
            sys.exit(f"the undisturbed run failed: {done.message()}")
        reference = (folder / "undisturbed" / MODEL).read_bytes()
        (folder / "traced").mkdir()
        points = calls_of_the_model(
            strace.calls(fit.command(binary), folder / "traced", folder / "log", arguments.timeout))
        cases = [(point, name, error, lasting) for lasting in (False, True) for name, point in points.items()
                 for error in ERRORS if not (lasting and name == "write")]

        def trial(numbered):
            number, (point, name, error, lasting) = numbered
            own = folder / f"trial-{number}"
            own.mkdir()
            record = fail(binary, fit, own, point, error, lasting, reference, arguments)
            return {"call": name, "error": error, "lasting": lasting, "at": repr(point), **record}

        results.cases = common.in_parallel(trial, list(enumerate(cases)), arguments.jobs)
    for record in results.cases:
        results.row(record["call"], record["error"], "from there on" if record["lasting"] else "once", record["end"],
                    record["kept"], record["equal"], len(record["left"]), record["message"][:80])
    count = lambda condition: sum(1 for record in results.cases if condition(record))
    results.totals = {"runs": len(results.cases), "lost": count(lambda r: r["kept"] == "no"),
                      "unequal": count(lambda r: not r["equal"]), "torn": count(lambda r: r["torn"]),
                      "silent": count(lambda r: r["silent"]), "left": count(lambda r: r["left"])}
    return results.end(arguments, sum(results.totals[name] for name in ("lost", "unequal", "torn", "silent", "left")))


def calls_of_the_model(calls):
    """The calls that write the model: found from its rename backwards."""
    renames = [index for index, call in enumerate(calls)
               if call.name.startswith("rename") and re.search(rf'"[^"]*{re.escape(MODEL)}"[^"]*$', call.arguments)]
    if not renames:
        sys.exit("the model's rename was not found among the system calls")
    last = renames[-1]
    before = lambda *names: next((call for call in reversed(calls[:last]) if call.name in names), None)
    folder = next((call for call in calls if call.name.startswith("mkdir") and '"deep' in call.arguments), None)
    found = {"write": before("write", "pwrite64", "writev"), "fsync": before("fsync", "fdatasync"), "rename": calls[last],
             "mkdir": folder}
    return {name: call for name, call in found.items() if call}


def fail(binary, fit, folder, point, error, lasting, reference, arguments):
    """One run in which a call fails, and what is left of it."""
    first = strace.disturbed(point, f"error={error}", fit.command(binary), folder, arguments.timeout, lasting=lasting)
    model = folder / MODEL
    announced = common.steps(first.stdout)
    silent = first.ok and not (model.exists() and model.read_bytes() == reference)
    torn = model.exists() and not binary.opens(model)
    kept, equal = "no", False
    # A fit that refuses to begin has nothing to lose; one that succeeds all the same has lost nothing.
    if first.ok and model.exists() and model.read_bytes() == reference:
        kept, equal = "in the model", True
    elif rescued := common.rescue_file(first.stderr, folder, hashlib.sha256(reference).hexdigest()):
        kept, equal = "in a rescue file", True
        rescued.unlink()
    again = common.run(fit.command(binary, resume=True), folder, arguments.timeout)
    if kept == "no" and again.ok:
        repeated = common.repeated(announced, common.steps(again.stdout))
        kept = "by --resume" if repeated < 2 else "no"
        equal = model.exists() and model.read_bytes() == reference
    elif kept == "no":
        if len(announced) == 0:
            kept = "nothing was begun"
        again = common.run(fit.command(binary), folder, arguments.timeout)
        equal = again.ok and model.read_bytes() == reference
    return {"kept": kept, "equal": equal, "silent": silent, "torn": torn, "left": common.leftovers(folder),
            "resume": again.record(), **first.record()}


if __name__ == "__main__":
    sys.exit(main())
