"""A book of two chapters: ``alpha`` was executed (by hand: no kernel is needed), ``beta`` never was."""

import base64
import copy
import json
import shutil
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import yaml

from featlib.press.card import load_cards
from featlib.press.collect import collect, write
from featlib.press.evidence import MIME
from featlib.press.home import Home
from featlib.press.record import RunRecord

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = 'Features beat <script>alert("pixels")</script> & <b>"noise"</b>.'
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
    )
).decode()


def claim(name, says, **fields):
    """A claim of a card."""
    known = {"where": "table 1", "kind": "ordering", "rule": {"exceeds": 0.5}, "control": "shuffled labels"}
    return {"id": name, "says": says, **known, **fields}


ALPHA = {
    "title": "The alpha chapter",
    "finding": "Alpha's features are found where the object is.",
    "part": "Part one",
    "paper": {"key": "alpha2020", "title": "On <alpha>", "authors": "A. Author", "year": 2020, "arxiv": "2008.00299"},
    "promise": {"seconds": 60, "memory_gb": 2},
    "data": ["scikit-image"],
    "claims": [
        claim("holds", HOSTILE, rival="pixel mean", paper={"value": 0.75, "note": "top-1"}),
        claim("unclear", "Features beat the plain mean.", kind="value"),
        claim("later", "Features survive noise."),
        claim("too-large", "Features scale to a million pictures.", testable="A laptop cannot hold them."),
        claim("own", "Both forms agree.", where="ours", kind="identity", rule={"at_most": 1e-5}),
    ],
    "departs": [{"what": "A smaller <network>", "weight": "major"}],
}
BETA = {
    **{key: ALPHA[key] for key in ("part", "paper", "promise")},
    "title": "The beta chapter",
    "finding": "Beta waits for its run.",
    "claims": [claim("waits", "Beta holds as well.")],
}
PAGES = {
    "home": "# A tiny book\n\nTwo chapters, and a word on **each** of them.\n\n"
    "```{verdict-counts}\n```\n\n## Chapters\n\n```{chapter-cards}\n```\n",
    "scoreboard": "# Scoreboard\n\nEvery claim has one row.\n\n```{scoreboard}\n```\n",
    "data": "# Data\n\nWhere the bytes come from.\n\n```{data-sources}\n```\n",
    "status": "# Status\n\nWhat it took.\n\n```{status}\n```\n",
    "glossary": "# Glossary\n\nWhat words mean.\n\n```{glossary}\nfeature\n  What a <network> answers to.\n```\n",
    "bibliography": "# Bibliography\n\nWhat the book cites.\n\n```{bibliography}\n```\n",
    "performance": "# Performance\n\nWhat it costs.\n\n```{performance}\n```\n",
}
BENCH = """op,size,dtype,threads,device,peer,peer_version,peer_ms,ours_ms,ratio,error,break_even,load,date,commit
top_component,1280x7x7,float32,1,cpu,numpy,2.4,74.8,0.33,226.7,1.2e-05,never slower,0.4,2026-11-23,abc1
sparse,"4096 <wide>, 3%",float32,1,cpu,dense & plain,2.13,9.0,6.0,1.5,1.2e-05,10% and below,0.4,2026-11-23,abc1
sparse,"4096 <wide>, 3%",float32,1,cpu,compiled,2.13,5.0,6.0,0.83,1.2e-05,not even at 1%,0.4,2026-11-23,abc1
sparse,"4096 <wide>, 30%",float32,1,cpu,dense & plain,2.13,8.0,16.0,0.5,1.2e-05,10% and below,0.4,2026-11-23,abc1
"""
MARKDOWN = r"""# The alpha chapter

Alpha's features are found where the object is.

It sees $O\in\mathbb R^{N\times C}$ as

$$
L = O v_1 = \sigma_1 u_1
$$ (eq-first)

and {eq}`eq-first` needs no class. A {term}`feature` is cited by {cite:t}`zhou2016cam`.
The claim that holds is {verdict}`holds`, with {glue:text}`gain`.

<div class="margin" role="note">

An *aside*.

</div>

<details>
<summary>Solution</summary>

It is *two*.

</details>
"""
WAITING = """# The beta chapter

```{glue} picture
```

It gains {glue:text}`gain:.2f` and draws {glue}`picture`.

:::{glue:figure} picture
A caption.
:::

The end.
"""
SAMPLES = {
    "holds": {"samples": {"0": 0.71, "1": 0.74, "2": 0.72}, "control": {"0": 0.1, "1": 0.2, "2": 0.12}},
    "unclear": {"samples": {"0": 0.2, "1": 0.9, "2": 0.6}, "control": {"0": 0.1, "1": 0.2, "2": 0.12}},
    "own": {"samples": {"0": 3e-7, "1": 3e-7, "2": 2e-7}, "control": {"0": 0.4, "1": 0.4, "2": 0.4}},
}


