"""Media -> tensors, one definition: training, embedding, search and localization all come through here."""

from __future__ import annotations

import json
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

    def __init__(self, text: str):
        self.json = text
        self._tokenizer = Tokenizer.from_str(text)
        self._tokenizer.no_padding()

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> Vocabulary:
        """WordPiece over ``texts``, about ``size`` entries (never fewer than their characters); deterministic."""
        words = Tokenizer(WordPiece(unk_token="[UNK]"))
        words.normalizer = BertNormalizer(lowercase=True)
        words.pre_tokenizer = BertPreTokenizer()
        texts = sorted(set(texts))
        normal = (words.normalizer.normalize_str(text) for text in texts)
        letters = sorted({letter for text in normal for letter in text if not letter.isspace()})
        # the trainer numbers what continues a word in the order of a random hash, and breaks ties by number, so that
        # ranks would disagree; named beforehand, these pieces have fixed numbers
        named = ["[UNK]", *(f"##{letter}" for letter in letters)]
        words.train_from_iterator(texts, WordPieceTrainer(vocab_size=size, special_tokens=named, show_progress=False))
        plain = Tokenizer(WordPiece(words.get_vocab(), unk_token="[UNK]"))
        plain.normalizer, plain.pre_tokenizer = words.normalizer, words.pre_tokenizer
        return cls(json.dumps(json.loads(plain.to_str()), sort_keys=True, ensure_ascii=False))

    def __len__(self) -> int:
        return int(self._tokenizer.get_vocab_size())

    def __call__(self, text: str, most: int | None = None) -> list[int]:
        """Token ids, at most ``most`` of them; an ending that a tower's tokenizer adds is kept. Empty text has none."""
        if not text.strip():
            return []
        if most is None:
            self._tokenizer.no_truncation()
        else:
            self._tokenizer.enable_truncation(most)
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def knows(self, text: str) -> bool:
        """Whether any word of it, or a piece of one, is known."""
        return bool(set(self(text)) - {self._tokenizer.token_to_id("[UNK]")})

    def words(self) -> list[str]:
        """The entries that are whole words, in order."""
        pieces = ((piece, self._tokenizer.decode([id_])) for piece, id_ in self._tokenizer.get_vocab().items())
        return sorted({word for piece, word in pieces if word.isalpha() and len(word) > 1 and piece[:2] != "##"})

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
              window: str = "random", clip_gap_seconds: float = 0.0,
              streams: tuple[str, ...] = ()) -> Needs:  # fmt: skip
        """A request at this run's size and rates; ``frames`` None means the configured number."""
        cfg = self.cfg
        return Needs(
            clips=clips, frames=cfg.frames if frames is None else frames, fps=cfg.fps, audio_seconds=audio_seconds,
            narrations=narrations, window=window, clip_gap_seconds=clip_gap_seconds,  # type: ignore[arg-type]
            height=cfg.height, width=cfg.width, hz=cfg.hz, words_inside=cfg.narration == "window", streams=streams,
        )  # fmt: skip

    def audio(self, wave: Tensor) -> Tensor:
        """Waveform float32 [..., S] at ``hz`` -> what audio encoders take: log-mel [..., M, F] or the wave itself."""
        cfg = self.cfg
        if cfg.audio == "wave":
            return wave.float()
        return ops.log_mel(wave, cfg.hz, cfg.mels, cfg.hop_seconds, cfg.window_seconds)

    def reads(self, text: str) -> bool:
        """Whether any word of it is known; to a tower's own tokenizer all are."""
        return self.vocabulary is None or self.vocabulary.knows(text)

    def check_read(self, text: str) -> None:
        """Raise ValueError for a text of which no word is known."""
        if not self.reads(text):
            raise ValueError(f"this run has read no word of {text[:60]!r}: it cannot tell what that means")

    def same_seconds(self, why: str) -> None:
        """Raise ValueError unless pictures and sound of a window are equally long, within a picture."""
        cfg = self.cfg
        if abs(cfg.seconds - cfg.audio_seconds) * cfg.fps > 0.5:
            raise ValueError(
                f"inputs.frames={cfg.frames} at inputs.fps={cfg.fps:g} are {cfg.seconds:g} s, but "
                f"inputs.audio_seconds={cfg.audio_seconds:g}: {why}; make them equal"
            )

    @property
    def silence(self) -> float:
        """The value that :meth:`audio` makes of silence."""
        return 0.0 if self.cfg.audio == "wave" else ops.MEL_SILENCE

    def audio_seconds(self, x: Tensor) -> float:
        """Length of what :meth:`audio` made, [B, M, F] or [B, S], in seconds."""
        return x.shape[1] / self.cfg.hz if self.cfg.audio == "wave" else x.shape[1] * self.cfg.hop_seconds

    def middle(self, x: Tensor, seconds: float, kind: str) -> Tensor:
        """The middle ``seconds`` of windows of pictures [B, T, ...] or sound [B, M, F] or [B, S]; all of them for 0. Of
        an "image", the picture in the middle, [B, ...]."""
        cfg = self.cfg
        if kind == "image":
            return x[:, x.shape[1] // 2]
        rate = cfg.fps if kind != "audio" else cfg.hz if cfg.audio == "wave" else 1 / cfg.hop_seconds
        length = min(max(1, round(seconds * rate)), x.shape[1]) if seconds else x.shape[1]
        return x.narrow(1, (x.shape[1] - length) // 2, length)

    def steps(self, x: Tensor, stride: int) -> int:
        """How many steps of ``stride`` pictures show a window as long as this sound."""
        return max(1, -(-round(self.audio_seconds(x) * self.cfg.fps) // stride))

    def filled(self, x: Tensor, steps: int, stride: int) -> float:
        """The share of so many steps' time that this sound lasts; the last step may reach beyond it."""
        return self.audio_seconds(x) * self.cfg.fps / (steps * stride)

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """K texts -> int64 [K, L], padded with -1; an empty text is all padding. Needs a vocabulary."""
        if self.vocabulary is None:
            raise ValueError("this run has no vocabulary: it was trained without narration, so it takes no text")
        rows = torch.full((len(texts), self.cfg.tokens), PADDING, dtype=torch.int64)
        for row, text in zip(rows, texts, strict=True):
            ids = self.vocabulary(text, self.cfg.tokens)
            row[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
        return rows
