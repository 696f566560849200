"""The comparison of localizers, end to end on a tiny world; and its tables."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import localizer_tables
import localizers

TINY = (
    "inputs.height=32", "inputs.width=32", "inputs.frames=4", "inputs.fps=4", "inputs.audio_seconds=1",
    "inputs.mels=16", "data.batch=8", "data.workers=0", "data.cache_gb=0", "precision=fp32",
    *(f"encoders.{name}.width=16" for name in ("image", "video", "audio")),
)  # fmt: skip


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Two methods, two steps each, on one small world; no mosaics, as there are no real recordings."""
    folder = tmp_path_factory.mktemp("localizers")
    words = ["-o", str(folder / "out"), "--rows", str(folder / "rows.jsonl"), "--seeds", "0",
             "--learn", "hard", "--levels", "hard", "--clips", "40", "--side", "32", "--steps", "2",
             "--data", str(folder / "none"), "--only", "dense_av", "lvs", "--set", *TINY]  # fmt: skip
    localizers.main(words)
    return folder, words


def test_a_row_per_method_with_every_figure_beside_the_trivial_ones(compared):
    folder, _ = compared
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    assert [row["name"] for row in rows] == ["dense_av", "lvs"]
    for row in rows:
        assert list(row["beds"]) == list(row["judged_on"]) == ["hard"], "beds without recordings are left out"
        figures = row["beds"]["hard"]
        assert {"ciou", "auc", "pointing", "two_things", "iiou", "ap", "max_f1", "f_loc", "miou", "swap_gap",
                "silence_area", "noise_area", "offscreen_area", "lit_sounding"} <= set(figures)  # fmt: skip
        for name in ("ciou", "ap", "f_loc", "miou"):
            assert {"trained", "untrained", "center", "average", "whole", "random"} <= set(figures[name])
        assert (row["steps"], row["learn"]) == (2, ["hard"])
        assert row["digest"]
        assert (folder / "out" / "runs" / f"{row['name']}-world-2-0" / "localization.json").is_file()
    assert rows[0]["data"] == rows[1]["data"]
    trivial = [{name: held["center"] for name, held in row["beds"]["hard"].items() if "center" in held} for row in rows]
    assert trivial[0] == trivial[1]


def test_what_is_done_is_not_done_again(compared, monkeypatch, capsys):
    folder, words = compared
    before = (folder / "rows.jsonl").read_text()
    monkeypatch.setattr(localizers, "row", lambda *_: pytest.fail("trained again"))
    localizers.main(words)
    assert (folder / "rows.jsonl").read_text() == before
    told = capsys.readouterr().out
    assert "hard, trained on world" in told
    assert "centre disc" in told


def test_untrained_networks_can_be_judged_once(compared, tmp_path):
    _, words = compared
    rows = tmp_path / "rows.jsonl"
    more = ["--only", "lvs", "--seeds", "0", "1", "--untrained-once", "--rows", str(rows), "-o", str(tmp_path / "out")]
    localizers.main([*words, *more])
    ciou = [json.loads(line)["beds"]["hard"]["ciou"] for line in rows.read_text().splitlines()]
    assert ["untrained" in one for one in ciou] == [True, False]
    assert "trained" in ciou[1]


def test_a_run_is_judged_anew_where_a_bed_has_changed(compared):
    folder, words = compared
    before = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    older = [{**before[0], "judged_on": {"hard": "other"}}, before[1]]
    (folder / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in older))
    localizers.main(words)
    after = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    assert sorted(after, key=lambda one: one["name"]) == sorted(before, key=lambda one: one["name"])


def _ours(words):
    return [*words[: words.index("--only")], "--on", "world"]


def test_a_run_that_was_trained_before_is_judged_alike_and_not_trained(compared, tmp_path, monkeypatch):
    folder, words = compared
    before = next(json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines() if '"dense_av"' in line)
    run = folder / "out" / "runs" / "dense_av-world-2-0"
    monkeypatch.setattr(localizers, "row", lambda *_: pytest.fail("trained again"))
    own = [
        *words[: words.index("--only")],
        "--on",
        "world",
        "--judge",
        str(run),
        "--rows",
        str(tmp_path / "rows.jsonl"),
    ]
    localizers.main(own)
    judged = json.loads((tmp_path / "rows.jsonl").read_text())
    assert judged["beds"] == before["beds"]
    assert (judged["digest"], judged["seed"], judged["steps"]) == (before["digest"], 0, 2)
    localizers.main(own)  # what is done is not done again
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 1


