"""Tiny randomly initialized checkpoints of transformers, written as their authors write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers as t

from avssl.config import EncoderConfig

SMALL = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}
STEM = {
    "conv_dim": (16, 16), "conv_stride": (20, 16), "conv_kernel": (40, 16), "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2,
}  # fmt: skip
HZ = 16000
COLORS = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3]}


def save(folder: Path, model: Any, preprocessor: Any = None) -> str:
    """The model in ``folder``, with a preprocessor (an object of transformers, or plain values)."""
    model.save_pretrained(folder)
    if isinstance(preprocessor, dict):
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    elif preprocessor is not None:
        preprocessor.save_pretrained(folder)
    return str(folder)


def spec(path: str, **changes: Any) -> EncoderConfig:
    """The config of a tower that lies in that folder."""
    return EncoderConfig(**{"name": "pretrained", "path": path, "width": 24, **changes})


def make(folder: Path, kind: str, **changes: Any) -> str:
    """One checkpoint of that kind; returns its folder."""
    t.utils.logging.disable_progress_bar()  # as it is once a tower was loaded, whichever test comes first
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    return globals()[f"_{kind}"](folder, changes)


def _vit(folder: Path, changes: dict[str, Any]) -> str:
    return save(folder, t.ViTModel(t.ViTConfig(**{**VISION, **changes})), COLORS)


def _dinov2(folder: Path, changes: dict[str, Any]) -> str:
    config = t.Dinov2WithRegistersConfig(**{**VISION, "num_register_tokens": 3, **changes})
    return save(folder, t.Dinov2WithRegistersModel(config), COLORS)


def _clip(folder: Path, changes: dict[str, Any]) -> str:
    text = {**SMALL, "vocab_size": 40, "max_position_embeddings": 8, "bos_token_id": 38, "eos_token_id": 39}
    config = t.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=16, **changes)
    return save(folder, t.CLIPModel(config), COLORS)


def _siglip(folder: Path, changes: dict[str, Any]) -> str:
    text = {**SMALL, "vocab_size": 40, "max_position_embeddings": 8, "projection_size": 32}
    return save(folder, t.SiglipModel(t.SiglipConfig(text_config=text, vision_config=VISION, **changes)), COLORS)


def _resnet(folder: Path, changes: dict[str, Any]) -> str:
    config = t.ResNetConfig(embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], **changes)
    return save(folder, t.ResNetModel(config), COLORS)


def _videomae(folder: Path, changes: dict[str, Any]) -> str:
    config = t.VideoMAEConfig(**{**VISION, "num_frames": 4, "tubelet_size": 2, **changes})
    return save(folder, t.VideoMAEModel(config), COLORS)


def _vivit(folder: Path, changes: dict[str, Any]) -> str:
    config = t.VivitConfig(**{**SMALL, "image_size": 32, "num_frames": 4, "tubelet_size": [2, 8, 8], **changes})
    return save(folder, t.VivitModel(config), COLORS)


def _timesformer(folder: Path, changes: dict[str, Any]) -> str:
    config = t.TimesformerConfig(**{**VISION, "num_frames": 4, **changes})
    return save(folder, t.TimesformerModel(config), COLORS)


def _vjepa2(folder: Path, changes: dict[str, Any]) -> str:
    config = t.VJEPA2Config(
        **{**SMALL, "crop_size": 32, "patch_size": 8, "frames_per_clip": 4, "pred_hidden_size": 16,
           "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1, **changes}
    )  # fmt: skip
    return save(folder, t.VJEPA2Model(config), COLORS)


def _ast(folder: Path, changes: dict[str, Any]) -> str:
    config = t.ASTConfig(**{**SMALL, "max_length": 128, "num_mel_bins": 32, **changes})
    return save(folder, t.ASTModel(config), t.ASTFeatureExtractor(num_mel_bins=32, max_length=128))


def _wav2vec2(folder: Path, changes: dict[str, Any]) -> str:
    config = t.Wav2Vec2Config(**{**SMALL, **STEM, **changes})
    return save(folder, t.Wav2Vec2Model(config), t.Wav2Vec2FeatureExtractor())


def _hubert(folder: Path, changes: dict[str, Any]) -> str:
    config = t.HubertConfig(**{**SMALL, **STEM, **changes})
    return save(folder, t.HubertModel(config), t.Wav2Vec2FeatureExtractor())


def _whisper(folder: Path, changes: dict[str, Any]) -> str:
    config = t.WhisperConfig(
        d_model=32, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=16, vocab_size=40, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=1, **changes,
    )  # fmt: skip
    return save(folder, t.WhisperModel(config), t.WhisperFeatureExtractor(feature_size=16))


def _clap(folder: Path, changes: dict[str, Any]) -> str:
    audio = {
        "num_mel_bins": 64, "spec_size": 256, "hidden_size": 128, "patch_embeds_hidden_size": 16,
        "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 2, 2], "window_size": 8, "projection_dim": 16,
    }  # fmt: skip
    text = {**SMALL, "vocab_size": 40, "max_position_embeddings": 16, "projection_dim": 16}
    model = t.ClapModel(t.ClapConfig(text_config=text, audio_config=audio, projection_dim=16, **changes))
    return save(folder, model, t.ClapFeatureExtractor())


def _bert(folder: Path, changes: dict[str, Any]) -> str:
    return save(
        folder, t.BertModel(t.BertConfig(**{**SMALL, "vocab_size": 40, "max_position_embeddings": 16, **changes}))
    )


def _mpnet(folder: Path, changes: dict[str, Any]) -> str:
    config = t.MPNetConfig(**{**SMALL, "vocab_size": 40, "max_position_embeddings": 18, **changes})
    return save(folder, t.MPNetModel(config))


def _wavlm(folder: Path, changes: dict[str, Any]) -> str:
    return save(folder, t.WavLMModel(t.WavLMConfig(**{**SMALL, **STEM, **changes})), t.Wav2Vec2FeatureExtractor())


def _dinov3(folder: Path, changes: dict[str, Any]) -> str:
    config = t.DINOv3ViTConfig(**{**VISION, "num_register_tokens": 3, **changes})
    return save(folder, t.DINOv3ViTModel(config), COLORS)
