"""A tiny book, and ways to press it: in this process and as a user would."""

import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import yaml

from featlib.press.cache import Cache
from featlib.press.card import load_cards
from featlib.press.home import Home
from featlib.press.plan import plan
from featlib.press.run import run_jobs

PARAMETERS = 'seed: int = 0\ndevice: str = "auto"\nn_images: int = 20  # photographs\nname: str | None = None'
CARD = {
    "title": "A tiny chapter",
    "finding": "It runs.",
    "part": "One",
    "paper": {"key": "tiny2020", "title": "On tiny things", "year": 2020},
    "promise": {"seconds": 60, "memory_gb": 2},
    "presets": {"smoke": {"n_images": 8}},
    "claims": [
        {
            "id": "one-is-one",
            "says": "One is one.",
            "where": "abstract",
            "kind": "ordering",
            "rule": {"exceeds": 0.5},
            "control": "zero",
        }
    ],
}
TALLY = 'with open("tally.txt", "a") as file:\n    file.write(f"{seed} {n_images}\\n")'
"""A cell that leaves a line behind each time it really runs."""
CLI = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job may ignore it
    "from featlib.press.cli import main; main()"
)


class Book:
    """A checkout of a tiny book."""

    def __init__(self, root: Path):
        self.home = Home(root, root / "_build")
        self.home.notebooks.mkdir(parents=True)
        self.presses = []
        self.write_toc()

    @property
    def cards(self):
        return load_cards(self.home)

    @property
    def cache(self):
        return Cache(self.home.cache)

    @property
    def runs(self):
        """One line for each time that a cell with ``TALLY`` ran."""
        tally = self.home.notebooks / "tally.txt"
        return sorted(tally.read_text().splitlines()) if tally.exists() else []

    def write_toc(self, *slugs):
        chapters = [{"file": f"notebooks/{slug}"} for slug in slugs]
        (self.home.root / "_toc.yml").write_text(yaml.safe_dump({"root": "book/home", "chapters": chapters}))

    def add(self, slug, *cells, parameters=PARAMETERS, prose="Words.", **card):
        """Write a chapter and its card and list it; given again, it is replaced."""
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_markdown_cell(prose, id="prose")]
        for place, source in enumerate((parameters, *cells)):
            tags = [] if place else ["parameters"]
            cell = nbformat.v4.new_code_cell(source, id=f"cell-{place}", metadata={"tags": tags})
            notebook.cells.append(cell)
        nbformat.write(notebook, self.home.notebooks / f"{slug}.ipynb")
        (self.home.notebooks / f"{slug}.yml").write_text(yaml.safe_dump(CARD | card))
        self.write_toc(*sorted(path.stem for path in self.home.notebooks.glob("*.ipynb")))
        return self

    def plan(self, *chapters, **request):
        return plan(self.home, self.cards, chapters, **request)

    def press(self, *chapters, timeout=60.0, force=False, workers=2, on_event=lambda _: None, **request):
        """Press in this process."""
        jobs = self.plan(*chapters, **request)
        return run_jobs(jobs, self.home, self.cache, workers, timeout, force, on_event)

    def command(self, *arguments, **popen):
        """``featlib`` with these arguments, as a process of its own."""
        environment = {k: v for k, v in os.environ.items() if k != "FEATLIB_BUILD"} | popen.pop("env", {})
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", CLI, *map(str, arguments)]
        self.presses.append(subprocess.Popen(command, cwd=self.home.root, env=environment, **pipes | popen))
        return self.presses[-1]

    def featlib(self, *arguments, **popen):
        """Run ``featlib`` to its end: exit code, what it said, and what it complained of."""
        with self.command(*arguments, **popen) as process:
            said, complaint = process.communicate(timeout=120)
        return process.returncode, said, complaint

    def kernels(self):
        """Every live process that works in this book's notebooks folder: its kernels and what they have started."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == self.home.notebooks:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found


def until(condition, seconds=30):
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