def evidence(name):
    """An output as ``ledger.record`` leaves it, with a table of a time when another rule stood on the card."""
    payload = {"schema": 1, "chapter": "alpha", "claim": name, **SAMPLES[name]}
    if name == "holds":
        payload["rival"] = {"0": 0.7, "1": 0.71, "2": 0.72}
    return display({MIME: payload, "text/html": "<p>a verdict of last year</p>", "text/plain": "old"})


def display(data, **metadata):
    """An output that shows something."""
    return {"output_type": "display_data", "metadata": metadata, "data": data}


def shown(describe):
    """An output as ``figures.show`` leaves it."""
    html = f'<img class="featlib-figure" src="data:image/png;base64,{PIXEL}" alt="{describe}" width="1">'
    return display({"text/html": html, "image/png": PIXEL, "text/plain": describe})


def glued(name, value):
    """An output as ``glue(name, value, display=False)`` leaves it."""
    prefix = "application/papermill.record/"
    return display({f"{prefix}text/plain": repr(value)}, scrapbook={"name": name, "mime_prefix": prefix})


def code(source, *outputs, tags=()):
    """A code cell, executed."""
    metadata = {"tags": list(tags)} if tags else {}
    cell = {"cell_type": "code", "metadata": metadata, "source": source, "execution_count": 7, "outputs": list(outputs)}
    return {"id": f"code-{crc32(source.encode())}", **cell}


def prose(text):
    """A Markdown cell."""
    return {"id": f"words-{crc32(text.encode())}", "cell_type": "markdown", "metadata": {}, "source": text}


def notebook(*cells):
    """A notebook of these cells."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": list(cells)}


def executed_alpha():
    """Chapter alpha as papermill leaves it: with a cell for the injected parameters."""
    return notebook(
        prose(MARKDOWN),
        code("seed: int = 0", tags=["parameters"]),
        code("seed = 3", tags=["injected-parameters"]),
        code("show(picture)", shown("A single point, grey and alone."), tags=["picture"]),
        code("print('seen')", {"output_type": "stream", "name": "stdout", "text": "seen it all\n"}),
        *(code(f"ledger.record({name!r})", evidence(name)) for name in SAMPLES),
        code("glue()", glued("gain", "+21 points")),
    )


def stripped(executed):
    """The source that an executed notebook came from."""
    source = copy.deepcopy(executed)
    source["cells"] = [c for c in source["cells"] if "injected-parameters" not in c["metadata"].get("tags", [])]
    for cell in source["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    return source


def touchable():
    """Cells for what a browser does: pictures to touch, a wide table, long code, notes, a fold, a formula."""
    from featlib import figures, widgets

    shades = {"red": (0.8, 0.1, 0.1), "green": (0.1, 0.6, 0.1), "blue": (0.1, 0.1, 0.9)}
    states = [
        figures.picture(np.full((40, 60, 3), shades[name]) * scale, f"A field of {name}, {word} in tone.")
        for scale, word in ((1.0, "bright"), (0.5, "dark"))
        for name in shades
    ]
    grid = widgets.frames(states, {"tone": ["bright", "dark"], "colour": list(shades)}, "One field in several colours")
    other = widgets.frames(states[:2], {"leaf": ["poppy", "moss"]}, "Another field, of leaves and flowers")
    heat = widgets.heatmaps(heat_scenes(), (48, 64), "Maps of two methods over two pictures")
    noise = figures.picture(np.random.default_rng(0).random((90, 120, 3)), "Noise in every colour, for its weight.")
    wide = pd.DataFrame({f"column number {n}": [n, n * 1000] for n in range(12)}, index=["first", "second"])
    styled = wide.style.set_caption("A table that is wider than a telephone")
    return [
        prose(MARKDOWN_FOR_BROWSERS),
        code("widgets.frames(...)", display({"text/html": grid.html(), "text/plain": "frames"})),
        code("widgets.frames(others)", display({"text/html": other.html(), "text/plain": "frames"})),
        code("widgets.heatmaps(...)", display({"text/html": heat.html(), "text/plain": "heat maps"})),
        code("noise", display({"text/html": noise.html(), "text/plain": "noise"})),
        code("wide", display({"text/html": wide.to_html(), "text/plain": "table"})),
        code("styled", display({"text/html": styled.to_html(table_uuid="styled"), "text/plain": "table"})),
        code(f"value = {' + '.join(str(n) for n in range(90))}"),
    ]


def heat_scenes():
    """Two pictures under two layers and two methods, one of which asks for a class; the second has a mask."""
    from featlib import figures, widgets

    random = np.random.default_rng(5)
    mask = np.zeros((48, 64), dtype=bool)
    mask[10:30, 20:50] = True
    mask[40:44, 2:9] = True
    scenes = []
    for name, inside in (("meadow", None), ("harbour", mask)):
        maps = {
            layer: {
                "asks": random.random((3, *shape)).astype(np.float32),
                "any": random.random((1, *shape)).astype(np.float32),
            }
            for layer, shape in (("deep", (6, 8)), ("early", (24, 32)))
        }
        image = figures.picture(random.random((48, 64, 3)), f"Noise in the place of a {name} in colours.")
        classes = [f"{name} {word}" for word in ("grass", "boat", "cloud")]
        scenes.append(widgets.Scene(name, image, classes, maps, f"The {name} and its maps.", inside))
    return scenes


MARKDOWN_FOR_BROWSERS = """## Touch it

