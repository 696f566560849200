"""A pretrained tower's folder: its licence, its tokenizer, no pickle and no code; what lacks is told in a line."""

from __future__ import annotations

import json
from pathlib import Path

import checkpoints
import pytest
import torch
import transformers
from checkpoints import HZ, spec
from safetensors.torch import load_file, save_file

from avssl.encoders import hub, pretrained
from avssl.inputs import Inputs, InputsConfig, Vocabulary

CARDS = {
    "": ("", "licence: not stated; ask who made it"),
    "---\nlicense: cc-by-nc-4.0\ntags: [x]\n---\n# A tower\n": ("cc-by-nc-4.0", "cc-by-nc-4.0 (not for commercial use"),
    "\ufeff---\r\nlicense: apache-2.0\r\n---\r\n": ("apache-2.0", "licence: apache-2.0\n"),
    "---\nlicense: other\nlicense_name: their-own\n---\n": ("their-own", "licence: their-own\n"),
    "---\nlicense: [mit, cc0-1.0]\n---\n": ("mit, cc0-1.0", "licence: mit, cc0-1.0\n"),
    "---\nlicense: [cc-by-nc, mit]\n---\n": ("cc-by-nc, mit", "cc-by-nc, mit (not for commercial use"),
    "---\nlicense: mit\nno end": ("", "not stated"),
    "---\nlicense: {broken\n---\n": ("", "not stated"),
    "# A tower\n---\nlicense: mit\n---\n": ("", "not stated"),
}


@pytest.mark.parametrize("card", CARDS)
def test_the_license_is_told(card, tmp_path, capsys):
    path = checkpoints.make(tmp_path / "vit", "vit")
    if card:
        (Path(path) / "README.md").write_text(card, newline="")
    tower = pretrained.load("image", spec(path), HZ)
    stated, told = CARDS[card]
    assert tower.source == {"path": path, "model": "vit", "license": stated}
    err = capsys.readouterr().err
    assert told in err
    assert err.startswith(f"encoders.image: {path}, licence: ")


@pytest.mark.parametrize(
    ("name", "is_it"),
    [("fair-noncommercial-research-license", True), ("noncommercial", True), ("research, non-commercial", True),
     ("Non Commercial", True), ("CC_BY_NC_SA", True), ("apache-2.0", False), ("ncsa", False), ("", False)],
)  # fmt: skip
def test_a_licence_that_forbids_commercial_use_is_known_by_its_name(name, is_it):
    assert hub.restricted(name) is is_it


def test_weights_that_are_a_pickle_are_not_read(tmp_path):
    path = Path(checkpoints.make(tmp_path / "vit", "vit"))
    weights = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    torch.save(weights, path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"are a pickle \(\.bin\).*take a copy with model\.safetensors") as caught:
        pretrained.load("image", spec(str(path)), HZ)
    assert "\n" not in str(caught.value)


def test_code_that_lies_beside_a_tower_is_not_run(tmp_path):
    path = Path(checkpoints.make(tmp_path / "vit", "vit"))
    told = json.loads((path / "config.json").read_text())
    own = {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Config", "AutoModel": "theirs.Model"}}
    (path / "config.json").write_text(json.dumps({**told, **own}))
    (path / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    with pytest.raises(ValueError, match="its code comes with it, and is not run"):
        pretrained.load("image", spec(str(path)), HZ)
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_damaged_or_lacking_are_told(tmp_path, capsys):
    path = Path(checkpoints.make(tmp_path / "vit", "vit"))
    weights = load_file(path / "model.safetensors")
    del weights["layernorm.weight"]
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    pretrained.load("image", spec(str(path)), HZ)
    assert "1 weights are not in its files and stay random: layernorm.weight" in capsys.readouterr().err
    whole = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="no model of transformers at"):
        pretrained.load("image", spec(str(path)), HZ)


def test_the_towers_own_tokenizer_ends_long_texts_too(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "bell", "rings", "loud"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(vocab={word: n for n, word in enumerate(words)}).save_pretrained(tmp_path)
    own = Inputs(InputsConfig(tokens=5), Vocabulary(pretrained.vocabulary(spec(str(tmp_path)))))
    rows = own.tokens(["a bell", "a bell rings loud", ""]).tolist()
    assert rows == [[2, 5, 6, 3, -1], [2, 5, 6, 7, 3], [-1] * 5]


def test_a_text_tower_without_its_tokenizer_is_told(tmp_path):
    """transformers makes one up, of no words."""
    path = checkpoints.make(tmp_path / "bert", "bert")
    for name in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
        (Path(path) / name).unlink(missing_ok=True)
    with pytest.raises(ValueError, match=r"^encoders\.text\.path: no tokenizer in .*") as caught:
        pretrained.vocabulary(spec(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: str(path / "nowhere"), r"encoders\.path: no model of transformers at"),
        (lambda path: "nobody/nothing", r"at nobody/nothing: it is not on this machine, and the hub cannot be reached"),
        (lambda path: "", r"encoders\.image\.path: a pretrained encoder needs"),
        (lambda path: (path / "preprocessor_config.json").unlink() or str(path), "image_mean and image_std"),
        (lambda path: (path / "config.json").write_text(json.dumps({})) and str(path), r"no model of transformers at"),
    ],
)
def test_what_is_missing_is_told_in_one_line(change, message, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "_hub_answers", lambda: False)
    checkpoints.make(tmp_path / "vit", "vit")
    with pytest.raises(ValueError, match=message) as caught:
        pretrained.load("image", spec(change(tmp_path / "vit")), HZ)
    assert "\n" not in str(caught.value)
