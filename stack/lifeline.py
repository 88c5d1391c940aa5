"""Ties a server's life to the process that started it, so that even `kill -9` of the parent leaves nothing behind.

Run by its file, as `python lifeline.py kernel|supervisor PARENT_PID COMMAND...`, it imports nothing of ours. On Linux
it asks the kernel for SIGKILL when the parent ends and then *becomes* the command, so no extra process stays. That
request is bound to the parent's thread that did the starting, so `processes.py` asks for `kernel` on the main thread
only. A `supervisor` stays beside the command and watches its parent: when that changes, the command is killed.
"""

import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
WATCH_INTERVAL_S = 0.5


def main() -> None:
    follows_kernel, parent, command = sys.argv[1] == "kernel", int(sys.argv[2]), sys.argv[3:]
    if follows_kernel:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:  # Otherwise it ended before we could ask.
            os.execv(command[0], command)
    else:
        supervise(parent, command)


def supervise(parent: int, command: list[str]) -> None:
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    while child.poll() is None and os.getppid() == parent:
        time.sleep(WATCH_INTERVAL_S)
    child.kill()
    sys.exit(child.wait())


if __name__ == "__main__":
    main()
