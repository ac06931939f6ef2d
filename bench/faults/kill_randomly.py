#!/usr/bin/env python3
"""Kills fits of every kind at random moments, takes them up again, kills them again, lets them end at last, and compares the
result with that of a run that was not disturbed."""

import random
import sys
import time

import common


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--runs", type=int, default=60, help="runs, over all kinds of fit in turn [60]")
    parser.add_argument("--kills", type=int, default=2, help="kills of each run before it may end [2]")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    binary = common.Binary(arguments.binary, arguments.timeout)
    results = common.Results("kill_randomly", binary, ["fit", "runs", "kills", "lost", "torn", "equal", "temporary files left",
                                                       "locks left", "checkpoints left", "began anew"])
    with common.private_folder(arguments.temp) as folder:
        environment = common.fast_clock(binary, folder)
        fits = common.longer_fits()
        references = [common.undisturbed(binary, fit, folder / fit.name.replace(" ", "-")) for fit in fits]

        def trial(number):
            fit, (reference, seconds) = fits[number % len(fits)], references[number % len(fits)]
            moments = random.Random(f"{arguments.seed} {number}")
            own = folder / f"trial-{number}"
            own.mkdir()
            record = kill_and_resume(binary, fit, own, reference, seconds, moments, environment, arguments)
            common.shutil.rmtree(own, ignore_errors=True)
            return {"fit": fit.name, "trial": number, **record}

        results.cases = common.in_parallel(trial, range(arguments.runs), arguments.jobs)
    for fit in fits:
        records = [record for record in results.cases if record["fit"] == fit.name]
        count = lambda condition: sum(1 for record in records if condition(record))
        left = lambda part: count(lambda record: any(part in name for name in record["left"]))
        results.row(fit.name, len(records), sum(record["kills"] for record in records), count(lambda r: r["lost"]),
                    count(lambda r: r["torn"]), count(lambda r: r["equal"]), left(".narrows-"), left(".lock"),
                    left(".checkpoint"), count(lambda r: r["began_anew"]))
    count = lambda condition: sum(1 for record in results.cases if condition(record))
    results.totals = {"runs": len(results.cases), "kills": sum(record["kills"] for record in results.cases),
                      "lost": count(lambda r: r["lost"]), "torn": count(lambda r: r["torn"]),
                      "unequal": count(lambda r: not r["equal"]), "left": count(lambda r: r["left"])}
    faults = sum(results.totals[name] for name in ("lost", "torn", "unequal", "left"))
    return results.end(arguments, faults)


def kill_and_resume(binary, fit, folder, reference, seconds, moments, environment, arguments):
    """One run, killed several times, each time at a moment of the time that the whole takes."""
    announced, kills, lost, moment_list = {}, 0, False, []
    for attempt in range(arguments.kills):
        resumes = attempt > 0 and fit.can_resume(binary)
        moment = moments.uniform(0, seconds)
        began = time.monotonic()
        process = common.start(fit.command(binary, resume=resumes), folder, environment=environment)
        ended = common.finish(process, began, moment)
        if not ended.timed_out:
            if ended.ok:
                # It ended before its moment: what it did again counts, and nothing is left to lose.
                lost |= common.repeated(announced, common.steps(ended.stdout)) >= 2
                announced = {}
                break
            # There was no checkpoint to go on from.
            continue
        kills += 1
        moment_list.append(round(moment, 3))
        seen = common.steps(ended.stdout)
        lost |= common.repeated(announced, seen) >= 2
        announced.update(seen)
        if common.is_over(ended.stdout):
            # Killed after its last word: nothing is left to lose.
            announced = {}
    resumed = common.resume(binary, fit, folder, announced, reference, environment)
    return {"kills": kills, "moments": moment_list, **resumed.record(), "lost": lost or resumed.lost}


if __name__ == "__main__":
    sys.exit(main())
