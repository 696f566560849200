"""Whisper of faster-whisper (extra ``asr``): the same answers, several times quicker on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avssl.data.narration import Phrase
from avssl.speech.doubt import Heard
from avssl.speech.whisper import Sound
from avssl.words import one_line


class FasterWhisper:
    """A recognizer; ``name`` is a size (``tiny``), a folder of a converted model, or a hub name.

    ``origin`` is the folder or hub name its weights are from. Raises ValueError if the package or the model is not
    there.
    """

    def __init__(self, name: str, device: str = "cpu"):
        try:
            from faster_whisper import WhisperModel
        except ImportError:
            raise ValueError("--engine faster-whisper needs its package: pip install 'avssl[asr]'") from None
        try:
            self.model: Any = WhisperModel(name, device=device, compute_type="int8" if device == "cpu" else "default")
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"{name}: no model of faster-whisper there ({one_line(error)})") from None
        self.origin = name if Path(name).is_dir() else _repository(name)

    def language_of(self, sound: Sound) -> str:
        """The most probable language."""
        return str(self.model.detect_language(sound)[0])

    def hear(self, sound: Sound, language: str) -> list[Heard]:
        """Segments with words."""
        segments, _ = self.model.transcribe(
            sound,
            language=language,
            word_timestamps=True,
            condition_on_previous_text=False,
            no_speech_threshold=None,  # what holds no speech is told by `speech.doubt`, as it was asked for
        )
        return [
            Heard(
                Phrase(float(one.start), float(one.end), one.text.strip(),
                       tuple((float(w.start), float(w.end), w.word.strip()) for w in one.words or ())),
                float(one.no_speech_prob), float(one.avg_logprob),
            )
            for one in segments
        ]  # fmt: skip


def _repository(name: str) -> str:
    """The hub name behind a size; the package tells it nowhere but in a table of its own."""
    try:
        from faster_whisper.utils import _MODELS
    except ImportError:
        return name
    return str(_MODELS.get(name, name))
