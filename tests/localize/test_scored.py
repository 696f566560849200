"""Maps that somebody made, scored: worked out by hand, the slow way, and as the trivial predictors are."""

import os
from pathlib import Path

import numpy as np
import pytest
from made_maps import SIZE, drawn, item, saved
from PIL import Image

from avssl.localize import given, lists, score, scored, trivial

DATA = Path(os.environ.get("AVSSL_DATA", Path(__file__).parents[2] / "../shared/data")) / "localization"
BANDS = np.repeat(np.eye(4), 56, axis=1)[:, None, :]
"""four maps [4, 1, 224], each 1 on one upright quarter of the picture"""


def bands(*values):
    """A map [1, 224] with these values on the four upright quarters of the picture."""
    return np.tensordot(values, BANDS, 1)


@pytest.fixture
def three(tmp_path):
    """Three items, two of one picture: a map with four values, one whose highest are tied, a constant one."""
    items = [item("a", 0.0, 0.5, group="picture"), item("b", 0.0, 0.25), item("c", 0.5, 1.0, group="picture")]
    maps = {"a": bands(3.0, 2.0, 1.0, 0.0), "b": bands(2.0, 2.0, 1.0, 0.0), "c": np.full((7, 7), 0.7)}
    return scored.Asked(items, saved(tmp_path / "maps", maps))


def of_maps(judged, rule):
    return judged["rules"][rule]["maps"]


def changed(asked, **other):
    return scored.Asked(**{**vars(asked), **other})


def test_three_items_by_hand(three, tmp_path):
    silent = saved(tmp_path / "silent", {"x": np.full((3, 3), 1.0), "y": np.full((2, 5), 2.0)})
    judged = scored.table(changed(three, negatives={"silence": silent}, threshold=2.0))
    # a, b, c: left half, the tied left half, all; the left quarter, nothing, nothing; left half, the tied left half,
    # all; left half, three quarters, nothing; left half, left half, nothing
    cious = {
        "top_half": (1.0, 0.5, 0.5), "top_half_strict": (0.5, 0.0, 0.0), "adaptive": (1.0, 0.5, 0.5),
        "fixed": (1.0, 1 / 3, 0.0), "universal": (1.0, 0.5, 0.0),
    }  # fmt: skip
    assert list(judged["rules"]) == list(cious)
    for rule, expected in cious.items():
        found = of_maps(judged, rule)
        assert found["ciou"] == pytest.approx(np.mean([one >= 0.5 for one in expected])), rule
        assert found["miou"] == pytest.approx(np.mean(expected)), rule
        assert found["iiou"] == float(min(expected[0], expected[2]) >= 0.5), rule
    # a cIoU of 1 fills the area under the curve; 0.5 reaches 11 of 21 thresholds: 10.5 of 20 steps
    assert of_maps(judged, "top_half")["auc"] == pytest.approx((1.0 + 2 * 10.5 / 20) / 3)
    assert of_maps(judged, "top_half")["iauc"] == pytest.approx(10.5 / 20)
    assert judged["pointing"]["maps"] == pytest.approx((1.0 + 0.5 + 0.5) / 3)
    assert judged["sizes"] == {"large": 1, "huge": 2}
    assert of_maps(judged, "fixed")["by_size"] == {"large": 0.0, "huge": 0.5}
    # confidences 3, 2, 0.7 and of the negatives 1, 2: one right, then a tie of a right one and a negative
    strict, loose = (judged["detection"]["universal"]["maps"][way] for way in ("strict", "compatible"))
    assert strict == pytest.approx({"ap": 1 / 3 + 1 / 3 * 2 / 3, "max_f1": 2 / 3, "loc_acc": 2 / 3})
    assert loose["loc_acc"] == pytest.approx(1 / 3)  # above 0.5, which b is not
    at = judged["threshold"]
    assert (at["value"], at["chosen"], at["mean_ciou"]) == (2.0, "as given", 0.5)
    assert at["pia"] == {"silence": 0.5}
    assert at["auc_n"]["silence"] == pytest.approx((1.0 + 0.5 / 20) / 2)
    assert at["f_loc"] == pytest.approx(0.5)
    assert judged["negatives"] == {"silence": 2}
    assert list(judged["left_out"].values()) == ["a list of boxes"]


