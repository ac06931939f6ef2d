#!/usr/bin/env python3
"""Kills short fits at each of their system calls that touch a file, takes them up again and compares the result with that of
a run that was not disturbed."""

import sys

import common
import strace


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--each", type=int, default=1, metavar="N", help="only every N-th point [1]")
    parser.add_argument("--kind", action="append", help="only fits of this name; may be given again")
    arguments = parser.parse_args()
    strace.require()
    binary = common.Binary(arguments.binary, arguments.timeout)
    results = common.Results("kill_at_syscalls", binary,
                             ["fit", "points", "killed", "lost", "torn", "equal", "temporary files left", "locks left",
                              "checkpoints left", "began anew"])
    totals = dict.fromkeys(["points", "killed", "lost", "torn", "unequal", "left"], 0)
    with common.private_folder(arguments.temp) as folder:
        environment = common.fast_clock(binary, folder)
        for fit in common.short_fits():
            if arguments.kind and fit.name not in arguments.kind:
                continue
            records = kill_everywhere(binary, fit, folder, environment, arguments)
            count = lambda condition: sum(1 for record in records if condition(record))
            left = lambda part: count(lambda record: any(part in name for name in record["left"]))
            killed = count(lambda record: record["killed"])
            row = [killed, count(lambda r: r["lost"]), count(lambda r: r["torn"]), count(lambda r: r["equal"]),
                   left(".narrows-"), left(".lock"), left(".checkpoint"), count(lambda r: r["began_anew"])]
            results.row(fit.name, len(records), *row)
            totals["points"] += len(records)
            totals["killed"] += killed
            totals["lost"] += row[1]
            totals["torn"] += row[2]
            totals["unequal"] += len(records) - row[3]
            totals["left"] += count(lambda record: record["left"])
            results.cases += records
    results.totals = totals
    return results.end(arguments, totals["lost"] + totals["torn"] + totals["unequal"] + totals["left"])


def kill_everywhere(binary, fit, folder, environment, arguments):
    """Kills one fit at each point; a record for each."""
    own = folder / fit.name.replace(" ", "-")
    own.mkdir()
    reference, _ = common.undisturbed(binary, fit, own / "undisturbed")
    (own / "traced").mkdir()
    points = strace.calls(fit.command(binary), own / "traced", own / "log", arguments.timeout, environment)

    def kill(numbered):
        number, point = numbered
        trial = own / f"trial-{number}"
        trial.mkdir()
        first = strace.disturbed(point, "signal=SIGKILL", fit.command(binary), trial, arguments.timeout, environment)
        resumed = common.resume(binary, fit, trial, common.announced(first.stdout), reference, environment)
        record = {"fit": fit.name, "point": repr(point), "at": point.arguments[:200], "killed": first.code == -9,
                  "first": first.record(), **resumed.record()}
        common.shutil.rmtree(trial, ignore_errors=True)
        return record

    return common.in_parallel(kill, list(enumerate(points))[:: arguments.each], arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())
