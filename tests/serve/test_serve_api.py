"""The HTTP API: what is found, by what, and how it is told."""

import json
import re
import shlex
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
from running import SHOUT, Painter, make_store, running, spans

import retrieval
from retrieval.serve.openapi import describe
from retrieval.serve.settings import Settings
from retrieval.store import Store


def test_a_text_finds_the_seconds_it_is_about(service):
    answer = service.post("/api/search", {"text": "green", "top": 2})
    assert spans(answer)[0][1:] == (2.0, "video")
    best = answer.json["moments"][0]
    assert best["peak"] == 2.0
    assert best["score"] == pytest.approx(1.0)
    assert best["calibrated"] is None
    assert best["media"] == f"/media/{best['id']}"
    assert best["type"] == "video/mp4"
    assert best["columns"]["color"] == "green"
    assert [phrase["text"] for phrase in best["said"]] == [SHOUT, "now green grass", "blue sky"]
    assert "path" not in best
    assert "/" not in best["name"]


@pytest.mark.parametrize("kind", ["image", "audio", "video"])
def test_an_upload_finds_and_leaves_nothing_behind(service, kind):
    answer = service.upload("/api/search/upload", b"blue", kind=kind, question='{"top": 1, "among": "audio"}')
    assert [span[1:] for span in spans(answer)] == [(4.0, "audio")]
    assert service.painter.seen[-1] == (kind, "blue")
    assert service.painter.paths[-1].parent == service.folder
    assert not list(service.folder.iterdir())


def test_an_item_finds_others_like_it_and_not_its_own_recording(service):
    mine = service.post("/api/search", {"text": "red", "top": 1}).json["moments"][0]
    found = service.post("/api/search", {"item": mine["id"], "top": 5}).json["moments"]
    assert found
    assert all(hit["recording"] != mine["recording"] for hit in found)
    assert found[0]["start"] == mine["start"]
    own = service.post("/api/search", {"item": mine["id"], "top": 9, "own": True, "windows": True}).json["moments"]
    assert mine["recording"] in {hit["recording"] for hit in own}
    assert mine["id"] not in {hit["id"] for hit in own}


def test_a_centered_question_is_less_what_all_of_its_kind_share(service, stored):
    with Store.open(stored) as store:
        own = store.vectors(store.ids("modality = 'audio'")).astype(float)
        pictures = store.vectors(store.ids("modality = 'video'")).astype(float)
    plain = service.painter.embed("text", "blue")[0]
    left = (plain - own.mean(0)) / np.linalg.norm(plain - own.mean(0))
    for centered, query in ((False, plain), (True, left)):
        question = json.dumps({"among": "video", "windows": True, "top": 3, "centered": centered})
        answer = service.upload("/api/search/upload", b"blue", kind="audio", question=question)
        told = [hit["score"] for hit in answer.json["moments"]]
        assert told == pytest.approx(np.sort(pictures @ query)[::-1][:3], abs=1e-5)


def test_words_and_a_file_are_searched_with_together(service):
    asked = {"text": "red", "windows": True, "top": 3, "filters": {"recording": "other"}}
    answer = service.upload("/api/search/upload", b"blue", kind="video", question=json.dumps(asked))
    assert sorted(span[1] for span in spans(answer)[:2]) == [0.0, 4.0]


def test_any_modality_is_one_list_ordered_by_comparable_scores(service):
    found = service.post("/api/search", {"text": "red", "among": "any", "top": 18, "windows": True}).json["moments"]
    assert {hit["modality"] for hit in found} == {"video", "audio", "text"}
    scores = [hit["calibrated"] for hit in found]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"recording": "other"}, {("other", 0.0), ("other", 2.0), ("other", 4.0)}),
        ({"recording": "nobody"}, set()),
        ({"said": "GRASS"}, {("other", 2.0), ("one/<i>colors</i>", 2.0)}),
        ({"said": "%"}, set()),
        ({"since": 4.5}, {("other", 4.0), ("one/<i>colors</i>", 4.0)}),
        ({"until": 1.0}, {("other", 0.0), ("one/<i>colors</i>", 0.0)}),
        ({"columns": {"color": "blue", "tag": "<b>bold</b>"}}, {("other", 4.0)}),
        ({"columns": {"place": 1}}, {("other", 2.0), ("one/<i>colors</i>", 2.0)}),
        ({"columns": {"color": "blue' OR 1=1 --"}}, set()),
    ],
)
def test_filters(service, filters, left):
    asked = {"text": "red", "top": 20, "windows": True, "filters": filters}
    assert {span[:2] for span in spans(service.post("/api/search", asked))} == left
    browsed = service.get(f"/api/items?filters={json.dumps(filters).replace(' ', '').replace('%', '%25')}"
                          .replace("<", "%3C").replace(">", "%3E").replace("'", "%27").replace('"', "%22")
                          .replace("blue%27OR", "blue%27%20OR"))  # fmt: skip
    assert {(hit["recording"], hit["start"]) for hit in browsed.json["moments"]} == left
    assert browsed.json["total"] == len(left)


