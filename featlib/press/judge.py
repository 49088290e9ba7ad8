"""Did a run succeed? Only if nothing was raised, every code cell ran, and no output is an error.

papermill's own notes are no help: a time-out, a dead kernel and ``sys.exit(0)`` all leave a "completed" notebook.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from typing import Any

from nbclient.exceptions import DeadKernelError

from featlib.press.kernel import Execution
from featlib.press.notebooks import code_cells, tags

INJECTED = "injected-parameters"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def fault(execution: Execution, limit: float | None = None) -> str:
    """What went wrong, in one line that names the cell and where possible the fix; empty if nothing did."""
    if execution.ended == "stop":
        return "stopped"
    where = _reached(execution.notebook)
    if execution.ended == "timeout":
        return f"{where}: over the limit of {limit:g} s; raise --timeout or choose a smaller preset"
    for place, cell in _code_cells(execution.notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                return f"{place}: {_told(output)}"
    if execution.error is not None:
        return f"{where}: {_raised(execution)}"
    for place, cell in _code_cells(execution.notebook):
        if cell.execution_count is None:
            return f"{place}: did not run; every code cell of a chapter must"
    return ""


def _code_cells(notebook: Any) -> Iterator[tuple[str, Any]]:
    """The code cells that hold code, each with a name that finds it in the source notebook."""
    number = 0
    for cell in code_cells(notebook):
        injected = INJECTED in tags(cell)
        number += not injected
        if cell.source.strip():
            first = cell.source.strip().split("\n")[0]
            yield "the parameters" if injected else f"code cell {number} ({first:.50})", cell


def _reached(notebook: Any) -> str:
    """The last code cell that was started."""
    started = [place for place, cell in _code_cells(notebook) if cell.metadata.get("papermill", {}).get("start_time")]
    return started[-1] if started else "start of the kernel"


def _told(output: Any) -> str:
    """An error output in one line."""
    if output.ename == "SystemExit":
        return f"SystemExit({output.evalue}) ended the run; a chapter must run to its last cell"
    return f"{output.ename}: {_one_line(output.evalue)}"


def _raised(execution: Execution) -> str:
    """What was raised outside the cells, in one line; mostly it is a kernel that died, and not by our hand."""
    error, exit_code = execution.error, execution.exit_code
    if not isinstance(error, DeadKernelError):
        said = f" ({_one_line(execution.complaint)})" if execution.complaint else ""
        return f"{type(error).__name__}: {_one_line(str(error))}{said}"
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = "; out of memory? choose a smaller preset or --jobs 1" if name == "SIGKILL" else ""
        return f"the kernel was killed by {name}{hint}"
    return f"the kernel ended by itself (exit code {exit_code}); a chapter must not end its own process"


def _one_line(text: str) -> str:
    """The first line that says something, without colours."""
    lines = [line.strip() for line in COLOUR.sub("", text).splitlines() if line.strip()]
    return lines[0][:300] if lines else "no message"
