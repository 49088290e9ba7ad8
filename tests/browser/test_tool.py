"""Where there is no browser, the tool says in one line how to get one, and fails nothing."""

import runpy
import subprocess

import pytest
from reader import ROOT


class Machine(list):
    """The commands that were run, and how they end."""

    code = 0

    def run(self, command, **_options):
        self.append(command)
        return subprocess.CompletedProcess(command, self.code, "", "no such package")


@pytest.fixture
def bare(monkeypatch):
    """A machine without a browser."""
    machine = Machine()
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr("subprocess.run", machine.run)
    return machine


def call():
    runpy.run_path(str(ROOT / "tools" / "browser.py"), run_name="__main__")


def test_who_is_not_root_is_told_what_to_do(bare, monkeypatch, capsys):
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    call()
    (line,) = capsys.readouterr().err.splitlines()
    assert "sudo apt-get install chromium" in line
    assert bare == []


def test_root_gets_it_from_debian_and_hears_why_if_not(bare, monkeypatch, capsys):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    call()
    assert bare[-1][:3] == ["apt-get", "install", "-y"]
    assert bare[-1][-1] == "chromium"
    capsys.readouterr()
    bare.clear()
    bare.code = 1
    call()
    assert "no such package" in capsys.readouterr().err
    assert len(bare) == 1


def test_one_that_is_there_is_left_alone(monkeypatch, capsys):
    monkeypatch.setattr("shutil.which", lambda name: "/opt/chrome" if name == "google-chrome" else None)
    call()
    assert capsys.readouterr().err == ""