def test_the_threshold_is_that_of_validation_negatives(three, tmp_path):
    peaks = [0.0, 1.0, 2.0, 3.0, 9.0]
    maps = {f"n{index}": np.full((2, 2), peak) for index, peak in enumerate(peaks)}
    saved(tmp_path / "held" / "noise", maps)
    judged = scored.table(changed(three, validation=tmp_path / "held"))
    assert judged["threshold"]["value"] == score.negative_threshold(peaks) == 3.0
    assert "third quartile" in judged["threshold"]["chosen"]
    assert of_maps(judged, "universal")["miou"] == pytest.approx((0.5 + 0.0 + 0.0) / 3)
    assert judged["left_out"]["pIA, AUC_N, F_LOC, F_AUC"] == "no maps of negatives"
    alone = scored.table(three)
    assert "universal" not in alone["rules"]
    assert alone["left_out"]["universal rule, pIA, AUC_N, F_LOC, F_AUC"] == "no threshold"
    assert not {"threshold", "detection", "f_measure"} & set(alone)


def made(count=10):
    generator = np.random.default_rng(3)
    items = drawn(generator, count)
    # few values, so that many pixels of the larger maps are tied
    shapes = [(7, 7), (224, 224), (3, 5, 9), (300, 250)]
    maps = {one.key: generator.integers(-3, 4, shapes[index % 4]) * 0.25 for index, one in enumerate(items)}
    return items, maps


def enlarged(values):
    return score.upsample(values.mean(0) if values.ndim == 3 else values, SIZE)


def test_every_rule_gives_what_the_slow_way_does(tmp_path):
    items, maps = made()
    judged = scored.table(scored.Asked(items, saved(tmp_path / "maps", maps), threshold=0.1))
    truths = [score.boxes_to_mask(one.boxes, SIZE) for one in items]
    large = [enlarged(maps[one.key]) for one in items]
    for rule in (*scored.RULES, "universal"):
        threshold = 0.1 if rule == "universal" else None
        marked = [score.binarize(m, rule, t, threshold) for m, t in zip(large, truths, strict=True)]
        cious = [score.ciou(m, t) for m, t in zip(marked, truths, strict=True)]
        found = of_maps(judged, rule)
        assert found["ciou"] == score.success_at(cious), rule
        assert found["auc"] == score.auc(cious), rule
        assert found["interval"] == list(score.bootstrap(np.asarray(cious) >= 0.5)), rule
        assert found["iauc"] == score.iauc([cious[i : i + 2] for i in range(0, len(cious), 2)]), rule
        assert found["miou"] == pytest.approx(score.mean_iou(marked, [t > 0 for t in truths]), abs=1e-12), rule
    points = [score.pointing(m, t) for m, t in zip(large, truths, strict=True)]
    assert judged["pointing"]["maps"] == pytest.approx(np.mean(points), abs=1e-12)


@pytest.mark.parametrize("rule", ["top_half_strict", "fixed"])
def test_trivial_predictors_under_the_rules_that_only_maps_are_judged_by(rule):
    items = [*made()[0], item("all", 0.0, 1.0)]
    truths = [score.boxes_to_mask(one.boxes, SIZE) for one in items]
    held = trivial.predictors(trivial.boxed(items))
    found = trivial.overlaps(trivial.boxed(items), held, [rule])[rule]
    for who, overlaps in found.items():
        for index, truth in enumerate(truths):
            values = score.oracle(truth, rule) if who == "oracle" else held[who][index % len(held[who])].scores
            marked = score.binarize(values, rule, truth)
            assert overlaps[index] == (score.ciou(marked, truth), score.iou(marked, truth > 0.0)), (who, index)


def test_an_item_scores_the_same_whatever_else_is_listed(tmp_path):
    items, maps = made()
    folder = saved(tmp_path / "maps", maps)
    whole = scored.table(scored.Asked(items, folder, threshold=0.1))
    parts = [scored.table(scored.Asked(items[cut], folder, threshold=0.1)) for cut in (slice(0, 4), slice(4, 10))]
    for rule in whole["rules"]:
        for name in ("ciou", "auc", "iiou", "iauc", "miou"):
            first, second = (of_maps(part, rule)[name] for part in parts)
            assert of_maps(whole, rule)[name] == pytest.approx(0.4 * first + 0.6 * second), (rule, name)
    first, second = (part["pointing"]["maps"] for part in parts)
    assert whole["pointing"]["maps"] == pytest.approx(0.4 * first + 0.6 * second)


