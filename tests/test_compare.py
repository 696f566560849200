"""The comparison of methods of pictures, end to end on a few made pictures: its rows, plots, sheet and budget."""

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
import compare_sheet

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


@pytest.mark.parametrize("search", [None, [1, 0.0]])
def test_a_row_whose_penalties_were_searched_otherwise_is_made_anew_in_its_place(compared, monkeypatch, search):
    folder, words = compared
    before = (folder / "rows.jsonl").read_text()
    known = [json.loads(line) for line in before.splitlines()]
    first = {**known[0], "search": search, "minutes": 8.0}
    older = [{key: first[key] for key in first if search or key != "search"}, *known[1:]]
    (folder / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in older))
    anew: list[str] = []
    monkeypatch.setattr(compare, "row", lambda asked, *_: anew.append(asked["name"]) or {**known[0], **asked})
    compare.main(words)
    assert anew == [known[0]["name"]]
    after = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    assert len(after) == len(known)
    assert after[-1]["minutes"] == 8.0, "what it was given stays"
    assert all(row["search"] == [1, 2.0] for row in after)
    (folder / "rows.jsonl").write_text(before)


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
