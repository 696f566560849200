"""Where in the picture: the boxes of hits in an index with regions, and heat maps."""

import pytest
from running import Painter, make_store, running

from retrieval.serve.settings import Settings


@pytest.fixture(scope="module")
def placed(colors, tmp_path_factory):
    """A service whose index has regions."""
    store = make_store(tmp_path_factory.mktemp("placed") / "store", (colors, "one"), (colors, "two"), regions=True)
    with running(store, tmp_path_factory.mktemp("up"), Painter(), Settings(port=0)) as client:
        yield client


CORNER = {"left": 0.75, "top": 0.0, "right": 1.0, "bottom": 0.5}


def test_a_hit_says_where_in_the_picture_and_when(placed):
    hits = placed.post("/api/search", {"text": "green", "top": 6, "windows": True}).json["moments"]
    boxes = {(hit["recording"], hit["start"]): hit["box"] for hit in hits}
    seen = {**CORNER, "start": 2.0, "end": 4.0}
    assert boxes[("one", 2.0)] == boxes[("two", 2.0)] == seen
    assert [box for (_, start), box in boxes.items() if start != 2.0] == [None] * 4  # below the threshold
    # A sound has the box in the picture of its time; a sound that is sent is looked for in pictures, too.
    sounds = placed.post("/api/search", {"text": "green", "among": "audio", "top": 1}).json["moments"]
    assert sounds[0]["box"] == seen
    sent = placed.upload("/api/search/upload", b"green", kind="audio", question='{"top": 1}').json["moments"]
    assert sent[0]["box"] == seen
    assert placed.painter.seen[-1] == ("seek", "green")
    # Pictures and items say nothing of a place.
    assert placed.upload("/api/search/upload", b"green", kind="video").json["moments"][0]["box"] is None
    assert placed.post("/api/search", {"item": 0}).json["moments"][0]["box"] is None
    assert all(hit["box"] is None for hit in placed.get("/api/items").json["moments"])


def test_without_regions_there_are_no_boxes_and_nothing_is_sought(service):
    service.painter.seen.clear()
    assert service.post("/api/search", {"text": "red", "top": 1}).json["moments"][0]["box"] is None
    assert ("seek", "red") not in service.painter.seen


def test_damaged_regions_cost_the_boxes_and_not_the_answer(colors, tmp_path):
    directory = make_store(tmp_path / "store", (colors, "one"), regions=True)
    (path,) = directory.glob("regions-*")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with running(directory, tmp_path / "up", Painter(), Settings(port=0)) as client:
        answer = client.post("/api/search", {"text": "red", "top": 1}).json
    assert answer["moments"][0]["box"] is None
    assert "is damaged" in answer["behind"]


def test_a_heat_map_is_of_one_sound(service):
    answer = service.send("/api/items/0/heat", [("minus", "x", b"red")], {"minus_kind": "audio"})
    assert (answer.status, "one sound" in answer.json["error"]) == (400, True)


def test_heat_maps_of_words_of_a_sound_and_of_the_recording_itself(service):
    words = service.post("/api/items/0/heat", {"text": "red", "start": 0.5, "end": 1.5}).json
    assert (words["rows"], words["columns"], words["times"]) == (2, 4, [0.5, 1.0, 1.5])
    assert [max(levels) for levels in words["levels"]] == [40, 120, 255]
    assert service.painter.seen[-1] == ("text", "red")
    assert service.post("/api/items/0/heat", {}).json["scale"] == "as painted"
    assert service.upload("/api/items/0/heat", b"red").status == 200
    assert service.painter.seen[-1][0] == "audio"
    long = service.post("/api/items/0/heat", {"start": 0, "end": 5000}).json
    assert long["times"][-1] == 20
    assert not list(service.folder.iterdir())


@pytest.mark.parametrize("asked", [{"start": 2, "end": 1}, {"start": -1}, {"start": "x"}, {"words": "red"}, [], 3])
def test_wrong_questions_for_heat_maps(service, asked):
    answer = service.post("/api/items/0/heat", asked)
    assert answer.status == 400, answer.body
