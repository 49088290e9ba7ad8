"""The parameters cell of a notebook: what may be set, of which type, and what it stands at.

The cell is read with :mod:`ast`, never run. papermill's own reader only warns about a wrong name, checks no
type and overlooks annotations such as ``str | None``.
"""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from featlib.press.card import nearest
from featlib.press.notebooks import NotebookError, code_cells, read_notebook, tags

TAG = "parameters"
SIMPLE: dict[str, Any] = {"bool": bool, "int": int, "float": float, "str": str, "list": list, "dict": dict}
ALLOWED = "bool, int, float, str, None, list[...], dict[str, ...], Literal[...] and unions of them with |"


class ParameterError(ValueError):
    """A parameter that the notebook does not have, or a value that it cannot take."""


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell, for example ``n_images: int = 20  # photographs``."""

    name: str
    annotation: str
    default: Any
    comment: str = ""

    def take(self, value: Any) -> Any:
        """``value`` as this parameter's type; an integer is welcome where a float is meant, nothing else bends.

        Raises:
            ParameterError: if the value is of another type.
        """
        kind = _type(ast.parse(self.annotation, mode="eval").body)
        adapter: TypeAdapter[Any] = TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False))
        try:
            # JSON in strict mode: "4" is no int and 4.0 is no int, but 4 is a float.
            return adapter.validate_json(json.dumps(value, allow_nan=False), strict=True)
        except (TypeError, ValueError) as error:
            why = f" ({error.errors()[0]['msg']})" if isinstance(error, ValidationError) else ""
            raise ParameterError(f"{self.name} must be {self.annotation}, got {value!r}{why}") from None


def read_parameters(notebook: Path) -> dict[str, Parameter]:
    """The parameters of a notebook, in the order in which its cell states them.

    Raises:
        ParameterError: if the notebook cannot be read, has not exactly one cell tagged ``parameters``, or that
            cell holds anything but ``name: type = literal`` lines.
    """
    try:
        cells = [cell for cell in code_cells(read_notebook(notebook)) if TAG in tags(cell)]
    except NotebookError as error:
        raise ParameterError(str(error)) from None
    if len(cells) != 1:
        raise ParameterError(
            f"{notebook.name} has {len(cells)} cells tagged {TAG!r}: give that tag to the one code cell that sets them"
        )
    return parse_parameters(cells[0].source, notebook.name)


def parse_parameters(source: str, where: str) -> dict[str, Parameter]:
    """The parameters that the text of a cell states; ``where`` names the notebook in errors.

    Raises:
        ParameterError: if a statement is not an import or ``name: type = literal``, or its type is not understood.
    """
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ParameterError(f"{where}, parameters cell, line {error.lineno}: {error.msg}") from None
    comments = _comments(source)
    found: dict[str, Parameter] = {}
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            continue
        parameter = _parameter(node, source, where, comments.get(node.end_lineno or 0, ""))
        if parameter.name in found:
            raise ParameterError(f"{where}, parameters cell, line {node.lineno}: {parameter.name} is set twice")
        found[parameter.name] = parameter
    return found


def check(parameters: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The given values, checked against the parameters they are for.

    Raises:
        ParameterError: for a name that is not among the parameters or a value of the wrong type.
    """
    for name in given:
        if name not in parameters:
            raise ParameterError(f"no parameter {name}{nearest(name, parameters)}; there are {', '.join(parameters)}")
    return {name: parameters[name].take(value) for name, value in given.items()}


def parse_assignment(text: str) -> tuple[str, Any]:
    """``"n_images=4"`` as ``("n_images", 4)``; the value is read as YAML, so ``null``, ``[1, 2]`` and ``true`` work.

    Raises:
        ParameterError: if there is no ``=``, no name before it, or no YAML after it.
    """
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not name.isidentifier():
        raise ParameterError(f"cannot read {text!r}: write name=value, for example n_images=4")
    # YAML 1.1 takes 1e-3 for a word; everyone who types it means the number.
    if re.fullmatch(r"\s*[-+]?\d+(\.\d*)?[eE][-+]?\d+\s*", value):
        return name, float(value)
    try:
        return name, yaml.safe_load(value)
    except yaml.YAMLError:
        raise ParameterError(f"cannot read the value of {name} in {text!r}: quote it if it is text") from None


def _parameter(node: ast.stmt, source: str, where: str, comment: str) -> Parameter:
    """One statement of the cell as a parameter whose default fits its own type.

    Raises:
        ParameterError: if the statement is of another form.
    """
    at = f"{where}, parameters cell, line {node.lineno}"
    if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None):
        line = (ast.get_source_segment(source, node) or "").split("\n")[0]
        raise ParameterError(f"{at}: {line!r} must be written with its type, as in seed: int = 0")
    annotation = ast.unparse(node.annotation)
    try:
        default = ast.literal_eval(node.value)
    except ValueError:
        raise ParameterError(f"{at}: the value of {node.target.id} must be a literal") from None
    parameter = Parameter(node.target.id, annotation, default, comment)
    try:
        parameter.take(default)
    except ParameterError as error:
        raise ParameterError(f"{at}: {error}") from None
    return parameter


def _type(node: ast.expr) -> Any:
    """The type that an annotation spells, from a short list of types that JSON can carry.

    Raises:
        ParameterError: for any other annotation.
    """
    match node:
        case ast.Name(id=name) if name in SIMPLE:
            return SIMPLE[name]
        case ast.Constant(value=None):
            return type(None)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return reduce(or_, (_type(left), _type(right)))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=choices):
            with suppress(ValueError):
                values = ast.literal_eval(choices)
                return Literal[values if isinstance(values, tuple) else (values,)]
        case ast.Subscript(value=ast.Name(id="list"), slice=item):
            return list[_type(item)]  # type: ignore[misc]
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[ast.Name(id="str"), item])):
            return dict[str, _type(item)]  # type: ignore[misc]
    raise ParameterError(f"type {ast.unparse(node)} is not understood: use {ALLOWED}")


def _comments(source: str) -> dict[int, str]:
    """The comment at the end of each line that has one."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ").strip() for t in tokens if t.type == tokenize.COMMENT}
