"""Figures of finding and locating on networks whose quality is known."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from contract import tiny

from avssl.evaluation import finding, locating, maps, marking
from avssl.evaluation.judged import Boxes, Judged

LABELS = ["bell", "bell", "drum", "drum", "dog", ""]


def unit(rows):
    values = np.asarray(rows, np.float32)
    return dict(enumerate(values / np.linalg.norm(values, axis=1, keepdims=True)))


@pytest.fixture
def perfect():
    """Own pairs are nearest, then those of the same label."""
    rows = np.eye(6, dtype=np.float32)
    rows[0, 1] = rows[1, 0] = rows[2, 3] = rows[3, 2] = 0.5
    return unit(rows)


def test_a_perfect_network_and_chance(perfect):
    table = finding.table({"video": perfect, "audio": perfect}, {"video": perfect, "audio": perfect}, LABELS)
    assert list(table) == ["video_to_audio", "audio_to_video", "video_to_video", "audio_to_audio"]
    cross = table["video_to_audio"]
    assert cross["n"] == 6
    for name in ("r1", "r5", "r10", "ndcg10"):
        assert cross[name]["trained"] == pytest.approx(1.0)
    assert cross["medr"] == {"trained": 1.0, "untrained": 1.0, "chance": 3.5}
    assert cross["r1"]["chance"] == pytest.approx(1 / 6)
    assert cross["r5"]["chance"] == pytest.approx(5 / 6)
    assert 0.3 < cross["ndcg10"]["chance"] < 0.8


def test_own_recording_is_out_within_a_modality(perfect):
    within = finding.table({"video": perfect}, {"video": perfect}, LABELS)["video_to_video"]
    # Bell and drum find their other; dog and the unlabeled one have nothing to find and count as misses.
    assert within["r1"]["trained"] == pytest.approx(4 / 6)
    assert within["ndcg10"]["trained"] == pytest.approx(1.0)


def test_a_deaf_network_is_at_chance(perfect):
    same = unit(np.ones((6, 6)))
    table = finding.table({"video": same, "audio": same}, {"video": perfect, "audio": perfect}, LABELS)
    for name in finding.FIGURES:
        figures = table["video_to_audio"][name]
        assert figures["trained"] == pytest.approx(figures["chance"])
    assert table["video_to_audio"]["r1"]["untrained"] == pytest.approx(1.0)


def test_only_recordings_with_both_are_judged(perfect):
    fewer = {index: vector for index, vector in perfect.items() if index in (0, 2, 4)}
    table = finding.table({"video": perfect, "text": fewer}, {"video": perfect, "text": fewer}, LABELS)
    assert table["text_to_video"]["n"] == 3
    assert finding.direction(perfect, {0: perfect[0]}, LABELS, intra=False) is None


def test_without_labels_nothing_is_asked_within_a_modality(perfect):
    table = finding.table({"video": perfect, "audio": perfect}, {"video": perfect, "audio": perfect}, [""] * 6)
    assert list(table) == ["video_to_audio", "audio_to_video"]


LEFT, RIGHT = [0.0, 0.25, 0.5, 0.75], [0.5, 0.25, 1.0, 0.75]


def heat(*boxes, level=0.9):
    """Maps [2, 8, 8] that are high inside the boxes."""
    stack = np.full((2, 8, 8), -0.5)
    for x0, y0, x1, y1 in boxes:
        stack[:, round(y0 * 8) : round(y1 * 8), round(x0 * 8) : round(x1 * 8)] = level
    return stack


def thing(box, sounding):
    return Boxes(sounding, np.array([box, box]))


@pytest.fixture
def listening():
    """One clip of each case, with the maps of a network that does all right."""
    dark = heat()
    return [
        Judged("one", (thing(LEFT, True),), heat(LEFT), dark),
        Judged("bystander", (thing(LEFT, False), thing(RIGHT, True)), heat(RIGHT), dark),
        Judged("two", (thing(LEFT, True), thing(RIGHT, True)), heat(LEFT, RIGHT), None,
               {0: heat(LEFT), 1: heat(RIGHT)}),
        Judged("silent", (thing(LEFT, False),), dark),
        Judged("offscreen", (thing(LEFT, False),), dark),
    ]  # fmt: skip


def test_a_network_that_listens(listening):
    chosen = locating.threshold(listening)
    table = locating.table(listening, listening, {"trained": chosen, "untrained": chosen})
    trained = {name: figures["trained"] for name, figures in table.items()}
    for name in ("ciou", "ciou_moments", "iiou", "both", "two_things", "swap_gap", "lit_sounding", "pointing"):
        assert trained[name] == 1.0, name
    assert trained["silence_area"] == trained["offscreen_area"] == 0.0
    assert table["ciou"]["oracle"] == table["two_things"]["oracle"] == table["iiou"]["oracle"] == 1.0
    assert table["swap_gap"]["center"] == 0.0
    assert table["both"]["center"] == 0.25  # half of the disc lies in each
    assert "oracle" not in table["silence_area"]
    assert table["swap_gap"]["whole"] == 0.0
    assert table["two_things"]["whole"] == 0.5
    assert table["ciou"]["whole"] == 0.0
    assert table["iauc"]["trained"] == pytest.approx(19.5 / 20)  # enlarging rounds the corners: cIoU is not quite 1
    assert table["ciou"]["low"] == table["ciou"]["high"] == 1.0
    assert table["swap_gap"]["random"] == 0.0
    assert "average" not in table["ciou"]


def test_trivial_columns_of_the_world():
    """Things on the left, small and large: the average box of others finds them, a random map does not."""
    small = [0.1, 0.4, 0.2, 0.5]
    clips = [
        Judged("one", (thing(box, True),), heat(LEFT), noise=heat(LEFT) if box is LEFT else heat())
        for box in (LEFT, LEFT, LEFT, small)
    ]
    held = locating.prior([*clips[:2], Judged("silent", (thing(RIGHT, False),), heat())])
    assert np.array_equal(held, clips[0].truth)
    table = locating.table(clips, clips, {"trained": 0.5, "untrained": 0.5}, held)
    assert table["ciou"]["trained"] == table["ciou"]["average"] == 0.75
    assert table["ciou"]["low"] <= 0.75 <= table["ciou"]["high"]
    assert table["ciou"]["random"] < 0.75
    assert table["ciou_small"]["trained"] == 0.0
    assert table["ciou_large"]["trained"] == 1.0
    assert table["ciou_large"]["oracle"] == 1.0
    assert table["noise_area"]["trained"] == pytest.approx(3 / 4 * 0.25)
    assert "center" not in table["noise_area"]


def test_a_network_that_does_not_listen(listening):
    """It marks whatever may sound, whatever is heard, and in silence too."""
    both = heat(LEFT, RIGHT)
    deaf = [Judged(clip.case, clip.things, both, both, dict.fromkeys(clip.solo, both)) for clip in listening]
    chosen = locating.threshold(deaf)
    table = locating.table(deaf, listening, {"trained": chosen, "untrained": chosen})
    trained = {name: figures["trained"] for name, figures in table.items()}
    assert trained["swap_gap"] == 0.0
    assert trained["two_things"] == 0.5
    assert trained["silence_area"] == trained["offscreen_area"] == pytest.approx(0.5)


def test_what_moves_is_judged_where_it_is_at_each_moment():
    moving = (Boxes(True, np.array([LEFT] * 5 + [RIGHT] * 5)),)
    stays, follows = heat(LEFT), np.stack([*heat(LEFT), *heat(LEFT), *heat(RIGHT), *heat(RIGHT)])
    found = [locating.each([Judged("one", moving, maps)])["ciou_moments"] for maps in (stays, follows)]
    # Moments at 0.1, 0.3, 0.5, 0.7 and 0.9 of the window: the thing is on the left at the first two.
    assert found == [[0.4], [1.0]]
    assert "ciou_moments" not in locating.oracle([Judged("one", moving, stays)])


def test_three_sounds_are_found_when_each_is_pointed_at():
    boxes = ((0.0, 0.0, 0.25, 1.0), (0.25, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
    things = tuple(thing(box, True) for box in boxes)
    solo = {k: heat(box) for k, box in enumerate(boxes)}
    right = locating.each([Judged("three", things, heat(*boxes), None, solo)])
    wrong = locating.each([Judged("three", things, heat(*boxes), None, {**solo, 2: heat(boxes[0])})])
    assert (right["all_three"], wrong["all_three"]) == ([1.0], [0.0])
    assert right["iiou"] == [1.0]
    assert "both" not in right


def test_the_threshold_lights_the_share():
    clips = [Judged("one", (thing(LEFT, True),), heat(LEFT, level=level)) for level in np.linspace(0.1, 1.0, 10)]
    chosen = locating.threshold(clips, 0.8)
    assert chosen == pytest.approx(0.3)
    assert marking.lit(clips, chosen)["lit_sounding"] == pytest.approx(0.8)
    with pytest.raises(ValueError, match="no validation clip"):
        locating.threshold([Judged("silent", (), heat())])


def test_what_stays_dark_finds_nothing(listening):
    above = marking.lit(listening, 2.0)
    assert above["lit_sounding"] == above["swap_gap"] == 0.0


def test_figures_without_their_clips_are_left_out(listening):
    silent = [clip for clip in listening if clip.case == "silent"]
    table = locating.table(silent, silent, {"trained": 0.5, "untrained": 0.5})
    assert table == {"silence_area": {"trained": 0.0, "untrained": 0.0}}


def test_truth_is_read(tmp_path):
    path = tmp_path / "truth.jsonl"
    line = {"id": "a", "case": "one", "kinds": ["bell"], "things": [], "fps": 8.0, "seed": 3}
    path.write_text(json.dumps(line) + "\n")
    known = {key: line[key] for key in ("case", "kinds", "things", "fps")}
    assert maps.read_truth(path) == {"a": {**known, "sources": []}}
    path.write_text(json.dumps(line) + "\n{}\n")
    with pytest.raises(ValueError, match="line 2"):
        maps.read_truth(path)
    with pytest.raises(FileNotFoundError):
        maps.read_truth(Path(tmp_path / "none.jsonl"))


def test_swapped_sounds_are_of_another_kind():
    truth = [{"case": case, "kinds": kinds, "sources": []} for case, kinds in
             [("one", ["bell"]), ("one", ["bell"]), ("silent", []), ("bystander", ["dog"])]]  # fmt: skip
    assert [maps._other(index, truth) for index in range(4)] == [3, 3, None, 0]
    assert maps._other(0, truth[:2]) is None


def test_swapped_sounds_are_no_recording_that_is_seen():
    """Mosaics of one talker differ in their recordings alone."""
    truth = [{"case": "bystander", "kinds": [f"talker {n}"], "sources": sources} for n, sources in
             enumerate((["a", "b"], ["b", "c"], ["c", "d"]))]  # fmt: skip
    assert [maps._other(index, truth) for index in range(3)] == [2, None, 0]


def test_a_sound_of_a_kind_that_is_to_be_seen_is_not_off_screen():
    own = {"things": [{"kind": "bell"}, {"kind": "dog"}]}
    assert not maps._apart(own, {"kinds": ["dog"]})
    assert maps._apart(own, {"kinds": ["drum"]})


def test_figures_at_the_threshold_by_hand():
    """Quarters of the picture: one clip marked right, one marked twice too large, each negative its own share."""
    clips = [
        Judged("one", (thing(LEFT, True),), heat(LEFT), noise=heat(), silence=heat(), foreign=heat(LEFT)),
        Judged("one", (thing(LEFT, True),), heat(LEFT, RIGHT), noise=heat(), silence=heat(RIGHT), foreign=heat(RIGHT)),
    ]
    found = marking.lit(clips, 0.2)
    masks, truth = [marking.marked(clip.own, 0.2) for clip in clips], clips[0].truth > 0
    ious = [(mask & truth).sum() / (mask | truth).sum() for mask in masks]
    assert ious == pytest.approx([1.0, 0.5], abs=0.03), "enlarging rounds the corners"
    assert found["miou"] == pytest.approx(np.mean(ious))
    areas = [np.mean([marking.marked(maps, 0.2).mean() for maps in held]) for held in
             ((heat(), heat(RIGHT)), (heat(), heat()), (heat(LEFT), heat(RIGHT)))]  # fmt: skip
    dark = 1 - np.mean(areas)
    assert found["f_loc"] == pytest.approx(2 * np.mean(ious) * dark / (np.mean(ious) + dark))
    assert found["silence_area"] == pytest.approx(0.125)
    assert found["noise_area"] == 0.0
    assert found["offscreen_area"] == pytest.approx(0.25)
    assert found["auc_n"] == pytest.approx(np.mean([(1 + 1 - 5.5 / 20) / 2, 1.0, 1 - 5.5 / 20]), abs=0.05)


def test_detection_ranks_what_sounds_and_is_found_before_what_does_not():
    """Highest scores 4, 3, 2, 1: found, silent, found, wrong place."""
    wrong = Judged("one", (thing(RIGHT, True),), heat(LEFT, level=1.0))
    right = [Judged("one", (thing(LEFT, True),), heat(LEFT, level=level)) for level in (4.0, 2.0)]
    clips = [*right, wrong, Judged("silent", (), heat(LEFT, level=3.0))]
    found = locating.detected(clips)
    assert found["ap"] == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    assert found["max_f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert locating.detected(clips[:3]) == {}, "without negatives there is nothing to tell apart"
    table = locating.table(clips, clips, {"trained": 0.5, "untrained": 0.5})
    assert table["ap"]["oracle"] == table["max_f1"]["oracle"] == 1.0
    assert table["ap"]["whole"] == 0.0
    assert table["ap"]["center"] < 0.5


@pytest.mark.parametrize("name", ["ez_vsl", "dense_av"])
def test_pictures_are_seen_once_whatever_is_asked_of_them(name):
    run = tiny.run(name)
    method = run.method().eval()
    pictures, sounds = run.x("video", 3).repeat(6, 1, 1, 1, 1), torch.randn(18, 8000) * 0.1  # two batches
    pictures[4] = 255 - pictures[4]
    tower = method.encoders[method.modalities[0]]
    work = []
    next(part for part in tower.modules() if isinstance(part, torch.nn.Conv2d)).register_forward_hook(
        lambda *_: work.append(1)
    )
    maps._localize(method, run.inputs, pictures, {"own": sounds}, (1.0,))
    once = len(work)
    asked = {"own": sounds, "other": sounds.flip(0)}
    found = maps._localize(method, run.inputs, pictures, asked, (1.0,))
    assert len(work) == 2 * once
    assert "forward" not in vars(tower)
    with torch.inference_mode():
        for which, wanted in asked.items():
            expected = method.localize(pictures, run.inputs.audio(wanted), "audio")
            torch.testing.assert_close(torch.tensor(np.stack(found[which])), expected.double(), atol=1e-5, rtol=1e-4)
