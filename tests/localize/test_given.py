"""Maps and masks that somebody made for a list: read whatever their type and size, or refused in a line."""

from pathlib import Path

import numpy as np
import pytest
from made_maps import SIZE, item, saved
from PIL import Image

from avssl.localize import given, lists, score, scored


@pytest.mark.parametrize("kind", ["1", "L", "RGB", "RGBA"])
def test_masks_of_every_kind_of_png_are_marked_wherever_they_are_not_black(kind, tmp_path):
    marked = np.tile(np.arange(9) < 5, (6, 1)).astype(np.uint8) * (255 if kind == "1" else 1)
    Image.fromarray(marked).convert(kind).save(tmp_path / "m.png")
    # the nearest of nine columns to each of 224: the first five end at 124 4/9
    assert np.array_equal(given.read_mask(tmp_path / "m.png"), np.broadcast_to(np.arange(224) < 124, SIZE))


def test_masks_in_colors_are_marked_wherever_they_are_not_black(tmp_path):
    colored = Image.new("P", (2, 2))
    colored.putpalette([0, 0, 0, 0, 0, 3, 128, 0, 0])
    colored.putdata([0, 1, 2, 0])
    colored.save(tmp_path / "m.png")
    assert given.read_mask(tmp_path / "m.png")[::112, ::112].tolist() == [[False, True], [True, False]]


def test_black_masks_are_refused(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    items = [lists.Item("a", "a", "a", mask="a.png")]
    with pytest.raises(ValueError, match="all masks are black"):
        scored.table(scored.Asked(items, saved(tmp_path / "maps", {"a": np.eye(3)}), masks=tmp_path))


def test_names_tell_items_of_one_key_apart():
    assert given.names([item("a"), item("b", sound="x")]) == ["a", "b"]
    assert given.names([item("a", sound="x"), item("a", sound="y"), item("b")]) == ["a.x", "a.y", "b"]
    with pytest.raises(ValueError, match=r"2 items of the list are called a\.x"):
        given.names([item("a", sound="x"), item("a", sound="x")])
    with pytest.raises(ValueError, match=r"2 items of the list are called a\.x"):
        given.names([item("a", sound="x"), item("a", sound="y"), item("a.x")])
    with pytest.raises(ValueError, match=r"'\.\./a', which is no name of a file"):
        given.names([item("../a")])


def test_maps_of_other_types_and_sizes_are_read(tmp_path):
    values = np.arange(12.0).reshape(3, 4)
    kinds = {"half": values.astype(np.float16), "whole": values.astype(np.int32), "turned": np.asfortranarray(values)}
    saved(tmp_path, kinds | {"timed": np.stack([values - 1, values + 1])})
    for name in (*kinds, "timed"):
        assert np.array_equal(given.read_map(tmp_path / f"{name}.npy"), score.upsample(values, SIZE)), name
    assert given.read_map(saved(tmp_path, {"large": np.eye(500)}) / "large.npy").shape == SIZE


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([[1.0, np.nan]]), "holds NaN"),
        (np.array([[1.0, -np.inf]]), "holds NaN, infinity"),
        (np.array([[1.0, 1e200]]), r"beyond 1e\+100"),
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros((1, 2, 3, 4)), r"shape \(1, 2, 3, 4\)"),
        (np.zeros((0, 4)), r"shape \(0, 4\)"),
        (np.zeros((2, 2), complex), "holds complex128"),
        (np.array([["1.0"]]), "holds <U3"),
        (np.array([[None]]), "no .npy file of numbers: .*Python objects"),
        (b"", "no .npy file of numbers"),
        (b"PK\x03\x04 nothing", "no .npy file of numbers"),
        (b"1 2 3\n4 5 6\n", "no .npy file of numbers"),
        ("short", "no .npy file of numbers"),
    ],
)
def test_what_is_no_map_is_refused_in_a_line_that_names_it(values, words, tmp_path):
    path = tmp_path / "wrong.npy"
    if isinstance(values, np.ndarray):
        np.save(path, values)
    elif values == "short":
        np.save(path, np.zeros((50, 50)))
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.write_bytes(values)
    with pytest.raises(ValueError, match=words) as refused:
        given.read_map(path)
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_missing_files_are_named(tmp_path):
    items = [item(name, 0.0, 0.5) for name in "abcd"]
    folder = saved(tmp_path / "maps", {"b": np.eye(2), "d": np.eye(2)})
    with pytest.raises(ValueError, match=r"a\.npy is missing: 2 of 4 items have no map"):
        given.maps_of(folder, items)
    with pytest.raises(ValueError, match="no such folder"):
        given.any_maps(tmp_path / "none")
    with pytest.raises(ValueError, match="a file; name a folder"):
        given.any_maps(folder / "b.npy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no \.npy file"):
        given.any_maps(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"holds no \.jpeg or \.jpg or \.png file"):
        given.masks_of(folder, items)
    Image.new("L", (4, 4)).save(folder / "a.png")
    masked = [lists.Item(name, name, name, mask=f"{name}.png") for name in "ab"]
    with pytest.raises(ValueError, match=r"b\.png is missing: 1 of 2 items have no mask"):
        given.masks_of(folder, masked)


@pytest.mark.parametrize(
    ("wrong", "other", "words"),
    [
        (lists.Item("a", "b", "a", sounding=False), {}, "a: the list holds items that do not sound"),
        (lists.Item("a", "a", "a"), {}, "a: the list has neither boxes nor masks"),
        (lists.Item("a", "a", "a", mask="a.png"), {}, "a: the list has masks, no boxes: give the folder"),
        (item("a", 0.0, 0.5), {"masks": Path("masks")}, "a: the list names no mask"),
        (item("a", 0.0, 0.5), {"threshold": np.nan}, "threshold is nan; it must be a finite number"),
        (item("a", 0.0, 0.5), {"threshold": 1.0, "validation": "maps/held"}, "given or chosen"),
        (
            item("a", 0.0, 0.5),
            {"validation": "maps"},
            r"a\.npy: a threshold must not be chosen on a map",
        ),
        (
            item("a", 0.0, 0.5),
            {"validation": "other", "negatives": {"noise": "other"}},
            r"n\.npy: a threshold must not",
        ),
        (
            item("a", 0.0, 0.5),
            {"negatives": {"noise": "maps"}},
            r"a\.npy is given as an item's map and as one on",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(wrong, other, words, tmp_path):
    maps = saved(tmp_path / "maps", {"a": np.eye(3)})
    for place in ("maps/held", "other"):
        saved(tmp_path / place, {"n": np.eye(3)})
    other = {name: tmp_path / value if isinstance(value, str) else value for name, value in other.items()}
    if "negatives" in other:
        other["negatives"] = {kind: tmp_path / folder for kind, folder in other["negatives"].items()}
    with pytest.raises(ValueError, match=words):
        scored.table(scored.Asked([wrong], maps, **other))
