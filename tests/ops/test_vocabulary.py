"""Text -> tokens: the same on every rank and in every process, and never more than asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from avssl.config import InputsConfig
from avssl.inputs import Inputs, Vocabulary

TEXTS = ["The bell rings", "a drum and a whistle", "rain on the engine", "birds, and a siren", "the clock strikes ten"]


@pytest.mark.parametrize("size", [32, 60, 500])
def test_another_process_trains_the_same(size):
    """The trainer's hash has a random seed of its own in each process: two ranks must not end with two vocabularies."""
    code = f"from avssl.inputs import Vocabulary; print(Vocabulary.train({TEXTS!r}, {size}).json, end='')"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told == Vocabulary.train(TEXTS, size).json


def test_every_known_word_has_tokens_and_large_vocabularies_hold_it_whole():
    words = Vocabulary.train(TEXTS, 500)
    assert len(words("the bell")) == 2
    assert words("THE BELL") == words("the bell"), "case does not matter"
    small = Vocabulary.train(TEXTS, 32)
    assert len(small("whistle")) > 1, "a small vocabulary spells"
    assert 0 <= min(small("whistle")) <= max(small("whistle")) < len(small)


def test_texts_are_padded_cut_and_empty_ones_have_no_token():
    inputs = Inputs(InputsConfig(tokens=4), Vocabulary.train(TEXTS, 500))
    rows = inputs.tokens(["the bell rings", "", "  ", "a drum and a whistle"])
    assert rows.shape == (4, 4)
    assert (rows[0] >= 0).tolist() == [True, True, True, False]
    assert (rows[1:3] == -1).all()
    assert (rows[3] >= 0).all()


def test_without_a_vocabulary_there_is_no_text():
    with pytest.raises(ValueError, match="no vocabulary"):
        Inputs(InputsConfig()).tokens(["a bell"])