A hippopotamus stands here, so that the search has something to find.[^why] A note
{cite:p}`selvaraju2017gradcam` ends it.

[^why]: A footnote that says why.

```{margin}
An aside in the margin.
```

```{admonition} Exercise
:class: dropdown

The solution was hidden.
```

```{note}
A plain note.
```

```{warning}
A plain warning.
```

$$
O = U \\Sigma V^\\top = \\sum_k \\sigma_k u_k v_k^\\top, \\quad L = O v_1 = \\sigma_1 u_1,
\\quad L' = O' v_1' = \\sigma_1' u_1', \\quad a + b + c + d + e + f + g + h
$$
"""


class TinySite:
    """A checkout with the real configuration and style, and small pages of its own."""

    def __init__(self, root):
        self.home = Home(root, root / "_build")
        self.home.notebooks.mkdir(parents=True)
        shutil.copyfile(ROOT / "_config.yml", root / "_config.yml")
        shutil.copytree(ROOT / "book" / "assets", root / "book" / "assets")
        shutil.copyfile(ROOT / "book" / "references.bib", root / "book" / "references.bib")
        for name, text in PAGES.items():
            (root / "book" / f"{name}.md").write_text(text, "utf8")
        toc = [{"caption": "Chapters", "chapters": [{"file": "notebooks/alpha"}, {"file": "notebooks/beta"}]}]
        toc += [{"caption": "Pages", "chapters": [{"file": f"book/{name}"} for name in PAGES if name != "home"]}]
        (root / "_toc.yml").write_text(yaml.safe_dump({"format": "jb-book", "root": "book/home", "parts": toc}))
        self.run = executed_alpha()
        self.write("alpha", stripped(self.run), ALPHA)
        self.write("beta", notebook(prose(WAITING), code("pass")), BETA)

    @property
    def cards(self):
        return load_cards(self.home)

    @property
    def executed(self):
        """The executed notebook of alpha, on disk, as ``stage`` wants it."""
        path = self.home.root / "executed.ipynb"
        path.write_text(json.dumps(self.run), "utf8")
        return {"alpha": path}

    def write(self, slug, source, card):
        """Write a chapter and its card."""
        (self.home.notebooks / f"{slug}.ipynb").write_text(json.dumps(source), "utf8")
        (self.home.notebooks / f"{slug}.yml").write_text(yaml.safe_dump(card, allow_unicode=True), "utf8")

    def add(self, name, text):
        """Write one more page, and list it unless it is listed."""
        (self.home.root / "book" / f"{name}.md").write_text(text, "utf8")
        toc = yaml.safe_load((self.home.root / "_toc.yml").read_text("utf8"))
        listed = toc["parts"][1]["chapters"]
        listed += [entry] if (entry := {"file": f"book/{name}"}) not in listed else []
        (self.home.root / "_toc.yml").write_text(yaml.safe_dump(toc), "utf8")

    def collect(self):
        """Write the ledger of the one run of alpha."""
        record = {"chapter": "alpha", "preset": "laptop", "seed": 0, "overrides": {}, "parameters": {"seed": 0}}
        record |= {
            "digest": "d",
            "notebook_digest": "n",
            "code_digest": "c",
            "data_digests": {},
            "versions": {},
            "device": "cpu",
        }
        record |= {"seconds": 41.4, "cpu_seconds": 50.0, "peak_memory_mb": 1536.0, "date": "2026-11-23T10:00:00Z"}
        ledger = collect(self.cards, [(RunRecord(**record), self.run)], "laptop")
        write(ledger, self.home.ledger)
        return ledger

    def staged(self, slug="alpha"):
        """A staged notebook."""
        return json.loads((self.home.stage / "notebooks" / f"{slug}.ipynb").read_text("utf8"))
