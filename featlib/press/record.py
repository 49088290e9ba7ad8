"""What is known about one finished run: the line that the ledger, the cache and the site all read."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class RunRecord(BaseModel):
    """One run of one chapter with one set of parameters, as it happened."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chapter: str
    preset: str
    seed: int
    overrides: dict[str, Any]
    """Parameters given by hand (``-p``); a run with any is kept out of the scoreboard."""
    parameters: dict[str, Any]
    """Every parameter the notebook ran with."""
    digest: str
    """Key of the job: notebook code, featlib source, parameters, versions, data."""
    notebook_digest: str
    code_digest: str
    data_digests: dict[str, str]
    versions: dict[str, str]
    device: str
    seconds: float
    """Wall time, kernel start included."""
    cpu_seconds: float
    peak_memory_mb: float
    date: str
    """UTC, ISO 8601, when the run ended."""
