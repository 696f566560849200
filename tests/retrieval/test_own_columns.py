"""Which columns rows have: what no row has is told, instead of nothing found."""

import json

import numpy as np
import pytest
from made_up import SPACE, rows_of, vectors_of

from retrieval import index
from retrieval.__main__ import main
from retrieval.own_columns import MOST_TOLD, lacking, named_in
from retrieval.store import Store


@pytest.fixture
def store(tmp_path):
    rows = [
        {**row, "extra": {"kind": "bell", "a.b": None} if number else {"$": 0}} for number, row in enumerate(rows_of(8))
    ]
    with Store.create(tmp_path / "s", SPACE) as made:
        made.add(vectors_of(8), rows)
        index.build(made)
        yield made


def test_what_no_row_has_is_told_with_what_there_is(store, tmp_path):
    assert lacking(store, ["kind", "a.b", "$"]) == ""
    assert lacking(store, ["kind", "kinds"]) == "no row has a column 'kinds'; there are $, a.b, kind"
    with pytest.raises(ValueError, match="a quote or a backslash"):
        lacking(store, ['a"b'])
    many = [{**row, "extra": {f"c{k:02}": 1 for k in range(MOST_TOLD + 1)}} for row in rows_of(2)]
    with Store.create(tmp_path / "many", SPACE) as wide, Store.create(tmp_path / "empty", SPACE) as empty:
        assert lacking(empty, ["kind"]) == ""
        wide.add(vectors_of(2), [{**row, "extra": {}} for row in rows_of(2)])
        assert lacking(wide, ["kind"]) == "no row has a column 'kind'; there is none"
        wide.replace(wide.ids(), vectors_of(2), many)
        assert lacking(wide, ["kind"]).endswith("c19, ...")


def test_columns_of_a_condition():
    assert named_in("extra ->> 'kind' = 'bell' AND extra->'b c' IS NULL OR narration = 'extra'") == ["kind", "b c"]
    assert named_in("extra ->> '$.kind' = 1 OR json_extract(extra, '$.x') = 2") == []


def test_the_command_says_so(store, tmp_path, capsys):
    np.save(tmp_path / "q.npy", vectors_of(8)[0])
    words = ["search", str(tmp_path / "s"), "--vector", str(tmp_path / "q.npy"), "--json", "--where"]
    assert main([*words, "extra ->> 'kinds' = 'bell'"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "retrieval: no row has a column 'kinds'; there are $, a.b, kind\n")
    assert main([*words, "extra ->> 'kind' = 'drum'"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main([*words, "extra ->> 'kind' = 'bell'"]) == 0
    assert {json.loads(line)["extra"]["kind"] for line in capsys.readouterr().out.splitlines()} == {"bell"}
