"""Where somebody may be speaking: levels by hand, silence, steady hum, pauses, and long stretches."""

from __future__ import annotations

import numpy as np
import pytest

from avssl.speech import voice


def tone(seconds, level=0.3, hz=500.0):
    time = np.arange(round(seconds * voice.HZ)) / voice.HZ
    return (level * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def quiet(seconds):
    return np.random.default_rng(0).normal(0, 1e-4, round(seconds * voice.HZ)).astype(np.float32)


def test_a_full_scale_tone_has_no_decibels_and_one_outside_the_band_is_not_heard():
    loud = voice.levels(tone(1.0, 1.0, 1000.0))
    assert loud.shape == (100,)
    assert loud[10:90] == pytest.approx(np.zeros(80), abs=0.2)
    assert voice.levels(tone(1.0, 0.1, 1000.0))[50] == pytest.approx(-20, abs=0.2)
    assert voice.levels(tone(1.0, 1.0, 50.0))[50] < -40


def test_voice_is_found_with_a_little_around_it():
    sound = np.concatenate([quiet(2), tone(1.5), quiet(0.3), tone(1), quiet(2), tone(0.5), quiet(1)])
    found = voice.stretches(sound)
    assert np.array(found) == pytest.approx(np.array([[1.8, 5.0], [6.6, 7.5]]), abs=0.05)
    assert voice.together(found) == [(found[0][0], found[1][1])]


@pytest.mark.parametrize("sound", [np.zeros(0, np.float32), np.zeros(100, np.float32), quiet(3), tone(3, 0.5, 50.0)])
def test_nobody_speaks_in_silence_or_hum(sound):
    assert voice.stretches(sound) == []


def test_a_click_is_too_short_and_a_sound_that_never_pauses_is_kept():
    assert voice.stretches(np.concatenate([quiet(2), tone(0.05), quiet(2)])) == []
    assert voice.stretches(tone(3)) == [(0.0, 3.0)]


def test_a_long_stretch_is_cut_where_it_is_softest():
    sound = np.concatenate([quiet(1), tone(24), tone(0.2, 0.02), tone(16), quiet(10)])
    parts = voice.stretches(sound)
    assert len(parts) == 2
    assert parts[0][1] == parts[1][0] == pytest.approx(25.1, abs=0.12)
    assert voice.together(parts) == parts
