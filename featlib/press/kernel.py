"""One notebook in one kernel: started tethered to the press, measured, held to a time limit, killed on demand.

papermill does the work; what it leaves open is closed here. Its time limit is per cell, it measures nothing, and it
changes the working folder of the whole process, which two threads cannot share.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import papermill
import zmq
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_event_loop
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.parameterize import parameterize_notebook

from featlib.press import places, tether
from featlib.press.watch import Ended, Watch

ENGINE = "featlib"
PYTHON = {"kernel_name": "python3", "language": "python"}
START_SECONDS = 60
"""How long a kernel may take to answer for the first time, on a busy machine."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
DEVICE = "'cuda' if 'torch' in __import__('sys').modules and __import__('torch').cuda.is_initialized() else 'cpu'"
"""Asked of the kernel after its last cell: what it really computed on, whatever the parameter said."""

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())
log.propagate = False  # nbclient's complaints come back as exceptions: telling them once is enough


@dataclass(frozen=True)
class Execution:
    """What came of a notebook: the notebook itself, what it cost, and what went wrong outside its cells."""

    notebook: Any
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    device: str
    ended: Ended
    """Why we killed the kernel, if we did."""
    error: Exception | None
    exit_code: int | None
    complaint: str
    """The last line that the kernel wrote past the notebook; where it could not even start, this says why."""


def execute(
    notebook: Any,
    parameters: Mapping[str, Any],
    folder: Path,
    threads: int = 1,
    limit: float | None = None,
    stop: threading.Event | None = None,
) -> Execution:
    """Run a notebook in a kernel of its own, in ``folder``, and leave nothing of the kernel behind.

    Args:
        notebook: the notebook; it is not changed.
        parameters: what its parameters cell is to be overridden with.
        folder: working folder of the kernel.
        threads: how many threads its numerical libraries may use.
        limit: seconds of wall time for everything together, the start of the kernel included.
        stop: once set, the kernel is killed.

    Returns:
        The execution, also when the notebook failed: judging is not done here.
    """
    # Injected here rather than by execute_notebook, which would warn of parameters that it cannot read.
    prepared = parameterize_notebook(papermill.iorw.load_notebook_node(notebook), dict(parameters), **PYTHON)
    environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
    with tempfile.TemporaryFile() as spill:
        with Watch(limit, stop or threading.Event(), spill) as watch:
            error = _press(prepared, watch, str(folder), environment)
        places.remove(watch.place)
        return Execution(
            notebook=watch.notebook or prepared,
            seconds=watch.seconds,
            cpu_seconds=watch.cpu_seconds,
            peak_memory_mb=watch.peak_mb,
            device=watch.device,
            ended=watch.ended,
            error=error,
            exit_code=watch.exit_code,
            complaint=_last_line(spill),
        )


def _press(notebook: Any, watch: Watch, folder: str, environment: dict[str, str]) -> Exception | None:
    """Have papermill run the notebook; what it raises is a result, not a fault of the press."""
    try:
        papermill.execute_notebook(
            notebook,
            None,
            engine_name=ENGINE,
            **PYTHON,
            progress_bar=False,
            start_timeout=START_SECONDS,
            watch=watch,
            folder=folder,
            env=environment,
        )
    except Exception as error:
        return error
    finally:
        _close_loop()
    return None


class _Manager(AsyncKernelManager):
    """Starts the Python that runs the press, whatever kernels the user has installed under the same name."""

    def __init__(self, **kw: Any) -> None:
        super().__init__(**kw)
        self.place = places.make()
        self.connection_file = str(self.place / "kernel.json")
        if places.takes_sockets(self.place):
            self.transport, self.ip = "ipc", str(self.place / "s")  # several presses race for the ports of a machine
        if self.has_trait("transport_encryption") and zmq.has("curve"):  # older versions know no encryption
            self.transport_encryption = "auto"

    @property
    def kernel_spec(self) -> KernelSpec:
        """The kernel: this Python, tethered, and on a line that other users of the machine cannot read."""
        argv = [sys.executable, str(tether.__file__), "-f", "{connection_file}"]
        extra = {"supported_encryption": ["curve"]}
        return KernelSpec(argv=argv, display_name="Python 3", language="python", metadata=extra)


class _Client(PapermillNotebookClient):  # type: ignore[misc]
    """papermill's client, which looks at the kernel once more before it is shut down."""

    watch: Watch

    def create_kernel_manager(self) -> Any:
        """The manager, with a note of the folder that goes with it."""
        manager = super().create_kernel_manager()
        self.watch.place = manager.place
        return manager

    def papermill_execute_cells(self) -> None:
        """Run the cells, then note what they cost and on which device."""
        super().papermill_execute_cells()
        asked = self.kc.execute("", silent=True, store_history=False, user_expressions={"device": DEVICE})
        answer = self.wait_for_reply(asked)["content"].get("user_expressions", {}).get("device", {})
        self.watch.device = answer.get("data", {}).get("text/plain", "'cpu'").strip("'")
        self.watch.measure()


class _PressEngine(Engine):  # type: ignore[misc]
    """papermill's engine for the press."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        *,
        watch: Watch,
        folder: str,
        env: dict[str, str],
        start_timeout: int,
        **_: Any,
    ) -> None:
        """Run the notebook under ``watch``."""
        watch.notebook = nb_man.nb
        watch.client = client = _Client(
            nb_man,
            kernel_name=kernel_name,
            kernel_manager_class=_Manager,
            startup_timeout=start_timeout,
            timeout=None,
            iopub_timeout=START_SECONDS,
            resources={"metadata": {"path": folder}},
            log=log,
        )
        client.watch = watch
        client.execute(env=env, stdout=watch.spill, stderr=watch.spill)


papermill_engines.register(ENGINE, _PressEngine)


def _close_loop() -> None:
    """Close the event loop that nbclient has opened for this thread; nobody else would, and it holds sockets."""
    loop = ensure_event_loop()
    if not loop.is_running():
        loop.close()


def _last_line(file: IO[bytes]) -> str:
    """The last line of a file that says something."""
    file.seek(0)
    lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else ""
