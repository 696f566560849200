"""torchvision's sets, read where they lie; nothing is fetched, nothing is unpickled."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image
from probe.laid import picture, shades, told

from avssl.config import InputsConfig
from avssl.inputs import Inputs
from avssl.probe import decoded, importers


def idx(path, values):
    """The format MNIST comes in: magic number, sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">I{values.ndim}I", 0x0800 | values.ndim, *values.shape)
    path.write_bytes(head + values.astype(np.uint8).tobytes())


def digits(root, shade):
    """MNIST's files, all pictures of one shade but for a lighter spot at a place of each picture's own."""
    for first, half, count in ((0, "train", 12), (12, "t10k", 6)):
        x = np.full((count, 28, 28), shade)
        x[np.arange(count), 0, first + np.arange(count)] += 1
        idx(root / "MNIST" / "raw" / f"{half}-images-idx3-ubyte", x)
        idx(root / "MNIST" / "raw" / f"{half}-labels-idx1-ubyte", np.arange(count) % 3)
    return f"torchvision:MNIST:{root}"


def test_roots_of_one_torchvision_set_are_each_their_own(tmp_path):
    picture(tmp_path / "room" / "MNIST" / "train" / "000000.png", 5)  # as rooms were laid out once
    for _ in range(2):
        for shade in (10, 20):
            data = importers.read(digits(tmp_path / f"root{shade}", shade), tmp_path / "room")
            assert shades(data) == {shade}
            assert [one.name for one in data.examples[:2]] == ["train/000000", "train/000001"]
    assert shades(importers.read(digits(tmp_path / "root10", 30), tmp_path / "room")) == {30}, "other files in a root"
    assert not list(tmp_path.glob("room/**/*.partial"))


def test_torchvisions_sets_are_read_where_they_lie_and_never_fetched(tmp_path, monkeypatch):
    import torchvision.datasets.utils as fetching

    monkeypatch.setattr(fetching, "_urlretrieve", lambda *_: pytest.fail("fetched something"))
    data = importers.read(digits(tmp_path, 9), tmp_path)
    names = ("0 - zero", "1 - one", "2 - two")
    assert told(data) == {(part, name): count for part, count in (("train", 4), ("test", 2)) for name in names}
    inputs = Inputs(InputsConfig(height=16, width=16))
    _, made = decoded.decode(data, inputs, "image", tmp_path)
    assert made.x.shape == (18, 3, 16, 16)
    assert (np.abs(made.x.astype(int) - 9) <= 1).all()
    for spec, why in (
        ("torchvision:SVHN:" + str(tmp_path), "nothing is downloaded"),
        ("torchvision:EMNIST:" + str(tmp_path), "its splits are byclass, .*none a part; give one as class folders"),
        ("torchvision:HMDB51:" + str(tmp_path), "nothing is downloaded"),
        ("torchvision:VisionDataset:" + str(tmp_path), "nothing is downloaded"),
        ("torchvision:CIFAR10:" + str(tmp_path), "unpickles this set, and nothing here does; give it as class folders"),
        ("torchvision:Nothing:x", "write torchvision:NAME:ROOT, such as torchvision:MNIST:data where data/MNIST/raw"),
        ("torchvision:MNIST", "torchvision:NAME:ROOT"),
        ("torchvision:FakeData:tv", "torchvision's FakeData reads no folder; write torchvision:NAME:ROOT, such as"),
        (f"torchvision:MNIST:{tmp_path / 'MNIST' / 'raw'}", "finds nothing there .*where data/MNIST/raw holds"),
    ):
        with pytest.raises(ValueError, match=why):
            importers.read(spec, tmp_path)


def test_pictures_that_are_laid_out_are_said_once(tmp_path):
    said, spec = [], digits(tmp_path, 9)
    for _ in range(2):
        importers.read(spec, tmp_path, say=said.append)
    assert said == [f"laying out the pictures of {spec}"]


def test_parts_are_found_by_the_names_that_sets_have_for_them(tmp_path, monkeypatch):
    from torchvision import datasets

    class Pets:
        classes = ("cat", "dog")

        def __init__(self, root, split="trainval", download=True):
            assert not download
            if split not in root.split("-"):
                raise ValueError(f"no {split}")
            self.split = split

        def __len__(self):
            return 6

        def __getitem__(self, place):
            shade = 20 * place + ("train", "trainval", "val", "valid", "test").index(self.split)
            return Image.new("RGB", (8, 8), (shade, shade, shade)), place % 2

    monkeypatch.setattr(datasets, "OxfordIIITPet", Pets)
    for root, parts in (("trainval-test", {"train", "test"}), ("train-val", {"train", "test"}),
                        ("train-valid-test", {"train", "val", "test"})):  # fmt: skip
        data = importers.read(f"torchvision:OxfordIIITPet:{root}", tmp_path)
        assert {one.part for one in data.examples} == parts
        assert len(data) == 6 * len(parts)
