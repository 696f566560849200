"""Clusters of moments: found, described by what is in them, and shown without running out of anything."""

from __future__ import annotations

import numpy as np
import pytest
from made_media import numbered, write
from matplotlib.image import imsave

from avssl.report import contact
from avssl.report.groups import agreement, clusters_of, grouped, label_of, number_for

KINDS = ("bell", "drum", "dog")


def moments(each=8, width=12, seed=0):
    """Vectors around three middles and their rows; two moments to a recording, as loud kinds are said to be."""
    draw = np.random.default_rng(seed)
    middles = draw.standard_normal((3, width))
    vectors, rows = [], []
    for kind, middle in enumerate(middles):
        for number in range(each):
            x = middle + 0.1 * draw.standard_normal(width)
            vectors.append(x / np.linalg.norm(x))
            rows.append({
                "recording": f"{KINDS[kind]}{number // 2}", "path": f"/nowhere/{KINDS[kind]}{number // 2}.mp4",
                "start": float(number % 2), "end": number % 2 + 1.0, "modality": "video",
                "narration": f"here is the {KINDS[kind]}", "extra": {"split": "test", "kind": KINDS[kind], "hall": "x"},
            })  # fmt: skip
    return np.array(vectors, np.float32), rows


def test_kinds_are_found_and_described():
    vectors, rows = moments()
    rows[0] = {**rows[0], "extra": {"kind": ""}}
    numbers = clusters_of(vectors, 3)
    assert np.array_equal(numbers, clusters_of(vectors, 3)), "the same clusters each time"
    found = grouped(vectors, rows, numbers, "kind")
    assert {group.label for group in found} == set(KINDS)
    for group in found:
        kind = group.label
        assert (group.moments, group.recordings) == (8, 4)
        assert group.share == (7 / 8 if kind == "bell" else 1.0)
        assert group.words == (kind,), "said here and not elsewhere; here, is and the are said everywhere"
        recordings = [row["recording"] for row in group.examples]
        assert len(set(recordings)) == len(recordings) == 4, "one moment of each recording"
        own = vectors[numbers == group.number]
        middle = own.mean(0) / np.linalg.norm(own.mean(0))
        best = rows[int(np.flatnonzero(numbers == group.number)[np.argmax(own @ middle)])]
        assert group.examples[0] == best
        assert group.cosine == pytest.approx(float((own @ middle).mean()))
    assert agreement(rows, numbers, "kind") == pytest.approx(1.0)


def test_the_greatest_cluster_comes_first_and_numbers_are_kept():
    vectors, rows = moments()
    numbers = np.array([5] * 6 + [2] * 18)
    found = grouped(vectors, rows, numbers, "")
    assert [(group.number, group.moments) for group in found] == [(2, 18), (5, 6)]
    assert found[0].label == ""
    assert agreement(rows, numbers, "") is None


def test_chance_has_no_agreement():
    _, rows = moments(40)
    numbers = np.random.default_rng(1).integers(0, 3, len(rows))
    assert abs(agreement(rows, numbers, "kind")) < 0.05


def test_labels_and_numbers():
    _, rows = moments(2)
    assert label_of(rows) == "kind"
    assert label_of([{"extra": {"hall": "x", "split": "test"}}]) == "hall"
    assert label_of([{"extra": {"split": "test", "hall": ""}}]) == ""
    assert [number_for(count) for count in (1, 8, 200, 10000)] == [2, 2, 10, 20]
    with pytest.raises(ValueError, match="7 clusters of 6 moments: ask for 1 to 6"):
        clusters_of(moments(2)[0], 7)


@pytest.mark.parametrize(("height", "width"), [(160, 90), (96, 96), (64, 160)])
def test_thumbnails_are_not_stretched(tmp_path, height, width):
    y, x = np.mgrid[:height, :width]
    disc = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) / 3) ** 2
    picture = np.repeat(np.where(disc, 255, 90)[..., None], 3, 2).astype(np.uint8)
    path = write(tmp_path / "film.mp4", picture=lambda index: picture, count=10, audio=None)
    row = {"path": str(path), "start": 0.0, "end": 0.4, "modality": "video"}
    shown = contact.thumbnail(row).mean(2)
    assert shown.shape == (90, 120)
    tall, wide = ((shown > 180).any(axis).sum() for axis in (1, 0))
    assert abs(int(tall) - int(wide)) <= 2
    lit = shown > 45
    assert lit.any(1).sum() == pytest.approx(min(90, 120 * height / width), abs=2)
    assert lit.any(0).sum() == pytest.approx(min(120, 90 * width / height), abs=2)


def test_page_and_sheet_show_what_can_be_read_and_name_the_rest(tmp_path):
    vectors, rows = moments(2)
    write(tmp_path / "film.mp4")
    write(tmp_path / "sound.wav", video=None, audio="pcm_s16le")
    imsave(tmp_path / "still.png", numbered(5))
    for row, path in zip(
        rows, ("film.mp4", "still.png", "sound.wav", "sound.wav", "lost.mp4", "lost.mp4"), strict=True
    ):
        row |= {"path": str(tmp_path / path), "recording": path, "narration": "<b>a bell</b>"}
    found = grouped(vectors, rows, np.repeat([0, 1, 2], 2), "kind")
    told = []
    page = contact.contact_page("all", "lead", found, lambda *where: told.append(where))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert page.count("<video") == 1
    assert page.count("<audio") == 1
    assert page.count("<img") == 1
    assert "lost.mp4" in page
    assert "<b>a bell" not in page
    assert "Cluster 1: 2 moments of 1 recording, 100% drum" in page
    contact.contact_sheet(tmp_path / "sheet.png", "all", found)
    assert (tmp_path / "sheet.png").read_bytes()[:4] == b"\x89PNG"
    assert contact.thumbnail(found[0].examples[0]).std() > 1
    assert contact.thumbnail(found[1].examples[0]).std() > 1
    assert contact.thumbnail(found[2].examples[0]).std() == 0
    film = next(row for row in found[0].examples if row["recording"] == "film.mp4")
    heard = contact.thumbnail({**film, "modality": "audio"})
    assert heard.shape == (135, 120, 3), "its spectrogram below"
    assert np.array_equal(heard[:90], contact.thumbnail(film))
    assert heard[90:].std() > 1