@pytest.mark.parametrize("name", ["kind", "$", "color.x"])
def test_a_column_that_no_row_has_is_told_with_those_there_are(service, name):
    filters = {"columns": {"color": "blue", name: "bell"}}
    asked = service.post("/api/search", {"text": "red", "filters": filters})
    browsed = service.get("/api/items?filters=" + urllib.parse.quote(json.dumps(filters)))
    for answer in (asked, browsed):
        assert answer.status == 400
        assert answer.json == {"error": f"no row has a column {name!r}; there are color, place, tag"}


def test_browsing_pages_and_spreads(service):
    first = service.get("/api/items?limit=4").json
    second = service.get("/api/items?limit=4&offset=4").json
    assert first["total"] == second["total"] == 6
    assert len({hit["id"] for hit in first["moments"] + second["moments"]}) == 6
    assert all(hit["score"] is None for hit in first["moments"])
    even = service.get("/api/items?limit=2&even=true").json["moments"]
    assert [hit["recording"] for hit in even] == ["one/<i>colors</i>", "other"]


def test_one_item(service):
    hit = service.get("/api/items/0").json
    assert (hit["id"], hit["start"], hit["narration"]) == (0, 0.0, SHOUT)
    for missing in ("/api/items/77", "/api/items/9223372036854775807", f"/api/items/{10**30}"):
        assert service.get(missing).status == 404
    assert service.post("/api/search", {"item": 77}).status == 404


def test_info_says_what_can_be_asked(service):
    info = service.get("/api/info").json
    assert info["modalities"] == {"video": 6, "audio": 6, "text": 6}
    assert info["usual"] == "video"
    assert info["kinds"] == ["text", "image", "audio", "video"]
    assert [value for value, _ in info["columns"]["color"]] == ["blue", "green", "red"]


def test_the_description_is_of_what_is_there(service):
    described = service.get("/openapi.json").json
    assert described == json.loads(json.dumps(describe(Settings(port=0))))
    routes = {route.path for route in service.service.app()._app.routes}
    told = {re.sub(r"\{id\}", "{id:int}", path) for path in described["paths"]}
    assert told == {path for path in routes if path.startswith(("/api", "/media"))}
    moment = described["components"]["schemas"]["Moment"]
    hit = service.post("/api/search", {"text": "red"}).json["moments"][0]
    assert set(hit) == set(moment["properties"]) == set(moment["required"])
    heat = described["paths"]["/api/items/{id}/heat"]["post"]["responses"]["200"]["content"]["application/json"]
    assert set(service.post("/api/items/0/heat", {}).json) == set(heat["schema"]["required"])


def test_an_empty_store_answers(tmp_path):
    with running(make_store(tmp_path / "empty"), tmp_path / "up", Painter(), Settings(port=0)) as client:
        assert client.get("/api/info").json["moments"] == 0
        assert client.get("/api/items").json == {"total": 0, "moments": []}
        assert client.post("/api/search", {"text": "red"}).json["moments"] == []
        assert client.post("/api/search", {"item": 0}).status == 404


def test_without_a_network_items_are_found_and_the_rest_is_told(stored, tmp_path):
    with running(stored, tmp_path / "up", None, Settings(port=0)) as client:
        assert len(client.post("/api/search", {"item": 0}).json["moments"]) == 1
        for answer in (
            client.post("/api/search", {"text": "red"}),
            client.upload("/api/search/upload", b"red", kind="audio"),
            client.post("/api/items/0/heat", {}),
        ):
            assert answer.status == 501, answer.body
        assert client.get("/api/info").json["kinds"] == []


def test_a_network_of_another_checkpoint_is_refused(stored, tmp_path):
    from dataclasses import replace

    from running import SPACE

    other = Painter(space=replace(SPACE, digest="another"))
    with pytest.raises(ValueError, match="embed again"), running(stored, tmp_path / "up", other, Settings(port=0)):
        pass


def test_the_questions_in_the_readme_are_good(service):
    readme = (Path(retrieval.__file__).parent / "README.md").read_text("utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    by_text, by_upload, by_minus, by_file, media = (shlex.split(line) for line in block.splitlines())
    address = "localhost:8765"
    asked = json.loads(by_text[by_text.index("-d") + 1]) | {"text": "red"}  # the painter knows no bells
    assert asked["filters"]["columns"].pop("kind") == "bell"  # a label, which this store's rows have not
    asked["filters"]["columns"]["color"] = "red"
    assert service.post(by_text[1].removeprefix(address), asked).status == 200
    fields = dict(word.split("=", 1) for word in by_upload if "=" in word)
    assert fields.pop("file").startswith("@")
    assert service.upload(by_upload[1].removeprefix(address), b"red", **fields).status == 200
    away = json.loads(by_minus[by_minus.index("-d") + 1])
    away["minus"][0]["text"], away["minus"][1]["item"] = "green", 0
    assert service.post(by_minus[1].removeprefix(address), away | {"text": "blue"}).status == 200
    fields = dict(word.split("=", 1) for word in by_file if "=" in word)
    assert fields.pop("minus").startswith("@")
    fields["question"] = json.dumps(json.loads(fields["question"]) | {"text": "red"})
    assert service.send(by_file[1].removeprefix(address), [("minus", "x", b"blue")], fields).status == 200
    assert media[-1].startswith(f"{address}/media/")
