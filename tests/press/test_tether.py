"""A module whose work is put off is the same module to whoever uses it."""

import sys

import pytest

from featlib.press.tether import postpone

SOURCE = "LOADED = []\nNAME = __name__\n\n\ndef shout(word, *, twice=False):\n    return word.upper() * (1 + twice)\n"


@pytest.fixture
def dear(tmp_path, monkeypatch):
    """A module that nobody has loaded; its name."""
    (tmp_path / "dear_module.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "dear_module", raising=False)
    yield "dear_module"
    sys.modules.pop("dear_module", None)


def test_it_is_loaded_at_the_first_call_and_not_before(dear):
    postpone(dear, "shout")
    from dear_module import shout

    assert not hasattr(sys.modules[dear], "__path__")
    assert "NAME" not in vars(sys.modules[dear])
    assert shout("a", twice=True) == "AA"
    assert vars(sys.modules[dear])["NAME"] == dear
    real = sys.modules[dear]
    assert shout("b") == "B"
    assert sys.modules[dear] is real


def test_other_names_are_there_too(dear):
    postpone(dear, "shout")
    from dear_module import NAME

    assert NAME == dear


def test_what_is_loaded_or_missing_is_left_alone(dear):
    __import__(dear)
    before = sys.modules[dear]
    postpone(dear, "shout")
    assert sys.modules[dear] is before
    postpone("no_such_module_anywhere", "shout")
    assert "no_such_module_anywhere" not in sys.modules
