"""The trivial predictors, and the published lists on which they already score like trained systems."""

import json
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from avssl.localize import score
from avssl.localize.score import binarize, boxes_to_mask, ciou

SIZE = (224, 224)
DATA = Path(os.environ.get("AVSSL_DATA", Path(__file__).parents[2] / "../shared/data")) / "localization"


def test_centre_disc_has_the_area_asked_for():
    for size, area in [((50, 50), 0.3), ((40, 80), 0.5), ((7, 7), 0.5)]:
        disc = score.centre_disc(size, area)
        assert binarize(disc, "universal", threshold=0.5).mean() == pytest.approx(area, abs=8 / disc.size)
        assert np.array_equal(disc, disc[::-1, ::-1])
        assert disc.max() <= 1.0
        assert disc.min() > 0.0
        assert binarize(disc).mean() == pytest.approx(0.5, abs=8 / disc.size)
    assert score.centre_disc((1, 1)).tolist() == [[1.0]]
    with pytest.raises(ValueError, match="area"):
        score.centre_disc((4, 4), 0.0)


def test_whole_image_and_average_box():
    assert binarize(score.whole_image((3, 5))).all()
    boxes = [[[0.0, 0.0, 0.5, 1.0]], [[0.25, 0.0, 0.75, 1.0]]]
    assert score.average_box(boxes, (1, 4)).tolist() == [[0.5, 1.0, 0.5, 0.0]]
    with pytest.raises(ValueError, match="at least one item"):
        score.average_box([], (1, 4))


def test_random_map_is_its_generators():
    first, again = (score.random_map(np.random.default_rng(1), SIZE) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.shape == SIZE
    assert not np.array_equal(first, score.random_map(np.random.default_rng(2), SIZE))


def test_oracle_reaches_the_ceiling_of_each_rule():
    small = boxes_to_mask([[0.0, 0.0, 0.5, 0.5]], (4, 4))
    assert ciou(binarize(score.oracle(small)), small) == 4 / 8  # half must be marked, a quarter is right
    assert ciou(binarize(score.oracle(small), "adaptive", small), small) == 1.0
    large = boxes_to_mask([[0.0, 0.0, 1.0, 0.75]], (4, 4))
    assert ciou(binarize(score.oracle(large)), large) == 8 / 12
    for rule, threshold in [("fixed", None), ("universal", 0.5)]:
        assert ciou(binarize(score.oracle(small, rule), rule, threshold=threshold), small) == 1.0
    graded = np.array([[0.5, 1.0, 0.0, 0.0]])
    assert binarize(score.oracle(graded), "adaptive", graded).tolist() == [[True, True, False, False]]


def released(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is absent; set AVSSL_DATA to the folder of recordings")
    return json.loads(path.read_text())


def success_and_auc(cious):
    return 100 * score.success_at(cious), 100 * score.auc(cious)


def test_trivial_rows_of_vgg_ss():
    items = [item["bbox"] for item in released("vggss.json")]
    prior = binarize(score.average_box(items, SIZE))
    disc, whole = binarize(score.centre_disc(SIZE)), binarize(score.whole_image(SIZE))
    generator = np.random.default_rng(0)
    rows = defaultdict(list)
    for index, boxes in enumerate(items):
        truth = boxes_to_mask(boxes, SIZE)
        rows["disc"].append(ciou(disc, truth))
        rows["prior"].append(ciou(prior, truth))
        rows["whole"].append(ciou(whole, truth))
        rows["oracle"].append(ciou(binarize(score.oracle(truth)), truth))
        if index % 8 == 0:  # its figures carry sampling noise in any case
            rows["random"].append(ciou(binarize(score.random_map(generator, SIZE)), truth))
    assert len(items) == 5158
    assert success_and_auc(rows["disc"]) == pytest.approx((34.02, 37.44), abs=0.006)
    assert success_and_auc(rows["prior"]) == pytest.approx((34.51, 37.76), abs=0.006)
    assert success_and_auc(rows["whole"]) == pytest.approx((21.95, 31.25), abs=0.006)
    assert success_and_auc(rows["oracle"]) == pytest.approx((50.54, 49.47), abs=0.006)
    assert success_and_auc(rows["random"]) == pytest.approx((1.55, 21.96), abs=1.0)


def test_trivial_rows_of_is3():
    disc = binarize(score.centre_disc(SIZE))
    cious, pictures = [], defaultdict(list)
    for row in released("synthetic3240_bbox.json"):
        x0, y0, x1, y1 = (int(edge) for edge in row["gt_box"])  # pixels of a 224 picture
        truth = np.zeros(SIZE)
        truth[y0:y1, x0:x1] = 1.0
        cious.append(ciou(disc, truth))
        pictures[Path(row["image"]).stem.rsplit("_", 1)[0]].append(cious[-1])
    assert success_and_auc(cious) == pytest.approx((34.1, 39.4), abs=0.06)
    assert 100 * score.iiou(pictures.values()) == pytest.approx(7.0, abs=0.06)
