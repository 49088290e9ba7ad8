"""A small book with one chapter, made anew for each test."""

import copy
from pathlib import Path

import nbformat
import yaml

from featlib.press.evidence import MIME
from featlib.press.home import Home
from featlib.press.record import RunRecord

CARD = {
    "title": "Toy chapter",
    "finding": "Toys work.",
    "part": "Seeing what a network uses",
    "paper": {"key": "toy2020", "title": "On toys", "year": 2020, "arxiv": "2008.00299"},
    "promise": {"seconds": 60, "memory_gb": 2, "device": "cpu"},
    "data": ["stamps"],
    "presets": {"smoke": {"n_images": 8}, "gpu": {"n_images": 5000}},
    "claims": [
        {
            "id": "toy-wins",
            "says": "The toy beats chance.",
            "where": "abstract",
            "kind": "ordering",
            "paper": {"value": None, "note": "qualitative"},
            "rule": {"exceeds": 0.05, "confidence": 0.95},
            "control": "shuffled-masks",
            "rival": "centre-blob",
        },
        {
            "id": "toy-exact",
            "says": "Both forms of the toy agree.",
            "where": "equation 3",
            "kind": "identity",
            "paper": {"value": 0.0},
            "rule": {"at_most": 1e-6},
            "control": "other-toy",
        },
        {
            "id": "toy-at-scale",
            "says": "The toy wins on a million images.",
            "where": "table 1",
            "kind": "value",
            "paper": {"value": 71.3, "note": "top-1"},
            "testable": "A million images do not fit on a laptop.",
        },
    ],
    "departs": [{"what": "A smaller toy.", "weight": "major"}],
}
TOC = {"format": "jb-book", "root": "book/home", "parts": [{"caption": "One", "chapters": [{"file": "notebooks/toy"}]}]}


def card(**changes):
    """The card's mapping with some fields changed; ``...`` removes one."""
    changed = copy.deepcopy(CARD) | changes
    return {key: value for key, value in changed.items() if value is not ...}


def claim(place=0, **changes):
    """The card's mapping with some fields of one claim changed; ``...`` removes one."""
    changed = card()
    one = changed["claims"][place] | changes
    changed["claims"][place] = {key: value for key, value in one.items() if value is not ...}
    return changed


def home(root: Path, mapping=CARD, toc=TOC) -> Home:
    """A checkout with one chapter."""
    book = Home(root, root / "_build")
    book.notebooks.mkdir(parents=True, exist_ok=True)
    (root / "_toc.yml").write_text(yaml.safe_dump(toc))
    (book.notebooks / "toy.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook()))
    (book.notebooks / "toy.yml").write_text(yaml.safe_dump(mapping))
    return book


def evidence(**changes):
    """A payload as ``record`` writes it."""
    payload = {
        "schema": 1,
        "chapter": "toy",
        "claim": "toy-wins",
        "samples": {"0": 0.30, "1": 0.32, "2": 0.35},
        "control": {"0": 0.00, "1": 0.02, "2": -0.03},
        "rival": {"0": 0.10, "1": 0.13, "2": 0.11},
        "precondition": None,
        "why": "",
        "unit": "IoU",
    }
    return payload | changes


def notebook(*payloads):
    """An executed notebook with these outputs of our type."""
    cells = [nbformat.v4.new_markdown_cell("# Toy")]
    for payload in payloads:
        cell = nbformat.v4.new_code_cell("ledger.record(...)", execution_count=1)
        cell.outputs = [
            nbformat.v4.new_output("stream", text="training"),
            nbformat.v4.new_output("display_data", data={MIME: payload, "text/plain": "toy"}),
        ]
        cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells)


def record(**changes):
    """What is known about one run."""
    seed = changes.get("seed", 0)
    about = {
        "chapter": "toy",
        "preset": "laptop",
        "seed": seed,
        "overrides": {},
        "parameters": {"seed": seed, "device": "auto", "n_images": 100},
        "digest": f"digest-{seed}",
        "notebook_digest": "notebook",
        "code_digest": "code",
        "data_digests": {"stamps": "data"},
        "versions": {"torch": "2.13.0"},
        "device": "cpu",
        "seconds": 10.0,
        "cpu_seconds": 8.0,
        "peak_memory_mb": 500.0,
        "date": f"2026-01-01T00:00:0{seed}Z",
    }
    return RunRecord(**(about | changes))
