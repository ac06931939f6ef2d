#!/usr/bin/env python3
"""Runs verbs with too little memory (`ulimit -v`, a memory cgroup) and too few threads (a pids cgroup). Each must end with
success or with one clear message and exit code 1: never by a signal, an abort or a panic. Cgroups need root."""

import contextlib
import os
import re
import resource
import sys
from pathlib import Path

import common
import signals

MIB = 1 << 20
CGROUPS = Path("/sys/fs/cgroup")


class Cgroup:
    """A cgroup of this process alone (version 1 or 2), removed at the end."""

    def __init__(self, controller, limit):
        version_2 = (CGROUPS / "cgroup.controllers").exists()
        self.parent = CGROUPS if version_2 else CGROUPS / controller
        if version_2:
            with contextlib.suppress(OSError):
                (CGROUPS / "cgroup.subtree_control").write_text(f"+{controller}")
        self.folder = self.parent / f"narrows-faults-{os.getpid()}"
        if controller == "memory":
            self.files = ["memory.max"] if version_2 else ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
        else:
            self.files = ["pids.max"]
        self.limit = limit

    def __enter__(self):
        self.folder.mkdir()
        for name in self.files:
            file = self.folder / name
            if file.exists():
                with contextlib.suppress(OSError):
                    file.write_text(str(self.limit))
        return self

    def __exit__(self, *_):
        for _ in range(50):
            with contextlib.suppress(OSError):
                self.folder.rmdir()
                return
            signals.time.sleep(0.1)

    def join(self):
        """Called in the new process before the program begins."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))


CASES = [
    ("ulimit -v", 120, "fit single mnist --epochs 1 --out m.narrows --report report"),
    ("ulimit -v", 250, "fit conv mnist --epochs 1 --out m.narrows --report report"),
    ("ulimit -v", 180, "fit wide mnist:test --epochs 1 --out m.narrows --report report"),
    ("ulimit -v", 150, "fit pca {folder}/wide.npy --out m.narrows --report report"),
    ("ulimit -v", 100, "data {folder}/large.csv"),
    ("ulimit -v", 300, "encode {folder}/conv.narrows mnist --out codes.csv"),
    ("ulimit -v", 150, "evaluate {folder}/conv.narrows mnist"),
    ("ulimit -v", 250, "compare single pca mnist --epochs 1 --report report"),
    ("memory cgroup", 60, "fit single mnist --epochs 1 --out m.narrows --report report"),
    ("memory cgroup", 100, "fit conv mnist --epochs 1 --out m.narrows --report report"),
    ("memory cgroup", 120, "fit pca {folder}/wide.npy --out m.narrows --report report"),
    ("memory cgroup", 100, "encode {folder}/conv.narrows mnist --out codes.npy"),
    ("memory cgroup", 60, "data {folder}/large.csv"),
    ("pids cgroup", 2, "fit single mnist:test --epochs 1 --threads 4 --out m.narrows --report report"),
    ("pids cgroup", 2, "encode {folder}/conv.narrows mnist:test --threads 4 --out codes.npy"),
    ("pids cgroup", 1, "fit single mnist:test --epochs 1 --out m.narrows --report report"),
]


def main():
    arguments = common.parser(__doc__).parse_args()
    binary = common.Binary(arguments.binary, arguments.timeout)
    results = common.Results("limits", binary, ["limit", "MiB or threads", "command", "end", "verdict", "message"])
    with common.private_folder(arguments.temp) as folder:
        inputs = folder / "inputs"
        signals.make_inputs(binary, inputs)
        for kind, limit, command in CASES:
            own = folder / "trial"
            own.mkdir()
            ended = limited(binary, kind, limit, [part.replace("{folder}", str(inputs)) for part in command.split()], own)
            if ended is None:
                results.notes.append(f"{kind}: skipped: cgroups cannot be made here")
                common.shutil.rmtree(own)
                continue
            fault = judge(ended) or ("temporary files left" if common.temporary_files(own) else "")
            short = command.replace("{folder}/", "").replace(" --out m.narrows --report report", "")
            results.row(kind, limit, short, ended.end(), fault or "good", ended.message()[:90])
            results.case(limit=kind, size=limit, command=short, fault=fault, **ended.record())
            common.shutil.rmtree(own)
    faults = sum(bool(case["fault"]) for case in results.cases)
    results.totals = {"runs": len(results.cases)}
    return results.end(arguments, faults)


def limited(binary, kind, limit, command, folder):
    """One run under a limit; none where the limit cannot be had."""
    if kind == "ulimit -v":
        def setup():
            resource.setrlimit(resource.RLIMIT_AS, (limit * MIB, limit * MIB))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        return binary(*command, folder=folder, setup=setup)
    group = Cgroup("memory", limit * MIB) if kind == "memory cgroup" else Cgroup("pids", limit)
    try:
        with group:
            return binary(*command, folder=folder, setup=group.join)
    except OSError:
        return None


def judge(ended):
    """What is wrong with the end of a run."""
    if ended.died:
        return ended.end()
    if ended.code == 0:
        return ""
    if ended.code != 1:
        return f"exit code {ended.code}"
    if len(ended.errors()) != 1:
        return f"{len(ended.errors())} messages"
    clear = re.search(r"memory|thread|process", ended.errors()[0])
    return "" if clear else "the message names no memory and no threads"


if __name__ == "__main__":
    sys.exit(main())
