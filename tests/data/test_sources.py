"""Is a source here, and is it the right one: every state, by really breaking the files."""

import gzip
import hashlib
import importlib.metadata
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from featlib.data import sources, verify
from featlib.data.sources import SOURCES, DataError, State


def one_line(reason, *words):
    assert "\n" not in reason
    for word in words:
        assert word in reason
    return True


def refused(*words):
    """folder() refuses with the same single line that check() gives."""
    reason = sources.check("toy").reason
    with pytest.raises(DataError) as caught:
        sources.folder("toy")
    assert str(caught.value) == reason
    return one_line(reason, "toy", *words)


# Pins against what others published.


def test_names_of_weights_carry_their_digest():
    for name in ("efficientnet-lite0", "mobilenet-v2"):
        for file, pin in SOURCES[name].files.items():
            assert re.fullmatch(rf".*-{pin[:8]}\.pth", file)


def test_scikit_image_publishes_the_same_digests():
    from skimage.data._registry import registry

    for file, pin in SOURCES["scikit-image"].files.items():
        assert registry[f"data/{file}"] == pin


# Upstream packed with names and times in the header, Debian without; the rest of the bytes are the same.
UPSTREAM = {
    "train-images-idx3-ubyte": (1504176606, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    "train-labels-idx1-ubyte": (1504176606, "25c81989df183df01b3e8a0aad5dffbe"),
    "t10k-images-idx3-ubyte": (1504176627, "bef4ecab320f06d8554ea6380940ec79"),
    "t10k-labels-idx1-ubyte": (1504176627, "bb300cfdad3c16e7a12a480ee83cd310"),
}


@pytest.mark.parametrize("name", UPSTREAM)
def test_fashion_mnist_is_upstreams(name):
    """With upstream's header put back, the Debian file has the md5 that the authors published."""
    if not sources.present("fashion-mnist"):
        pytest.skip(sources.check("fashion-mnist").reason)
    time, md5 = UPSTREAM[name]
    packed = (sources.folder("fashion-mnist") / f"{name}.gz").read_bytes()
    assert packed[3] in {0, 8}  # without a name in the header, or with one
    if packed[3] == 0:
        header = b"\x1f\x8b\x08\x08" + time.to_bytes(4, "little") + b"\x00\x03"
        packed = header + name.encode() + b"\0" + packed[10:]
    assert hashlib.md5(packed).hexdigest() == md5


# The catalogue.


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.name)
def test_entries_are_complete(source):
    assert all(getattr(source, field) for field in ("title", "version", "licence", "credit", "upstream", "package"))
    assert source.files
    for path, pin in source.files.items():
        assert re.fullmatch("[0-9a-f]{64}", pin)
        assert ".." not in PurePosixPath(path).parts
        assert not path.startswith("/")
    assert (source.size_mb > 0) == (source.carrier != "installed")
    if source.url is not None:
        assert source.url.startswith("https://")
        assert source.url.endswith("/")
        assert not any("*" in path for path in source.files)


@pytest.mark.parametrize("name", ["scikit-image", "scikit-learn", "digits"])
def test_dependencies_are_carriers(name, shelf):
    assert sources.present(name)
    assert all((sources.folder(name) / file).is_file() for file in SOURCES[name].files)


def test_unknown_name_gives_the_nearest():
    with pytest.raises(DataError, match="unknown source 'fashion_mnist'; did you mean 'fashion-mnist'"):
        sources.get("fashion_mnist")


def test_digest_follows_content_only(register):
    before = register()
    first = sources.digest("toy")
    register(title="Another title", version="2.0", url="https://example.org/")
    assert sources.digest("toy") == first
    register(files={**before.files, "one.bin": "0" * 64})
    assert sources.digest("toy") != first


def test_import_is_light():
    code = "import featlib.data.sources, sys; print({'numpy', 'torch', 'pooch', 'requests', 'tqdm'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


# States.


def test_only_present_is_true():
    assert [bool(state) for state in State] == [state is State.PRESENT for state in State]


