#!/usr/bin/env python3
"""Fits onto small disks (a tmpfs of 24 sizes; needs root): whatever does not fit, nothing may be torn, and once there is
space again --resume must complete the run without doing finished work again."""

import contextlib
import os
import subprocess
import sys

import common

MIB = 1 << 20


def main():
    parser = common.parser(__doc__)
    parser.add_argument("--sizes", type=int, default=24, help="how many sizes of disk [24]")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("full_disk: skipped: only root can mount a tmpfs")
        return 0
    binary = common.Binary(arguments.binary, arguments.timeout)
    results = common.Results("full_disk", binary, ["KiB", "exit", "announced", "rescued", "done again", "lost", "torn", "equal", "left",
                                                   "message"])
    fit = common.Fit("single", "fit", "single", "mnist:test", "--held-out", "0.1", "--epochs", "3")
    with common.private_folder(arguments.temp) as folder:
        environment = common.fast_clock(binary, folder)
        reference, _ = common.undisturbed(binary, fit, folder / "undisturbed")
        needed = sum(path.stat().st_size for path in (folder / "undisturbed").rglob("*") if path.is_file())
        # Sizes go from nothing to beyond the peak, which holds checkpoints beside the model; they lie closer where the model
        # and its checkpoints do not fit than where the report does not.
        largest = needed + 8 * (folder / "undisturbed" / common.MODEL).stat().st_size
        for number in range(arguments.sizes):
            size = 16384 + int((largest - 16384) * (number / (arguments.sizes - 1)) ** 2)
            with mounted(folder / f"disk-{number}", size) as disk:
                record = fill(binary, fit, disk, reference, environment, arguments)
            record["bytes"] = size
            results.cases.append(record)
            results.row(size // 1024, record["end"], record["announced"], record["rescued"], record["repeated"], record["lost"],
                        " ".join(record["torn"]) or "-", record["equal"], " ".join(record["left"]) or "-",
                        record["message"][:80])
    count = lambda condition: sum(1 for record in results.cases if condition(record))
    results.totals = {"sizes": len(results.cases), "lost": count(lambda r: r["lost"]), "torn": count(lambda r: r["torn"]),
                      "unequal": count(lambda r: not r["equal"]), "died": count(lambda r: r["died"]),
                      "left": count(lambda r: r["left"])}
    faults = sum(results.totals[name] for name in ("lost", "torn", "unequal", "died", "left"))
    return results.end(arguments, faults)


@contextlib.contextmanager
def mounted(folder, size):
    """A disk of so many bytes."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "narrows-faults", folder], check=True)
    try:
        yield folder
    finally:
        # Lazily: a process that was only just ended may still be there.
        subprocess.run(["umount", "-l", folder], check=False)


def fill(binary, fit, disk, reference, environment, arguments):
    """One fit onto a disk, then the same with space."""
    first = common.run(fit.command(binary), disk, arguments.timeout, environment=environment)
    # A model that the run could not put in its place and wrote elsewhere is not lost, whatever is done again.
    rescued = common.rescue_file(first.stderr, disk, reference)
    announced = common.steps(first.stdout)
    subprocess.run(["mount", "-o", f"remount,size={64 * MIB}", disk], check=True)
    resumed = common.resume(binary, fit, disk, {} if rescued else announced, reference, environment)
    if rescued and rescued.exists():
        rescued.unlink()
    return {"announced": len(announced), "rescued": rescued is not None, "died": first.died, **first.record(), **resumed.record()}


if __name__ == "__main__":
    sys.exit(main())
