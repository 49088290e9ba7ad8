"""A notebook is a test: every chapter runs at its smallest preset, records its evidence, and obeys its parameters."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch

from featlib.press.card import load_cards
from featlib.press.collect import evidence_of
from featlib.press.home import find_home

HOME = find_home(Path(__file__).parent)
CARDS = load_cards(HOME)
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def papermill(slug, target, **parameters):
    """Plain papermill, as its users call it; the evidence by claim."""
    given = [text for name, value in parameters.items() for text in ("-p", name, str(value))]
    command = [sys.executable, "-m", "papermill", f"notebooks/{slug}.ipynb", str(target), "--no-progress-bar", *given]
    subprocess.run(command, cwd=HOME.root, env=ENVIRONMENT, check=True, capture_output=True, timeout=500)
    return {found["claim"]: found for found in evidence_of(nbformat.read(target, as_version=4))}


@pytest.mark.parametrize("slug", CARDS)
def test_every_chapter_runs_at_its_smoke_preset(slug, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "featlib.press.cli", "run", slug, "--preset", "smoke", "--seed", "1", "--jobs", "1"],
        cwd=HOME.root,
        env={**ENVIRONMENT, "FEATLIB_BUILD": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    rows = {row["claim"]: row for row in ledger["rows"] if row["chapter"] == slug}
    assert set(rows) == {claim.id for claim in CARDS[slug].claims}
    judged = [row for row in rows.values() if row["verdict"] not in {"not yet run", "not testable here"}]
    assert judged
    assert all(row["verdict"] != "supported" for row in judged), "one seed supports nothing"
    assert all(row["control"]["failed"] for row in judged)


def test_the_readmes_papermill_line_works_and_seeds_matter(tmp_path):
    first = papermill("cams", tmp_path / "first.ipynb", n_images=4, n_seeds=1, n_objects=30, n_gallery=2)
    other = papermill("cams", tmp_path / "other.ipynb", n_images=4, n_seeds=1, n_objects=30, n_gallery=2, seed=7)
    assert set(first) == set(other)
    claim = "first-component-is-the-mean"
    assert list(first[claim]["samples"]) == ["0"]
    assert list(other[claim]["samples"]) == ["7000"]
    assert first[claim]["samples"]["0"] != other[claim]["samples"]["7000"]


def test_class_activation_maps_run_on_pictures_and_weights_of_ones_own(tmp_path):
    """A toy ILSVRC of three photographs, and weights of a ResNet-50 that knows nothing."""
    from PIL import Image

    from featlib.data import photographs
    from featlib.data.ilsvrc import _classes
    from featlib.models import build

    ids = {number: name for name, number in _classes().items()}
    corners = "<xmin>129</xmin><ymin>65</ymin><xmax>448</xmax><ymax>512</ymax>"
    for number, photo in enumerate(photographs.imagenet_samples()[:3], 1):
        name, pixels = f"ILSVRC2012_val_{number:08}", (255 * photo.image).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / f"{name}.JPEG", quality=95)
        size = f"<size><width>{pixels.shape[1]}</width><height>{pixels.shape[0]}</height></size>"
        what = f"<object><name>{ids[photo.label]}</name><bndbox>{corners}</bndbox></object>"
        (tmp_path / f"{name}.xml").write_text(f"<annotation>{size}{what}</annotation>")
    torch.save(build("resnet50").state_dict(), tmp_path / "own.pth")
    small = CARDS["cams"].presets["smoke"]
    own = {"ilsvrc": tmp_path, "n_boxes": 3, "resnet_weights": tmp_path / "own.pth"}
    papermill("cams", tmp_path / "ran.ipynb", **small, **own)
    cells = {cell["id"]: cell for cell in nbformat.read(tmp_path / "ran.ipynb", as_version=4).cells}
    table = cells["boxes-table"].outputs[0]["data"]["text/html"]
    assert re.findall(r"col_heading[^>]*>([^<]+)<", table) == ["efficientnet-lite0", "resnet50"]
    lines = re.findall(r"row_heading[^>]*>([^<]+)<(.*?)</tr>", table, re.DOTALL)
    rows = {name: [float(value) for value in re.findall(r"<td[^>]*>([^<]+)<", line)] for name, line in lines}
    assert rows.pop("pictures") == [3, 3]
    assert rows.pop("right")[0] > 0.5  # labels are those of the logits
    assert {"Grad-CAM", "Eigen-CAM", "mean activation", "gaussian blob"} <= set(rows)
    assert all(len(scores) == 2 and 0 <= min(scores) and max(scores) <= 1 for scores in rows.values())
    assert max(scores[0] for scores in rows.values()) > 0
