"""What is not wanted, told as words, as an item and as a file: hits keep away from it."""

import json

import pytest
from running import spans


def test_what_is_not_wanted_is_kept_away_from(service):
    """Red and blue together; then the same without one of them, told as words, as an item and as a file."""

    def order(asked, **files):
        if files:
            sent = [(name, "query", content) for name, content in files.items()]
            kinds = {"file": ("kind", "video"), "minus": ("minus_kind", "image")}
            fields = dict(kinds[name] for name in files) | {"question": json.dumps(asked)}
            answer = service.send("/api/search/upload", sent, fields)
        else:
            answer = service.post("/api/search", asked)
        assert not list(service.folder.iterdir())
        return [start for _, start, _ in spans(answer)]

    asked = {"text": "red", "windows": True, "top": 3, "filters": {"recording": "other"}}
    scores = [hit["score"] for hit in service.post("/api/search", asked).json["moments"]]
    assert scores == sorted(scores, reverse=True)
    blue = {"windows": True, "filters": {"recording": "other", "said": "blue"}}
    item = service.post("/api/search", {"text": "blue", **blue}).json["moments"][0]["id"]
    assert set(order(asked)) == {0.0, 2.0, 4.0}
    assert order({**asked, "minus": [{"text": "blue"}]}) == [0.0, 2.0, 4.0]
    assert order({**asked, "minus": [{"text": "green"}]}) == [0.0, 4.0, 2.0]
    assert order({**asked, "minus": [{"text": "green"}, {"text": "blue", "weight": 3.0}]}) == [0.0, 2.0, 4.0]
    assert order({**asked, "minus": [{"item": item}]}) == [0.0, 2.0]  # which is not found itself
    assert order(asked, minus=b"blue") == [0.0, 2.0, 4.0]
    assert order(asked, minus=b"green") == [0.0, 4.0, 2.0]
    assert service.painter.seen[-1] == ("image", "green")
    assert order({**asked, "text": ""}, file=b"red", minus=b"green") == [0.0, 4.0, 2.0]


@pytest.mark.parametrize(
    "minus",
    [
        3, {}, "blue", [3], [{}], [{"text": ""}], [{"text": "red", "item": 1}], [{"text": "red", "weight": 0}],
        [{"text": "red", "weight": True}], [{"text": "red", "weight": 1e9}], [{"item": -1}], [{"item": "0"}],
        [{"text": "red", "path": "/etc/passwd"}], [{"text": "x" * 1001}], [{"text": "red"}] * 9, [{"text": None}],
    ],
)  # fmt: skip
def test_wrong_minus_is_one_line(service, minus):
    answer = service.post("/api/search", {"text": "red", "minus": minus})
    assert answer.status == 400, answer.body
    assert "\n" not in answer.json["error"]


def test_minus_alone_finds_nothing(service):
    assert service.post("/api/search", {"minus": [{"text": "red"}]}).status == 400
    answer = service.send("/api/search/upload", [("minus", "x", b"red")], {"minus_kind": "image"})
    assert (answer.status, "minus alone" in answer.json["error"]) == (400, True)
    assert service.post("/api/search", {"text": "red", "minus": [{"item": 77}]}).status == 404
    # What cancels out is told.
    assert "cancel" in service.post("/api/search", {"text": "red", "minus": [{"text": "red"}]}).json["error"]


@pytest.mark.parametrize(
    ("files", "fields", "told"),
    [
        ([("minus", "x", b"red")], {"question": '{"text": "red"}'}, "minus_kind must be one of"),
        ([("file", "x", b"red")], {"kind": "audio", "minus_kind": "audio"}, "send that as minus"),
        ([("file", "x", b"red")], {"kind": "audio", "minus": "red", "minus_kind": "audio"}, "send that as minus"),
        ([("file", "x", b"red"), ("minus", "x", b"no")], {"kind": "audio", "minus_kind": "image"}, "the upload: is no"),
        ([("file", "x", b"red")] * 2 + [("minus", "x", b"red")], {"kind": "audio", "minus_kind": "image"}, ""),
    ],
)
def test_wrong_uploads_to_keep_away_from(service, files, fields, told):
    answer = service.send("/api/search/upload", files, fields)
    assert answer.status == 400, answer.body
    assert told in answer.json["error"]
    assert str(service.folder) not in answer.json["error"]
    assert not list(service.folder.iterdir())
