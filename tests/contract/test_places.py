"""The law of places: what an index keeps of a picture answers as the localizer does, for untrained networks too."""

from __future__ import annotations

import pytest
import torch
from contract import tiny

from avssl.methods.base import HasPlaces, Localizes, find

NAMES = [name for name in tiny.names() if isinstance(find(name), type) and hasattr(find(name), "places")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frames", [4, 5])
def test_places_and_what_is_sought_are_the_localizers_scores(name, frames):
    # Five frames in steps of two: not every step is shown for as long as the others.
    run = tiny.run(name, f"inputs.frames={frames}", f"inputs.audio_seconds={frames / 8}")
    method = run.method().eval()
    assert isinstance(method, HasPlaces)
    assert isinstance(method, Localizes)
    for modality in method.localizes:
        video, query = run.x("video", 3), run.x(modality, 3)
        with torch.no_grad():
            wanted = method.localize(video, query, modality).mean(1)  # [B, h, w]
            found = torch.einsum("bhwd,bd->bhw", method.places(video), method.sought(query, modality))
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
        assert wanted.flatten(1).std(1).min() > 0
    with pytest.raises(ValueError, match="smell"):
        method.sought(torch.zeros(1), "smell")


def test_the_flagship_and_the_other_localizers_have_places():
    assert set(NAMES) >= {"trimodal", "dense_av", "ave_net"}
