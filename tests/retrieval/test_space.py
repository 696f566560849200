import json

import pytest

from retrieval.space import Space

MAIN = Space("main", "a" * 64, ("video", "text"), 16)


def test_json_round_trip():
    space = Space("räume", "abc", ("video", "audio"), 7)
    assert Space.from_json(space.to_json()) == space
    assert Space.from_json(json.loads(space.to_json())) == space


def test_same_checkpoint_passes_and_another_is_named():
    MAIN.check(Space("main", "a" * 64, ("video",), 16))
    with pytest.raises(
        ValueError,
        match=r"the vectors here are of space main \(checkpoint aaaaaaaaaaaa.*given is of space main \(checkpoint b",
    ) as e:
        MAIN.check(Space("main", "b" * 64, ("video", "text"), 16))
    assert "checkpoint bbbbbbbbbbbb" in str(e.value)
    assert "embed again with the same run" in str(e.value)
    assert "\n" not in str(e.value)
    with pytest.raises(ValueError, match="32 wide"):
        MAIN.check(Space("main", "a" * 64, ("video", "text"), 32))
    with pytest.raises(ValueError, match="space fine"):
        MAIN.check(Space("fine", "a" * 64, ("video", "text"), 16))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "JSON object"),
        ("[]", "exactly name"),
        ('{"name": "m"}', "exactly name"),
        ('{"name": "m", "digest": "d", "modalities": "video", "width": 3}', "list of names"),
        ('{"name": "m", "digest": "d", "modalities": [], "width": 3}', "list of names"),
        ('{"name": "m", "digest": "d", "modalities": [3], "width": 3}', "list of names"),
        ('{"name": "m", "digest": "d", "modalities": ["video"], "width": "3"}', "whole number"),
        ('{"name": "m", "digest": "d", "modalities": ["video"], "width": 0}', "whole number"),
        ('{"name": "", "digest": "d", "modalities": ["video"], "width": 3}', "needs a name"),
        ('{"name": "m", "digest": 1, "modalities": ["video"], "width": 3}', "needs the digest"),
    ],
)
def test_anything_else_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        Space.from_json(text)
