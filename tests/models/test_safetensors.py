"""The reader of safetensors files against files written byte by byte, and against broken ones."""

import json
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featlib.models import safetensors

FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
ONE = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def written(path, table, data, length=None):
    """A file with this table and these bytes behind it."""
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


@pytest.fixture
def file(tmp_path):
    return tmp_path / "toy.safetensors"


def test_reads_what_numpy_wrote(file):
    arrays = {
        "a.weight": np.arange(6, dtype="<f4").reshape(2, 3) / 7,
        "scalar": np.array(-2.5, "<f8"),
        "half": np.array([1.5, -3], "<f2"),
        "ids": np.array([[[2**40], [-1]]], "<i8"),
        "bytes": np.array([0, 255], "u1"),
        "yes": np.array([True, False]),
        "none": np.zeros((0, 5), "<f4"),
    }
    names = {"<f4": "F32", "<f8": "F64", "<f2": "F16", "<i8": "I64", "|u1": "U8", "|b1": "BOOL"}
    table, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        place = [len(data), len(data) + array.nbytes]
        table[name] = {"dtype": names[array.dtype.str], "shape": list(array.shape), "data_offsets": place}
        data += array.tobytes()
    read = safetensors.read(written(file, table, data))
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert torch.equal(read[name], torch.from_numpy(array.copy())), name
        assert read[name].dtype == torch.from_numpy(array.copy()).dtype


def test_half_precision_of_the_other_kind(file):
    """bfloat16 is the upper half of float32."""
    data = struct.pack("<f", 1.5)[2:] + struct.pack("<f", -2.0)[2:]
    read = safetensors.read(written(file, {"x": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, data))
    assert read["x"].dtype is torch.bfloat16
    assert read["x"].tolist() == [1.5, -2.0]


def test_tensors_can_be_written_to_and_share_nothing(file):
    table = {"x": ONE, "y": ONE}  # even where the file has them share
    read = safetensors.read(written(file, table, bytes(24)))
    read["x"].fill_(1)
    assert read["y"].sum() == 0
    assert len(read["x"].untyped_storage()) == 24


def test_only_what_is_wanted(file):
    table = {"x": ONE, "y": {"dtype": "STRANGE"}}
    assert list(safetensors.read(written(file, table, bytes(24)), lambda name: name == "x")) == ["x"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"not json", "its table is not JSON"),
        (b"[" * 100_000, "its table is not JSON"),
        (b"[1]", "its table is not an object"),
        ({"x": 3}, "'x' lacks a type, a shape or its place"),
        ({"x": {**ONE, "data_offsets": [0]}}, "'x' lacks a type, a shape or its place"),
        ({"x": {**ONE, "dtype": "F8_E4M3"}}, "has type 'F8_E4M3'; known are F64, F32"),
        ({"x": {**ONE, "dtype": ["F32"]}}, "has type"),
        ({"x": {**ONE, "shape": [-2, -3]}}, "not made of whole numbers"),
        ({"x": {**ONE, "shape": [2.0, 3]}}, "not made of whole numbers"),
        ({"x": {**ONE, "shape": "23"}}, "not made of whole numbers"),
        ({"x": {**ONE, "data_offsets": [-24, 0]}}, "not made of whole numbers"),
        ({"x": {**ONE, "data_offsets": [24, 0]}}, "cut short"),
        ({"x": {**ONE, "data_offsets": [8, 32]}}, "bytes 8 to 32 of 24: the file is cut short"),
        ({"x": {**ONE, "shape": [2, 2]}}, "does not fill the bytes 0 to 24"),
        ({"x": {**ONE, "shape": [10**30]}}, "does not fill"),
        ({"x": {"dtype": "F32", "shape": [0, 2**62, 2], "data_offsets": [0, 0]}}, "larger than a tensor can be"),
    ],
)
def test_broken_tables_are_refused(file, table, message):
    with pytest.raises(ValueError, match=r"toy\.safetensors") as caught:
        safetensors.read(written(file, table, bytes(24)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"abc", bytes(7), b"\xff" * 8, struct.pack("<Q", 2**63) + b"{}"])
def test_what_is_no_such_file_is_refused(file, content):
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"toy\.safetensors is no safetensors file"):
        safetensors.read(file)


@FILES
@given(data=st.data())
def test_damage_ends_well(file, data):
    """A file with a stretch of it changed is read, or refused in one line; nothing else happens."""
    whole = written(file, {"x": ONE, "y": {**ONE, "dtype": "I8", "data_offsets": [0, 6]}}, bytes(24)).read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 12)))
    between = data.draw(st.binary(max_size=12) | st.sampled_from([b"0", b"99999999", b"-1", b"[]", b"{}", b"null"]))
    file.write_bytes(whole[:start] + between + whole[end:])
    try:
        read = safetensors.read(file)
    except ValueError as error:
        complaint = str(error)
    else:
        complaint = ""
        assert all(isinstance(value, torch.Tensor) for value in read.values())
    assert "\n" not in complaint
