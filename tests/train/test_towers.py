"""Runs on towers that others trained: features computed once, licences kept, and what goes on without the towers."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

from avssl import config
from avssl.cli import run as command
from avssl.data.world import make_world
from avssl.methods.base import config_of
from avssl.train import build, run
from avssl.train.checkpoint import load_run
from avssl.train.export import export

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "encoders"))
import checkpoints

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz",
         *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"), "the", "bell", "drum", "rings"]  # fmt: skip
TINY = [
    "steps=4", "data.batch=4", "data.workers=0", "data.cache_gb=0", "data.draws=2", "evaluate_every=0",
    "checkpoint_every=2", "log_every=1", "threads=1", "precision=fp32", "device=cpu", "channels_last=false",
    "inputs.height=32", "inputs.width=32", "inputs.frames=4", "inputs.fps=4", "inputs.audio_seconds=1",
    "inputs.audio=wave", "inputs.tokens=12",
]  # fmt: skip


class Home:
    """Three towers, a world, and a run of them."""

    def __init__(self, folder: Path):
        self.folder, self.towers, self.manifest = folder, folder / "towers", folder / "world.jsonl"
        for kind, license_ in (("siglip", "apache-2.0"), ("ast", "cc-by-nc-4.0"), ("mpnet", "")):
            path = Path(checkpoints.make(self.towers / kind, kind, **({"vocab_size": 64} if kind == "mpnet" else {})))
            if license_:
                (path / "README.md").write_text(f"---\nlicense: {license_}\n---\n# {kind}\n")
        vocabulary = {word: number for number, word in enumerate(WORDS)}
        transformers.BertTokenizer(vocab=vocabulary).save_pretrained(self.towers / "mpnet")
        world = folder / "world"
        make_world(world, clips=12, side=64, fps=12.5, seconds=2.0, workers=1)
        words = ["manifest", world / "videos", "-o", self.manifest, "--labels", world / "labels.tsv", "--workers", 1]
        assert command([str(word) for word in words]) == 0
        self.run = folder / "run"
        self.train(self.run)

    def words(self, *more: str) -> list[str]:
        towers = [
            f"encoders.{modality}.{word}"
            for modality, kind in (("video", "siglip"), ("audio", "ast"), ("text", "mpnet"))
            for word in ("name=pretrained", f"path={self.towers / kind}", "width=24")
        ]
        return [f"data={self.manifest}", *TINY, *towers, *more]

    def train(self, out: Path, *more: str) -> run.Run:
        return run.start(config.load("trimodal", self.words(*more), config_of), out, progress=False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def home(tmp_path_factory, cache):
    return Home(tmp_path_factory.mktemp("home"))


def kept(cache: Path) -> dict[Path, float]:
    return {path: path.stat().st_mtime_ns for path in cache.rglob("features/*/??/*.safetensors")}


def weights(out: Path, step: int = 4) -> dict[str, torch.Tensor]:
    return load_file(out / "checkpoints" / f"step-{step:06d}" / "model.safetensors")


def test_from_recordings_to_a_search(home, cache, tmp_path, capfd):
    """Frozen features kept on disk, heads trained, everything embedded, an index, moments found by three kinds."""
    assert len({path.parent.parent for path in kept(cache)}) == 3, "one memory for each tower"
    vectors, index = str(tmp_path / "vectors"), str(tmp_path / "index")
    assert command(["embed", str(home.run), str(home.manifest), "-o", vectors]) == 0
    assert command(["index", vectors, "-o", index]) == 0
    clip = next((home.folder / "world" / "videos").rglob("*.mp4"))
    for query in (["--text", "the bell rings"], ["--audio", str(clip)], ["--video", str(clip)]):
        capfd.readouterr()
        assert command(["search", index, *query, "--json", "--top", "3"]) == 0
        found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        assert len(found) == 3
        assert all(Path(hit["path"]).is_file() for hit in found)


def test_what_a_frozen_tower_sees_is_computed_once(home, cache, tmp_path, capsys):
    """A second run with the same seed computes nothing; licences are told as it begins."""
    first = kept(cache)
    cfg = config.load("trimodal", home.words(), config_of)
    run.start(cfg, tmp_path / "again")
    assert kept(cache) == first
    one, other = weights(home.run), weights(tmp_path / "again")
    assert all(torch.equal(one[key], other[key]) for key in one)
    told = capsys.readouterr()
    assert "each item is shown in 2 draws: what the frozen towers (video, audio, text) see is computed once" in told.out
    assert f"encoders.audio: {home.towers / 'ast'}, licence: cc-by-nc-4.0 (not for commercial use" in told.err
    assert f"encoders.video: {home.towers / 'siglip'}, licence: apache-2.0\n" in told.err
    assert f"encoders.text: {home.towers / 'mpnet'}, licence: not stated" in told.err


def test_licences_are_kept_in_the_checkpoint(home):
    state = json.loads((home.run / "checkpoints" / "step-000004" / "state.json").read_text())
    assert {modality: source["license"] for modality, source in state["towers"].items()} == {
        "video": "apache-2.0", "audio": "cc-by-nc-4.0", "text": "",
    }  # fmt: skip


def test_stopped_and_resumed_is_bit_identical_with_a_cold_memory_too(home, tmp_path, monkeypatch):
    shutil.copytree(home.run, tmp_path / "parts")
    shutil.rmtree(tmp_path / "parts" / "checkpoints" / "step-000004")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cold"))
    assert home.train(tmp_path / "parts").step == 4
    assert kept(tmp_path / "cold")
    one, other = weights(home.run), weights(tmp_path / "parts")
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_a_run_needs_its_towers_no_more(home, tmp_path):
    """A run and its export hold weights, settings and licences; the folders they came from may go."""
    out = tmp_path / "run"
    home.train(out, "encoders.audio.lora=2", "steps=2")
    whole = load_run(home.run)
    with_towers = build.method_of(whole.cfg, whole.inputs, whole.method.length)
    given, found = with_towers.state_dict(), load_run(home.run, trained=False).method.state_dict()
    assert [key for key in given if not torch.equal(given[key], found[key])] == [], "untrained, as it began"
    moved = [value.abs().sum() for key, value in weights(out, 2).items() if key.endswith(".up")]
    assert moved
    assert min(moved) > 0, "adapters learn"
    before, fresh = load_run(out), load_run(home.run, trained=False)
    x = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0)) * 0.1
    shutil.move(home.towers, tmp_path / "away")
    try:
        written = export(out, tmp_path / "export")
        after = load_run(written)
        assert torch.equal(after.method.embed("audio", x), before.method.embed("audio", x))
        assert json.loads((written / "config.json").read_text())["towers"]["audio"]["license"] == "cc-by-nc-4.0"
        untrained = load_run(export(home.run, tmp_path / "other"), trained=False)
        assert torch.equal(untrained.method.embed("audio", x), fresh.method.embed("audio", x))
        assert untrained.digest == fresh.digest
        assert after.inputs.tokens(["the bell"]).tolist() == before.inputs.tokens(["the bell"]).tolist()
    finally:
        shutil.move(tmp_path / "away", home.towers)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.draws=0"], "video, audio, text: frozen towers see new windows at every step; data.draws=4"),
        ([f"encoders.{modality}.lora=1" for modality in ("video", "audio", "text")], "warning: data.draws=2 shows"),
    ],
)
def test_what_draws_do_is_said(words, said, home, tmp_path, capsys):
    cfg = config.load("trimodal", home.words("steps=1", *words), config_of)
    run.start(cfg, tmp_path / "run")
    assert said in capsys.readouterr().out


def test_a_tuned_tower_is_untrained_as_its_folder_has_it(home, tmp_path):
    home.train(tmp_path / "run", "steps=2", "encoders.audio.tune=-1")
    moved, fresh = (load_run(tmp_path / "run", trained=trained).method.encoders["audio"] for trained in (True, False))
    given, own = transformers.ASTModel.from_pretrained(home.towers / "ast").state_dict(), fresh.tower.state_dict()
    assert given.keys() == own.keys()
    assert all(torch.equal(own[key], value) for key, value in given.items())
    assert any(not torch.equal(moved.tower.state_dict()[key], value) for key, value in given.items())
