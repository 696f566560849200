"""As a user: from a made-up world to search, overlays and a report; and every wrong request in one line."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from user_home import SMALL, Home

from avssl.cli import run
from avssl.sync.asked import Chosen, stored
from avssl.train.checkpoint import load_run


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture
def avssl(capfd):
    """Run a command in this process: (exit code, stdout, stderr)."""

    def call(*words: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run([str(word) for word in words])
        out, err = capfd.readouterr()
        return code, out, err

    return call


LINE = re.compile(r"^(.+) @ (\d\d:\d\d:\d\d\.\d)  (-?\d\.\d{3})  ?(.*)$")


def test_embedding_and_index(home):
    assert sorted(path.name for path in home.vectors.iterdir()) == [
        "plan.json", "shard-00000", "source.json", "space.json",
    ]  # fmt: skip
    assert sorted(path.name for path in (home.vectors / "shard-00000").iterdir()) == [
        "done.json", "rows-audio.jsonl", "rows-text.jsonl", "rows-video.jsonl", "vectors-audio.npy",
        "vectors-text.npy", "vectors-video.npy",
    ]  # fmt: skip
    space = json.loads((home.vectors / "space.json").read_text())
    assert space["modalities"] == ["video", "audio", "text"]
    assert json.loads((home.index / "source.json").read_text())["run"] == str(home.run.resolve())


def test_two_processes_embed_what_one_does(home, avssl, tmp_path):
    """Under torchrun, to the bit."""
    alone, both = tmp_path / "alone", tmp_path / "both"
    assert avssl("embed", home.run, home.manifest, "-o", alone, "--shard", 5)[0] == 0
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "avssl", "embed"]
    done = subprocess.run(
        [sys.executable, *words, home.run, home.manifest, "-o", both, "--shard", "5"], capture_output=True, text=True,
        timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("is written") == 1, "one rank tells"
    files = sorted(path.relative_to(alone) for path in alone.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(both) for path in both.rglob("*") if path.is_file())
    assert len([path for path in files if path.name == "done.json"]) == 5
    for path in files:
        assert (alone / path).read_bytes() == (both / path).read_bytes(), path


def test_only_what_an_index_lacks(home, avssl, tmp_path):
    code, out, _ = avssl("embed", home.run, home.manifest, "-o", tmp_path / "none", "--new-for", home.index)
    assert code == 0
    assert "nothing to embed" in out
    for words in (
        ["embed", home.run, home.manifest, "--split", "test", "-o", tmp_path / "test"],
        ["index", tmp_path / "test", "-o", tmp_path / "index"],
        ["embed", home.run, home.manifest, "--new-for", tmp_path / "index", "-o", tmp_path / "rest"],
        ["index", tmp_path / "test", tmp_path / "rest", "-o", tmp_path / "both"],
        ["index", tmp_path / "none", "-o", tmp_path / "both", "--sync", "--manifest", home.manifest],
    ):
        code, out, err = avssl(*words)
        assert code == 0, err
    from retrieval.store import Store

    with Store.open(tmp_path / "both") as both, Store.open(home.index) as whole:
        assert both.recordings() == whole.recordings()
        assert len(both) == len(whole)


@pytest.mark.parametrize("kind", ["text", "audio", "video", "image"])
def test_search(home, avssl, kind):
    clip = next(iter(sorted((home.world / "videos" / "test").glob("*.mp4"))))
    code, out, err = avssl("search", home.index, f"--{kind}", "the bell rings" if kind == "text" else clip, "--top", 3)
    assert code == 0, err
    found = [LINE.match(line) for line in out.splitlines()]
    assert len(found) == 3
    assert all(found)
    assert all(Path(hit[1]).is_file() for hit in found)
    scores = [float(hit[3]) for hit in found]
    assert scores == sorted(scores, reverse=True)
    if kind == "video":
        assert float(found[0][3]) == pytest.approx(1.0, abs=1e-3)


def test_search_by_several_things_and_in_any_modality(home, avssl):
    clip = next(iter(sorted((home.world / "videos" / "test").glob("*.mp4"))))
    words = ["search", home.index, "--text", "the bell", "--text", "rings", "--audio", clip, "--not-image", clip]
    code, out, err = avssl(*words, "--weight", "audio=0.5", "--top", 4, "--json")
    assert code == 0, err
    both = [json.loads(line) for line in out.splitlines()]
    assert len(both) == 4
    assert all({"video", "audio"} <= set(hit["scores"]) for hit in both), "each modality's score at its time"
    code, out, _ = avssl(*words, "--weight", "not-image=5", "--top", 4, "--json")
    away = [json.loads(line) for line in out.splitlines()]
    assert [hit["score"] for hit in away] != [hit["score"] for hit in both]
    code, out, _ = avssl("search", home.index, "--video", clip, "--in", "any", "--top", 30, "--windows", "--json")
    hits = [json.loads(line) for line in out.splitlines()]
    assert {hit["modality"] for hit in hits} == {"video", "audio", "text"}
    assert [hit["calibrated"] for hit in hits] == sorted((hit["calibrated"] for hit in hits), reverse=True)


def test_more_like_a_moment_needs_no_network(home, avssl, monkeypatch):
    code, out, _ = avssl("search", home.index, "--text", "the bell", "--top", 1, "--windows", "--json")
    first = json.loads(out)
    monkeypatch.setattr("avssl.cli._network.load", None)
    code, out, err = avssl("search", home.index, "--like", first["id"], "--top", 5, "--windows", "--json")
    assert code == 0, err
    hits = [json.loads(line) for line in out.splitlines()]
    assert {hit["modality"] for hit in hits} == {first["modality"]}
    assert first["id"] not in [hit["id"] for hit in hits]
    code, out, _ = avssl("search", home.index, "--like", first["id"], "--others", "--where", "start = 0", "--json")
    hits = [json.loads(line) for line in out.splitlines()]
    assert hits
    assert all(hit["recording"] != first["recording"] and hit["peak"] == 0 for hit in hits)


def test_an_index_with_regions_tells_the_box(home, avssl, tmp_path):
    index = tmp_path / "index"
    shutil.copytree(home.index, index)
    code, out, err = avssl("search", index, "--text", "the bell", "--top", 3, "--json")
    assert all(json.loads(line)["box"] is None for line in out.splitlines())
    code, out, err = avssl("regions", index, "--components", 8)
    assert code == 0, err
    assert re.search(r"(\d+) of \1 windows have regions", out)
    code, out, _ = avssl("regions", index)
    assert "have regions already" in out
    for kind, given in (("text", "the bell"), ("audio", next((home.world / "videos" / "test").glob("*.mp4")))):
        code, out, err = avssl("search", index, f"--{kind}", given, "--top", 3, "--json")
        assert code == 0, err
        for line in out.splitlines():
            left, top, right, bottom = json.loads(line)["box"]
            assert 0 <= left < right <= 1
            assert 0 <= top < bottom <= 1
    code, out, _ = avssl("search", index, "--text", "the bell", "--top", 1)
    assert re.search(r"  at \d\.\d\d, \d\.\d\d, \d\.\d\d, \d\.\d\d  ", out)


def test_search_tells_json_csv_and_clips(home, avssl, tmp_path):
    clip = next(iter(sorted((home.world / "videos" / "test").glob("*.mp4"))))
    code, out, _ = avssl("search", home.index, "--audio", clip, "--top", 2, "--json", "--csv", tmp_path / "hits.csv",
                         "--clips", tmp_path / "clips")  # fmt: skip
    assert code == 0
    hits = [json.loads(line) for line in out.splitlines()]
    assert [hit["rank"] for hit in hits] == [1, 2]
    assert all(hit["modality"] == "video" and hit["end"] > hit["start"] for hit in hits)
    lines = (tmp_path / "hits.csv").read_text().splitlines()
    assert lines[0].startswith("rank,path,time,start,end")
    assert len(lines) == 3
    from avssl.data.media import probe

    cut = sorted((tmp_path / "clips").iterdir())
    assert len(cut) == 2
    for path, hit in zip(cut, hits, strict=True):
        header = probe(path)
        assert header.duration == pytest.approx(hit["end"] - hit["start"], abs=0.2)
        assert header.sounds


def test_the_query_finds_its_own_words(home, avssl):
    row = json.loads((home.vectors / "shard-00000" / "rows-text.jsonl").read_text().splitlines()[0])
    code, out, _ = avssl("search", home.index, "--text", row["narration"], "--in", "text", "--top", 1, "--windows")
    assert code == 0
    assert LINE.match(out.strip())[4] == row["narration"]


def test_evaluate_localize_and_report(home, avssl, tmp_path):
    code, out, err = avssl("evaluate", home.run, home.manifest, "--truth", home.world / "truth.jsonl", "--threads", 1)
    assert code == 0, err
    assert "video to audio" in out
    results = json.loads((home.run / "results.json").read_text())
    names = [f"{a}_to_{b}" for a in ("video", "audio", "text") for b in ("video", "audio", "text")]
    assert {name for name in names if name.split("_")[0] != name.split("_")[-1]} <= set(results["retrieval"])
    for figures in results["retrieval"].values():
        for name in ("r1", "r5", "r10", "medr", "ndcg10"):
            assert set(figures[name]) == {"trained", "untrained", "chance"}
            assert name == "medr" or all(0 <= value <= 1 for value in figures[name].values())
    assert {"ciou", "auc", "iiou", "two_things", "swap_gap", "lit_sounding"} <= set(results["localization"])
    assert results["localization"]["ciou"]["oracle"] == 1.0

    # The threshold is the run's: other recordings do not change it, unless it is asked for.
    scales = home.run / "localization.json"
    held = json.loads(scales.read_text())
    assert held["audio"]["threshold"] == results["thresholds"]["trained"]
    held["audio"]["threshold"] -= 0.125
    scales.write_text(json.dumps(held))
    words = ["evaluate", home.run, home.manifest, "--truth", home.world / "truth.jsonl", "--threads", 1]
    found = {}
    for more in ([], ["--choose"]):
        assert avssl(*words, *more)[0] == 0
        told, kept = (json.loads((home.run / name).read_text()) for name in ("results.json", "localization.json"))
        found[bool(more)] = told["thresholds"]["trained"]
        assert kept["audio"]["threshold"] == found[bool(more)]
    assert found == {False: held["audio"]["threshold"], True: results["thresholds"]["trained"]}

    clip = next(iter(sorted((home.world / "videos" / "test").glob("*.mp4"))))
    code, _, err = avssl("localize", home.run, clip, "-o", tmp_path / "overlay.mp4")
    assert code == 0, err
    assert (tmp_path / "overlay.mp4").stat().st_size > 1000

    code, _, err = avssl("report", home.run, "-o", tmp_path / "report.html")
    assert code == 0, err
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count("data:video/mp4") > 5
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)


def test_an_exported_run_searches_and_keeps_how_sure_sync_must_be(home, avssl, tmp_path):
    chosen = Chosen(0.3, 0.6, 1.0, 0.1, load_run(home.run).digest, 20, 0.0, 0.9)
    chosen.save(home.run)
    code, _, err = avssl("export", home.run, "-o", tmp_path / "exported")
    assert code == 0, err
    assert stored(tmp_path / "exported", chosen.digest) == chosen
    code, out, _ = avssl("search", home.index, "--text", "a dog", "--run", tmp_path / "exported", "--top", 1)
    assert code == 0
    assert LINE.match(out.strip())


def test_methods_and_preview(home, avssl, tmp_path):
    code, out, _ = avssl("methods")
    assert code == 0
    assert "trimodal" in out
    code, out, _ = avssl("methods", "trimodal")
    assert code == 0
    assert "method.temperature" in out
    assert "avssl train trimodal" in out
    code, _, err = avssl("preview", "trimodal", f"data={home.manifest}", "-o", tmp_path / "sheet.png", "--examples", 1)
    assert code == 0, err
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


# Each wrong request: its words, and what the one line must say.
WRONG = {
    "no such manifest": (["embed", "{run}", "{home}/none.jsonl", "-o", "{out}"], "none.jsonl"),
    "no such run": (["embed", "{home}/none", "{manifest}", "-o", "{out}"], "none is no run"),
    "no such config": (["train", "trimodl", "data={manifest}", "-o", "{out}"], "trimodal"),
    "unknown method": (["methods", "simclrr"], "did you mean simclr?"),
    "unknown key": (["train", "trimodal", "data={manifest}", "optim.lrr=1", "-o", "{out}"], "did you mean lr?"),
    "wrong type": (["train", "trimodal", "data={manifest}", "steps=many", "-o", "{out}"], "steps: "),
    "no data": (["train", "trimodal", "-o", "{out}"], "data=FOLDER"),
    "empty folder": (["manifest", "{empty}", "-o", "{out}.jsonl"], "empty"),
    "training on an empty folder": (["train", "trimodal", "data={empty}", "-o", "{out}"], "empty"),
    "folder without sound": (["train", "trimodal", "data={mute}", *SMALL, "-o", "{out}"], "sound"),
    "lost vocabulary": (
        ["embed", "{wordless}", "{manifest}", "-o", "{out}"],
        "vocabulary.json is missing: this network",
    ),
    "unreadable checkpoint": (["embed", "{broken}", "{manifest}", "-o", "{out}"], "damaged"),
    "index of another space": (["search", "{index}", "--text", "a bell", "--run", "{other}"], "embed again"),
    "no index": (["search", "{empty}", "--text", "a bell"], "avssl index VECTORS"),
    "no vectors": (["index", "{empty}", "-o", "{out}"], "avssl embed"),
    "wrong flag": (["search", "{index}", "--txt", "a bell"], "--text"),
    "wrong command": (["serch", "{index}"], "'search'"),
    "no query": (["search", "{index}"], "say what to search for"),
    "only what not to find": (["search", "{index}", "--not-text", "a bell"], "say what to search for"),
    "weight of nothing": (["search", "{index}", "--text", "bell", "--weight", "txt=2"], "KIND=NUMBER"),
    "weight below zero": (["search", "{index}", "--text", "bell", "--weight", "text=-2"], "KIND=NUMBER"),
    "like nothing": (["search", "{index}", "--like", "123456"], "index has no such id; --json tells those of"),
    "others than nothing": (["search", "{index}", "--text", "bell", "--others"], "goes with --like"),
    "wrong condition": (["search", "{index}", "--text", "bell", "--where", "colour = 1"], "colour"),
    "query of no file": (["search", "{index}", "--audio", "{home}/none.wav"], "none.wav"),
    "query that is no media": (["search", "{index}", "--image", "{manifest}"], "world.jsonl"),
    "empty words": (["search", "{index}", "--text", " "], "empty"),
    "wrong modality": (["search", "{index}", "--text", "a", "--in", "smell"], "holds video"),
    "wrong truth": (["evaluate", "{run}", "{manifest}", "--truth", "{home}/none.jsonl"], "none.jsonl"),
    "wrong label": (["evaluate", "{run}", "{manifest}", "--label", "nonsense"], "--label nonsense: no recording"),
    "wrong split": (["evaluate", "{run}", "{manifest}", "--split", "exam"], "unknown split"),
    "folder as manifest": (["evaluate", "{run}", "{empty}"], "is a folder"),
    "output in the way": (["embed", "{run}", "{manifest}", "-o", "{mute}"], "other files"),
    "report of nothing": (["report", "{empty}"], "is no run"),
}


@pytest.fixture(scope="session")
def places(home, tmp_path_factory) -> dict[str, str]:
    """Folders in which something is wrong."""
    folder = tmp_path_factory.mktemp("wrong")
    empty, mute, broken, other = (folder / name for name in ("empty", "mute", "broken", "other"))
    empty.mkdir()
    mute.mkdir()
    import numpy as np

    from avssl.data.encode import write_clip

    for index in range(3):
        pictures = (np.full((48, 48, 3), 40 * index + k, np.uint8) for k in range(16))
        write_clip(mute / f"{index}.mp4", pictures, 8)
        (mute / f"{index}.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\na quiet day\n")
    wordless = folder / "wordless"
    for copy in (broken, other, wordless):
        shutil.copytree(home.run, copy)
    (wordless / "vocabulary.json").unlink()
    for weights in broken.glob("checkpoints/*/model.safetensors"):
        data = bytearray(weights.read_bytes())
        data[len(data) // 2] ^= 255
        weights.write_bytes(data)
    shutil.rmtree(other)
    assert run(["train", "trimodal", f"data={home.manifest}", *SMALL, "seed=1", "-o", str(other)]) == 0
    values = {"empty": empty, "mute": mute, "broken": broken, "other": other, "home": home.folder, "run": home.run,
              "manifest": home.manifest, "index": home.index, "wordless": wordless}  # fmt: skip
    return {name: str(path) for name, path in values.items()}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_requests_give_one_line(places, avssl, tmp_path, wrong):
    words, told = WRONG[wrong]
    code, _, err = avssl(*(word.format(**places, out=tmp_path / "out") for word in words))
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2, err
    assert len(lines) == 1, err
    assert told in lines[0]
    assert "Traceback" not in err


def test_every_mistake_of_a_config_is_told_at_once(places, avssl, tmp_path):
    code, _, err = avssl(
        "train", "trimodal", f"data={places['manifest']}", "stepz=1", "optim.lr=-1", "-o", tmp_path / "x"
    )
    assert code == 2
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 2
