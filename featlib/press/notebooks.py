"""Reading a notebook, and its code cells, in the one way that the press does it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat


class NotebookError(ValueError):
    """A file that is no readable notebook."""


def read_notebook(path: Path) -> Any:
    """The notebook in a file.

    Raises:
        NotebookError: if there is none.
    """
    try:
        return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except Exception as error:  # nbformat lets through whatever its parsing of a malformed file runs into
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NotebookError(f"{path.name} is no readable notebook ({why:.200}): open it in JupyterLab") from None


def tags(cell: Any) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def code_cells(notebook: Any) -> list[Any]:
    """The code cells, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]
