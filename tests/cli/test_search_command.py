"""avssl search and serve: what they refuse before they look, in one line; the true road is in tests/e2e."""

import json
import pathlib

import numpy as np
import pytest
from test_embedding import Plain
from test_index_command import Folder

from avssl.cli import run
from avssl.cli._placing import making
from avssl.cli._queries import Asked, queries_of
from avssl.config import InputsConfig
from avssl.data.manifest import write_whole
from avssl.data.media import Unreadable
from avssl.embedding import Embedder, query
from avssl.inputs import Inputs, Vocabulary
from retrieval.filters import check_where
from retrieval.space import Space
from retrieval.store import Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Vectors vec, and the index made of them."""
    made = Folder(tmp_path_factory.mktemp("searched"))
    vectors = made.vectors("vec", a="1", b="2")
    assert run(["index", str(vectors), "-o", str(made.path / "index")]) == 0
    return made.path


@pytest.fixture
def avssl(folder, capfd, monkeypatch):
    monkeypatch.chdir(folder)

    def call(*words):
        capfd.readouterr()
        code = run([str(word) for word in words])
        return code, *capfd.readouterr()

    return call


@pytest.mark.parametrize(
    "words", ["search {} --text bell", "serve {}", "regions {}", "embed run x.jsonl -o out --new-for {}"]
)
def test_what_is_no_index_is_told_alike(avssl, words):
    for name, said in (
        ("vec", "vec holds vectors, not yet an index: avssl index vec -o index"),
        ("nothere", "nothere: no such folder; make one of what avssl embed wrote: avssl index VECTORS -o nothere"),
    ):
        assert avssl(*words.format(name).split()) == (2, "", f"error: {said}\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--text bell --weight audio=2", "--weight audio=2: there is no --audio that it could be of"),
        ("--text bell --weight not-text=2", "--weight not-text=2: there is no --not-text that it could be of"),
        ("--text bell --weight smell=2", "say KIND=NUMBER above 0"),
        ("--like 99999", "--like 99999: index has no such id; --json tells those of what is found"),
        ("--like 0 --distinct 1.5", "--distinct is 1.5; it must be above 0 and at most 1"),
        ("--like 0 --distinct 0", "--distinct is 0; it must be above 0"),
    ],
)
def test_mistakes_are_one_line_in_the_words_of_the_command(avssl, words, said):
    code, out, err = avssl("search", "index", *words.split())
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert said in err
    assert "distinct_cosine" not in err


def test_a_column_that_no_row_has_is_told(avssl):
    words = ["search", "index", "--like", "0", "--json", "--where"]
    assert avssl(*words, "extra ->> 'kind' = 'bell'") == (
        0, "", "nothing found; no row has a column 'kind'; there are split\n"
    )  # fmt: skip
    assert avssl(*words, "extra ->> 'split' = 'test'") == (0, "", "nothing found\n")
    code, out, err = avssl(*words, "extra ->> 'split' = 'train'")
    assert (code, err) == (0, "")
    assert {json.loads(line)["extra"]["split"] for line in out.splitlines()} == {"train"}


def test_a_centered_search_is_less_what_all_of_a_kind_share(avssl):
    with Store.open("index") as store:
        ids = store.ids("modality = ?", [store.rows([0])[0].modality])
        stored = store.vectors(ids).astype(float)
    query = stored[ids.tolist().index(0)] - stored.mean(0)
    for option, wanted in (("", stored[ids.tolist().index(0)]), ("--centered", query / np.linalg.norm(query))):
        code, out, err = avssl("search", "index", "--like", "0", "--json", "--windows", *option.split())
        few = f"--centered by {len(ids)} of audio alone: better are 20 as varied as what you ask, or leave it out\n"
        assert (code, err) == (0, few if option else "")
        told = [json.loads(line)["score"] for line in out.splitlines()]
        expected = np.sort(np.delete(stored @ wanted, ids.tolist().index(0)))[::-1][:10]
        assert told == pytest.approx(expected, abs=1e-5), option


def test_a_moment_that_cannot_be_cut_out_is_passed_over(avssl, tmp_path, monkeypatch):
    """One of them keeps the others from nothing; where there is no other, that is an error."""
    from avssl.report import clips

    words = ("search", "index", "--like", "0", "--windows", "--top", "3", "--clips", tmp_path / "cut")
    code, _, err = avssl(*words)
    assert (code, err.count("passed over moment"), err.count("Traceback")) == (2, 3, 0), err
    assert err.splitlines()[-1] == f"error: --clips {tmp_path / 'cut'}: not one of what was found can be cut out"

    def cut(hit, folder, rank):
        if rank == 1:
            raise Unreadable("gone.mp4", "damaged")
        return folder / f"{rank}.mp4"

    monkeypatch.setattr(clips, "cut_hit", cut)
    code, _, err = avssl(*words)
    assert (code, err.splitlines()) == (0, [
        "passed over moment 1: gone.mp4: damaged", *(f"wrote {tmp_path / 'cut' / f'{rank}.mp4'}" for rank in (2, 3)),
    ])  # fmt: skip


def test_clips_do_not_come_among_recordings(avssl, folder):
    code, _, err = avssl("search", "index", "--like", "0", "--top", "1", "--clips", folder)
    assert (code, err) == (2, f"error: --clips {folder}: recordings that were found lie there; name another folder\n")


def test_words_that_a_run_has_never_read_are_told(capsys, tmp_path):
    inputs = Inputs(InputsConfig(height=32, width=32, frames=4, fps=4.0, audio_seconds=1.0, tokens=8),
                    Vocabulary.train(["the bell rings"], 60))  # fmt: skip
    embedder = Embedder(Plain(inputs), inputs)
    space = Space("main", "d" * 64, ("video", "text"), 4)
    with Store.create(tmp_path / "store", space) as store:
        queries_of(embedder, store, [Asked("text", "the bell", 1.0)], None)
        assert capsys.readouterr().err == ""
        queries_of(embedder, store, [Asked("text", "bell , 語 !", 1.0)], None)
        assert capsys.readouterr().err == "this run has never read 語: that tells it nothing\n"
        with pytest.raises(ValueError, match="--centered: the index holds no text to center by; leave it out"):
            queries_of(embedder, store, [Asked("text", "the bell", 1.0)], None, centered=True)


def test_what_is_long_is_not_said_back_whole():
    inputs = Inputs(InputsConfig(height=32, width=32, frames=4, fps=4.0, audio_seconds=1.0, tokens=8),
                    Vocabulary.train(["the bell rings"], 60))  # fmt: skip
    embedder = Embedder(Plain(inputs), inputs)
    with pytest.raises(ValueError, match="has read no word of '語語") as told:
        query(embedder, "text", "語" * 100_000)
    assert len(str(told.value)) < 200
    with pytest.raises(ValueError, match="no such column") as told:
        check_where("x" * 100_000, [])
    assert len(str(told.value)) < 700


def test_where_nothing_can_be_written_the_place_that_was_named_is_told():
    """Not the files beside it, of which nobody has heard."""
    with pytest.raises(ValueError, match=r"^/proc/zz cannot be written: "), making(pathlib.Path("/proc/zz"), ()):
        pass
    with pytest.raises(OSError, match="x") as told:
        write_whole(pathlib.Path("/proc/x.jsonl"), "text")
    assert told.value.filename == "/proc/x.jsonl"
