"""The tables of the comparison of methods of pictures, from made rows: published figures, whys, and what is counted."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import compare
import compare_figures
import compare_plots
import compare_tables
import published


def made_row(name, seed, best, stages, **more):
    """A row with these figures, each fraction beside an untrained network's 0.2."""

    def figure(value, low=0.01):
        gain = value - 0.2
        return {"trained": value, "untrained": 0.2, "interval": [value, value], "gain": [gain, low, 2 * gain - low],
                "chosen": {}}  # fmt: skip

    known = {f"stage{place}": figure(value) for place, value in enumerate(stages, 1)}
    asked = {key: figure(best) for key in ("linear", "knn", "blur", "noise", "contrast", "mnist_linear", "mnist_tuned")}
    return {
        "config": "compare", "name": name, "steps": 9, "seed": seed, "learns": True,
        "labels": name == "supervised", "data": "abc", "train_seconds": 5,
        "pretext": {}, "course": [], "sets": {"cifar": {"classes": 10, "fitted": 5, "judged": 6}},
        "figures": {**known, **asked, "best": figure(best, more.pop("low", 0.01))}, **more,
    }  # fmt: skip


def test_tables_hold_the_published_figures_beside_ours_and_how_far_both_agree():
    rows = [
        made_row(name, 0, figures[2] / 100, [value / 100 for value in figures[:4]])
        for name, figures in published.STAGES.items()
    ]
    found = compare_tables.agreement(rows)
    assert found.lines[1][2] == "+1.00", "our second stage was made of their second column"
    assert found.lines[0][3] != "+1.00"
    told = next(compare_tables.tables(rows))
    line = next(line for line in told.lines if line[0] == "rotation")
    assert line[1:5] == ["18.8", "31.7", "38.7", "38.2"]
    assert line[-6:-1] == ["18.8", "31.7", "38.7", "38.2", "36.5"]
    assert [line[0] for line in told.lines][:2] == ["random", "rescaled"]
    assert told.lines[-1][0] == "supervised"


def test_a_row_that_does_not_beat_its_random_start_says_so_and_why():
    rows = [made_row("simclr", seed, 0.5, [0.5]) for seed in (0, 1)]
    rows += [made_row("bigan", 0, 0.3, [0.3]), made_row("bigan", 1, 0.3, [0.3], low=-0.3)]
    rows += [made_row("gan", 0, 0.1, [0.1], low=-0.2), made_row("supervised", 0, 0.4, [0.4])]
    rows += [made_row("random", 0, 0.2, [0.2], learns=False)]
    text = "\n".join(compare_tables.section(rows, {"why": {"bigan": "its critic is ahead."}}))
    assert "1 of 3 beat their own random initialization" in text
    told = "On the best stage **{}** does not beat random initialization at this budget: {}"
    assert told.format("bigan** (within noise)", "its critic is ahead.").replace(")**", ")") in text
    assert told.format("gan** (no)", "why is not known yet.").replace(")**", ")") in text
    both = "\n".join(compare_tables.section(rows, {"why": {"others": "too short."}}))
    assert "**gan** (no), **bigan** (within noise) do not beat random initialization at this budget: too short." in both
    assert "| simclr | 50.0 ± 0.0 |" in text
    assert "| fine-tuned | random initialization | 88.3 | 96.0 |" in text, "as published"
    assert "Transfer, linear: ahead of labels are simclr (1 of 1, 1 surely) (published: SimCLR on 5 of 12)." in text
    assert "published: SimCLR on 7 of 12" in text
    assert "SimCLR above random initialization: mnist +30.0 (published: +0.8 to +21.6)." in text


def test_a_pretext_is_solved_from_what_the_untrained_network_has():
    row = made_row("rotation", 0, 0.5, [0.5])
    pretexts = [
        ({"accuracy": 0.7, "loss": 1.0}, {"accuracy": 0.25, "loss": 2.0}, 0.6),
        ({"explained": 0.5, "loss": 1.0}, {"explained": -1.0, "loss": 2.0}, 0.75),
        ({"told": 0.9, "loss": 1.0}, {"told": 0.6, "loss": 800.0}, 0.75),
        ({"loss": 0.5, "psnr": 20.0}, {"loss": 0.7, "psnr": 10.0}, 0.9),
        ({"loss": 1.0}, {"loss": 4.0}, None),
        ({"critic_accuracy": 0.9}, {"critic_accuracy": 0.5}, None),
        ({"accuracy": 0.6, "loss": 1.0}, {"accuracy": 1.0, "loss": 0.1}, None),
        ({"accuracy": 1.0, "loss": 1.0}, {"accuracy": 1 - 1e-7, "loss": 0.1}, None),
    ]
    for trained, untrained, wanted in pretexts:
        found = compare_figures.solved({**row, "pretext": {"trained": trained, "untrained": untrained}})
        assert found == (None if wanted is None else pytest.approx(wanted))
    fell = {"trained": {"loss": 1.0}, "untrained": {"loss": 4.0}}
    assert compare_figures.solved(made_row("siamese", 0, 0.5, [0.5], pretext=fell)) == 0.75, "its loss can fall to 0"
    points = [{"step": k, "linear": 0.2 + 0.1 * k, "pretext": {"accuracy": 0.3 + 0.1 * k}} for k in range(3)]
    whole = {**row, "course": points, "pretext": {"trained": {"accuracy": 0.7}, "untrained": {"accuracy": 0.25}}}
    assert compare_figures.course(whole) == pytest.approx(1.0)


