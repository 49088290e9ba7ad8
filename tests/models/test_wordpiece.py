"""The tokenizer on splits worked out by hand, and its greed against a plain restatement."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featlib.data import sources
from featlib.models.wordpiece import WordPiece, wordpiece

FRAME = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


@pytest.fixture(scope="module")
def published(need):
    need("minilm")
    return wordpiece()


def small(*words):
    return WordPiece([*FRAME, *words])


# The published vocabulary; each word was looked up in it by hand.


def test_ids_that_everybody_knows(published):
    known = {
        "[PAD]": 0,
        "[UNK]": 100,
        "[CLS]": 101,
        "[SEP]": 102,
        "[MASK]": 103,
        "the": 1996,
        "hello": 7592,
        "##s": 2015,
    }
    assert {token: published.ids[token] for token in known} == known
    assert len(published.tokens) == 30522
    batch = published.encode(["Hello, world!"])
    assert batch.ids.tolist() == [[101, 7592, 1010, 2088, 999, 102]]
    assert batch.real.all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Lazy neurons", "lazy neurons"),
        ("tokenizer", "token ##izer"),  # "tokenizer" is no word, "token" is, and "##izer" is
        ("superclass", "super ##class"),
        ("isinstance", "is ##ins ##tance"),  # "isin" is none, nor is "##inst"
        ("embeddings", "em ##bed ##ding ##s"),  # "##dings" is none
        ("unaffable", "una ##ffa ##ble"),  # "una" is longer than "un"
        ("GELU", "gel ##u"),
        ("don't", "don ' t"),
        ("Café NAÏVE résumé", "cafe naive resume"),
        ("İstanbul", "istanbul"),
        ("x_1=3.5", "x _ 1 = 3 . 5"),
        ("中文", "中 文"),
        ("“walk”—run", "“ walk ” — run"),
        ("a\u200bb\x00c\ufffd", "abc"),
        ("one\u00a0two\tthree\r\nfour\u3000five", "one two three four five"),
        ("\U00012000", "[UNK]"),  # a cuneiform sign
        ("", ""),
        (" \n ", ""),
    ],
)
def test_splits_by_hand(published, text, expected):
    assert published.split(text) == expected.split()


def test_text_cannot_pose_as_the_frame(published):
    assert published.split("[SEP] [MASK]") == ["[", "sep", "]", "[", "mask", "]"]


def test_python_s_manual_has_no_unknown_words(published):
    """All its letters are ASCII, and each has a token of its own as well as a piece."""
    from featlib.data import english

    tokens = published.split("\n".join(english.topics("held_out").values()))
    assert len(tokens) > 1000
    assert "[UNK]" not in tokens


# Rules, on vocabularies of a few words.


@settings(max_examples=200, deadline=None)
@given(
    word=st.text("ab", min_size=1, max_size=6),
    starts=st.sets(st.text("ab", min_size=1, max_size=3)),
    insides=st.sets(st.text("ab", min_size=1, max_size=3)),
)
def test_greed(word, starts, insides):
    """Pieces make up the word, and no piece could have been longer; unknown only if greed ends in a blind alley."""
    known = [*sorted(starts), *("##" + piece for piece in sorted(insides))]
    pieces = small(*known).split(word)
    rest, taken = word, []
    while rest:
        fitting = [piece for piece in (insides if taken else starts) if rest.startswith(piece)]
        if not fitting:
            assert pieces == ["[UNK]"]
            return
        longest = max(fitting, key=len)
        taken.append(("##" if taken else "") + longest)
        rest = rest[len(longest) :]
    assert pieces == taken


def test_greed_can_end_in_a_blind_alley():
    """``a ##bc`` would do, but ``ab`` comes first and nothing goes on with ``c``."""
    assert small("a", "ab", "##bc").split("abc abd") == ["[UNK]", "[UNK]"]
    assert small("a", "##bc").split("abc") == ["a", "##bc"]


def test_words_beyond_reason_are_unknown():
    one = small("a", "##a")
    assert len(one.split("a" * 100)) == 100
    assert one.split("a" * 101) == ["[UNK]"]


def test_filling_and_cutting():
    one = small("a", "b")
    batch = one.encode(["a b a b", "", "b"], longest=5)
    assert batch.ids.tolist() == [[2, 4, 5, 4, 3], [2, 3, 0, 0, 0], [2, 5, 3, 0, 0]]
    assert torch.equal(batch.real, batch.ids != 0)


def test_refusals(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="twice"):
        small("a", "a")
    with pytest.raises(ValueError, match=r"lacks \[CLS\], \[SEP\]"):
        WordPiece(["[PAD]", "[UNK]"])
    with pytest.raises(ValueError, match="at least 1 text"):
        small().encode([])
    with pytest.raises(ValueError, match="3 tokens"):
        small().encode(["a"], longest=2)
    with pytest.raises(TypeError, match="put it in brackets"):
        small().encode("a text")
    monkeypatch.setenv("FEATLIB_DATA", str(tmp_path))
    with pytest.raises(sources.DataError, match="run: featlib fetch minilm"):
        wordpiece()
