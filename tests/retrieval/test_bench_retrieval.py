"""The benchmark of retrieval runs from start to end, goes on where it was killed, and pairs trained vectors rightly."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def bench(*words):
    done = subprocess.run(
        [sys.executable, SCRIPTS / "bench_retrieval.py", *map(str, words)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def embedded(tmp_path):
    """A folder as avssl embed writes it, in two shards: the third window of each recording has no words near it."""
    random = np.random.default_rng(0)
    for shard in range(2):
        folder = tmp_path / "vectors" / f"shard-{shard}"
        folder.mkdir(parents=True)
        rows = {"video": [], "audio": [], "text": []}
        vectors = {name: [] for name in rows}
        for number in range(20):
            for place in range(4):
                window = random.standard_normal(6)
                span = {"recording": f"r{shard}-{number}", "start": 2.0 * place, "end": 2.0 * place + 2}
                spans = {"video": span, "audio": span, "text": span | {"start": span["start"] + 0.5}}
                for name in rows:
                    if name != "text" or place != 2:
                        rows[name].append(spans[name])
                        vectors[name].append(window)  # the same in every modality, so that wrong pairs show
        for name in rows:
            order = random.permutation(len(rows[name]))
            np.save(folder / f"vectors-{name}.npy", np.array(vectors[name], np.float32)[order])
            lines = [json.dumps(rows[name][place]) for place in order]
            (folder / f"rows-{name}.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "vectors"


def test_windows_of_all_modalities_are_of_one_time(embedded, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    from retrieval_vectors import Windows

    source = Windows(embedded, 8)
    assert set(source.modalities) == {"video", "audio", "text"}
    video, *others = source.held.values()
    assert len(video) == 2 * 20 * 3  # windows without words are left out
    for other in others:
        np.testing.assert_allclose(other, video, atol=1e-6)
    blocks = source.block(50, seed=1)
    assert [block.shape for block in blocks] == [(50, 8)] * 3
    for block in blocks:
        np.testing.assert_allclose(np.linalg.norm(block, axis=1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="ask for --width 6"):
        Windows(embedded, 4)
    with pytest.raises(ValueError, match=r"holds no vectors-MODALITY\.npy"):
        Windows(embedded / "nothing", 8)


def test_it_runs_keeps_its_row_and_goes_on(embedded, tmp_path):
    words = ["--size", 1500, "--width", 8, "--vectors", embedded, "--kinds", "ivf-fp16", "--rounds", 1, "--threads", 1]
    words += ["--keep", tmp_path / "keep", "--rows", tmp_path / "rows.jsonl"]
    code, out, err = bench(*words)
    assert code == 0, err
    row = json.loads((tmp_path / "rows.jsonl").read_text())
    assert (row["benchmark"], row["size"], row["width"]) == ("retrieval", 1500, 8)
    assert sum(name.startswith("ivf-fp16: recall@10") for name in row["figures"]) == 9
    assert all(np.isfinite(told[what]) for told in row["figures"].values() for what in ("value", "low", "high"))
    aimed = [told for told in row["figures"].values() if told["target"]]
    assert f" of {len(aimed)} targets met" in out
    # What stands there is not measured again; what was killed before its row goes on after the stages that were done.
    assert "measured already" in bench(*words)[1]
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 1
    (done,) = (tmp_path / "keep").glob("*.json")
    told = json.loads(done.read_text())
    told["wrapper"] = {"kept": told["wrapper"]["exact index, times FAISS Flat"]}
    done.write_text(json.dumps(told))
    code, out, err = bench(*words, "--again")
    assert code == 0, err
    assert out.count("done before") == 6
    (line,) = (tmp_path / "rows.jsonl").read_text().splitlines()
    assert "kept" in json.loads(line)["figures"]