def test_a_pretext_that_the_untrained_network_solves_stops_neither_tables_nor_plots(tmp_path):
    """Vectors that are all alike, beside negatives that are random: an untrained accuracy of 1."""
    before = {"accuracy": 1.0, "loss": 0.1}
    points = [{"step": k, "linear": 0.2 + 0.1 * k, "pretext": {"accuracy": 0.5, "loss": 3.0}} for k in range(3)]
    asked = {"pretext": {"trained": {"accuracy": 0.6, "loss": 2.0}, "untrained": before}, "course": points}
    rows = [made_row(name, 0, 0.3, [0.3], **asked) for name in ("moco", "colorization", "simclr")]
    rows += [made_row("random", 0, 0.2, [0.2], learns=False)]
    assert compare_figures.pretext_pairs(compare_figures.learners(rows)) == {}
    assert [compare_figures.path(row) for row in rows] == [[]] * 4
    _, fewer, *_ = compare_tables.tables(rows)
    assert {line[0]: line[-1] for line in fewer.lines} == dict.fromkeys(
        ("random", "moco", "colorization", "simclr"), ""
    )
    text = "\n".join(compare_tables.section(rows, {}))
    assert not any("Spearman" in line for topic, line in compare_tables.conclusions(rows, {}) if topic == "pretext")
    assert "How well **moco** solves its pretext is not asked: its untrained queue is random" in text
    assert "How well **colorization** solves its pretext is not asked: rare colours weigh more" in text
    compare_plots.pretext(rows).savefig(tmp_path / "pretext.png")
    assert (tmp_path / "pretext.png").stat().st_size > 1000


def test_what_is_left_under_corruptions_is_counted_from_chance():
    row = made_row("simclr", 0, 0.5, [0.5])
    row["figures"]["blur"] = row["figures"]["noise"] = row["figures"]["contrast"] = {"trained": 0.3}
    assert compare_figures.robust_pairs({"simclr": [row]}) == {"simclr": (0.5, pytest.approx(0.5))}
    lost = made_row("gan", 0, 0.1, [0.1])
    assert compare_figures.robust_pairs({"gan": [lost]}) == {}, "nothing to lose"


def test_longer_runs_are_told_beside_the_common_budget_and_decide_nothing_else():
    rows = [
        made_row(name, 0, best, [best], minutes=8.0) for name, best in (("simclr", 0.5), ("gan", 0.3), ("mae", 0.4))
    ]
    rows += [made_row("gan", 0, 0.9, [0.9], minutes=None) | {"steps": 99}]
    rows[1]["figures"]["best"]["gain"] = [-0.1, -0.2, 0.1]
    assert [(row["name"], row["steps"]) for row in compare_figures.common(rows)] == [
        ("simclr", 9),
        ("gan", 9),
        ("mae", 9),
    ]
    assert list(compare_figures.longer(rows, [rows[1]])) == [99]
    text = "\n".join(compare_tables.section(rows, {"why": {"others": "too short."}}))
    assert "2 of 3 beat their own random initialization" in text
    told = "On the best stage **gan** (no; after 99 steps: yes, +70.0 (+1.0 to +139.0)) does not beat random"
    assert told in text
    assert "| gan (99 steps) | 90.0 |" in text, "the table has all rows"


