"""Addresses outside the site: repository, launch services, and where to dispute a verdict; all from ``_config.yml``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import yaml

from featlib.press.links import NOTEBOOKS

DISPUTE = """Claim {claim}, {verdict}, code {code}

What is wrong with the rule, the control, the run or the verdict?
"""


@dataclass(frozen=True)
class Outside:
    """Where the book lives on the web."""

    repository: str
    branch: str
    colab: str
    binder: str

    @property
    def name(self) -> str:
        """Owner and name of the repository."""
        return "/".join(self.repository.rstrip("/").split("/")[-2:])

    def in_colab(self, slug: str) -> str:
        """Where Colab opens a chapter."""
        return f"{self.colab}/github/{self.name}/blob/{self.branch}/{NOTEBOOKS}/{slug}.ipynb"

    def in_binder(self, slug: str) -> str:
        """Where Binder opens a chapter."""
        return f"{self.binder}/v2/gh/{self.name}/{self.branch}?urlpath=lab/tree/{NOTEBOOKS}/{slug}.ipynb"

    def commit(self, sha: str) -> str:
        """A commit of the repository."""
        return f"{self.repository}/commit/{sha}"

    def dispute(self, row: dict[str, Any]) -> str:
        """A new issue about the verdict of a row, with what cannot be looked up later: which verdict, of which code."""
        code = (row["code_digest"] or "not yet run")[:12]
        claim = f"{row['chapter']}/{row['claim']}"
        title = f"Dispute: {claim} is {row['verdict']}"
        body = DISPUTE.format(claim=claim, verdict=row["verdict"], code=code)
        return f"{self.repository}/issues/new?{urlencode({'title': title, 'body': body}, quote_via=quote)}"


def read_outside(root: Path) -> Outside:
    """The addresses that the configuration below ``root`` names."""
    config = yaml.safe_load((root / "_config.yml").read_text("utf8"))
    launch, repository = config["launch_buttons"], config["repository"]
    return Outside(repository["url"], repository["branch"], launch["colab_url"], launch["binderhub_url"])
