"""What stands behind one row of the scoreboard: the dots, and everything a reader needs to check or to dispute it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from featlib.press.card import Card
from featlib.press.links import anchor

from .base import Book
from .chapter import DEPARTS
from .dates import Written
from .markup import NOTHING, estimate, join, number
from .strip import strip

OUR_OWN = "ours"
"""What a card says in `where` for a claim that the paper does not make."""
INTERVAL = ("mean", "low", "high")
LISTED, FIRST = 24, 8
"""How many seeds are listed one by one, and how many of more than that."""


def unfolded(book: Book, row: dict[str, Any], written: Written | None, chapter: str, links: Markup) -> Markup:
    """The picture, the facts in pairs, and the links; ``chapter`` is the address of its page."""
    card = book.cards[row["chapter"]]
    facts = [fact for fact in facts_of(book, row, card, written, chapter) if fact[1]]
    pairs = join(Markup("<div><dt>{}</dt>\n<dd>{}</dd></div>\n").format(name, fact) for name, fact in facts)
    return strip(row) + Markup('<dl class="fl-facts">{}</dl>{}').format(pairs, links)


def facts_of(
    book: Book, row: dict[str, Any], card: Card, written: Written | None, chapter: str
) -> Iterator[tuple[str, Markup]]:
    """What is known of a row; an empty fact is not shown."""
    yield "Rule", rule(book, row, written)
    yield "Why this verdict", Markup("{}").format(row["reason"])
    yield "The paper", paper(row)
    yield "Control", control(row)
    yield "Beyond the trivial rival", beside(row["rival"])
    yield "Seeds", samples(row)
    yield "Power", power(row)
    yield "Conditions", conditions(book, row)
    yield "Departs", departs(card, chapter)
    yield "Cost", cost(row, card)
    yield "Under other parameters", elsewhere(book, row)
    yield "Provenance", provenance(row)
    yield "Rests on", basis(row)
    yield "History", history(book, row)
    yield "Run it again", Markup("<code>{}</code>").format(command(row))


def small(text: str | None) -> Markup:
    """A line in small type, or nothing. It begins with a line break, or the search would join its words to the last."""
    return Markup("\n<small>{}</small>").format(text) if text else Markup()


def rule(book: Book, row: dict[str, Any], written: Written | None) -> Markup:
    """The rule in words, and the day on which it was committed."""
    if not row["rule_words"]:
        return Markup()
    if written is None:
        return Markup("{}{}").format(row["rule_words"], small("date of its commit unknown"))
    return Markup('{}<small>written on {}, commit <a href="{}"><code>{}</code></a></small>').format(
        row["rule_words"], written.day, book.outside.commit(written.sha), written.sha[:9]
    )


def paper(row: dict[str, Any]) -> Markup:
    """The paper's figure with its note, and where the claim stands."""
    if row["where"] == OUR_OWN:
        return NOTHING.format("a claim of ours") + small(row["paper"]["note"])
    return Markup("{}{}{}").format(paper_figure(row), small(row["paper"]["note"]), small(row["where"]))


def paper_figure(row: dict[str, Any]) -> str:
    """The paper's figure, or that only the direction is known."""
    known = row["paper"]["value"]
    return "direction only" if known is None else number(known)


def beside(found: dict[str, Any] | None) -> Markup:
    """The figure of a control or a rival above its name, or that there is none."""
    if found is None:
        return NOTHING.format("none")
    figure = NOTHING.format("no samples") if found["mean"] is None else estimate(*(found[k] for k in INTERVAL))
    return figure + small(found["name"])


def control(row: dict[str, Any]) -> Markup:
    """What the control measured, and whether it failed the rule, as it must."""
    failed = (row["control"] or {}).get("failed")
    outcome = {None: "", True: "failed the rule, as it must", False: "passed the rule, as it must not"}[failed]
    return beside(row["control"]) + small(outcome)


def samples(row: dict[str, Any]) -> Markup:
    """Every sample behind its seed; of many, the first."""
    pairs = [f"{seed}: {number(value)}" for seed, value in row["samples"].items()]
    return Markup("{}").format(listed(pairs)) + (small(row["unit"]) if row["samples"] else Markup())


def listed(items: Sequence[str]) -> str:
    """The items with commas between; of many, the first, and how many more the ledger holds."""
    if len(items) <= LISTED:
        return ", ".join(items)
    return f"{', '.join(items[:FIRST])}, \u2026 {len(items) - FIRST} more, in the ledger"


def power(row: dict[str, Any]) -> Markup:
    """How small an effect these seeds could have seen."""
    if row["smallest_visible"] is None:
        return Markup()
    return Markup("{} from the bar would have been seen four times out of five").format(number(row["smallest_visible"]))


def conditions(book: Book, row: dict[str, Any]) -> Markup:
    """Preset, device and every parameter but the seed."""
    runs = [run for run in book.runs(row["chapter"]) if row["claim"] in run["claims"]]
    if not runs:
        return Markup("preset {}").format(row["preset"])
    given = ", ".join(f"{k}={json.dumps(v)}" for k, v in runs[0]["parameters"].items() if k != "seed")
    return Markup("preset {}, {}{}").format(row["preset"], row["device"], small(given))


