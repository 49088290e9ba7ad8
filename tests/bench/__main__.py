"""``python -m tests.bench``: all benchmarks, one line each, appended to ``book/performance.csv``."""

from __future__ import annotations

import sys

from . import cam_family, many_networks, sparse_mlp, top_component, topk_mlp, tv_prox
from .runner import BenchError, measure, require_green, store

SUITES = [top_component, cam_family, many_networks, sparse_mlp, topk_mlp, tv_prox]


def main() -> None:
    """Run every suite whose tests are green."""
    rows = []
    try:
        for suite in SUITES:
            require_green(suite.TESTS)
            for case in suite.CASES:
                row = measure(case)
                rows.append(row)
                memory = f"  peak {row.peer_mb} MB, ours {row.ours_mb} MB" if row.peer_mb else ""
                print(
                    f"{row.op} {row.size:12} {row.peer:56} {row.peer_ms:9.2f} ms  ours {row.ours_ms:8.2f} ms  "
                    f"{row.ratio:7.1f}x  error {row.error:.0e}  wins from {row.break_even}"
                    f"{memory}",
                    flush=True,
                )
        store(rows)
    except BenchError as error:
        sys.exit(f"bench: {error}")


if __name__ == "__main__":
    main()
