"""What sync slides is what training compares: at no offset the correlation is the flagship's own score of moments."""

from __future__ import annotations

import numpy as np
import torch
from contract import tiny

from avssl.methods.base import HasCourse
from avssl.sync.curve import Course, slide


def test_the_courses_of_trimodal_give_its_own_score_at_no_offset():
    sizes = "inputs.frames=16", "inputs.fps=12.5", "inputs.audio_seconds=1.28"
    run = tiny.run("trimodal", "method.remove_mean=true", *sizes)
    method = run.method().eval()
    assert isinstance(method, HasCourse)
    video, audio = run.x("video", 3), run.x("audio", 3)
    with torch.no_grad():
        seen, heard = method.course("video", video), method.course("audio", audio)
        trained = (method.seen(video).moments * method.heard(audio, seen.shape[1]).moments).sum((1, 2))
    for row in range(3):
        courses = [
            Course(x[row].double().numpy(), 1.28 / x.shape[1], np.ones(x.shape[1], bool)) for x in (seen, heard)
        ]  # fmt: skip
        sums = slide(*courses, np.array([0.0]))
        least = 1e-3  # what training adds to each size, so that stillness is not divided by zero
        score = sums.products / ((np.sqrt(sums.seen) + least) * (np.sqrt(sums.heard) + least))
        np.testing.assert_allclose(score, trained[row].item(), atol=1e-5)