def departs(card: Card, chapter: str) -> Markup:
    """In how many points the chapter departs from the paper; its head lists them."""
    weights = [depart.weight for depart in card.departs]
    if not weights:
        return Markup()
    return Markup('<a href="{}#{}">{} major, {} minor</a>').format(
        chapter, DEPARTS, weights.count("major"), weights.count("minor")
    )


def cost(row: dict[str, Any], card: Card) -> Markup:
    """What the runs behind the row took together, beside the promise for one."""
    if row["seconds"] is None:
        return Markup()
    n = len(row["seeds"])
    taken = f"{row['seconds']:.0f} s, {row['cpu_seconds']:.0f} s of CPU time, {row['peak_memory_mb'] / 1024:.1f} GB"
    promised = f"promised for one run with the laptop preset: {card.promise.seconds:g} s, {card.promise.memory_gb:g} GB"
    return Markup("{} for {} {}{}").format(taken, n, "run" if n == 1 else "runs", small(promised))


def provenance(row: dict[str, Any]) -> Markup:
    """Date, digests of code and data, versions."""
    if row["date"] is None:
        return Markup()
    data = join(Markup("{} <code>{}</code>, ").format(name, digest[:8]) for name, digest in row["data_digests"].items())
    versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
    return Markup("{}, code <code>{}</code><small>{}{}</small>").format(
        row["date"][:10], row["code_digest"][:12], data, versions
    )


def elsewhere(book: Book, row: dict[str, Any]) -> Markup:
    """What the claim came to at the points of a sweep, so that a verdict that flips says at which."""
    found = book.sweeps(row["chapter"], row["claim"])
    items = (
        Markup("<li>{}: {} <small>({}, {} seeds)</small></li>").format(
            ", ".join(f"{name}={json.dumps(value)}" for name, value in sorted(other["overrides"].items())),
            other["verdict"],
            estimate(other["mean"], *(other["interval"] or (None, None))),
            other["n"],
        )
        for other in found
    )
    return Markup("<ul>{}</ul>").format(join(items)) if found else Markup()


def basis(row: dict[str, Any]) -> Markup:
    """How much of a row comes from the archive, and whether code has changed since."""
    if not row["archived"] and not row["stale"]:
        return Markup()
    told = [f"{row['archived']} of {row['n']} seeds from the archive of earlier runs"] if row["archived"] else []
    if row["stale"]:
        told.append(f"{len(row['stale']['seeds'])} of them stale: {'; '.join(row['stale']['why'])}")
    vouched = listed(row["stale"]["vouched"]) if row["stale"] else ""
    again = f"run again with today's code, seed {vouched} gave the same values" if vouched else ""
    return Markup("{}{}").format("; ".join(told), small(again))


def history(book: Book, row: dict[str, Any]) -> Markup:
    """Every verdict that the archive and the card gave since there was evidence, with the commit that brought it."""
    items = (
        Markup('<li>{}, {} <small>(commit <a href="{}"><code>{}</code></a>)</small></li>').format(
            past["day"], past["verdict"], book.outside.commit(past["commit"]), past["commit"][:9]
        )
        for past in row["history"]
    )
    return Markup("<ul>{}</ul>").format(join(items)) if row["history"] else Markup()


def stale_note(row: dict[str, Any]) -> Markup:
    """A mark for a verdict on which today's code has not been tried."""
    return small("stale: code changed since") if row["stale"] and not row["stale"]["vouched"] else Markup()


def command(row: dict[str, Any]) -> str:
    """The one command that runs everything behind a row again."""
    seeds = " ".join(f"--seed {text}" for text in ranges(row["seeds"] or [0]))
    return f"featlib run {row['chapter']} --preset {row['preset']} {seeds} --force"


def ranges(seeds: list[int]) -> Iterator[str]:
    """Seeds as the command line takes them: ``0..2`` for neighbours."""
    start = last = seeds[0]
    for seed in [*seeds[1:], None]:
        if seed is None or seed != last + 1:
            yield str(start) if start == last else f"{start}..{last}"
            start = seed if seed is not None else last
        last = seed if seed is not None else last


def row_links(book: Book, row: dict[str, Any], chapter: str, board: str, ledger: str, evidence: bool) -> Markup:
    """From a claim to the cell that measured it, its row on the scoreboard, the raw numbers, a place to disagree."""
    name = anchor(row["chapter"], row["claim"])
    cell = f"{chapter}#{evidence_anchor(row['claim'])}" if evidence else chapter
    links = [
        ("The cell that measured it" if evidence else "The chapter", cell),
        ("Its row on the scoreboard", f"{board}#{name}"),
    ]
    links += [("Raw JSON", ledger)] if book.run else []
    links += [("Dispute this verdict", book.outside.dispute(row))]
    items = join(Markup('<li><a href="{}">{}</a></li>\n').format(to, words) for words, to in links)
    return Markup('<ul class="fl-links">{}</ul>').format(items)


def evidence_anchor(claim: str) -> str:
    """The permanent name of a claim's evidence on the page of its chapter."""
    return f"evidence-{claim}"
