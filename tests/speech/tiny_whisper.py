"""A Whisper of random weights, saved as transformers saves one: small, and it says nonsense."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

LANGUAGES = ("en", "de")


def alphabet() -> list[str]:
    """The 256 characters that stand for bytes in byte-level vocabularies."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(rest)) for byte in range(256)]


def saved(folder: Path, words: bool = True) -> Path:
    """Writes the model to ``folder``; with alignment heads if ``words``."""
    vocab = {token: number for number, token in enumerate([*alphabet(), "<|endoftext|>"])}
    tokenizer = WhisperTokenizer(vocab=vocab, merges=[])
    tokenizer.add_special_tokens({
        "additional_special_tokens": [
            "<|startoftranscript|>", *(f"<|{one}|>" for one in LANGUAGES), "<|translate|>", "<|transcribe|>",
            "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
        ]
    })  # fmt: skip
    tokenizer.add_tokens([f"<|{k * 0.02:.2f}|>" for k in range(1501)])
    known = tokenizer.get_vocab()
    torch.manual_seed(0)
    cfg = WhisperConfig(
        vocab_size=len(known), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_mel_bins=8, max_target_positions=40,
        decoder_start_token_id=known["<|startoftranscript|>"], eos_token_id=known["<|endoftext|>"],
        bos_token_id=known["<|endoftext|>"], pad_token_id=known["<|endoftext|>"], begin_suppress_tokens=None,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(cfg)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=cfg.decoder_start_token_id, eos_token_id=cfg.eos_token_id, pad_token_id=cfg.pad_token_id,
        bos_token_id=cfg.bos_token_id, max_length=30, is_multilingual=True, return_timestamps=False,
        lang_to_id={f"<|{one}|>": known[f"<|{one}|>"] for one in LANGUAGES},
        task_to_id={"transcribe": known["<|transcribe|>"], "translate": known["<|translate|>"]},
        no_timestamps_token_id=known["<|notimestamps|>"], prev_sot_token_id=known["<|startofprev|>"],
        **({"alignment_heads": [[0, 0], [0, 1]]} if words else {}),
    )  # fmt: skip
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(feature_size=8), tokenizer).save_pretrained(folder)
    return folder