def test_harder_beds_are_judged_too(compared, tmp_path):
    folder, words = compared
    rows = tmp_path / "rows.jsonl"
    rows.write_text((folder / "rows.jsonl").read_text())
    localizers.main([*words, "--harder", "--rows", str(rows)])
    for line in rows.read_text().splitlines():
        beds = json.loads(line)["beds"]
        assert list(beds) == ["hard", "crowded"]
        assert "trained" in beds["crowded"]["all_three"]


def test_a_run_that_learnt_from_other_recordings_is_not_judged(compared, tmp_path):
    folder, words = compared
    run = folder / "out" / "runs" / "dense_av-world-2-0"
    other = [
        *words[: words.index("--only")],
        "--on",
        "world",
        "-o",
        str(tmp_path / "out"),
        "--clips",
        "24",
        "--judge",
        str(run),
    ]
    with pytest.raises(ValueError, match="learnt from other recordings"):
        localizers.main([*other, "--rows", str(tmp_path / "rows.jsonl")])


def test_tables_hold_mean_and_spread_of_the_seeds():
    rows = [
        {"name": "lvs", "on": "world", "steps": 5, "seed": seed, "train_seconds": 9, "data": "abc",
         "beds": {"easy": {"ciou": {"trained": value, "untrained": 0.1, "center": 0.25}}}}
        for seed, value in enumerate((0.4, 0.6))
    ]  # fmt: skip
    text = "\n".join(localizer_tables.section(rows, {"title": "T", "text": "Said."}))
    assert "| lvs | 50.0 ± 14.1 |" in text
    assert "| lvs, untrained | 10.0 ± 0.0 |" in text
    assert "| centre disc | 25.0 |" in text
    assert "Seeds 0, 1; 5 steps" in text
    longer = [*rows, {**rows[0], "steps": 7}]
    labels = [line[0] for _, _, lines in localizer_tables.tables(longer) for line in lines]
    assert {"lvs (5 steps)", "lvs (7 steps)"} <= set(labels), "runs of different length are no seeds of each other"
    mixed = [*rows, {**rows[0], "learn": ["easy", "hard"]}]
    labels = [line[0] for _, _, lines in localizer_tables.tables(mixed) for line in lines]
    assert {"lvs", "lvs (easy + hard)"} <= set(labels), "nor are those of different levels"


def test_every_variant_is_a_localizer_with_the_trunk_and_inputs_of_all():
    from avssl import config
    from avssl.methods.base import config_of, find

    compared = {name: variant for name, variant in localizers.VARIANTS.items() if variant.same}
    assert {"trimodal", "dense_av", "avol_net", "attention_localizer", "lvs", "ez_vsl", "slavc", "fnac", "ssl_tie",
            "ave_net"} <= set(compared)  # fmt: skip
    loaded = [config.load(one.config, [*localizers.SAME, *one.words], config_of) for one in compared.values()]
    assert all("audio" in find(cfg.method.name).localizes for cfg in loaded)
    assert {cfg.inputs.model_copy(update={"vocabulary": 0, "tokens": 0}).model_dump_json() for cfg in loaded} == {
        loaded[0].inputs.model_copy(update={"vocabulary": 0, "tokens": 0}).model_dump_json()
    }
    assert len({cfg.optim.model_copy(update={"lr": 0}).model_dump_json() for cfg in loaded}) == 1
    assert {cfg.method.name for cfg in loaded if cfg.optim.lr != 0.0005} == {"trimodal"}, "the flagship has its own"
    assert len({cfg.encoders.audio.model_dump_json() for cfg in loaded}) == 1
    assert config.load("grid", [], config_of).method.name == "trimodal"


def test_a_wrong_word_is_told(compared, tmp_path):
    _, words = compared
    with pytest.raises(ValueError, match=r"--on grid needs GRID and the bed talkers; .*none"):
        localizers.main([*words[: words.index("--only")], "--on", "grid", "-o", str(tmp_path)])
