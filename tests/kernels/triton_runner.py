"""Runs the cases of Triton tests, under the interpreter where there is no GPU.

The flag of the interpreter must be set before triton is imported, so each case is a text that runs in a process of its
own. It begins with all that :mod:`triton_case` holds.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

__all__ = ["needs_triton", "passes", "without_gpu_says"]

HERE = Path(__file__).resolve().parent
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed (pip install triton)")


def passes(code):
    """Run a case, compiled where there is a GPU, and fail with what it wrote if it fails."""
    done = _run(f"from triton_case import *\n{code}", interpret=not torch.cuda.is_available())
    assert done.returncode == 0, done.stderr[-1500:]


def without_gpu_says(code, message):
    """Run without GPU and interpreter: the last line of the error is the message."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU to run on")
    assert message in _run(f"import torch; {code}", interpret=False).stderr.splitlines()[-1]


def _run(code, interpret):
    """Run a text from the root of the project."""
    known = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": known}
    environment.pop("TRITON_INTERPRET", None)
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True)