def test_data_dir_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FEATLIB_DATA", str(tmp_path / "here"))
    assert sources.data_dir() == tmp_path / "here"
    monkeypatch.delenv("FEATLIB_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if sys.platform == "linux":
        assert sources.data_dir() == tmp_path / "cache" / "featlib"


def test_missing(shelf, register):
    register()
    assert sources.present("toy") is State.MISSING
    assert refused("not on this machine", "run: featlib fetch toy")


def test_changed_byte(toy):
    _, place = toy
    (place / "one.bin").write_bytes(b"First file")
    assert sources.present("toy") is State.CORRUPT
    assert refused("damaged", "one.bin", "run: featlib fetch toy")


def test_missing_file_among_others(toy):
    _, place = toy
    (place / "deep" / "two.txt").unlink()
    assert sources.present("toy") is State.CORRUPT
    assert refused("deep/two.txt is missing")


@pytest.mark.parametrize("keep", [0, 5, 20])
def test_truncated_archive(toy, keep):
    _, place = toy
    (place / "three.gz").write_bytes((place / "three.gz").read_bytes()[:keep])
    assert sources.present("toy") is State.CORRUPT
    assert refused("three.gz is not the pinned file")


def test_repacked_archive_is_the_same_content(toy):
    _, place = toy
    (place / "three.gz").write_bytes(gzip.compress(b"third file", compresslevel=1, mtime=12345))
    assert sources.present("toy")


def test_wrong_version(toy):
    _, place = toy
    place.rename(place.with_name("0.9"))
    assert sources.present("toy") is State.WRONG_VERSION
    assert refused("version 0.9 is here, 1.0 is needed", "run: featlib fetch toy")


def test_another_version_beside_the_right_one_does_not_matter(toy):
    _, place = toy
    place.with_name("0.9").mkdir()
    assert sources.present("toy")


def test_unreadable(toy):
    _, place = toy
    (place / "one.bin").unlink()
    (place / "one.bin").mkdir()  # cannot be read by anybody, root included
    assert sources.present("toy") is State.UNREADABLE
    assert refused("cannot read", "one.bin", "run: featlib fetch toy")


def test_forbidden_file(toy, monkeypatch):
    _, place = toy
    (place / "one.bin").write_bytes(b"touched by somebody")

    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(verify, "_content", forbidden)
    assert sources.present("toy") is State.UNREADABLE
    assert refused("Permission denied", str(place))


def test_installed_package_of_another_version(shelf, register, monkeypatch):
    real = SOURCES["scikit-image"]
    register(**{**vars(real), "name": "toy", "files": {**real.files, "coffee.png": "0" * 64}})
    assert sources.present("toy") is State.CORRUPT  # the version is right, the file is not
    assert refused("coffee.png", f"pip install --force-reinstall --no-deps scikit-image=={real.version}")
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "0.1")
    assert sources.present("toy") is State.WRONG_VERSION
    assert refused("version 0.1 is installed")
    with pytest.raises(DataError, match=r"version 0\.1 is installed"):
        sources.fetch("toy", progress=False)


def test_package_that_is_not_installed(shelf, register):
    register(carrier="installed", inside="featlib_toy_absent/data")
    assert sources.present("toy") is State.MISSING


def test_a_pattern_pins_the_whole_listing(toy, register):
    _, place = toy
    lines = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {path}\n"
        for path, data in sorted({"deep/two.txt": b"second file", "one.txt": b"1"}.items())
    )
    (place / "one.txt").write_bytes(b"1")
    register(files={"*.txt": hashlib.sha256(lines.encode()).hexdigest()})
    assert sources.present("toy")
    (place / "more.txt").write_bytes(b"one file too many")
    assert sources.present("toy") is State.CORRUPT
    (place / "more.txt").unlink()
    assert sources.present("toy")
    (place / "one.txt").rename(place / "uno.txt")
    assert sources.present("toy") is State.CORRUPT
    assert refused("2 files *.txt")


# The stamp.


def test_second_look_does_not_read_again(toy, monkeypatch):
    def forbidden(path):
        raise AssertionError(f"{path} was hashed again")

    monkeypatch.setattr(verify, "_content", forbidden)
    assert sources.present("toy")


def test_new_pins_look_again(toy):
    source, _ = toy
    SOURCES["toy"] = replace(source, files={**source.files, "one.bin": "0" * 64})
    assert sources.present("toy") is State.CORRUPT


@pytest.mark.parametrize("stamp", ["", "nonsense", "[]"])
def test_a_damaged_stamp_is_not_believed(toy, shelf, stamp):
    _, place = toy
    (shelf / "verified" / "toy.json").write_text(stamp)
    assert sources.present("toy")
    (place / "one.bin").write_bytes(b"other")
    (shelf / "verified" / "toy.json").write_text(stamp)
    assert sources.present("toy") is State.CORRUPT


def test_without_room_for_a_stamp_it_still_works(toy, shelf):
    (shelf / "verified" / "toy.json").unlink()
    (shelf / "verified").rmdir()
    (shelf / "verified").write_text("in the way")
    assert sources.present("toy")
