"""A reader's copy of ILSVRC: toy folders in every layout, and in every state in which they must be refused."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from featlib.data import ilsvrc, pascal, sources
from featlib.data.ilsvrc import localised
from featlib.data.sources import DataError
from featlib.measures.localisation import box_accuracy, filled
from featlib.models import build

TENCH, GOLDFISH = "n01440764", "n01443537"  # the first two classes
OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
LAYOUTS = {
    "one folder": ("", ""),
    "the archives": ("ILSVRC2012_img_val", "ILSVRC2012_bbox_val_v3/val"),
    "short": ("val", "bbox/val"),
    "kaggle": ("ILSVRC/Data/CLS-LOC/val", "ILSVRC/Annotations/CLS-LOC/val"),
    "sorted by class": (f"val/{TENCH}", "boxes"),
}


@pytest.fixture(autouse=True)
def classes(monkeypatch, tmp_path_factory):
    """The thousand ids, of which only the first two are the real ones: the tests need no source."""
    folder = tmp_path_factory.mktemp("labels")
    ids = [TENCH, GOLDFISH, *(f"n1{k:07}" for k in range(998)), "n00000001"]
    (folder / "imagenet.labels.list").write_text("\n".join([*ids[1:1000], ids[0], *ids[1000:]]))
    monkeypatch.setattr(sources, "folder", {"imagenet-labels": folder}.__getitem__)


def xml(*objects, size=(50, 40)):
    """An annotation: width and height, and for each object class, left, top, right, bottom, counted from 1."""
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><folder>val</folder>{sides}{''.join(OBJECT.format(*one) for one in objects)}</annotation>"


def name(number):
    return f"ILSVRC2012_val_{number:08}"


def put(root, number, text=None, layout="one folder", size=(50, 40), ending="JPEG"):
    """One picture, grey but for its number in red, and its annotation."""
    pictures, boxes = (root / folder for folder in LAYOUTS[layout])
    pictures.mkdir(parents=True, exist_ok=True)
    boxes.mkdir(parents=True, exist_ok=True)
    pixels = np.full((size[1], size[0], 3), 128, np.uint8)
    pixels[..., 0] = number
    Image.fromarray(pixels).save(pictures / f"{name(number)}.{ending}", "JPEG", quality=95)
    if text != "":
        (boxes / f"{name(number)}.xml").write_text(xml((TENCH, 11, 6, 30, 20)) if text is None else text)
    return root


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    put(tmp_path, 3, layout=layout)
    put(tmp_path, 1, xml((GOLDFISH, 1, 1, 50, 40), (GOLDFISH, 2, 3, 4, 5)), layout)
    (tmp_path / "ILSVRC2012_validation_ground_truth.txt").write_text("490\n")
    first, second = localised(tmp_path)
    assert (first.name, first.label, second.name, second.label) == (name(1), 1, name(3), 0)
    assert first.image.shape == second.image.shape == (3, 40, 50)
    assert first.image.dtype == torch.float32
    assert first.image[0].mean() * 255 == pytest.approx(1, abs=1.5)
    assert first.image[1].mean() * 255 == pytest.approx(128, abs=1.5)
    assert first.boxes.tolist() == [[0, 0, 40, 50], [2, 1, 5, 4]]
    assert second.boxes.tolist() == [[5, 10, 20, 30]]
    assert first.boxes.dtype == torch.int64


def test_the_other_parts_are_passed_over(tmp_path):
    put(tmp_path, 1, layout="kaggle")
    put(tmp_path / "ILSVRC/Data/CLS-LOC/train", 1)
    put(tmp_path / "ILSVRC/Data/CLS-LOC/test", 1)
    assert len(localised(tmp_path)) == 1


def test_links_are_followed_and_may_go_round(tmp_path):
    put(tmp_path / "disk", 1)
    (tmp_path / "root").mkdir()
    (tmp_path / "root/val").symlink_to(tmp_path / "disk")
    (tmp_path / "root/again").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/round").symlink_to(tmp_path / "root")
    assert [picture.name for picture in localised(str(tmp_path / "root"))] == [name(1)]


def test_a_part_of_the_set_by_count_and_seed(tmp_path):
    for number in range(1, 13):
        put(tmp_path, number)
    everything = localised(tmp_path)
    assert [picture.name for picture in everything] == [name(number) for number in range(1, 13)]
    names = [
        [picture.name for picture in localised(tmp_path, count, seed)] for count, seed in ((12, 0), (5, 0), (5, 1))
    ]
    assert sorted(names[0]) == [picture.name for picture in everything] != names[0]
    assert names[1] == names[0][:5] != names[2]
    part = everything[-3:]
    assert (len(part), part[0].name, everything[-1].name) == (3, name(10), name(12))
    for count in (0, -1, 13):
        with pytest.raises(ValueError, match=r"count must lie in 1\.\.12"):
            localised(tmp_path, count)


@pytest.mark.usefixtures("as_users_run")  # a check of the type of what is returned reads one of them
def test_only_pictures_that_are_asked_for_are_read(tmp_path):
    put(tmp_path, 1)
    put(tmp_path, 2)
    (tmp_path / f"{name(2)}.JPEG").write_bytes(b"nothing")
    pictures = localised(tmp_path)
    assert pictures[0].name == name(1)
    with pytest.raises(DataError, match=r"00000002.JPEG cannot be used: .* unpack ILSVRC2012_img_val.tar again"):
        pictures[1]


def test_pictures_of_every_mode_have_three_channels(tmp_path):
    put(tmp_path, 1, ending="jpg")
    for number, mode in ((2, "L"), (3, "CMYK")):
        put(tmp_path, number)
        Image.new(mode, (50, 40)).save(tmp_path / f"{name(number)}.JPEG")
    assert [tuple(picture.image.shape) for picture in localised(tmp_path)] == [(3, 40, 50)] * 3


def test_boxes_go_with_copies_of_another_size(tmp_path):
    """Also where the sides of the copy were rounded; a box never vanishes."""
    put(tmp_path, 1, xml((TENCH, 101, 51, 300, 200), (TENCH, 500, 375, 500, 375), size=(500, 375)), size=(50, 38))
    put(tmp_path, 2, xml((TENCH, 11, 6, 30, 20)), size=(100, 80))
    smaller, larger = localised(tmp_path)
    assert smaller.boxes.tolist() == [[5, 10, 20, 30], [37, 49, 38, 50]]
    assert larger.boxes.tolist() == [[10, 20, 40, 60]]


def test_what_sticks_out_is_cut_off(tmp_path):
    put(tmp_path, 1, xml((TENCH, 0, -3, 51, 44), (TENCH, 45, 1, 60, 1)))
    assert localised(tmp_path)[0].boxes.tolist() == [[0, 0, 40, 50], [0, 44, 1, 50]]


# Classes, against the labels of the networks.


def test_classes_are_numbered_as_the_logits(monkeypatch):
    from featlib.models.imagenet import LABELS

    monkeypatch.undo()
    if not sources.present("imagenet-labels"):
        pytest.skip(sources.check("imagenet-labels").reason)
    index = ilsvrc._classes()
    assert sorted(index.values()) == list(range(1000))
    known = {TENCH: "tench", GOLDFISH: "goldfish", "n02099601": "golden retriever", "n15075141": "toilet tissue"}
    assert {wordnet: LABELS[index[wordnet]] for wordnet in known} == known
    assert (index["n02099601"], index["n15075141"]) == (207, 999)


# Together with the networks and the measures.


def picture_of(boxes, height, width):
    return filled(torch.tensor(boxes), height, width).float().expand(1, 3, -1, -1)


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 333), (224, 224), (256, 256), (90, 70)])
@pytest.mark.parametrize("network", ["vgg16", "efficientnet-lite0", "squeezenet"])
def test_boxes_are_cropped_as_the_picture_is(network, height, width):
    """What is white in a picture, white above one half in its crop, is the box, up to a pixel in enlarged pictures."""
    model = build(network, device="meta")
    random = np.random.default_rng(0)
    for _ in range(12):
        (top, bottom), (left, right) = (sorted(random.choice(side + 1, 2, replace=False)) for side in (height, width))
        box = torch.tensor([[top, left, bottom, right]])
        crop = model.crop(picture_of(box.tolist(), height, width))[0, 0] > 0.5
        found = model.crop_boxes(box, height, width)
        if not len(found):
            assert not crop.any()
            continue
        assert (found[:, :2] >= 0).all()
        assert (found[:, 2:] <= model.preparation.side).all()
        if crop.any():
            rows, columns = crop.any(1).nonzero()[:, 0], crop.any(0).nonzero()[:, 0]
            seen = torch.tensor([[rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]])
            assert (seen - found).abs().max() <= 1


def test_crop_of_boxes_worked_out_by_hand():
    """VGG keeps the central 7/8: of 256 pixels those from 16 to 240, at their own size."""
    model = build("vgg16", device="meta")
    boxes = torch.tensor([[0, 0, 256, 256], [20, 30, 40, 50], [0, 0, 16, 256], [10, 10, 17, 17], [100, 239, 120, 256]])
    inside = [[0, 0, 224, 224], [4, 14, 24, 34], [0, 0, 1, 1], [84, 223, 104, 224]]
    assert model.crop_boxes(boxes, 256, 256).tolist() == inside
    assert model.crop_boxes(boxes[:2], 512, 256).tolist() == [[0, 0, 112, 224]]
    assert model.crop_boxes(boxes[:2, :], 224, 224).tolist()[1] == [20, 30, 40, 50]  # prepared already
    speck = torch.tensor([[1000, 1000, 1001, 1001]])
    assert model.crop_boxes(speck, 2000, 2000).tolist() == [[112, 112, 113, 113]]
    assert model.crop_boxes(boxes[:0], 300, 300).shape == (0, 4)


def test_from_the_folder_to_a_measure(tmp_path):
    put(tmp_path, 1, xml((TENCH, 101, 101, 200, 200), (TENCH, 201, 101, 300, 200), size=(400, 300)), size=(400, 300))
    (picture,) = localised(tmp_path)
    model = build("resnet18", device="meta")
    image = model.crop(picture.image[None])
    boxes = model.crop_boxes(picture.boxes, *picture.image.shape[1:])
    masks = filled(boxes, *image.shape[2:])[None]
    first = filled(boxes[:1], *image.shape[2:])[None].float()
    assert box_accuracy(first, masks).tolist() == [0]  # half of what is taken for one object
    assert box_accuracy(first, masks, boxes=[boxes]).tolist() == [1]


# What must be refused.


def refused(root, *words):
    with pytest.raises(DataError) as caught:
        localised(root)[0]
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_folders_without_the_set(tmp_path):
    refused(tmp_path / "nowhere", "there is no folder", "ILSVRC2012_img_val.tar was unpacked")
    refused(tmp_path, "is empty: unpack ILSVRC2012_img_val.tar and ILSVRC2012_bbox_val_v3.tgz there")
    (tmp_path / "n01440764_18.JPEG").write_bytes(b"")
    refused(tmp_path, "no picture called like ILSVRC2012_val_00000001.JPEG", "unpack ILSVRC2012_img_val.tar")
    (tmp_path / f"{name(1)}.xml").write_text(xml((TENCH, 1, 1, 2, 2)))
    refused(tmp_path, "no picture called like")
    refused(tmp_path / "n01440764_18.JPEG", "there is no folder")


def test_pictures_without_annotations(tmp_path):
    for number in (1, 2, 3):
        put(tmp_path, number, "" if number > 1 else None)
    refused(tmp_path, "2 of 3 pictures", f"{name(2)} first: unpack ILSVRC2012_bbox_val_v3.tgz there, or take those")


def test_one_name_twice(tmp_path):
    put(tmp_path / "original", 1)
    put(tmp_path / "small", 1, "")
    refused(tmp_path, f"original/{name(1)}.JPEG and", f"small/{name(1)}.JPEG have one name: give the folder of one set")


BOMB = '<!DOCTYPE a [<!ENTITY b "boom"><!ENTITY c "&b;&b;&b;">]>'
FILE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotation><size>", "it is not XML"),
        ("nothing", "it is not XML"),
        (xml(), "it has no object"),
        (BOMB + xml(("&c;", 1, 1, 2, 2)), "it declares a document type"),
        (FILE + xml(("&b;", 1, 1, 2, 2)), "it declares a document type"),
        ("\xff", "cannot be used"),
        (xml((TENCH, 1, 1, 2, "x")), "bndbox/ymax is 'x', no whole number"),
        (xml((TENCH, 1, 1, 2, "2.5")), "no whole number"),
        (xml((TENCH, 1, 1, 2, "9" * 5000)), "no whole number"),
        (xml((TENCH, 1, "", 2, 2)), "bndbox/ymin is missing"),
        (xml((TENCH, 1, 1, 2, 2)).replace("size>", "s>"), "size/height is missing"),
        (xml((TENCH, 1, 1, 2, 2), size=(0, 0)), "the box from (1, 1) to (2, 2) has no pixel in 0 by 0"),
        (xml((TENCH, 51, 1, 60, 9)), "the box from (51, 1) to (60, 9) has no pixel in 50 by 40"),
        (xml((TENCH, 1, 41, 9, 50)), "has no pixel"),
        (xml((TENCH, -9, 1, 0, 9)), "has no pixel"),
        (xml((TENCH, 1, 1, 9, 9), (TENCH, 9, 1, 8, 9)), "the box from (9, 1) to (8, 9) has no pixel"),
        (xml(("dog", 1, 1, 9, 9)), "about dog, not about one of the thousand classes"),
        (xml(("n00000001", 1, 1, 9, 9)), "detection task"),
        (xml((GOLDFISH, 1, 1, 9, 9), (TENCH, 1, 1, 9, 9)), f"about {TENCH}, {GOLDFISH}, not about one"),
        (xml(("", 1, 1, 9, 9)), "not about one of the thousand"),
        ("<a>" * 100_000, "it is not XML"),
    ],
    ids=lambda value: value[:30],
)
def test_annotations_that_cannot_be_used(tmp_path, text, words):
    put(tmp_path, 1, "")
    (tmp_path / f"{name(1)}.xml").write_bytes(text.encode("latin-1"))
    refused(tmp_path, f"{name(1)}.xml cannot be used: ", words, "; unpack ILSVRC2012_bbox_val_v3.tgz again, or take it")


def test_no_encoding_hides_a_document_type(tmp_path):
    for encoding in ("utf-16", "utf-7", "utf-32"):
        put(tmp_path, 1, "")
        text = f'<?xml version="1.0" encoding="{encoding}"?>{BOMB}{xml((TENCH, 1, 1, 2, 2))}'
        (tmp_path / f"{name(1)}.xml").write_bytes(text.encode(encoding))
        refused(tmp_path, "cannot be used")


@pytest.mark.usefixtures("as_users_run")
def test_a_picture_that_is_not_the_annotated_one(tmp_path):
    put(tmp_path, 1, xml((TENCH, 1, 1, 9, 9), size=(500, 375)), size=(224, 224))
    refused(tmp_path, "it is 224 by 224 pixels, and its annotation of 500 by 375: it was cropped", "img_val.tar again")
    put(tmp_path, 1, xml((TENCH, 1, 1, 9, 9), size=(40, 50)))
    refused(tmp_path, "turned")


def test_without_the_labels(tmp_path, monkeypatch):
    put(tmp_path, 1)
    monkeypatch.undo()
    monkeypatch.setenv("FEATLIB_DATA", str(tmp_path / "data"))
    refused(tmp_path, "imagenet-labels", "run: featlib fetch imagenet-labels")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_ends_well(tmp_path, data):
    """An annotation with a stretch of it changed is read, or refused; nothing else happens."""
    whole = xml((TENCH, 11, 6, 30, 20), (TENCH, 1, 1, 50, 40)).encode()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 12)))
    between = data.draw(
        st.binary(max_size=9) | st.sampled_from([b"0", b"999999", b"-1", b"<!--", b"<![CDATA[", b"&#1;"])
    )
    file = tmp_path / "one.xml"
    file.write_bytes(whole[:start] + between + whole[end:])
    try:
        boxes = pascal.read(file).scaled(40, 50)
    except ValueError:
        return
    assert ((boxes >= 0) & (boxes[:, 2:] > boxes[:, :2]).repeat(1, 2)).all()
    assert (boxes <= torch.tensor([40, 50, 40, 50])).all()
