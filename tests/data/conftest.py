"""Toy sources: a wheel, a Debian package and loose files that hold a few bytes, and an empty data folder."""

import zipfile

import pytest
from toy_content import CONTENT, PINS

from featlib.data import sources
from featlib.data.catalogue import Source


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """An empty data folder."""
    monkeypatch.setenv("FEATLIB_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def register(monkeypatch):
    """Put a source into the catalogue for the length of a test."""

    def add(**fields):
        plain = {
            "name": "toy", "title": "Toy", "version": "1.0", "licence": "none", "credit": "nobody",
            "upstream": "nowhere", "carrier": "pip", "package": "featlib-toy", "inside": "featlib_toy/data",
            "files": PINS, "size_mb": 0.1,
        }  # fmt: skip
        source = Source(**{**plain, **fields})
        monkeypatch.setitem(sources.SOURCES, source.name, source)
        return source

    return add


@pytest.fixture
def toy(shelf, register):
    """A source whose files already lie in their place."""
    source = register()
    place = shelf / "toy" / "1.0"
    for path, data in CONTENT.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).write_bytes(data)
    assert sources.present("toy")
    return source, place


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """Make wheels that pip finds without a network; importing one is an error."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))

    def make(content, version="1.0"):
        path = folder / f"featlib_toy-{version}-py3-none-any.whl"
        info = f"featlib_toy-{version}.dist-info"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr("featlib_toy/__init__.py", "raise RuntimeError('a carrier was imported')")
            wheel.writestr("featlib_toy/data/unwanted.bin", b"not pinned")
            for name, data in content.items():
                wheel.writestr(f"featlib_toy/data/{name}", data)
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: featlib-toy\nVersion: {version}\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
        return path

    return make
