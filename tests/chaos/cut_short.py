"""Makes a cube's metadata many times, killed at ever later moments: python -m tests.chaos.cut_short FOLDER TIMES.

Forks itself, since importing takes a hundred times as long as what is to be interrupted; nothing that starts threads
is touched before a fork. An interval timer without a handler ends the child as abruptly as SIGKILL, and on the moment.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from pathlib import Path

from engine.objects import Objects
from engine.store import prepare


def in_child(folder: Path, seconds: float | None = None) -> bool:
    """Prepare the cube in a child process that lives so long; False when that ended it too soon."""
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        assert status == 0 or os.WTERMSIG(status) == signal.SIGALRM, f"a child failed by itself: status {status}"
        return status == 0
    grid, axes = pickle.loads((folder.parent / "plan.pickle").read_bytes())
    if seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
    prepare(Objects(str(folder)), grid, axes)
    os._exit(0)


def main() -> None:
    """Prints how many children were killed: TIMES, unless far too many came to their end before their moment."""
    root, times = Path(sys.argv[1]), int(sys.argv[2])
    began = time.monotonic()
    assert in_child(root / "whole")
    took_s = time.monotonic() - began
    killed = 0
    for i in range(8 * times):
        if in_child(root / str(i), took_s * (killed + 0.5) / times):
            took_s *= 0.9  # the first one found a cold disk
        else:
            killed += 1
            assert in_child(root / str(i))
        if killed == times:
            break
    print(killed)


if __name__ == "__main__":
    main()