def test_each_question_has_its_answer_and_its_plot(tmp_path, monkeypatch):
    monkeypatch.setattr(compare_tables, "PLOTS", tmp_path)
    (tmp_path / "best.png").write_bytes(b"a plot")
    rows = [made_row("simclr", 0, 0.5, [0.5]), made_row("random", 0, 0.2, [0.2], learns=False)]
    answers = {
        "learns": {"text": "It does.", "plots": {"best.png": "Best", "gone.png": "Gone"}},
        "seen": {"text": "Looked at."},
    }
    lines = [line for line in compare_tables.section(rows, {"answers": answers}) if line]
    place = lines.index(f"### {compare_tables.QUESTIONS['learns']}")
    said, counted, plot = lines[place + 1 : place + 4]
    assert said == "It does."
    assert counted.startswith("1 of 1 beat")
    assert plot == "![Best](results/plots/best.png)"
    assert lines[-2:] == [f"### {compare_tables.QUESTIONS['seen']}", "Looked at."]
    assert f"### {compare_tables.QUESTIONS['order']}" not in lines, "nothing to say"
    assert not any("gone.png" in line for line in lines)


def test_transfer_at_rates_of_each_networks_own_stands_under_its_question(tmp_path, monkeypatch):
    monkeypatch.setattr(compare_tables, "TUNED", tmp_path / "transfer.jsonl")
    made = [made_row("simclr", 0, 0.5, [0.5]), made_row("random", 0, 0.2, [0.2], learns=False)]
    assert not any("| protocol |" in line for line in compare_tables.section(made, {}))

    def probed(run, how, accuracy):
        return {"probe": how, "fraction": 1.0, "run": run, "method": run, "data": "mnist", "accuracy": accuracy,
                "gain": [accuracy - 0.25, 0.01, 1.0], "beside": {"untrained": {"accuracy": 0.25}}}  # fmt: skip

    rows = [probed(run, how, value) for run, value in (("simclr", 0.5), ("supervised", 0.75))
            for how in ("linear", "finetune")]  # fmt: skip
    (tmp_path / "transfer.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = "\n".join(compare_tables.section(made, {})).splitlines()
    place = lines.index(f"### {compare_tables.QUESTIONS['transfer']}")
    assert "| protocol | network | mnist |" in lines[place:]
    assert "| finetune | simclr | 50.0 |" in lines[place:]
    assert "| finetune | random (simclr) | 25.0 |" in lines[place:]
    assert any("finetune, simclr: surely ahead of random on 1 of 1, by +25.0 at most; ahead of labels on 0 of 1" in line
               for line in lines[place:])  # fmt: skip


def test_a_penalty_at_the_edge_is_marked():
    rows = [made_row("simclr", seed, 0.5, [0.5]) for seed in (0, 1)]
    rows[1]["figures"]["knn"]["chosen"] = {"penalty": 10.0, "at_edge": True}
    _, fewer, *_ = compare_tables.tables(rows)
    line = dict(zip(fewer.columns, fewer.lines[0], strict=True))
    assert line["kNN"] == "50.0 ± 0.0°"
    assert line["linear"] == "50.0 ± 0.0"
    assert "°" in " ".join(compare_tables.section(rows, {}))


def test_ahead_of_labels_is_sure_where_intervals_are_apart():
    def seeds(*intervals):
        return [{"figures": {"x": {"trained": sum(one) / 2, "interval": list(one)}}} for one in intervals]

    assert compare_figures.wins(seeds((0.5, 0.6)), seeds((0.3, 0.4)), ["x"]) == (1, 1)
    assert compare_figures.wins(seeds((0.5, 0.6)), seeds((0.45, 0.55)), ["x"]) == (1, 0)
    assert compare_figures.wins(seeds((0.5, 0.6), (0.3, 0.5)), seeds((0.3, 0.4)), ["x"]) == (1, 0), "in one seed not"
    assert compare_figures.wins(seeds((0.2, 0.3)), seeds((0.3, 0.4)), ["x"]) == (0, 0)


def test_the_interval_of_a_rank_correlation():
    """Bonett and Wright's variance by hand: (1 + 0.5**2 / 2) / (28 - 3) = 0.045, atanh(0.5) = 0.5493."""
    low, high = compare_figures.rank_interval(0.5, 28)
    assert (low, high) == (pytest.approx(0.1325, abs=1e-3), pytest.approx(0.7472, abs=1e-3))
    assert compare_figures.rank_interval(1.0, 9) == (1.0, 1.0)
    assert compare_figures.rank_interval(0.4, 3) == (0.4, 0.4)


def test_what_tells_nothing_is_not_asked(tmp_path):
    for name in compare_figures.UNTOLD:
        cfg = compare.run_config(compare.Variant(name), tmp_path, [])
        assert compare.pretext(cfg, tmp_path, None) == {}
        known = {"pretext": {"trained": {"accuracy": 0.6}, "untrained": {"accuracy": 0.2}}}
        assert compare_figures.solved(made_row(name, 0, 0.5, [0.5], **known)) is None
