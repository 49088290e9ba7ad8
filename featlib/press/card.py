"""The card of a chapter: everything *about* it, in one file beside its notebook, checked before anything runs."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveFloat,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from featlib.claims import Rule, parse_rule
from featlib.press.home import Home

SLUG = r"[a-z0-9_]+"
LAPTOP = "laptop"
"""The preset that always exists: the values in the notebook's own parameters cell."""

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class CardError(ValueError):
    """A card, or the table of contents, that breaks the schema; the message names file, field and allowed values."""


def nearest(name: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"``, or nothing if no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


class _Part(BaseModel):
    """A part of a card: no unknown field, no silent conversion, no change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, data: Any) -> Any:
        unknown = [str(key) for key in data if key not in cls.model_fields] if isinstance(data, Mapping) else []
        if unknown:
            known = ", ".join(cls.model_fields)
            raise ValueError(f"unknown field {unknown[0]!r}{nearest(unknown[0], cls.model_fields)}; allowed: {known}")
        return data


class Paper(_Part):
    """The paper that a chapter implements."""

    key: Text
    title: Text
    authors: str = ""
    year: int = Field(ge=1900, le=2100)
    arxiv: str = ""
    doi: str = ""
    venue: str = ""


class Promise(_Part):
    """What the laptop preset costs on two cores; checked after each run."""

    seconds: PositiveFloat
    memory_gb: PositiveFloat
    device: Literal["cpu", "cuda"] = "cpu"


class PaperFigure(_Part):
    """The paper's own figure; ``None`` where it gives none or it is only recalled."""

    value: FiniteFloat | None = None
    note: str = ""


class Departure(_Part):
    """Where the chapter does something else than the paper."""

    what: Text
    weight: Literal["major", "minor"]


def _rule(value: Any) -> Any:
    """A rule from its mapping; one that is parsed already passes."""
    return value if value is None or isinstance(value, BaseModel) else parse_rule(value)


def _true_or_reason(value: Any) -> Any:
    """``True`` or a text; said in one line, where a union of types would need two."""
    if value is True or (isinstance(value, str) and value.strip()):
        return value
    raise ValueError(f"write true, or as text the reason why it cannot be tested here, not {value!r:.60}")


class Claim(_Part):
    """One claim of the paper, with the rule that decides it."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    says: Text
    where: Text
    kind: Literal["value", "ordering", "trend", "existence", "identity", "cost"]
    paper: PaperFigure = PaperFigure()
    rule: Annotated[Rule | None, BeforeValidator(_rule)] = None
    control: Text | None = None
    rival: Text | None = None
    testable: Annotated[Literal[True] | Text, BeforeValidator(_true_or_reason)] = True
    """``True``, or the reason why the claim cannot be tested here."""

    @model_validator(mode="after")
    def _complete(self) -> Claim:
        for name in ("rule", "control"):
            if self.testable is True and getattr(self, name) is None:
                raise ValueError(f"{name}: missing; only a claim whose `testable` gives a reason can do without")
        return self


class Card(_Part):
    """One chapter's card. ``slug`` is the stem of its file and stands in no card."""

    slug: Annotated[str, StringConstraints(pattern=f"^{SLUG}$")]
    title: Text
    finding: Text
    part: Text
    paper: Paper
    promise: Promise
    data: list[Text] = []
    presets: dict[str, dict[str, Any]] = Field(default={}, validate_default=True)
    claims: list[Claim]
    departs: list[Departure] = []

    @field_validator("presets")
    @classmethod
    def _laptop_is_the_notebook(cls, presets: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if presets.get(LAPTOP):
            raise ValueError(f"{LAPTOP!r} is what the notebook's parameters cell says: write the values there")
        return {LAPTOP: {}, **presets}

    @field_validator("claims")
    @classmethod
    def _one_claim_per_id(cls, claims: list[Claim]) -> list[Claim]:
        ids = [claim.id for claim in claims]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"the id {twice[0]!r} stands there twice: every claim has its own")
        return claims

    def claim(self, name: str) -> Claim:
        """The claim with this id.

        Raises:
            CardError: if the card has none; the message holds the nearest.
        """
        known = {claim.id: claim for claim in self.claims}
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise CardError(f"{self.slug}.yml has no claim {name!r}{nearest(name, known)}; it has: {allowed}")
        return known[name]

    def preset(self, name: str) -> dict[str, Any]:
        """The overrides of a preset.

        Raises:
            CardError: if the card has no such preset; the message holds the nearest.
        """
        if name not in self.presets:
            allowed = ", ".join(self.presets)
            raise CardError(f"{self.slug}.yml has no preset {name!r}{nearest(name, self.presets)}; it has: {allowed}")
        return self.presets[name]


class _OnceLoader(yaml.SafeLoader):
    """Safe YAML in which a key that stands twice is an error, for the second would silently win.

    So is an alias: nothing here needs one, and nine lines of them unfold to gigabytes.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node that is written out.

        Raises:
            MarkedYAMLError: for an alias.
        """
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="an alias (*name): write the value out", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping, after a look at its keys."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for place, key in enumerate(keys):
            if key in keys[:place]:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} stands there twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        CardError: if the file cannot be read, is no YAML or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(f"{path.name}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    return _mapping(text, path.name)


def _mapping(text: str, name: str) -> dict[str, Any]:
    """The mapping in a YAML text.

    Raises:
        CardError: if it is no YAML or holds something else.
    """
    try:
        content = yaml.load(text, Loader=_OnceLoader)
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise CardError(f"{name}: no valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise CardError(f"{name}: no valid YAML: nested too deeply") from None
    if not isinstance(content, dict):
        raise CardError(f"{name}: holds {type(content).__name__} where a mapping of fields is due")
    for key in content:
        if not isinstance(key, str):
            raise CardError(f"{name}: a field is called {key!r}, a {type(key).__name__}: put its name in quotes")
    return content


def _fault(fault: Mapping[str, Any]) -> str:
    """One fault of a validation as ``field: what is wrong``."""
    place = ".".join(str(part) for part in fault["loc"])
    message = str(fault["msg"]).removeprefix("Value error, ")
    given = fault["input"]
    shown = f", not {given!r:.60}" if isinstance(given, str | int | float) and fault["type"] != "value_error" else ""
    hint = "; put it in quotes" if fault["type"] == "string_type" and isinstance(given, int | float) else ""
    return f"{place}: {message}{shown}{hint}" if place else f"{message}{shown}{hint}"


def load_card(path: Path) -> Card:
    """The card in a file.

    Raises:
        CardError: if it breaks the schema; one line per fault, each with file, field and what is allowed.
    """
    return _card(read_mapping(path), path)


def parse_card(text: str, path: Path) -> Card:
    """The card in a text that stood in the file ``path``, at another time.

    Raises:
        CardError: if it breaks the schema.
    """
    return _card(_mapping(text, path.name), path)


def _card(content: dict[str, Any], path: Path) -> Card:
    """The card with these fields.

    Raises:
        CardError: if it breaks the schema.
    """
    try:
        if "slug" in content:
            raise CardError(f"{path.name}: slug: the name of the file is the slug; remove this field")
        return Card.model_validate({**content, "slug": path.stem})
    except ValidationError as error:
        raise CardError("\n".join(f"{path.name}: {_fault(dict(fault))}" for fault in error.errors())) from error


def _listed(node: Any) -> Iterator[str]:
    """Every file that a table of contents names, in order."""
    if isinstance(node, Mapping):
        for key, inner in node.items():
            if key in {"file", "root"} and isinstance(inner, str):
                yield inner
            else:
                yield from _listed(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _listed(inner)


def chapters_in_toc(home: Home) -> list[str]:
    """The slugs of the chapters that ``_toc.yml`` lists, in order.

    Raises:
        CardError: if one stands there twice.
    """
    files = [name.removesuffix(".ipynb") for name in _listed(read_mapping(home.root / "_toc.yml"))]
    slugs = [name.removeprefix("notebooks/") for name in files if name.startswith("notebooks/")]
    twice = [slug for slug in slugs if slugs.count(slug) > 1]
    if twice:
        raise CardError(f"_toc.yml: notebooks/{twice[0]} stands there twice")
    return slugs


def waiting_cards(home: Home) -> list[str]:
    """The cards that wait for their notebooks."""
    notebooks = {path.stem for path in home.notebooks.glob("*.ipynb")}
    return sorted(path.stem for path in home.notebooks.glob("*.yml") if path.stem not in notebooks)


def load_cards(home: Home) -> dict[str, Card]:
    """The cards of all chapters in ``_toc.yml``, in its order. A card may be there before its notebook.

    Raises:
        CardError: if the table of contents, the notebooks and the cards do not agree, or a card breaks the schema.
    """
    listed = chapters_in_toc(home)
    notebooks = {path.stem for path in home.notebooks.glob("*.ipynb")}
    cards = {path.stem for path in home.notebooks.glob("*.yml")}
    faults = [f"_toc.yml: lists notebooks/{slug}, which is not on disk" for slug in listed if slug not in notebooks]
    faults += [
        f"notebooks/{slug}.ipynb: not in _toc.yml; list it there or remove it" for slug in sorted(notebooks - {*listed})
    ]
    faults += [f"notebooks/{slug}.ipynb: has no card; write notebooks/{slug}.yml" for slug in sorted(notebooks - cards)]
    if notebooks - cards:  # otherwise the card is there first, as it should be
        faults += [f"notebooks/{slug}.yml: a card without a notebook" for slug in sorted(cards - notebooks)]
    loaded: dict[str, Card] = {}
    for slug in listed:
        if slug in cards:
            try:
                loaded[slug] = load_card(home.notebooks / f"{slug}.yml")
            except CardError as error:
                faults.append(str(error))
    if faults:
        raise CardError("\n".join(faults))
    return loaded