def check_discs(items, folder):
    saved(folder, dict.fromkeys(given.names(items), score.centre_disc(SIZE)))
    silent = saved(folder / "silence", {"x": score.centre_disc(SIZE)})
    judged = scored.table(scored.Asked(items, folder, negatives={"silence": silent}))
    beside = trivial.table(items)
    for rule, rows in judged["rules"].items():
        assert rows["maps"] == rows["center"], rule
        assert judged["detection"][rule]["maps"] == judged["detection"][rule]["center"], rule
    for rule in trivial.RULES:
        assert list(judged["rules"][rule]) == ["maps", *beside["rules"][rule]]
        assert {who: held for who, held in judged["rules"][rule].items() if who != "maps"} == beside["rules"][rule]
    assert judged["pointing"]["maps"] == judged["pointing"]["center"]
    assert (judged["f_loc"], judged["f_auc"]) == (beside["f_loc"], beside["f_auc"])


def test_discs_are_the_center_row(tmp_path):
    check_discs(made()[0], tmp_path / "maps")


def test_discs_are_the_center_row_of_vgg_ss(tmp_path):
    path = DATA / "vggss.json"
    if not path.exists():
        pytest.skip(f"{path} is absent; set AVSSL_DATA to the folder of recordings")
    check_discs(lists.read(path)[:200], tmp_path / "maps")


def test_masks_by_hand_and_against_the_scores(tmp_path):
    left = np.zeros((8, 8), np.uint8)
    left[:, :4] = 1  # dark, and yet marked
    folder = tmp_path / "masks"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(left).save(folder / "deep" / "a.png")
    Image.fromarray(np.zeros((5, 3), np.uint8)).save(folder / "b.png")
    Image.fromarray(np.repeat(left * 200 + 40, 32, 0).repeat(32, 1)).save(folder / "c.jpg", quality=60)
    items = [lists.Item(name, name, name, mask=mask) for name, mask in (("a", "a.png"), ("b", "b.png"), ("c", "c.jpg"))]
    maps = {"a": bands(4.0, 4.0, 0.0, 0.0), "b": bands(1.0, 0.0, 0.0, 0.0), "c": bands(3.0, 0.0, 0.0, 2.0)}
    judged = scored.table(scored.Asked(items, saved(tmp_path / "maps", maps), masks=folder))
    truths = [given.read_mask(path) for path in given.masks_of(folder, items)]
    half = np.broadcast_to(np.arange(224) < 112, SIZE)
    assert all(
        np.array_equal(truth, known) for truth, known in zip(truths, (half, np.zeros_like(half), half), strict=True)
    )
    # fixed: the left half; one quarter of four, three rightly left; two quarters, one of them right, of three
    assert of_maps(judged, "fixed")["miou"] == pytest.approx((1.0 + 0.75 + 1 / 3) / 3)
    assert (judged["empty"], judged["range"]) == (1, [0.0, 4.0])
    large = [score.upsample(maps[one.key], SIZE) for one in items]
    assert judged["f_measure"]["maps"] == score.f_measure([values / 4.0 for values in large], truths)
    assert judged["f_measure"]["whole"] == pytest.approx(1.3 * 0.5 / (0.3 * 0.5 + 1.0))  # everything is marked
    for rule in scored.RULES:
        marked = [score.binarize(m, rule, t) for m, t in zip(large, truths, strict=True)]
        assert of_maps(judged, rule)["miou"] == pytest.approx(score.mean_iou(marked, truths)), rule
    assert "mIoU, F-measure of masks" not in judged["left_out"]
    Image.fromarray(left).save(folder / "a.png")
    with pytest.raises(ValueError, match=r"both called as the mask of a is"):
        given.masks_of(folder, items)
    (folder / "a.png").write_bytes(b"\x89PNG")
    (folder / "deep" / "a.png").unlink()
    with pytest.raises(ValueError, match=r"a\.png"):
        scored.table(scored.Asked(items, tmp_path / "maps", masks=folder))


def test_it_tells_how_far_it_is(three, tmp_path):
    told = []
    silent = saved(tmp_path / "silent", {"x": np.eye(3)})
    scored.table(changed(three, negatives={"noise": silent}), lambda done, total: told.append((done, total)))
    assert told == [(done, 4) for done in range(1, 5)]
