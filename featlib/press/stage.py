"""The stage: the checkout as Jupyter Book gets it, with the outputs of finished runs in today's notebooks."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .alt import undescribed
from .card import Card
from .dossiers import write_dossiers
from .evidence import MIME, EvidenceError, evidence_html, parse_evidence
from .home import Home
from .links import NOTEBOOKS, SCOREBOARD, address, anchor
from .notebooks import code_cells, read_notebook, tags

PICTURE = "picture"
"""Tag of the cell whose image stands for the chapter on the home page."""
INJECTED = "injected-parameters"
"""Tag of the cell that papermill adds; it has no counterpart in the source."""
CARD_WIDTH = 640
"""Pixels of a picture on the home page: twice what the card shows."""
PICTURES = Path("book", "assets", "chapters")
SUFFIXES = {"image/svg+xml": ".svg", "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
Notebook = dict[str, Any]
GLUED = re.compile(r"^(`{3,}|:{3,})\{glue(?::\w+)?\}.*?^\1[ \t]*$|\{glue(?::\w+)?\}`[^`]+`", re.MULTILINE | re.DOTALL)
"""A place in the prose where a result of the run is pasted in: a block, or a word."""
MALFORMED = "<p>This evidence is malformed. The scoreboard says what is wrong with it.</p>"
WIDGET = "application/vnd.jupyter.widget-view+json"


class StageError(RuntimeError):
    """An executed notebook does not belong to the chapter as it stands."""


def stage(home: Home, cards: Mapping[str, Card], executed: Mapping[str, Path]) -> Path:
    """Lay out the book in ``home.stage``, in the same folders as the checkout, for launch buttons name those.

    Args:
        home: the checkout; its ledger, if there is one, goes along.
        cards: the chapters of the book.
        executed: the executed notebook of each chapter that has one; the others are printed without outputs.

    Raises:
        StageError: if an executed notebook does not have the code cells of the chapter, or shows a picture without a
            description.
    """
    home.build.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.build, prefix="stage-") as name:
        tree = Path(name) / "tree"
        shutil.copytree(home.root / "book", tree / "book", ignore=shutil.ignore_patterns("chapters", "evidence"))
        shutil.copyfile(home.root / "_toc.yml", tree / "_toc.yml")
        write_dossiers(tree, cards)
        write_config(home.root / "_config.yml", tree / "_config.yml")
        copy_ledger(home, tree / "_build")
        (tree / "notebooks").mkdir()
        for slug, card in cards.items():
            shutil.copyfile(home.notebooks / f"{slug}.yml", tree / "notebooks" / f"{slug}.yml")
            stage_chapter(home.notebooks / f"{slug}.ipynb", card, executed.get(slug), tree)
        replace_folder(tree, home.stage)
    return home.stage


def write_config(source: Path, target: Path) -> None:
    """Copy the configuration with execution switched off: what is staged has been run already."""
    config = yaml.safe_load(source.read_text("utf8"))
    config["execute"] = {**config.get("execute", {}), "execute_notebooks": "off"}
    target.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), "utf8")


def copy_ledger(home: Home, target: Path) -> None:
    """Put the ledger where the pages look for it."""
    target.mkdir()
    for file in (home.ledger, home.ledger.with_suffix(".csv")):
        if file.exists():
            shutil.copyfile(file, target / file.name)


def replace_folder(new: Path, place: Path) -> None:
    """Put a finished folder in place of an older one; if that fails, the older one comes back."""
    old = new.with_name(f"{new.name}-old")
    if place.exists():
        place.rename(old)
    try:
        new.rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def stage_chapter(source: Path, card: Card, executed: Path | None, tree: Path) -> None:
    """Write one chapter into the stage, with outputs and picture if it has been run."""
    notebook = read_notebook(source)
    if executed is None:
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = GLUED.sub(lambda place: "" if place[1] else "*(not yet run)*", cell["source"])
    else:
        fill(notebook, read_notebook(executed), card, source.name)
        refuse_undescribed(notebook, source.name)
        save_picture(notebook, tree / PICTURES, source)
    (tree / "notebooks" / source.name).write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", "utf8")


def fill(notebook: Notebook, executed: Notebook, card: Card, name: str) -> None:
    """Give the code cells of ``notebook`` the outputs of ``executed``, cell by cell. Prose stays as it is now.

    Raises:
        StageError: if the code of the two differs.
    """
    now = code_cells(notebook)
    then = [cell for cell in code_cells(executed) if INJECTED not in tags(cell)]
    if len(now) != len(then):
        raise StageError(f"{name} has {len(now)} code cells, its run {len(then)}: run the chapter again")
    for position, (cell, done) in enumerate(zip(now, then, strict=True), start=1):
        if cell["source"] != done["source"]:
            raise StageError(f"{name}: code cell {position} changed after its run: run the chapter again")
        cell["execution_count"] = done["execution_count"]
        shown = (prepare(output, card) for output in done["outputs"])
        cell["outputs"] = [output for output in shown if output is not None]


def refuse_undescribed(notebook: Notebook, name: str) -> None:
    """A picture without a description does not get into the book.

    Raises:
        StageError: if there is one; the message names the cell, and what to write there.
    """
    for said in undescribed(notebook):
        raise StageError(f"{name}: {said}")


def evidence_today(payload: Any, card: Card) -> str:
    """Evidence as a table with the verdict of today's card; what is malformed is named as such, not shown."""
    try:
        evidence = parse_evidence(payload)
    except EvidenceError:
        return MALFORMED
    claim = next((claim for claim in card.claims if claim.id == evidence.claim), None)
    table = evidence_html(payload, claim)
    if claim is None:
        return table
    row = f"{address(f'{NOTEBOOKS}/{card.slug}', SCOREBOARD)}.html#{anchor(card.slug, claim.id)}"
    return f'{table}<p class="fl-note">From the run on this page alone. <a href="{row}">All runs together</a></p>'


