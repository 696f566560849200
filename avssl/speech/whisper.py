"""Whisper of transformers, from a local folder or a hub name.

Alec Radford, Jong Wook Kim, Tao Xu, Greg Brockman, Christine McLeavey, Ilya Sutskever: Robust Speech Recognition via
Large-Scale Weak Supervision, 2022, arXiv:2212.04356.
"""

from __future__ import annotations

import itertools
import socket
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import numpy as np
import torch
from numpy.typing import NDArray

from avssl.data.narration import Phrase
from avssl.speech.doubt import Heard
from avssl.words import one_line

HZ = 16000
HUB_SECONDS = 5.0
Sound = NDArray[np.float32]


def _downloaded(name: str) -> bool:
    """Whether a hub's model is on this machine already. Raises OSError if neither it nor the hub can be reached."""
    from huggingface_hub import constants, try_to_load_from_cache

    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return True
    address = urlsplit(constants.ENDPOINT)
    try:  # the hub's own client tries for minutes
        socket.create_connection((address.hostname or "", address.port or 443), HUB_SECONDS).close()
    except OSError as error:
        raise OSError(f"it is not on this machine, and {address.hostname} cannot be reached: {error}") from None
    return False


class Recognizer(Protocol):
    """What :mod:`avssl.speech.transcribe` asks for."""

    def language_of(self, sound: Sound) -> str:
        """The language (``en``) that a sound, float [S] at 16 kHz, is most probably in."""
        ...

    def hear(self, sound: Sound, language: str) -> list[Heard]:
        """Segments of at most 30 s of sound, float [S] at 16 kHz; times from its beginning."""
        ...


class Whisper:
    """A recognizer; ``name`` is a folder or a hub name. Raises ValueError if it is not there or no Whisper.

    ``origin`` is where its weights, and what their author states, are from.
    """

    def __init__(self, name: str, device: str = "cpu"):
        from transformers import WhisperForConditionalGeneration, WhisperProcessor
        from transformers.utils import logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        if not Path(name).is_dir() and (name.startswith((".", "/", "~")) or name.endswith("/")):
            raise ValueError(f"{name}: no such folder; give one that holds a Whisper, or a name: openai/whisper-tiny")
        if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
            raise ValueError(f"{name}: no Whisper there (no config.json); give a folder that holds one")
        try:
            kept = Path(name).is_dir() or _downloaded(name)
            self.processor: Any = WhisperProcessor.from_pretrained(name, local_files_only=kept)
            model: Any = WhisperForConditionalGeneration.from_pretrained(
                name, local_files_only=kept, use_safetensors=True
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            how = "give a folder that holds one, or a name: openai/whisper-tiny"
            raise ValueError(f"{name}: no Whisper there ({one_line(error)}); {how}") from None
        self.origin = name
        self.model: Any = model.eval().to(device)
        self.device = device
        tokenizer = self.processor.tokenizer
        known = tokenizer.get_vocab()
        self.start: int = self.model.config.decoder_start_token_id
        self.no_speech = next((known[word] for word in ("<|nospeech|>", "<|nocaptions|>") if word in known), None)
        languages: dict[str, int] = getattr(self.model.generation_config, "lang_to_id", None) or {}
        self.languages = {token: word.strip("<|>") for word, token in languages.items()}
        self.words = bool(getattr(self.model.generation_config, "alignment_heads", None))

    def features(self, sound: Sound) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-mel spectrogram of 30 s, padded, [1, M, 3000], and where it is not padded, [1, 3000]."""
        extract = self.processor.feature_extractor
        found = extract(sound, sampling_rate=HZ, return_tensors="pt", return_attention_mask=True)
        return found.input_features.to(self.device), found.attention_mask.to(self.device)

    @torch.inference_mode()
    def language_of(self, sound: Sound) -> str:
        """The most probable of the model's languages; ``en`` for a model that knows no other."""
        if not self.languages:
            return "en"
        logits = self._first(self.features(sound)[0])
        return max(self.languages.items(), key=lambda pair: float(logits[pair[0]]))[1]

    def _first(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [V] of what comes after the start of a transcript."""
        start = torch.tensor([[self.start]], device=self.device)
        logits: torch.Tensor = self.model(input_features=features, decoder_input_ids=start).logits[0, 0].float()
        return logits

    @torch.inference_mode()
    def hear(self, sound: Sound, language: str) -> list[Heard]:
        """Segments with their words' times where the model has alignment heads."""
        features, mask = self.features(sound)
        silent = 0.0 if self.no_speech is None else float(self._first(features).softmax(0)[self.no_speech])
        told = {"language": language, "task": "transcribe"} if self.languages else {}
        before = [self.start]
        if self.languages:
            generation = self.model.generation_config
            if f"<|{language}|>" not in generation.lang_to_id:
                raise ValueError(
                    f"--language {language}: this model knows {', '.join(sorted(self.languages.values()))}"
                )
            before += [generation.lang_to_id[f"<|{language}|>"], generation.task_to_id["transcribe"]]
        try:
            made = self.model.generate(
                features, attention_mask=mask, return_timestamps=True, return_segments=True,
                return_token_timestamps=self.words, **told,
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(
                f"{self.origin}: this Whisper cannot be asked ({one_line(error)}); compare its generation_config.json "
                "with that of openai/whisper-tiny"
            ) from None
        heard = []
        for segment in made["segments"][0]:
            if float(segment["start"]) >= len(sound) / HZ:
                continue  # said to be in the padding
            text = self.processor.tokenizer.decode(segment["tokens"], skip_special_tokens=True).strip()
            start = float(segment["start"])
            end = max(start, min(float(segment["end"]), len(sound) / HZ))
            words = self._words(segment, start, end) if self.words else ()
            heard.append(
                Heard(Phrase(start, end, text, words), silent, self._likely(features, before, segment["tokens"]))
            )
        return heard

    def _likely(self, features: torch.Tensor, before: list[int], tokens: torch.Tensor) -> float:
        """Mean log-probability of the tokens of a segment, said after ``before``."""
        whole = torch.cat([torch.tensor(before, device=self.device), tokens])[None]
        logits = self.model(input_features=features, decoder_input_ids=whole[:, :-1]).logits[0].float()
        return float(logits.log_softmax(1).gather(1, whole[0, 1:, None])[len(before) - 1 :].mean())

    def _words(self, segment: dict[str, Any], first: float, last: float) -> tuple[tuple[float, float, str], ...]:
        """Tokens that begin with a space begin a word; a word ends where the next one begins."""
        tokenizer, special = self.processor.tokenizer, set(self.processor.tokenizer.all_special_ids)
        pieces: list[tuple[float, list[int]]] = []
        first_time = self.processor.tokenizer.convert_tokens_to_ids("<|0.00|>")
        for token, time in zip(segment["tokens"].tolist(), segment["token_timestamps"].tolist(), strict=True):
            if token in special or token >= first_time:
                continue
            if not pieces or tokenizer.decode([token]).startswith(" "):
                pieces.append((time, []))
            pieces[-1][1].append(token)
        bounds = [*(max(first, min(time, last)) for time, _ in pieces), last]
        said = [(begin, end, tokenizer.decode(ids).strip())
                for (begin, end), (_, ids) in zip(itertools.pairwise(bounds), pieces, strict=True)]  # fmt: skip
        return tuple(word for word in said if word[2])
