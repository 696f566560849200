"""The comparison of methods of pictures, end to end on a few made pictures; and its tables and plots."""

import json
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

import budget
import compare
import compare_figures
import compare_plots
import compare_sheet
import compare_tables
import published

KINDS = ("bird", "car", "dog")
TINY = (
    "inputs.height=16", "inputs.width=16", "encoders.image.width=16", "data.batch=8", "data.workers=0",
    "data.cache_gb=0", "precision=fp32",
)  # fmt: skip


def picture(kind: int, number: int) -> Image.Image:
    """A texture of its kind's color and grain."""
    draw = np.random.default_rng(100 * kind + number)
    color = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])[kind]
    grain = np.kron(draw.normal(0, 40, (4 << kind, 4 << kind, 1)), np.ones((32 >> 2 + kind, 32 >> 2 + kind, 1)))
    return Image.fromarray((color + grain).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of real data sets, with made pictures in the places of CIFAR-10 and MNIST."""
    folder = tmp_path_factory.mktemp("data")
    for name, suffix in (("cifar10", "jpg"), ("mnist", "png")):
        for half, count in (("train", 12), ("test", 6)):
            for kind, word in enumerate(KINDS):
                room = folder / name / half / word
                room.mkdir(parents=True)
                for number in range(count):
                    picture(kind, number + 50 * (half == "test")).save(room / f"{number:04d}.{suffix}")
    with tarfile.open(folder / "cifar10" / "cifar10.tar.gz", "w:gz") as archive:
        archive.add(folder / "cifar10" / "train", "cifar10/train")
        archive.add(folder / "cifar10" / "test", "cifar10/test")
    return folder


@pytest.fixture(scope="module")
def compared(data, tmp_path_factory):
    """Two methods and the floor, four steps each."""
    folder = tmp_path_factory.mktemp("compare")
    words = ["image", "-o", str(folder / "out"), "--rows", str(folder / "rows.jsonl"), "--seeds", "0",
             "--steps", "4", "--tuning-steps", "2", "--data", str(data), "--train", "8", "--val", "4", "--test", "3",
             "--probed", "8", "--mnist", "6", "--world", "24",
             "--only", "random", "simclr", "rotation", "--set", *TINY]  # fmt: skip
    compare.main(words)
    return folder, words


def rows_of(folder):
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def test_a_row_per_method_with_every_answer_beside_the_untrained_ones(compared):
    folder, _ = compared
    rows = rows_of(folder)
    assert [row["name"] for row in rows] == ["random", "simclr", "rotation"]
    for row in rows:
        assert set(row["figures"]) == {
            "stage1", "stage2", "stage3", "stage4", "best", "linear", "knn", "labels_1", "labels_10", "tuned",
            "blur", "noise", "contrast", "mnist_linear", "mnist_tuned", "world_linear", "world_tuned",
        }  # fmt: skip
        for figure in row["figures"].values():
            low, high = figure["interval"]
            assert low - 1e-9 <= figure["trained"] <= high + 1e-9
            assert figure["gain"][0] == pytest.approx(figure["trained"] - figure["untrained"])
        assert row["sets"]["cifar"] == {**row["sets"]["cifar"], "classes": 3, "fitted": 36, "judged": 18}
        assert row["digest"]
        assert row["run"]["encoders"]["image"]["width"] == 16
        assert row["run"]["seed"] == row["seed"] == 0
    assert len({row["data"] for row in rows}) == 1
    random, simclr, rotation = rows
    assert all(figure["gain"] == [0, 0, 0] for figure in random["figures"].values()), "what learns nothing gains none"
    untrained = [{name: figure["untrained"] for name, figure in row["figures"].items()} for row in rows]
    assert untrained[0] == untrained[1] == untrained[2], "one trunk, one start"
    assert {"accuracy", "loss"} <= set(rotation["pretext"]["trained"])
    assert [point["step"] for point in rotation["course"]] == [1, 2, 3]
    assert (simclr["steps"], random["steps"]) == (4, 0)


def test_what_is_done_is_not_done_again(compared, monkeypatch, capsys):
    folder, words = compared
    before = (folder / "rows.jsonl").read_text()
    monkeypatch.setattr(compare, "row", lambda *_: pytest.fail("trained again"))
    compare.main(words)
    assert (folder / "rows.jsonl").read_text() == before
    assert "A linear probe of each stage" in capsys.readouterr().out


def made_row(name, seed, best, stages, **more):
    """A row with these figures, each fraction beside an untrained network's 0.2."""

    def figure(value, low=0.01):
        return {"trained": value, "untrained": 0.2, "interval": [value, value], "gain": [value - 0.2, low, 1.0],
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
    rows += [made_row("bigan", 0, 0.3, [0.3]), made_row("bigan", 1, 0.3, [0.3], low=-0.1)]
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
    assert "Does the pretext's accuracy predict" not in text
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
    told = "On the best stage **gan** (no; after 99 steps: yes, +70.0 (+1.0 to +100.0)) does not beat random"
    assert told in text
    assert "| gan (99 steps) | 90.0 |" in text, "the table has all rows"


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


def test_every_method_of_pictures_is_compared_on_one_trunk():
    from avssl.methods.base import catalogue, find

    found = compare.variants()
    assert list(found)[:2] == ["random", "rescaled"]
    assert list(found)[-1] == "supervised"
    pictures = {name for name, family in catalogue().items() if family in ("image", "generative")}
    assert pictures - set(found) == {name for name in pictures if find(name).modalities != ("image",)}
    configs = {name: compare.run_config(one, Path("x"), []) for name, one in found.items()}
    assert len({cfg.inputs.model_dump_json() for cfg in configs.values()}) == 1
    assert configs["autoencoder"].method.amount == 0, "the baseline of the denoiser"
    assert configs["relative_transformation-affine"].method.kind == "affine"
    assert configs["gan-regressor"].method.learner == "regressor"
    same = {name: cfg.encoders.image.model_dump_json() for name, cfg in configs.items() if name not in compare.OWN}
    assert len(set(same.values())) == 1
    assert configs["supervised"].method.classes == 10


def test_a_run_that_fails_does_not_stop_the_others(compared, monkeypatch, tmp_path):
    folder, words = compared
    rows = tmp_path / "rows.jsonl"
    known, done = rows_of(folder), []

    def row(asked, *_):
        name = asked["name"]
        done.append(name)
        if name == "simclr":
            raise ValueError("no such picture")
        return next(one for one in known if one["name"] == name)

    monkeypatch.setattr(compare, "row", row)
    with pytest.raises(ValueError, match="1 of 3 runs have no row: simclr, seed 0: no such picture"):
        compare.main([*words[:3], "--rows", str(rows), *words[5:]])
    assert done == ["random", "simclr", "rotation"]
    assert [json.loads(line)["name"] for line in rows.read_text().splitlines()] == ["random", "rotation"]


def test_every_plot_is_drawn_and_the_sheet_shows_the_runs(compared, tmp_path, capsys):
    folder, words = compared
    compare.main([*words, "--plots", str(tmp_path)])
    drawn = {path.name: np.asarray(Image.open(path).convert("L")) for path in tmp_path.glob("*.png")}
    assert set(drawn) == {"best.png", "stages.png", "transfer.png", "pretext.png", "robust.png", "sheet.png"}
    for name, picture in drawn.items():
        assert (picture < 128).mean() > 0.002, f"{name} is blank"
    shutil.rmtree(folder / "out" / "runs" / "rotation-4-0")
    figure, missing = compare_sheet.sheet(rows_of(folder), folder / "out")
    assert missing == ["rotation"]
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["random", "simclr"]


def test_neighbors_are_the_most_alike_first_and_framed_where_of_one_class():
    scores = compare_sheet.cosines(np.array([[1, 0], [0, 1], [0.9, 0.1], [0.5, 0.5]], np.float32))
    pictures = np.zeros((4, 3, 2, 2), np.uint8) + np.array([10, 20, 30, 40], np.uint8)[:, None, None, None]
    strip = compare_sheet.neighbors(scores, pictures, np.array([0]), ["a", "b", "b", "a"])
    row = [tuple(pixel) for pixel in strip[compare_sheet.GAP].tolist()]
    blank = (255, 255, 255)
    shown = [pixel[0] for pixel in row if pixel not in (blank, compare_sheet.SAME)]
    assert shown[::2] == [10, 30, 40, 20]
    framed = [row[place + 1][0] for place in range(len(row) - 1) if row[place] == compare_sheet.SAME != row[place + 1]]
    assert framed[:1] == [40], "the only other of its class"
    assert row.count(compare_sheet.SAME) == 2 * compare_sheet.GAP


def test_steps_are_found_by_a_trial_once(compared, tmp_path, monkeypatch):
    folder, words = compared
    listed = next((folder / "out").glob("cifar-*")) / "pictures.jsonl"
    cfg = compare.run_config(compare.Variant("rotation"), listed, words[words.index("--set") + 1 :])
    trial = budget.Trial(tmp_path, "rotation", {"name": "rotation", "data": "d"})
    found = budget.steps(0.05, cfg, trial)
    assert found >= budget.LEAST_STEPS
    assert [path.name for path in tmp_path.iterdir()] == ["steps.json"], "the trial is forgotten"
    monkeypatch.setattr(budget, "seconds", lambda *_: pytest.fail("timed again"))
    assert budget.steps(0.05, cfg, trial) == found
    elsewhere = {"name": "rotation", "data": "d", "minutes": 0.05, "steps": 77}
    others = [{**elsewhere, "minutes": None}, {**elsewhere, "name": "simclr"}, {**elsewhere, "data": "e"}]
    assert budget.steps(0.05, cfg, trial, others) == found
    assert budget.steps(0.05, cfg, trial, [*others, elsewhere]) == 77