def prepare(output: dict[str, Any], card: Card) -> dict[str, Any] | None:
    """An output as the site shows it, or ``None`` for a live control, which would be dead there.

    Evidence is judged again by today's card, so that a changed rule never stands beside an old verdict.
    """
    data = output.get("data", {})
    if MIME in data:
        return {"output_type": "display_data", "metadata": {}, "data": {"text/html": evidence_today(data[MIME], card)}}
    if WIDGET in data:
        rest = {kind: value for kind, value in data.items() if kind not in {WIDGET, "text/plain"}}
        return {**output, "data": rest} if rest else None
    return output


def save_small(content: bytes, path: Path) -> None:
    """Save an image for a card on the home page; a large one is made smaller, for the page shows all chapters."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        if image.width <= CARD_WIDTH:
            path.write_bytes(content)
            return
        small = image.convert("RGB").resize((CARD_WIDTH, round(image.height * CARD_WIDTH / image.width)))
        small.save(path.with_suffix(".webp"), quality=70, method=6)


def save_picture(notebook: Notebook, folder: Path, source: Path) -> None:
    """Save the chapter's picture for the home page.

    Raises:
        StageError: if a cell is tagged as the picture but shows no image.
    """
    chosen = [cell for cell in code_cells(notebook) if PICTURE in tags(cell)]
    if not chosen:
        return
    for output in chosen[0]["outputs"]:
        for kind, suffix in SUFFIXES.items():
            if kind in output.get("data", {}):
                folder.mkdir(parents=True, exist_ok=True)
                content = "".join(output["data"][kind])
                if suffix == ".svg":
                    (folder / f"{source.stem}.svg").write_text(content, "utf8")
                else:
                    save_small(base64.b64decode(content), folder / f"{source.stem}{suffix}")
                return
    raise StageError(f"{source.name}: the cell tagged {PICTURE!r} shows no image")
