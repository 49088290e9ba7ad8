"""Starts a kernel that dies with the press, however the press ends, and starts soon. Run as a script in its process.

ipykernel looks once a second whether its parent is still there, but only from Python code (never inside a long C
call), only once it is up, and it looks for process 1 in a parent's place, which is wrong under a session manager.
Linux can do better: the kernel of the operating system ends this process when the thread that started it ends.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import signal
import sys
from types import ModuleType
from typing import Any

PR_SET_PDEATHSIG = 1


def tether(parent: int) -> None:
    """Ask the system to end this process together with ``parent``, and leave at once if that is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def postpone(name: str, function: str) -> None:
    """Put a stand-in for a module of which others import one function, and load the module at its first use."""
    if name in sys.modules or importlib.util.find_spec(name) is None:
        return
    stand_in = ModuleType(name)

    def of_the_real_one(attribute: str) -> Any:
        if attribute.startswith("__"):  # the import system asks for these
            raise AttributeError(attribute)
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return getattr(importlib.import_module(name), attribute)

    def call(*given: Any, **named: Any) -> Any:
        return of_the_real_one(function)(*given, **named)

    vars(stand_in).update({function: call, "__getattr__": of_the_real_one})
    sys.modules[name] = stand_in


if __name__ == "__main__":
    tether(int(os.environ["JPY_PARENT_PID"]))
    if not sys.flags.safe_path:
        del sys.path[0]  # this folder: its modules must not pass for others; IPython puts the working folder there
    # glue loads jsonschema, which has this one parse 39 grammars, a second's work, for a format that no notebook names
    postpone("rfc3987_syntax", "is_valid_syntax")
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
