#!/usr/bin/env python3
"""Counts vector registers that are moved to and from the stack inside the hot loops of a binary. Needs objdump, and no
processor with the instructions in question: every level is in the binary.

    cargo build --release
    bench/spills.py target/release/narrows

A hot loop is an innermost loop with at least four multiply-adds (vfmadd..., vpdpbusd, vpmaddwd). The bar is zero spills: exit code 1
where there is one.
"""

import argparse
import re
import subprocess
import sys
from collections import defaultdict

MULTIPLY_ADD = re.compile(r"^(vfn?m(add|sub)\w*|vpdpbusd|vpmaddwd|vdpbf16ps)$")
# A fixed place of the stack. A place with an index is an array, such as a tile whose activation is computed register by register.
# rbp points to the stack only in a function that sets it so; elsewhere it is a register like others.
STACK = re.compile(r"\(%rsp\)")
STACK_OR_FRAME = re.compile(r"\(%r[sb]p\)")
FRAME = ("mov", "%rsp,%rbp")
VECTOR = re.compile(r"%?([xyz])mm\d+")
JUMP = re.compile(r"^j\w+$")
LEVELS = {"x": "128 bits", "y": "AVX2", "z": "AVX-512"}


def functions(binary):
    """The name and the instructions (address, mnemonic, operands) of each function."""
    command = ["objdump", "-d", "-C", "--no-show-raw-insn", binary]
    name, body = None, []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stdout:
            head = re.match(r"^[0-9a-f]+ <(.*)>:$", line)
            if head:
                if name and body:
                    yield name, body
                name, body = head.group(1), []
                continue
            parts = re.match(r"^\s+([0-9a-f]+):\s+(\S+)\s*(.*)$", line)
            if parts:
                body.append((int(parts.group(1), 16), parts.group(2), parts.group(3)))
        if name and body:
            yield name, body
    if process.returncode:
        sys.exit(f"{binary}: objdump cannot read it")


def innermost_loops(body):
    """Ranges of instructions from the target of a jump backwards to the jump, without those that contain another."""
    places = {address: index for index, (address, _, _) in enumerate(body)}
    loops = []
    for index, (address, mnemonic, operands) in enumerate(body):
        target = re.match(r"^([0-9a-f]+)", operands)
        if JUMP.match(mnemonic) and target and int(target.group(1), 16) <= address:
            start = places.get(int(target.group(1), 16))
            if start is not None:
                loops.append((start, index))
    return [loop for loop in loops
            if not any(other != loop and loop[0] <= other[0] and other[1] <= loop[1] for other in loops)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--all", action="store_true", help="list hot loops without spills, too")
    arguments = parser.parse_args()
    totals = defaultdict(lambda: [0, 0, 0])
    rows = []
    for name, body in functions(arguments.binary):
        if not any(MULTIPLY_ADD.match(mnemonic) for _, mnemonic, _ in body):
            continue
        has_frame = any((mnemonic, operands) == FRAME for _, mnemonic, operands in body)
        stack = STACK_OR_FRAME if has_frame else STACK
        for start, end in innermost_loops(body):
            loop = body[start:end + 1]
            products = [operands for _, mnemonic, operands in loop if MULTIPLY_ADD.match(mnemonic)]
            if len(products) < 4:
                continue
            widths = [match.group(1) for operands in products for match in VECTOR.finditer(operands)]
            level = max(widths, default="x")
            spills = sum(1 for _, mnemonic, operands in loop
                         if mnemonic.startswith("vmov") and stack.search(operands) and VECTOR.search(operands))
            totals[level][0] += 1
            totals[level][1] += spills > 0
            totals[level][2] += spills
            if "narrows" in name and (spills or arguments.all):
                rows.append((spills, len(products), LEVELS[level], name))
    rows.sort(reverse=True)
    for spills, products, level, name in rows[:60]:
        print(f"{spills:4} spills {products:4} products  {level:8} {name[:150]}")
    own = sum(1 for row in rows if row[0])
    for level, (loops, with_spills, spills) in sorted(totals.items()):
        print(f"{LEVELS[level]}: {loops} hot loops, {with_spills} with spills, {spills} spills (libraries included)")
    print(f"{own} of our own hot loops with spills")
    return 1 if own else 0


if __name__ == "__main__":
    sys.exit(main())
