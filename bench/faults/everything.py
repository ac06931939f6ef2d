#!/usr/bin/env python3
"""Runs all scripts of this folder and collects their tables and records in a folder."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

SCRIPTS = ["kill_at_syscalls", "kill_randomly", "inject_errors", "full_disk", "signals", "limits", "outputs"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, type=Path)
    parser.add_argument("--records", required=True, type=Path, metavar="FOLDER", help="where tables and records go")
    arguments = parser.parse_args()
    arguments.records.mkdir(parents=True, exist_ok=True)
    failed = []
    for script in SCRIPTS:
        print(f"\n== {script}", flush=True)
        command = [sys.executable, Path(__file__).parent / f"{script}.py", "--binary", arguments.binary, "--json",
                   arguments.records / f"{script}.json"]
        done = subprocess.run([os.fspath(part) for part in command], stdout=subprocess.PIPE, text=True)
        (arguments.records / f"{script}.txt").write_text(done.stdout)
        print(done.stdout, end="")
        if done.returncode:
            failed.append(script)
    print("\n" + (f"faults in: {', '.join(failed)}" if failed else "no faults"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
