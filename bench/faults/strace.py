"""System calls of a run: which there are, and disturbing the K-th of them."""

import collections
import re
import shutil
import sys

from common import run

# The calls that change files, or open them to be changed.
CALLS = ["openat", "write", "pwrite64", "writev", "ftruncate", "fallocate", "fsync", "fdatasync", "rename", "renameat", "renameat2",
         "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir", "link", "linkat", "flock", "chmod", "fchmod", "utimensat"]


def require():
    if shutil.which("strace") is None:
        sys.exit("strace: is not installed, and nothing can be disturbed without it")


class Call:
    """The `number`-th call of a name (counted for each thread, as strace does), with its arguments as strace shows them."""

    def __init__(self, name, number, arguments):
        self.name, self.number, self.arguments = name, number, arguments

    def __repr__(self):
        return f"{self.name} {self.number}"


LINE = re.compile(r"^(?:\[pid\s+)?(\d+)\]?\s+(\w+)\((.*)$")


def calls(command, folder, log, timeout, environment=None):
    """The calls of an undisturbed run that touch its folder, in order."""
    done = run(["strace", "-f", "-y", "-s", "0", "-o", log, "-e", "trace=" + ",".join(CALLS),
                *_environment(environment), *command], folder, timeout)
    if not done.ok:
        sys.exit(f"strace: the undisturbed run failed: {done.end()}: {done.message()}")
    counts, found = collections.Counter(), []
    for line in log.read_text(errors="replace").splitlines():
        match = LINE.match(line)
        if not match:
            continue
        thread, name, arguments = match.groups()
        counts[thread, name] += 1
        if _touches(arguments, str(folder)):
            found.append(Call(name, counts[thread, name], arguments))
    return found


def _touches(arguments, folder):
    """Whether a call names something in the folder: by a descriptor, an absolute path or a relative one."""
    arguments = re.sub(r"AT_FDCWD<[^>]*>", "AT_FDCWD", arguments)
    return folder in arguments or re.search(r'"[^/"]', arguments) is not None


def disturbed(call, how, command, folder, timeout, environment=None, lasting=False):
    """Runs a command and does `how` (`signal=SIGKILL`, `error=ENOSPC`) at a call, or from it on."""
    when = f"{call.number}{'+' if lasting else ''}"
    return run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call.name}",
                "-e", f"inject={call.name}:{how}:when={when}", *_environment(environment), *command], folder, timeout)


def _environment(environment):
    return [part for name, value in (environment or {}).items() for part in ("-E", f"{name}={value}")]
