"""Media -> tensors, one definition: training, embedding, search and localization all come through here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.trainers import WordPieceTrainer
from torch import Tensor

from avssl import ops
from avssl.config import InputsConfig
from avssl.sample import Needs

PADDING = -1
"""token id of padding; every text encoder masks it"""


class Vocabulary:
    """Text -> token ids. Trained on a run's own narration, or taken from a pretrained tower; saved as JSON."""

    def __init__(self, json: str):
        self.json = json
        self._tokenizer = Tokenizer.from_str(json)
        self._tokenizer.no_padding()

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> Vocabulary:
        """WordPiece over ``texts``, at most ``size`` entries; deterministic."""
        tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = BertPreTokenizer()
        trainer = WordPieceTrainer(vocab_size=size, special_tokens=["[UNK]"], show_progress=False)
        tokenizer.train_from_iterator(sorted(set(texts)), trainer)
        return cls(tokenizer.to_str())

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def __call__(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def __reduce__(self) -> tuple[type[Vocabulary], tuple[str]]:
        return Vocabulary, (self.json,)


class Inputs:
    """How this run turns media into tensors. Picklable, so that loader workers hold the same one.

    Pictures stay uint8 (encoders convert whole batches), sound becomes a log-mel spectrogram or stays a waveform.
    """

    def __init__(self, cfg: InputsConfig, vocabulary: Vocabulary | None = None):
        self.cfg = cfg
        self.vocabulary = vocabulary

    def needs(self, *, frames: int | None = None, audio_seconds: float = 0.0, narrations: int = 0, clips: int = 1,
              window: str = "random", clip_gap_seconds: float = 0.0) -> Needs:  # fmt: skip
        """A request at this run's size and rates; ``frames`` None means the configured number."""
        cfg = self.cfg
        return Needs(
            clips=clips, frames=cfg.frames if frames is None else frames, fps=cfg.fps, audio_seconds=audio_seconds,
            narrations=narrations, window=window, clip_gap_seconds=clip_gap_seconds,  # type: ignore[arg-type]
            height=cfg.height, width=cfg.width, hz=cfg.hz,
        )  # fmt: skip

    def audio(self, wave: Tensor) -> Tensor:
        """Waveform float32 [..., S] at ``hz`` -> what audio encoders take: log-mel [..., M, F] or the wave itself."""
        cfg = self.cfg
        if cfg.audio == "wave":
            return wave.float()
        return ops.log_mel(wave, cfg.hz, cfg.mels, cfg.hop_seconds, cfg.window_seconds)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """K texts -> int64 [K, L], padded with -1; an empty text is all padding. Needs a vocabulary."""
        if self.vocabulary is None:
            raise ValueError("this run has no vocabulary: it was trained without narration, so it takes no text")
        rows = torch.full((len(texts), self.cfg.tokens), PADDING, dtype=torch.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = self.vocabulary(text)[: self.cfg.tokens]
            row[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
        return rows
