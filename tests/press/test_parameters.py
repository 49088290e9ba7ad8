"""The parameters cell: read without running it, and strict about names and types."""

import typing

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from featlib.press.parameters import (
    Parameter,
    ParameterError,
    check,
    parse_assignment,
    parse_parameters,
    read_parameters,
)

CELL = """
from typing import Literal
seed: int = 0
device: str = "auto"  # auto, cpu or cuda
n_images: int = 20  # photographs; "#" is no sign here
layer: str | None = None
rates: list[float] = [
    0.1,  # first
    -2,
]  # learning rates
form: Literal["centred", "plain"] = "plain"
limits: dict[str, int] = {"low": -1}
centre: bool = False
"""
ANNOTATIONS = ["bool", "int", "float", "str", "None", "int | None", "list[int]", "list[float | str]", "dict[str, bool]"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


def fits(value, kind):
    """Whether a value is of a type, said again and otherwise: the oracle."""
    arguments = typing.get_args(kind)
    if isinstance(kind, type(int | None)):
        return any(fits(value, one) for one in arguments)
    if typing.get_origin(kind) is list:
        return type(value) is list and all(fits(one, arguments[0]) for one in value)
    if typing.get_origin(kind) is dict:
        return type(value) is dict and all(fits(one, arguments[1]) for one in value.values())
    if kind is None:
        return value is None
    return type(value) is kind or (kind is float and type(value) is int)


def test_reads_what_python_would_have_set():
    namespace = {}
    exec(CELL, namespace)
    read = parse_parameters(CELL, "x.ipynb")
    assert list(read) == ["seed", "device", "n_images", "layer", "rates", "form", "limits", "centre"]
    assert {name: parameter.default for name, parameter in read.items()} == {name: namespace[name] for name in read}
    assert list(read) == list(namespace["__annotations__"])


def test_reads_annotations_and_comments():
    read = parse_parameters(CELL, "x.ipynb")
    assert read["layer"].annotation == "str | None"
    assert read["n_images"].comment == 'photographs; "#" is no sign here'
    assert read["rates"].comment == "learning rates"
    assert read["seed"].comment == ""


@given(JSON, st.sampled_from(ANNOTATIONS))
def test_takes_a_value_exactly_if_it_is_of_the_type(value, annotation):
    parameter = Parameter("x", annotation, None)
    if fits(value, eval(annotation)):
        assert parameter.take(value) == value
    else:
        with pytest.raises(ParameterError, match="x must be "):
            parameter.take(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")], object()])
def test_takes_nothing_that_json_cannot_carry(value):
    with pytest.raises(ParameterError):
        Parameter("x", "list[float]" if isinstance(value, list) else "float", 0.0).take(value)


def test_a_choice_is_closed():
    form = parse_parameters(CELL, "x.ipynb")["form"]
    assert form.take("centred") == "centred"
    with pytest.raises(ParameterError, match="'centred' or 'plain'"):
        form.take("centered")


def test_check_names_the_nearest_and_all_others():
    known = parse_parameters(CELL, "x.ipynb")
    assert check(known, {"n_images": 4, "layer": "conv"}) == {"n_images": 4, "layer": "conv"}
    with pytest.raises(
        ParameterError, match=r"no parameter n_image .did you mean 'n_images'.*; there are seed, device"
    ):
        check(known, {"n_image": 4})
    with pytest.raises(ParameterError, match=r"^n_images must be int, got 'four'"):
        check(known, {"n_images": "four"})


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("seed = 0", "line 1: 'seed = 0' must be written with its type"),
        ("seed: int", "must be written with its type"),
        ("seed: int = 0\nprint(seed)", "line 2"),
        ("seed: int = 1 + a", "must be a literal"),
        ("seed: int = 'a'", "line 1: seed must be int, got 'a'"),
        ("seed: int = 0\nseed: int = 1", "line 2: seed is set twice"),
        ("seed: numpy.int64 = 0", "type numpy.int64 is not understood: use bool, int"),
        ("seed: tuple[int, int] = (1, 2)", "is not understood"),
        ("seed: Literal[print] = 0", "not understood"),
        ("seed: int = ", "line 1: invalid syntax"),
        ("%matplotlib inline", "line 1"),
    ],
)
def test_a_cell_that_is_not_a_list_of_parameters_is_refused(cell, says):
    with pytest.raises(ParameterError, match=r"x.ipynb, parameters cell, ") as error:
        parse_parameters(cell, "x.ipynb")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_of_the_cell_is_run(capsys):
    with pytest.raises(ParameterError):
        parse_parameters("seed: print('ran') = 0", "x.ipynb")
    with pytest.raises(ParameterError):
        parse_parameters("seed: int = print('ran')", "x.ipynb")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("n", [0, 2])
def test_a_notebook_has_one_such_cell(tmp_path, n):
    cells = [nbformat.v4.new_code_cell("seed: int = 0", metadata={"tags": ["parameters"]}) for _ in range(n)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path := tmp_path / "x.ipynb")
    with pytest.raises(ParameterError, match=f"x.ipynb has {n} cells tagged 'parameters'"):
        read_parameters(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "\x00"]
)
def test_a_file_that_is_no_notebook(tmp_path, text):
    (path := tmp_path / "x.ipynb").write_text(text)
    with pytest.raises(ParameterError, match=r"x.ipynb is no readable notebook") as error:
        read_parameters(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("n=4", ("n", 4)),
        (" n = 4.5", ("n", 4.5)),
        ("n=1e-3", ("n", 0.001)),
        ("n=null", ("n", None)),
        ("n=true", ("n", True)),
        ("n='4'", ("n", "4")),
        ("n=a=b", ("n", "a=b")),
        ("n=[1, 2]", ("n", [1, 2])),
        ("n={a: 1}", ("n", {"a": 1})),
        ("n=", ("n", None)),
    ],
)
def test_an_assignment_is_read_as_yaml(text, parsed):
    assert parse_assignment(text) == parsed


@pytest.mark.parametrize("text", ["n", "=4", "n m=4", "n=[1", "n=!!python/object:os.system x"])
def test_an_assignment_that_is_none(text):
    with pytest.raises(ParameterError, match="cannot read"):
        parse_assignment(text)
