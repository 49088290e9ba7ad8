"""Fashion-MNIST as tensors, against the bytes read in another way."""

import gzip
import struct

import pytest
import torch

from featlib.data import sources
from featlib.data.fashion import CLASSES, FOOTWEAR, garments


@pytest.fixture(scope="module")
def folder():
    if not sources.present("fashion-mnist"):
        pytest.skip(sources.check("fashion-mnist").reason)
    return sources.folder("fashion-mnist")


@pytest.mark.parametrize(("split", "prefix", "count"), [("train", "train", 60_000), ("test", "t10k", 10_000)])
def test_pixels_and_labels_are_those_of_the_files(folder, split, prefix, count):
    found = garments(split)
    with gzip.open(folder / f"{prefix}-images-idx3-ubyte.gz") as file:
        magic, images, rows, columns = struct.unpack(">IIII", file.read(16))
        first = list(file.read(rows * columns))
    with gzip.open(folder / f"{prefix}-labels-idx1-ubyte.gz") as file:
        _, labels = struct.unpack(">II", file.read(8))
        classes = list(file.read())
    assert (magic, images, labels, rows, columns) == (2051, count, count, 28, 28)
    assert (found.images[0] * 255).round().flatten().long().tolist() == first
    assert found.labels.tolist() == classes
    assert found.labels.bincount().tolist() == [count // 10] * 10
    assert 0 <= found.images.min() < found.images.max() <= 1
    assert len(found) == count


def test_a_part_is_drawn_by_its_seed(folder):
    plain, first, again, other = (garments("test", 50, seed) for seed in (None, 1, 1, 2))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.labels, other.labels)
    assert torch.equal(plain.images, garments("test").images[:50])
    assert all(len(part) == 50 for part in (plain, first, other))


def test_some_classes(folder):
    everything = garments("test")
    some = everything.only([9, 1])
    assert set(some.labels.tolist()) == {1, 9}
    assert torch.equal(some.images, everything.images[(everything.labels == 1) | (everything.labels == 9)])


def test_names():
    assert [CLASSES[index] for index in FOOTWEAR] == ["sandal", "sneaker", "ankle boot"]


def test_errors(as_users_run, folder):
    with pytest.raises(ValueError, match="'train' or 'test'"):
        garments("valid")
    with pytest.raises(ValueError, match="positive"):
        garments("test", most=0)
    with pytest.raises(ValueError, match="numbered from 0 to 9"):
        garments("test", most=5).only([10])
