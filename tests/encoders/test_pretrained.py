"""Pretrained towers, with tiny random checkpoints: what goes in, what comes out, what is tuned and what is kept."""

from __future__ import annotations

import json
from pathlib import Path

import checkpoints
import pytest
import torch
import transformers
from checkpoints import HZ, spec
from torch import Generator

from avssl.encoders import pretrained, sound_features

KINDS = {
    "vit": "image", "dinov2": "image", "clip": "image", "siglip": "image", "resnet": "image", "videomae": "video",
    "vivit": "video", "timesformer": "video", "vjepa2": "video", "ast": "audio", "wav2vec2": "audio", "hubert": "audio",
    "whisper": "audio", "clap": "audio", "bert": "text", "mpnet": "text", "wavlm": "audio", "dinov3": "image",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkpoints, made once each."""
    root, made = tmp_path_factory.mktemp("towers"), {}

    def get(kind: str, **changes) -> str:
        key = f"{kind} {changes}"
        if key not in made:
            made[key] = checkpoints.make(root / str(len(made)), kind, **changes)
        return made[key]

    return get


def inputs(modality: str, batch: int = 2) -> torch.Tensor:
    draw = Generator().manual_seed(batch)
    if modality == "image":
        return torch.randint(256, (batch, 3, 40, 48), generator=draw, dtype=torch.uint8)
    if modality == "video":
        return torch.randint(256, (batch, 5, 3, 40, 48), generator=draw, dtype=torch.uint8)
    if modality == "audio":
        return torch.randn(batch, HZ // 2, generator=draw) * 0.1
    return torch.randint(1, 30, (batch, 6), generator=draw)


AXES = {"image": 2, "video": 3, "audio": 1, "text": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_gives_features_and_a_frozen_tower_is_still(kind, folder):
    modality = KINDS[kind]
    tower = pretrained.load(modality, spec(folder(kind)), HZ).train()
    x = inputs(modality)
    first, second = tower(x), tower(x)
    assert first.vector.shape == (2, 24)
    assert first.maps[-1].shape[:2] == (2, 24)
    assert first.maps[-1].ndim == 2 + AXES[modality]
    assert first.vector.isfinite().all()
    assert torch.equal(first.vector, second.vector), "nothing is dropped in training mode"
    assert not torch.allclose(first.vector[0], first.vector[1]), "different inputs, one vector"
    assert not any(parameter.requires_grad for parameter in tower.tower.parameters())
    assert all(parameter.requires_grad for parameter in tower.project.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tune", [1, -1])
def test_what_is_tuned_gets_a_gradient_and_nothing_else_does(kind, tune, folder):
    tower = pretrained.load(KINDS[kind], spec(folder(kind), tune=tune), HZ)
    features = tower(inputs(KINDS[kind]))
    (features.vector.square().sum() + features.maps[-1].square().sum()).backward()
    trainable = {key for key, value in tower.named_parameters() if value.requires_grad}
    assert trainable == {key for key, value in tower.named_parameters() if value.grad is not None}
    inside = {key for key in trainable if key.startswith("tower.")}
    assert inside
    if tune == 1:
        assert len(inside) < len(list(tower.tower.parameters())) * 0.7
        numbers = {part for key in inside for part in key.split(".") if part.isdigit()}
        assert "1" in numbers or "3" in numbers, "the last layer"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "resnet"])
def test_adapters_are_trained_and_the_tower_is_not(kind, folder):
    modality = KINDS[kind]
    frozen = pretrained.load(modality, spec(folder(kind)), HZ)
    torch.manual_seed(0)
    tower = pretrained.load(modality, spec(folder(kind), lora=2), HZ).eval()
    x = inputs(modality)
    with torch.no_grad():
        torch.testing.assert_close(tower.look(x)[0], frozen.look(x)[0], atol=1e-5, rtol=1e-4)
    features = tower(x)
    (features.vector.square().sum() + features.maps[-1].square().sum()).backward()
    trained = {key for key, value in tower.tower.named_parameters() if value.requires_grad}
    assert trained
    assert all(key.rsplit(".", 1)[1] in ("down", "up") for key in trained)
    assert trained == {key for key, value in tower.tower.named_parameters() if value.grad is not None}
    assert any(value.grad.abs().sum() > 0 for key, value in tower.tower.named_parameters() if key in trained)


def test_what_cannot_be_adapted_is_told(folder):
    with pytest.raises(ValueError, match="no linear layer in blocks to adapt"):
        pretrained.load("image", spec(folder("resnet"), lora=2), HZ)
    with pytest.raises(ValueError, match=r"encoders\.image: lora=2 adapts frozen weights and tune=1 moves them"):
        pretrained.load("image", spec(folder("vit"), lora=2, tune=1), HZ)


@pytest.mark.parametrize("kind", ["vit", "dinov2", "clip", "siglip"])
def test_cells_of_the_map_are_places_of_the_picture(kind, folder):
    """Without layers each token knows its own patch alone, so a changed patch changes one cell."""
    changes = {"num_hidden_layers": 0} if kind in ("vit", "dinov2") else {}
    tower = pretrained.load("image", spec(folder(kind, **changes)), HZ).eval()
    if kind in ("clip", "siglip"):
        tower.tower.encoder.layers = torch.nn.ModuleList()
    x = torch.full((1, 3, 32, 32), 100, dtype=torch.uint8)
    other = x.clone()
    other[:, :, 8:16, 24:32] = 200
    moved = (tower(x).maps[-1] - tower(other).maps[-1]).abs().sum(1)[0]
    assert moved.shape == (4, 4)
    assert moved[1, 3] > 1e-3
    moved[1, 3] = 0
    assert moved.max() < 1e-5


@pytest.mark.parametrize(("kind", "span"), [("videomae", 2), ("vivit", 2), ("vjepa2", 2), ("timesformer", 1)])
def test_cells_of_the_map_are_places_and_times_of_the_clip(kind, span, folder):
    tower = pretrained.load("video", spec(folder(kind, num_hidden_layers=0)), HZ).eval()
    x = torch.full((1, 4, 3, 32, 32), 100, dtype=torch.uint8)
    other = x.clone()
    other[:, 2, :, 8:16, 24:32] = 200
    moved = (tower(x).maps[-1] - tower(other).maps[-1]).abs().sum(1)[0]
    assert moved.shape == (4 // span, 4, 4)
    assert moved[2 // span, 1, 3] > 1e-3
    moved[2 // span, 1, 3] = 0
    assert moved.max() < 1e-5


def test_a_clip_of_another_length_is_spread_over_the_towers_frames(folder):
    tower = pretrained.load("video", spec(folder("videomae")), HZ)
    short = inputs("video")[:, :2]
    twice = short.repeat_interleave(2, 1)
    torch.testing.assert_close(tower(short).vector, tower(twice).vector)
    assert tower.time_stride == 2
    long = tower(torch.cat([twice, twice.flip(1)], 1)).maps[-1]
    assert long.shape[2] == 4, "a step for two frames, however many the tower looks at"
    assert torch.equal(long[:, :, 0], long[:, :, 1]), "it looked at 4 of 8"
    assert tower(short).maps[-1].shape[2] == 1


@pytest.mark.parametrize("kind", ["vit", "videomae"])
def test_pictures_come_at_the_towers_size_and_colors(kind, folder):
    tower = pretrained.load(KINDS[kind], spec(folder(kind)), HZ)
    seen = []
    tower.tower.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["pixel_values"]), with_kwargs=True
    )
    x = torch.empty(inputs(KINDS[kind]).shape, dtype=torch.uint8)
    x[..., 0, :, :], x[..., 1, :, :], x[..., 2, :, :] = 255, 51, 0
    tower(x)
    tower(x.float() / 255)
    expected = [(1 - 0.5) / 0.2, (0.2 - 0.4) / 0.25, -0.3 / 0.3]
    for pixels in seen:
        assert pixels.shape[-3:] == (3, 32, 32)
        for plane, value in enumerate(expected):
            torch.testing.assert_close(pixels[..., plane, :, :], torch.full_like(pixels[..., plane, :, :], value))


def test_dinov2_is_given_what_its_own_preprocessing_gives_it(tmp_path):
    path = Path(checkpoints.make(tmp_path / "dinov2", "dinov2"))
    told = json.loads((path / "preprocessor_config.json").read_text())
    (path / "preprocessor_config.json").write_text(json.dumps({**told, "crop_size": {"height": 16, "width": 24}}))
    tower = pretrained.load("image", spec(str(path)), HZ)
    assert tower(inputs("image")).maps[-1].shape[2:] == (2, 3)


def test_the_space_of_a_model_with_two_modalities_is_its_own(folder):
    path = folder("clip")
    model = transformers.CLIPModel.from_pretrained(path).eval()
    image, text = (pretrained.load(kind, spec(path, width=16), HZ) for kind in ("image", "text"))
    assert image.shared
    assert text.shared
    pixels = image.pixels(inputs("image"))
    ids = torch.tensor([[38, 3, 4, 39, -1, -1], [38, 5, 39, -1, -1, -1]])
    with torch.no_grad():
        seen = model.get_image_features(pixel_values=pixels).pooler_output
        said = model.get_text_features(input_ids=ids.clamp_min(0), attention_mask=(ids >= 0).long()).pooler_output
    torch.testing.assert_close(image(inputs("image")).vector, seen)
    torch.testing.assert_close(text(ids).vector, said)
    clip = pretrained.load("video", spec(path, width=16), HZ)
    frames = inputs("video")
    torch.testing.assert_close(clip(frames).vector, torch.stack([image(clip_).vector.mean(0) for clip_ in frames]))
    assert not pretrained.load("image", spec(path, width=24), HZ).shared, "another width is another space"


def test_siglip_reads_texts_filled_up_as_in_its_training(folder):
    path = folder("siglip")
    model = transformers.SiglipModel.from_pretrained(path).eval()
    tower = pretrained.load("text", spec(path, width=32), HZ)
    padding = model.config.text_config.pad_token_id
    with torch.no_grad():
        said = model.get_text_features(input_ids=torch.tensor([[3, 4, 5, *[padding] * 5]])).pooler_output
    torch.testing.assert_close(tower(torch.tensor([[3, 4, 5, -1]])).vector, said)


def test_claps_sound_is_its_own_and_no_longer_than_it_takes(folder):
    path = folder("clap")
    model = transformers.ClapModel.from_pretrained(path).eval()
    tower = pretrained.load("audio", spec(path, width=16), 48000)
    wave = torch.randn(1, 48000 * 10, generator=Generator().manual_seed(0)) * 0.1
    made = transformers.ClapFeatureExtractor.from_pretrained(path)(
        wave[0].numpy(), sampling_rate=48000, truncation="rand_trunc", return_tensors="pt"
    )
    with torch.no_grad():
        heard = model.get_audio_features(**made).pooler_output
    vector = tower(wave).vector
    torch.testing.assert_close(vector / vector.norm(dim=1, keepdim=True), heard, atol=1e-5, rtol=1e-4)
    assert torch.equal(vector, tower(wave).vector), "no random part is drawn"
    with pytest.raises(ValueError, match=r"inputs\.audio_seconds: this tower takes at most 10"):
        tower(torch.zeros(1, 48000 * 11))


@pytest.mark.parametrize("kind", ["bert", "clip", "siglip", "clap"])
@pytest.mark.parametrize("width", [16, 24, 32])
def test_padding_changes_no_text_and_an_empty_one_is_finite(kind, width, folder):
    tower = pretrained.load("text", spec(folder(kind), width=width), HZ)
    short = torch.tensor([[38, 5, 6, 39]]) if kind == "clip" else torch.tensor([[7, 5, 6, 9]])
    padded = torch.cat([short, torch.full((1, 3), -1)], 1)
    torch.testing.assert_close(tower(short).vector, tower(padded).vector, atol=1e-5, rtol=1e-4)
    assert (tower(padded).maps[-1][..., 4:] == 0).all()
    both = tower(torch.cat([padded, torch.full((1, 7), -1)]))
    assert both.vector.isfinite().all()
    torch.testing.assert_close(both.vector[1], tower.empty.detach().expand(width))
    torch.testing.assert_close(both.vector[0], tower(padded).vector[0], atol=1e-5, rtol=1e-4)


def test_silence_is_the_quietest_a_spectrogram_transformer_hears(folder):
    """Its own preprocessing pads with 0 after the logarithm, which is louder than speech."""
    path = folder("ast")
    extractor = transformers.ASTFeatureExtractor.from_pretrained(path)
    wave = torch.randn(1, HZ // 2, generator=Generator().manual_seed(0)) * 0.1
    made, share = sound_features.prepare("audio-spectrogram-transformer", extractor, wave)
    assert made.shape == (1, 128, 32)
    assert share == pytest.approx(50 / 128)
    silence = sound_features.prepare("audio-spectrogram-transformer", extractor, torch.zeros(1, HZ // 2)).x
    torch.testing.assert_close(made[0, 52:], silence[0, 52:])
    assert made[0, 52:].max() < made[0, :45].min()
    theirs = torch.tensor(extractor(wave[0].numpy(), sampling_rate=HZ)["input_values"][0])
    torch.testing.assert_close(made[0, :47], theirs[:47], atol=1e-4, rtol=1e-4)
    assert theirs[60:].max() > theirs[:45].mean() - 1, "the fault this avoids"


def test_time_of_a_sound_map_is_time(folder):
    tower = pretrained.load("audio", spec(folder("ast", num_hidden_layers=0)), HZ).eval()
    quiet = torch.randn(1, HZ, generator=Generator().manual_seed(0)) * 0.01
    loud = quiet.clone()
    loud[:, HZ * 3 // 4 : HZ * 3 // 4 + 800] *= 20
    moved = (tower(quiet).maps[-1] - tower(loud).maps[-1]).abs().sum(1)[0]
    assert len(moved) == 10
    assert moved.argmax() in (6, 7)
    assert moved[:5].max() < 1e-4


def test_a_map_of_sound_ends_with_the_sound(folder):
    for kind, steps in (("whisper", 25), ("clap", 2), ("ast", 5)):
        tower = pretrained.load("audio", spec(folder(kind)), HZ)
        assert tower(inputs("audio")).maps[-1].shape[2] == steps, kind


def test_sound_is_resampled_to_the_towers_rate(folder):
    path = folder("wav2vec2")
    time = torch.arange(48000) / 48000
    wave = torch.sin(2 * torch.pi * 440 * time)[None]
    high = pretrained.load("audio", spec(path, width=32), 48000)(wave).vector
    low = pretrained.load("audio", spec(path, width=32), 16000)(wave[:, ::3].contiguous()).vector
    torch.testing.assert_close(high, low, atol=2e-3, rtol=2e-2)


def test_spectrograms_are_refused_by_towers_of_waves(folder):
    tower = pretrained.load("audio", spec(folder("hubert")), HZ)
    with pytest.raises(ValueError, match=r"set inputs\.audio=wave"):
        tower(torch.zeros(1, 50, 64))


@pytest.mark.parametrize("kind", ["clip", "videomae", "ast", "clap", "whisper", "bert"])
def test_a_tower_is_built_anew_from_what_is_kept_of_it(kind, folder, tmp_path):
    modality = KINDS[kind]
    towers = torch.nn.ModuleDict({modality: pretrained.load(modality, spec(folder(kind), lora=2), HZ)})
    pretrained.keep(towers, tmp_path)
    held = {path.name for path in (tmp_path / modality).iterdir()}
    assert held <= {"config.json", "preprocessor_config.json"}
    anew = pretrained.load(modality, spec("/gone", lora=2), HZ, tmp_path / modality)
    anew.load_state_dict(towers[modality].state_dict())
    x = inputs(modality)
    assert torch.equal(anew.eval()(x).vector, towers[modality].eval()(x).vector)
