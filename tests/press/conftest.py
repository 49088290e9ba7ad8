"""A tiny book, made anew for each test."""

import pytest
from tiny_book import CARD, CLI, PARAMETERS, TALLY, Book, until

__all__ = ["CARD", "CLI", "PARAMETERS", "TALLY", "Book", "until"]


@pytest.fixture
def book(tmp_path):
    made = Book(tmp_path / "a book")  # with a space: people have those
    yield made
    left = made.kernels()
    for process in [*made.presses, *left]:
        process.kill()
    for press in made.presses:
        press.communicate()
    assert not left, "every test leaves no kernel behind"
