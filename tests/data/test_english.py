"""Python's manual as text: the same as in the file, and split so that nothing held out is read in training."""

import ast
import builtins
import importlib.util
from pathlib import Path

import pytest
import torch

from featlib.data import english
from featlib.data.sources import DataError


@pytest.fixture(scope="module")
def texts():
    """The manual, from its file and not by import."""
    path = Path(importlib.util.find_spec("pydoc_data.topics").origin)
    (literal,) = [node.value for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.Assign)]
    return ast.literal_eval(literal)


def squeezed(text):
    """Without regard to line breaks."""
    return " ".join(text.split())


def test_the_splits_are_the_manual(texts):
    train, held_out = english.topics("train"), english.topics("held_out")
    assert not set(train) & set(held_out)
    assert train | held_out == texts
    share = sum(map(len, held_out.values())) / sum(map(len, texts.values()))
    assert 0.04 < share < 0.25  # each Python has its own edition
    assert len(held_out) >= 5


def test_what_is_held_out_is_not_read_in_training():
    """Of all stretches of 80 characters hardly one occurs in the other split, and no paragraph."""
    train = "\0".join(squeezed(text) for text in english.topics("train").values())
    known = {train[start : start + 80] for start in range(len(train) - 80)}
    found, total = 0, 0
    for text in english.topics("held_out").values():
        assert not [part for part in text.split("\n\n") if len(squeezed(part)) > 60 and squeezed(part) in train]
        line = squeezed(text)
        total += max(len(line) - 80, 0)
        found += sum(line[start : start + 80] in known for start in range(len(line) - 80))
    assert found / total < 0.005


def test_characters_are_their_ascii_codes(texts):
    text = next(text for text in texts.values() if text.isascii())
    ids = english.encode(text)
    assert ids.tolist() == [ord(character) for character in text]
    assert english.decode(ids) == text


def test_characters_beyond_ascii():
    assert english.decode(english.encode("“It’s” a–b—c… 3° ß")) == '"It\'s" a-b-c... 3? ?'
    assert english.decode(torch.tensor([0, 104, 159, 128, 105])) == "h⟨31⟩⟨0⟩i"
    assert english.encode("").shape == (0,)


def test_ids_leave_room_for_the_start_and_the_sentinels():
    every = torch.cat(
        [english.encode(text) for split in ("train", "held_out") for text in english.topics(split).values()]
    )
    assert 10 <= int(every.min()) < int(every.max()) < english.CHARACTERS == english.SENTINELS[0]
    assert len(english.SENTINELS) == 32


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_passages_lie_within_a_topic(split):
    texts = [english.decode(english.encode(text)) for text in english.topics(split).values()]
    rows = english.passages(60, 100, seed=1, split=split)
    assert rows.shape == (60, 100)
    for row in rows:
        assert any(english.decode(row) in text for text in texts)


def test_all_places_can_be_drawn():
    """Passages as long as the longest text are that text; a little shorter, each end can be reached."""
    longest = max(english.topics("held_out").values(), key=lambda text: len(english.encode(text)))
    ids = english.encode(longest)
    assert torch.equal(english.passages(2, len(ids), 0, "held_out"), ids.expand(2, -1))
    drawn = english.passages(40, len(ids) - 1, 0, "held_out")
    assert {row.tolist() == ids[:-1].tolist() for row in drawn} == {True, False}
    assert all(row.tolist() in (ids[:-1].tolist(), ids[1:].tolist()) for row in drawn)


def test_the_seed_decides():
    first, again, other = (english.passages(8, 50, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    english.topics()["for"] = "changed"  # a copy: nobody else sees it
    assert english.topics()["for"] != "changed"


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(ValueError, match="'train' or 'held_out', got 'test'"):
        english.topics("test")
    with pytest.raises(ValueError, match="must be positive, got 0 and 5"):
        english.passages(0, 5, 0)
    with pytest.raises(ValueError, match="ask for shorter passages"):
        english.passages(1, 10**6, 0)


def test_a_python_without_its_manual(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("pydoc_data"):
            raise ModuleNotFoundError(name)
        return real(name, *arguments, **options)

    english._splits.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match="came without its manual"):
        english.topics()
