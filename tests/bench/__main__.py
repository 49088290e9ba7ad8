"""``python -m tests.bench [op ...]``: benchmarks, one line each, appended to ``book/performance.csv``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from . import (
    cam_family,
    contrastive,
    decode,
    many_networks,
    probes,
    similarity,
    sparse_decode,
    sparse_mlp,
    top_component,
    topk_mlp,
    tv_prox,
    variance_explained,
)
from .runner import BenchError, Case, Row, measure, require_green, store

SUITES = [
    top_component,
    cam_family,
    many_networks,
    sparse_mlp,
    sparse_decode,
    decode,
    topk_mlp,
    contrastive,
    tv_prox,
    variance_explained,
    similarity,
    probes,
]


def selected(wanted: Sequence[str]) -> list[tuple[ModuleType, list[Case]]]:
    """Suites, each with those of its cases that were asked for; without a wish, everything.

    Raises:
        BenchError: if something that was asked for is no suite and in the name of no operation.
    """
    names = [suite.__name__.rpartition(".")[2] for suite in SUITES]
    ops = sorted({case.op for suite in SUITES for case in suite.CASES})
    unknown = [wish for wish in wanted if wish not in names and not any(wish in op for op in ops)]
    if unknown:
        raise BenchError(
            f"no suite or operation is called {', '.join(map(repr, unknown))}; there are suites {', '.join(names)}, "
            f"and the operations {'; '.join(ops)}, of which a part of the name is enough"
        )
    found = [
        (
            suite,
            [case for case in suite.CASES if not wanted or name in wanted or any(wish in case.op for wish in wanted)],
        )
        for name, suite in zip(names, SUITES, strict=True)
    ]
    return [(suite, cases) for suite, cases in found if cases]


def show(row: Row) -> None:
    """One line."""
    memory = f"  peak {row.peer_mb} MB, ours {row.ours_mb} MB" if row.peer_mb else ""
    print(
        f"{row.op} {row.size:12} {row.peer:56} {row.peer_ms:9.2f} ms  ours {row.ours_ms:8.2f} ms  "
        f"{row.ratio:7.1f}x  error {row.error:.0e}  wins from {row.break_even}{memory}",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for and whose tests are green."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Time our operations beside their peers."
    )
    parser.add_argument("op", nargs="*", help="a suite, or a part of an operation's name; none for all")
    parser.add_argument("--dry-run", action="store_true", help="print only: book/performance.csv stays as it is")
    options = parser.parse_args(arguments)
    missed = []
    try:
        for suite, cases in selected(options.op):
            require_green(suite.TESTS)
            for case in cases:
                missed += refusal(case, options.dry_run)
    except BenchError as error:
        missed.append(str(error))
    if missed:
        sys.exit("\n".join(f"bench: {line}" for line in missed))


def refusal(case: Case, dry_run: bool) -> list[str]:
    """Measure, show and store one case; what kept it from the table, if anything did, must not cost the others."""
    try:
        row = measure(case)
        show(row)
        if not dry_run:
            store(row)
    except BenchError as error:
        return [str(error)]
    return []


if __name__ == "__main__":
    main()
