"""Released lists are read, malformed ones refused in a line, and trivial predictors score what the notes say."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from made_maps import drawn

from avssl.localize import lists, score, trivial

DATA = Path(os.environ.get("AVSSL_DATA", Path(__file__).parents[2] / "../shared/data")) / "localization"
BOX = {"image": "/far/away/cat_bell_12_cat.jpg", "audio": "/far/cat_bell_12_cat.wav", "gt_box": [0.0, 56.0, 112.0, 224]}


def written(tmp_path, content, name="list.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def released(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is absent; set AVSSL_DATA to the folder of recordings")
    return lists.read(path)


def test_boxes_as_fractions(tmp_path):
    rows = [{"file": "a_000001", "class": "bell", "bbox": [[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.6, -2.9e16]]}]
    (item,) = lists.read(written(tmp_path, rows))
    assert (item.key, item.sound, item.group, item.label) == ("a_000001", "a_000001", "a_000001", "bell")
    assert item.boxes.tolist() == [[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.6, 0.0]]  # the overflowed end covers nothing


def test_boxes_in_pixels_and_pictures_with_several_sounds(tmp_path):
    other = {**BOX, "image": "/x/cat_bell_12_bell.jpg", "audio": "/x/cat_bell_12_bell.wav"}
    frame = {**BOX, "image": "/x/clip/clip_3.png", "audio": "/x/clip.wav"}  # AVSBench: a sound for five frames
    cat, bell, third = lists.read(written(tmp_path, [BOX, other, frame]))
    assert cat.boxes.tolist() == [[0.0, 0.25, 0.5, 1.0]]
    assert (cat.key, cat.group, bell.group) == ("cat_bell_12_cat", "cat_bell_12", "cat_bell_12")
    assert (third.key, third.sound, third.group) == ("clip_3", "clip", "clip_3")


def test_masks_and_ids(tmp_path):
    (item,) = lists.read(written(tmp_path, [{**BOX, "gt_box": "/far/masks/cat.png", "offset": 1}]))
    assert (item.boxes, item.mask, item.number) == (None, "cat.png", 1)
    ids = lists.read(written(tmp_path, "a_000001\r\nb_000002\n", "ids.csv"))
    assert [item.key for item in ids] == ["a_000001", "b_000002"]
    (flickr,) = lists.read(written(tmp_path, "10000130166,202\r\n", "flickr.csv"))
    assert (flickr.key, flickr.number, flickr.sounding) == ("10000130166", 202, True)
    text = "video,audio,label\na,b,non-sounding\na,a,bell\n"
    silent, sounding = lists.read(written(tmp_path, text, "plus.csv"))
    assert (silent.key, silent.sound, silent.sounding) == ("a", "b", False)
    assert (sounding.sounding, sounding.label) == (True, "bell")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "lists no item"),
        ("[]", "lists no item"),
        ('[{"file": "a",', "line 1: not JSON"),
        ('{"file": "a", "bbox": []}', "expected a list of items"),
        ([3], "item 0: expected an object"),
        ([{"name": "a"}], "item 0: expected file and bbox, or image, audio and gt_box; found name"),
        ([BOX, {**BOX, "gt_box": [1, 2, 3]}], "item 1: a box is four numbers"),
        ([{**BOX, "gt_box": [0, 0, 500, 2]}], "item 0: gt_box must lie in 0 to 224"),
        ([{**BOX, "gt_box": [0, 0, True, 2]}], "four numbers"),
        ('[{"file": "a", "bbox": [[0, 0, NaN, 1]]}]', "four numbers"),
        ([{"file": "a", "bbox": [[10, 20, 30, 40]]}], "fractions of the picture, found 40"),
        ([{"file": 3, "bbox": []}], "file must be a name"),
        ([{"file": "a", "bbox": 3}], "bbox must be a list of boxes"),
        ("a,1\nb\n", "line 2: expected an id"),
        ("a,one\n", "line 1: expected a whole number"),
        ("once upon a time\n", "line 1: 'once upon a time' is no id"),
        ("video,audio,label\na,b\n", "line 2: expected video,audio,label"),
        ("[" * 100_000, "nested too deeply|not JSON"),
    ],
)
def test_a_malformed_list_is_refused_in_one_line(tmp_path, content, words):
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=words) as refused:
        lists.read(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "raw").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match="no text in UTF-8"):
        lists.read(tmp_path / "raw")
    with pytest.raises(ValueError, match="is a folder"):
        lists.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        lists.read(tmp_path / "none.json")


def made(count=12):
    return drawn(np.random.default_rng(5), count)


@pytest.mark.parametrize("rule", trivial.RULES)
def test_the_quick_way_gives_what_the_slow_one_does(rule):
    items = made()
    quick = trivial.table(items)["rules"][rule]
    truths = [score.boxes_to_mask(item.boxes, score.SCORING_SIZE) for item in items]
    generator = np.random.default_rng(0)
    maps = {
        "center": [score.centre_disc(score.SCORING_SIZE)] * len(items),
        "average": [score.average_box([item.boxes for item in items], score.SCORING_SIZE)] * len(items),
        "whole": [score.whole_image(score.SCORING_SIZE)] * len(items),
        "random": [score.random_map(generator, score.SCORING_SIZE) for _ in items],
        "oracle": [score.oracle(truth, rule) for truth in truths],
    }
    assert set(quick) == set(maps)
    for who, held in maps.items():
        slow = [score.ciou(score.binarize(m, rule, truth), truth) for m, truth in zip(held, truths, strict=True)]
        assert quick[who]["ciou"] == score.success_at(slow), who
        assert quick[who]["auc"] == score.auc(slow), who
        assert quick[who]["iiou"] == score.iiou([slow[i : i + 2] for i in range(0, len(slow), 2)]), who


def test_the_table_counts_and_refuses_lists_without_boxes():
    judged = trivial.table(made())
    assert (judged["items"], judged["empty"], judged["pictures"]) == (12, 1, 6)
    assert sum(judged["sizes"].values()) == 12
    low, high = judged["rules"]["adaptive"]["center"]["interval"]
    assert low <= judged["rules"]["adaptive"]["center"]["ciou"] <= high
    alone = trivial.table(made(1))
    assert "iiou" not in alone["rules"]["top_half"]["center"]
    with pytest.raises(ValueError, match="no boxes"):
        trivial.table([lists.Item("a", "a", "a")])


def percent(figures, *names):
    return tuple(100 * figures[name] for name in names)


def test_trivial_rows_of_vgg_ss():
    items = released("vggss.json")
    judged = trivial.table(items)
    rows = judged["rules"]["top_half"]
    assert (judged["items"], judged["empty"]) == (5158, 2)
    assert percent(rows["center"], "ciou", "auc") == pytest.approx((34.02, 37.44), abs=0.01)
    assert percent(rows["average"], "ciou", "auc") == pytest.approx((34.51, 37.76), abs=0.01)
    assert percent(rows["whole"], "ciou", "auc") == pytest.approx((21.95, 31.25), abs=0.01)
    assert percent(rows["oracle"], "ciou", "auc") == pytest.approx((50.54, 49.47), abs=0.01)
    assert percent(rows["random"], "ciou", "auc") == pytest.approx((1.55, 21.96), abs=1.0)
    assert percent(judged, "f_loc", "f_auc") == pytest.approx((46.1, 46.7), abs=0.1)


def test_trivial_rows_of_is3():
    judged = trivial.table(released("synthetic3240_bbox.json"))
    rows = judged["rules"]["top_half"]
    assert (judged["items"], judged["pictures"]) == (6480, 3240)
    assert percent(rows["center"], "ciou", "auc", "iiou") == pytest.approx((34.1, 39.4, 7.0), abs=0.1)
    assert percent(rows["oracle"], "ciou", "auc") == pytest.approx((58.6, 55.5), abs=0.1)


def test_trivial_rows_of_avsbench_with_several_sources():
    rows = trivial.table(released("ms3_box.json"))["rules"]
    assert percent(rows["top_half"]["center"], "ciou", "auc") == pytest.approx((30.0, 32.4), abs=0.1)
    assert percent(rows["adaptive"]["center"], "ciou", "auc") == pytest.approx((32.8, 34.5), abs=0.1)


def test_every_released_list_is_read():
    counts = {
        "flickr_test.csv": 250, "flickr_test_249.csv": 249, "flickr_test_plus_silent.csv": 250, "ms3_box.json": 320,
        "ms3_seg.json": 320, "s4_box.json": 3700, "s4_seg.json": 3700, "vggss_test.csv": 5158,
        "vggss_heard_test.csv": None, "vggss_unheard_test.csv": None, "vggss_test_plus_silent.csv": 5158,
        "vpo_ms_bbox.json": 2157, "vpo_ms_seg.json": 2157, "vpo_ss_bbox.json": 890, "vpo_ss_seg.json": 890,
        "synthetic3240_seg.json": 6480,
    }  # fmt: skip
    for name, count in counts.items():
        items = released(name)
        assert count is None or len(items) == count, name
        assert all(item.sounding for item in items) == ("silent" not in name), name
        assert all("/" not in part for item in items for part in (item.key, item.sound, item.mask)), name
