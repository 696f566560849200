"""The comparison of audio-visual and narrated methods, end to end on a tiny world."""

import json
import os
import re
import shutil
import sys
import tarfile
import wave
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.image import imsave

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import audiovisual
import audiovisual_curves
import audiovisual_grounds
import audiovisual_probes
import audiovisual_tables
import audiovisual_uses

from avssl.data.manifest import Manifest
from avssl.data.media import decode
from avssl.evaluation import PARTS, evaluate
from avssl.train import build

DATA = Path(os.environ.get("AVSSL_DATA", "../shared/data"))
TINY = (
    "inputs.height=32", "inputs.width=32", "inputs.frames=4", "inputs.fps=4", "inputs.audio_seconds=1",
    "inputs.mels=16", "data.batch=8", "data.workers=0", "data.cache_gb=0", "precision=fp32",
    *(f"encoders.{name}.width=16" for name in ("image", "video", "audio", "text")), "encoders.text.layers=1",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def two_penalties():
    """Probes choose between two penalties, and few recordings are used, for speed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audiovisual_probes, "PENALTIES", (0.1, 0.01))
        patch.setattr(audiovisual_uses, "CLIPS", 2)
        patch.setattr(audiovisual_uses, "SPOKEN", 8)
        patch.setattr(audiovisual_uses, "HOP_SECONDS", 0.4)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of real data sets, with made tones in the place of ESC-10 (two classes, three folds) and noise in the
    place of CIFAR-10."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    for kind, hz in (("high", 1500), ("low", 200)):
        (folder / "esc10" / kind).mkdir(parents=True)
        for number in range(9):
            sound = 0.3 * np.sin(2 * np.pi * hz * np.arange(8000) / 8000) + draw.normal(0, 0.05, 8000)
            with wave.open(str(folder / "esc10" / kind / f"{1 + number % 3}-{hz + number}-A.wav"), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes((32767 * sound.clip(-1, 1)).astype("<i2").tobytes())
    (folder / "cifar10").mkdir()
    with tarfile.open(folder / "cifar10" / "cifar10.tar.gz", "w:gz") as packed:
        for kind in ("bird", "dog", "cat", "ship"):
            path = folder / f"{kind}.jpg"
            imsave(path, draw.random((8, 8, 3)))
            packed.add(path, f"cifar10/test/{kind}/0001.jpg")
    return folder


@pytest.fixture(scope="module")
def compared(data, tmp_path_factory):
    """Two methods of different encoders, four steps each."""
    folder = tmp_path_factory.mktemp("audiovisual")
    words = ["-o", str(folder / "out"), "--rows", str(folder / "rows.jsonl"), "--on", "world", "--seeds", "0",
             "--steps", "4", "--clips", "40", "--side", "32", "--data", str(data), "--only", "avol_net", "mil_nce",
             "--set", *TINY]  # fmt: skip
    audiovisual.main(words)
    return folder, words


def rows_of(folder):
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def test_a_row_per_method_with_finding_probes_and_course_beside_the_untrained_one(compared):
    folder, _ = compared
    rows = rows_of(folder)
    assert [row["name"] for row in rows] == ["avol_net", "mil_nce"]
    heard, read = rows
    assert {"image_to_audio", "audio_to_image"} <= set(heard["retrieval"])
    assert {"video_to_text", "text_to_video"} <= set(read["retrieval"])
    assert {encoder: set(labels) for encoder, labels in heard["probes"].items()} == {
        "image": {"kind"}, "audio": {"kind", "esc10"},
    }  # fmt: skip
    assert {encoder: set(labels) for encoder, labels in read["probes"].items()} == {"video": {"kind"}, "text": {"kind"}}
    assert heard["probes"]["audio"]["esc10"]["judged"] == 18, "each fold is judged once"
    assert heard["probes"]["audio"]["esc10"]["trivial"] > 0.9, "two tones are told apart by their bands"
    for row in rows:
        assert [point["step"] for point in row["course"]] == [0, 1, 2, 3, 4]
        assert np.all(np.diff([point["seconds"] for point in row["course"]]) >= 0)
        for name, value in row["course"][-1]["directions"].items():
            assert value == row["retrieval"][name]["ndcg10"]["trained"]
            assert row["course"][0]["directions"][name] == row["retrieval"][name]["ndcg10"]["untrained"]
        for figure in (one for labels in row["probes"].values() for one in labels.values()):
            low, high = figure["interval"]
            assert low <= figure["trained"] + 1e-9
            assert figure["trained"] <= high + 1e-9
            assert figure["gain"][0] == pytest.approx(figure["trained"] - figure["untrained"])
        assert (row["figure"], row["steps"], row["run"]["encoders"]["text"]["width"]) == ("ndcg10", 4, 16)
        for who in ("trained", "untrained"):
            assert np.isfinite(row["task"][who]["loss"])
            assert 0 < row["collapse"][who]["image_spread" if row is heard else "video_spread"] <= 1
    assert heard["data"] == read["data"]
    assert heard["digest"] != read["digest"]


def test_sounds_are_learnt_from_without_labels_each_with_a_moving_picture_of_its_own(compared):
    folder, _ = compared
    room = folder / "out" / "world"
    learnt, listed = Manifest.load(room / "learnt.jsonl"), Manifest.load(room / "easy.jsonl")
    sounds = [one for one in learnt.recordings if one.key.startswith("sounds/")]
    assert len(learnt.recordings) == len(listed.recordings) + len(sounds)
    assert len(sounds) == 18
    assert {one.split for one in sounds} == {"train"}
    assert not any(one.labels for one in sounds)
    made = decode(
        room / "sounds" / "train" / f"{Path(sounds[0].path).stem}.mp4", times=[0.0, 4.9], audio=(0, 1), hz=8000
    )
    assert np.abs(made.video[0].astype(int) - made.video[1]).mean() > 5, "it moves"
    assert np.abs(made.audio).max() > 0.1
    assert rows_of(folder)[0]["data"] == learnt.digest() != listed.digest()


def test_narration_is_put_right_by_those_who_can_and_beside_it_what_it_was(compared):
    folder, _ = compared
    heard, read = rows_of(folder)
    assert heard["uses"] == {}, "avol_net has no words, and compares no moments"
    assert set(read["uses"]) == {audiovisual_uses.ERROR, audiovisual_uses.DROPPED, audiovisual_uses.MISSED}
    for name, figure in read["uses"].items():
        assert set(figure) == {"trained", "untrained", *(["chance"] if name != audiovisual_uses.MISSED else [])}
        assert all(np.isfinite(value) for value in figure.values())
    (told,) = [one for one in audiovisual_tables.tables([read]) if "alignment" in one.title]
    asked = [*audiovisual_tables.LOWER, "sentences dropped that are foreign", "foreign sentences dropped"]
    assert told.columns == [*asked, audiovisual_tables.TASK]


def test_a_quarter_is_judged_as_avssl_evaluate_judges_it(compared):
    folder, _ = compared
    out = folder / "out"
    steps = sorted((out / "runs" / "mil_nce-world-4-0" / "checkpoints").glob("step-*"))
    assert len(steps) == 4, "every quarter is kept"
    told = []
    found = evaluate(
        steps[1], Manifest.load(out / "world" / "easy.jsonl"), label="kind", tell=lambda *parts: told.append(parts)
    )
    assert told == sorted(told), "how far it is, to who waits"
    assert (told[0], told[-1]) == ((0, PARTS), (PARTS, PARTS))
    point = rows_of(folder)[1]["course"][2]
    assert found["step"] == point["step"] == 2
    for name, value in point["directions"].items():
        assert found["retrieval"][name]["ndcg10"]["trained"] == pytest.approx(value)


def test_what_is_done_is_not_done_again(compared, monkeypatch, capsys):
    folder, words = compared
    before = (folder / "rows.jsonl").read_text()
    monkeypatch.setattr(audiovisual, "row", lambda *_: pytest.fail("trained again"))
    audiovisual.main(words)
    assert (folder / "rows.jsonl").read_text() == before
    told = capsys.readouterr().out
    assert "the made-up world: finding, nDCG@10" in told
    assert "without an encoder" in told


def test_an_older_row_that_was_asked_less_is_replaced_without_training(compared, monkeypatch):
    folder, words = compared
    before = rows_of(folder)
    older = {**before[0], "sets": {"kind": before[0]["sets"]["kind"]}, "probes": {}}
    (folder / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in [older, before[1]]))
    trained = []
    start = audiovisual.run.start
    monkeypatch.setattr(audiovisual.run, "start", lambda *given: trained.append(start(*given)) or trained[-1])
    monkeypatch.setattr(audiovisual_probes.linear, "fit", lambda *_: pytest.fail("answered again"))
    audiovisual.main(words)
    assert [one.how for one in trained] == ["already"]
    after = {row["name"]: row for row in rows_of(folder)}
    assert len(rows_of(folder)) == 2
    assert after["avol_net"]["probes"] == before[0]["probes"], "answers were kept"


@pytest.mark.parametrize("search", [None, [1, 0.0]])
def test_a_row_whose_penalties_were_searched_otherwise_is_asked_again_without_training(compared, monkeypatch, search):
    folder, words = compared
    before = (folder / "rows.jsonl").read_text()
    first, second = rows_of(folder)
    older = {**first, "search": search, "probes": {}} if search else {k: first[k] for k in first if k != "search"}
    (folder / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in [older, second]))
    trained, start = [], audiovisual.run.start
    monkeypatch.setattr(audiovisual.run, "start", lambda *given: trained.append(start(*given)) or trained[-1])
    audiovisual.main(words)
    assert [one.how for one in trained] == ["already"]
    after = {row["name"]: row for row in rows_of(folder)}
    assert len(rows_of(folder)) == 2
    assert all(row["search"] == [1, 2.0] for row in after.values())
    assert after[first["name"]]["probes"] == first["probes"]
    (folder / "rows.jsonl").write_text(before)


def test_a_row_of_other_settings_than_todays_is_of_another_run(compared):
    folder, _ = compared
    row = rows_of(folder)[0]
    cfg = build.parse(row["run"], "row")
    assert audiovisual.same(row, {"name": row["name"]}, cfg)
    assert not audiovisual.same(row, {"name": "avid"}, cfg)
    option, *_ = (key for key in row["run"]["method"] if key != "name")
    before = {key: value for key, value in row["run"]["method"].items() if key != option}
    assert audiovisual.same({**row, "run": {**row["run"], "method": before}}, {}, cfg), "an option that came later"
    for part, other in (("method", {**row["run"]["method"], option: "else"}), ("precision", "bf16")):
        assert not audiovisual.same({**row, "run": {**row["run"], part: other}}, {}, cfg)


def test_a_run_that_fails_does_not_stop_the_others(compared, monkeypatch, tmp_path):
    folder, words = compared
    known = {row["name"]: row for row in rows_of(folder)}

    def row(asked, *_):
        if asked["name"] == "avol_net":
            raise ValueError("no such clip")
        return known[asked["name"]]

    monkeypatch.setattr(audiovisual, "row", row)
    with pytest.raises(ValueError, match="1 of 2 runs have no row: avol_net on world, seed 0: no such clip"):
        audiovisual.main([*words[:3], str(tmp_path / "rows.jsonl"), *words[4:]])
    assert [one["name"] for one in rows_of(tmp_path)] == ["mil_nce"]


def test_all_methods_of_the_families_are_compared_with_one_trunk_and_inputs_that_fit_into_recordings():
    from avssl.methods.base import catalogue

    families = {name for name, family in catalogue().items() if family in ("audiovisual", "narration")}
    assert families - set(audiovisual.names()) == {"paired_contrast"}, "it asks for depth"
    for on, seconds in (("world", 4.0), ("grid", 3.0)):
        place = SimpleNamespace(name=on, learnt=Path("x"))
        loaded = [audiovisual.run_config(name, place, []) for name in [*audiovisual.names(), *audiovisual.TUNED]]
        for cfg in loaded:  # what is longer than a recording would end in a still picture and silence
            assert audiovisual._needs(cfg).window_seconds <= seconds, (on, cfg.method.name)
        windows = {cfg.method.name for cfg in loaded if cfg.inputs != loaded[-1].inputs}
        assert windows <= set(audiovisual.OWN), "others have no reason for windows of their own"
        same = {"frames": 1, "audio_seconds": 1.0}
        assert len({str(cfg.inputs.model_copy(update=same)) for cfg in loaded}) == 1
        # how fast a tower moves is the method's own, like its optimizer
        trunks = {re.sub(r"rate=[\d.]+, ", "", str(cfg.encoders)) for cfg in loaded}
        assert (len(trunks), len({cfg.precision for cfg in loaded})) == (1, 1)
    assert loaded[-1].method.name == "trimodal"


def test_curves_are_drawn(compared, tmp_path):
    _, words = compared
    audiovisual.main([*words, "--plots", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["audiovisual-world.svg"]
    with pytest.raises(ValueError, match="no rows to draw"):
        audiovisual_curves.draw([], tmp_path)


def test_moved_sounds_of_the_world_are_late_by_what_is_asked(compared, tmp_path, monkeypatch):
    """Found within a picture, which lasts 0.08 s there; the picture is the clip's own, and so is the sound, moved."""
    listed = compared[0] / "out" / "world" / "easy.jsonl"
    asked = audiovisual_uses.Uses(tmp_path, listed, None, audiovisual_uses.Rule())
    told = {"trained": 0.07, "untrained": 0.09}
    late, seen = audiovisual_uses.sync.moves(2, 0), []

    def near(method, inputs, path):
        seen.append(path)
        return SimpleNamespace(offset=late[(len(seen) - 1) % 2] + told[method])

    monkeypatch.setattr(audiovisual_uses.judge, "synchrony", near)
    found = asked.synchrony({who: SimpleNamespace(method=who, inputs=None) for who in told})
    assert found == {audiovisual_uses.SYNCHRONY: {"chance": 0.08, "trained": 1.0, "untrained": 0.0}}
    held = Manifest.load(listed)
    clips = {one.key.replace("/", "_"): one for one in held.split("test")}
    for path, shift in zip(seen[:2], late, strict=True):
        one = clips[path.stem.rpartition(f"{1000 * shift:+.0f}")[0]]
        assert one.labels["case"] not in {"silent", "offscreen"}, "what is not seen has no right time"
        moved, whole = (
            decode(name, times=np.arange(seconds * 12.5) / 12.5, size=(32, 32), audio=(0, seconds), hz=8000)
            for name, seconds in ((path, 2.4), (held.path_of(one), 4.0))
        )
        apart = [np.abs(moved.video - whole.video[k : k + 30].astype(float)).mean() for k in range(21)]
        begins = np.correlate(whole.audio, moved.audio, "valid").argmax() / 8000
        assert np.argmin(apart) / 12.5 - begins == pytest.approx(shift, abs=0.01)


@pytest.mark.parametrize(("seconds", "fits"), [(1.2, True), (1.3, False)])
def test_who_tries_sounds_around_a_clip_is_asked_where_the_greatest_move_fits_beside_it(
    monkeypatch, tmp_path, seconds, fits
):
    """Files of 2.4 s, moved by 0.6 s at most."""
    uses = audiovisual_uses.Uses(tmp_path, tmp_path, None, audiovisual_uses.Rule())
    monkeypatch.setattr(audiovisual_uses.Uses, "synchrony", lambda *_: {audiovisual_uses.SYNCHRONY: {}})
    method = SimpleNamespace(in_step=len, spaces={})
    one = SimpleNamespace(method=method, inputs=SimpleNamespace(cfg=SimpleNamespace(seconds=seconds)))
    found = uses.figures({"trained": one, "untrained": one}, lambda *_: None)
    assert set(found) == ({audiovisual_uses.SYNCHRONY} if fits else set())


@pytest.mark.skipif(not (DATA / "grid" / "video").is_dir(), reason="needs GRID, see AVSSL_DATA")
def test_grid_is_asked_its_six_words(tmp_path):
    for clip in sorted((DATA / "grid" / "video").glob("*.mp4"))[::25]:
        for path in (clip, DATA / "grid" / "align" / f"{clip.stem}.align"):
            (tmp_path / "grid" / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / "grid" / path.parent.name)
    shutil.copy(DATA / "grid" / "labels.tsv", tmp_path / "grid")
    audiovisual.main(["-o", str(tmp_path / "out"), "--rows", str(tmp_path / "rows.jsonl"), "--on", "grid", "--seeds",
                      "0", "--steps", "2", "--data", str(tmp_path), "--only", "trimodal", "--set", *TINY])  # fmt: skip
    (row,) = rows_of(tmp_path)
    assert {encoder: set(labels) for encoder, labels in row["probes"].items()} == {
        name: set(audiovisual_grounds.WORDS) for name in ("video", "audio", "text")
    }
    assert row["figure"] == "r1"
    assert len(row["course"][-1]["directions"]) == 6
    assert row["probes"]["text"]["letter"]["judged"] == 4
    assert row["uses"][audiovisual_uses.SYNCHRONY]["chance"] == pytest.approx(0.04)
    assert set(row["uses"]) == set(audiovisual_tables.USES)
