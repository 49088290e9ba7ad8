"""The cache: an entry is whole or absent, whatever happens to it."""

import hashlib
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import nbformat
import pytest
from example_card import record
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from featlib.press.cache import NOTEBOOK, RECORD, SUMS, Cache, CacheError, StoppedError

NOTE = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("6 * 7", execution_count=1, id="a")])


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


@contextmanager
def files_no_larger_than(size):
    """What a full disk does to a write, for any user and without a disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def everything_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_what_is_put_is_got(cache):
    assert cache.get("digest-3") is None
    assert not cache.has("digest-3")
    put = cache.put(record(seed=3), NOTE)
    assert cache.has("digest-3")
    assert cache.get("digest-3") == put
    assert cache.get("digest-3").record == record(seed=3)
    assert cache.get("digest-3").notebook() == NOTE
    assert [run.record.seed for run in cache.entries()] == [3]


def test_a_new_run_takes_the_place_of_the_old(cache):
    cache.put(record(), NOTE)
    cache.put(record(seconds=99.0), nbformat.v4.new_notebook())
    assert cache.get("digest-0").record.seconds == 99.0
    assert cache.get("digest-0").notebook().cells == []
    assert everything_in(cache.root) == [f"digest-0/{name}" for name in sorted((NOTEBOOK, RECORD, SUMS))]


@pytest.mark.parametrize("name", [NOTEBOOK, RECORD, SUMS])
@pytest.mark.parametrize("keep", [0, 1, "half", -1])
def test_a_truncated_entry_is_never_served(cache, caplog, name, keep):
    cache.put(record(), NOTE)
    content = (cache.root / "digest-0" / name).read_bytes()
    (cache.root / "digest-0" / name).write_bytes(content[: len(content) // 2 if keep == "half" else keep])
    with caplog.at_level(logging.WARNING):
        assert list(cache.entries()) == []
        assert cache.get("digest-0") is None
    assert "cache entry digest-0 is damaged" in caplog.text
    assert "run again" in caplog.text
    assert not cache.has("digest-0")


@pytest.mark.parametrize("name", [NOTEBOOK, RECORD, SUMS])
def test_an_entry_with_a_file_missing_is_never_served(cache, name):
    cache.put(record(), NOTE)
    (cache.root / "digest-0" / name).unlink()
    assert cache.get("digest-0") is None
    assert not cache.has("digest-0")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(name=st.sampled_from([NOTEBOOK, RECORD, SUMS]), place=st.integers(0), byte=st.integers(0, 255))
def test_an_entry_with_any_byte_changed_is_never_served(cache, name, place, byte):
    cache.put(record(), NOTE)
    file = cache.root / "digest-0" / name
    content = bytearray(file.read_bytes())
    place %= len(content)
    assume(content[place] != byte)
    content[place] = byte
    file.write_bytes(content)
    assert cache.get("digest-0") is None


def test_an_entry_under_a_wrong_name_is_never_served(cache):
    cache.put(record(), NOTE)
    shutil.copytree(cache.root / "digest-0", cache.root / "digest-1")
    assert cache.get("digest-1") is None


def test_an_entry_of_another_version_is_run_again(cache):
    entry = cache.put(record(), NOTE).path.parent
    old = json.loads((entry / RECORD).read_text()) | {"retired": 1}
    (entry / RECORD).write_text(json.dumps(old))
    lines = {name: hashlib.sha256((entry / name).read_bytes()).hexdigest() for name in (NOTEBOOK, RECORD)}
    (entry / SUMS).write_text("".join(f"{value}  {name}\n" for name, value in lines.items()))
    assert cache.get("digest-0") is None


def test_no_room_leaves_nothing_half_written_and_the_older_entry_whole(cache):
    put = cache.put(record(), NOTE)
    large = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("x" * 50_000)])
    for about in (record(), record(seed=1)):
        with (
            files_no_larger_than(20_000),
            pytest.raises(CacheError, match="is full: free some space, or set FEATLIB_BUILD"),
        ):
            cache.put(about, large)
    assert cache.get("digest-0") == put
    assert everything_in(cache.root) == [f"digest-0/{name}" for name in sorted((NOTEBOOK, RECORD, SUMS))]


def test_a_cache_that_cannot_be_written_is_told_before_anything_runs(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match=r"cannot write to .*file/cache .*set FEATLIB_BUILD"):
        Cache(tmp_path / "file" / "cache").prepare()
    with files_no_larger_than(4), pytest.raises(CacheError, match="is full"):
        Cache(tmp_path / "cache").prepare()


def test_what_a_killed_press_left_behind_is_swept_away(cache):
    left = cache.root / "tmp" / "digest-0"
    left.mkdir(parents=True)
    (left / NOTEBOOK).write_text("half a note")
    (left / "other").write_text("")
    assert list(cache.entries()) == []
    cache.put(record(), NOTE)
    assert everything_in(cache.root) == [f"digest-0/{name}" for name in sorted((NOTEBOOK, RECORD, SUMS))]


def test_one_at_a_time_makes_an_entry(cache):
    inside, most = [], []

    def work():
        with cache.lock("d"):
            inside.append(1)
            most.append(len(inside))
            threading.Event().wait(0.05)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_the_lock_of_a_killed_process_is_free_and_waiting_for_a_live_one_can_be_stopped(cache):
    code = "import sys, time\nfrom pathlib import Path\nfrom featlib.press.cache import Cache\n"
    code += "with Cache(Path(sys.argv[1])).lock('d'):\n    print('held', flush=True)\n    time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(cache.root)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        stop = threading.Event()
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(StoppedError), cache.lock("d", stop):
            pass
        os.kill(other.pid, signal.SIGKILL)
    started = time.monotonic()
    with cache.lock("d"):
        assert time.monotonic() - started < 5
