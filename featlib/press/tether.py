"""Starts a kernel that dies with the press, however the press ends. Run as a script in the kernel's own process.

ipykernel looks once a second whether its parent is still there, but only from Python code (never inside a long C
call), only once it is up, and it looks for process 1 in a parent's place, which is wrong under a session manager.
Linux can do better: the kernel of the operating system ends this process when the thread that started it ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tether(parent: int) -> None:
    """Ask the system to end this process together with ``parent``, and leave at once if that is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


if __name__ == "__main__":
    tether(int(os.environ["JPY_PARENT_PID"]))
    if not sys.flags.safe_path:
        del sys.path[0]  # this folder: its modules must not pass for others; IPython puts the working folder there
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
