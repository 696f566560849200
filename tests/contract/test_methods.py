"""The laws: what must hold for every method. A new method is tested by existing."""

from __future__ import annotations

import dataclasses
import pickle
import random

import numpy as np
import pytest
import torch
from contract import tiny
from safetensors.torch import load_file, save_file
from torch import Generator

from avssl.methods.base import Localizes, localizes
from avssl.nn import chunked
from avssl.nn.chunked import Chunked
from avssl.train import optim

METHODS = tiny.names()

NO_GRADIENT = {"encoders.text.empty": "the vector of a text without tokens: methods that mask such texts never move it"}
RANKS_DIFFER: dict[str, str] = {}
"""method -> why two ranks need not equal one; none so far"""
EASY_AT_FIRST = {"moco": "its queue begins as random vectors, from which any key is easily told"}
"""method -> why its first loss is lower than those that follow"""

every_method = pytest.mark.parametrize("name", METHODS)


@every_method
@pytest.mark.parametrize("size", [2, 7])
@pytest.mark.parametrize("bf16", [False, True])
def test_law_1_the_loss_is_a_finite_scalar(name, size, bf16):
    run = tiny.run(name)
    method = run.method()
    for turn in method.turns():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss, metrics = method(run.batch(size=size), turn)
        assert loss.shape == ()
        assert loss.isfinite()
        assert loss.requires_grad
        for key, value in metrics.items():
            assert value.shape == (), key
            assert value.isfinite(), key
            assert not value.requires_grad, f"{key}: what is logged must not be minimised"


@every_method
def test_law_2_each_trainable_parameter_is_in_one_turn_and_moves_there(name):
    run = tiny.run(name)
    method = run.method()
    trainable = {id(p): key for key, p in method.named_parameters() if p.requires_grad}
    placed = [id(p) for parameters in method.turns().values() for p in parameters]
    assert sorted(placed) == sorted(trainable)
    for turn, parameters in method.turns().items():
        method.zero_grad(set_to_none=True)
        method(run.batch(), turn).loss.backward()
        for parameter in parameters:
            key = trainable[id(parameter)]
            assert parameter.grad is not None, key
            assert parameter.grad.isfinite().all(), key
            assert key in NO_GRADIENT or parameter.grad.abs().sum() > 0, f"{key} gets no gradient in turn {turn}"
            assert parameter.ndim > 0, f"{key}: learned scalars have shape [1], sharding cannot split a scalar"


@every_method
def test_law_3_the_transform_is_a_function_of_its_generator(name):
    run = tiny.run(name)
    transform = run.kind.transform(run.cfg.method, run.inputs)
    item = tiny.sample(run.needs, 3)
    before = (torch.get_rng_state(), random.getstate(), np.random.get_state())
    first = transform(item, Generator().manual_seed(5), 0.5)
    after = (torch.get_rng_state(), random.getstate(), np.random.get_state())
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert all(np.array_equal(a, b) for a, b in zip(before[2], after[2], strict=True))
    torch.manual_seed(99)
    again = pickle.loads(pickle.dumps(transform))(item, Generator().manual_seed(5), 0.5)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    others = [transform(item, Generator().manual_seed(seed), 0.5) for seed in range(6, 12)]
    assert any(not torch.equal(first[key], other[key]) for other in others for key in first), "it draws nothing"


@every_method
def test_law_4_reads_just_what_it_asked_for(name):
    run = tiny.run(name)

    class Watched(dict):
        def __getitem__(self, key):
            read.add(key)
            return super().__getitem__(key)

    read: set[str] = set()
    item = tiny.sample(run.needs, 1)
    item = dataclasses.replace(item, parts=Watched(item.parts))
    out = run.kind.transform(run.cfg.method, run.inputs)(item, Generator().manual_seed(0), 0.0)
    assert read == set(item.parts), "what Needs asks for is what is read"
    assert out
    assert all(isinstance(value, torch.Tensor) for value in out.values())


@every_method
def test_law_5_the_loss_on_one_repeated_batch_falls(name):
    run = tiny.run(name)
    for turn in run.method().turns():
        method = run.method()
        losses = tiny.steps(method, [run.batch()] * 12, tiny.optimizers(method), only=turn)
        losses = losses[name in EASY_AT_FIRST :]
        assert min(losses[-3:]) < losses[0] - 0.01 * abs(losses[0]), (turn, losses)


@every_method
@pytest.mark.parametrize(("bf16", "workers"), [(False, 1), (True, 0)])
def test_law_6_stop_and_resume_equals_no_stop_bit_for_bit(name, bf16, workers, tmp_path):
    run = tiny.run(name)
    whole = run.method()
    moved = tiny.optimizers(whole)
    tiny.steps(whole, tiny.loaded(run, 0, 3, 0), moved, bf16)
    save_file(optim.plain(whole.state_dict()), tmp_path / "method")
    save_file(optim.flatten(whole, moved), tmp_path / "optimizers")
    tiny.steps(whole, tiny.loaded(run, 3, 5, 0), moved, bf16, first=3)

    resumed = run.method(seed=1)
    resumed.load_state_dict(load_file(tmp_path / "method"))
    again = tiny.optimizers(resumed)
    optim.restore(resumed, again, load_file(tmp_path / "optimizers"))
    tiny.steps(resumed, tiny.loaded(run, 3, 5, workers), again, bf16, first=3)
    for (key, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert a.isfinite().all(), key
        assert torch.equal(a, b), key


@every_method
def test_law_7_embeds_unit_vectors_that_no_neighbor_changes(name):
    run = tiny.run(name)
    method = run.method().eval()
    for space, (modalities, width, _) in method.spaces.items():
        for modality in modalities:
            x = run.x(modality)
            with torch.no_grad():
                vectors = method.embed(modality, x, space)
                alone = torch.cat([method.embed(modality, row[None], space) for row in x])
            assert vectors.shape == (tiny.ITEMS, width), (space, modality)
            assert vectors.dtype == torch.float32
            torch.testing.assert_close(vectors.norm(dim=1), torch.ones(tiny.ITEMS), atol=1e-4, rtol=0)
            torch.testing.assert_close(vectors, alone, atol=1e-5, rtol=0)
            assert (vectors[0] - vectors[1]).norm() > 1e-6, "different inputs, one vector"
    with pytest.raises(ValueError, match=name if method.spaces else "no shared space"):
        method.embed("smell", torch.zeros(1))
    if method.spaces:
        with pytest.raises(ValueError, match="nowhere"):
            method.embed(next(iter(method.spaces.values())).modalities[0], torch.zeros(1), "nowhere")


@every_method
def test_law_8_localizes_what_it_says(name):
    run = tiny.run(name)
    method = run.method().eval()
    claimed = getattr(method, "localizes", ())
    assert isinstance(method, Localizes) == bool(claimed)
    for modality in claimed:
        assert localizes(method, modality)
        video, query = run.x("video", 3), run.x(modality, 3)
        with torch.no_grad():
            scores = method.localize(video, query, modality)
        assert scores.shape[:2] == (3, video.shape[1])
        assert scores.ndim == 4
        assert min(scores.shape[2:]) > 1, "a map has places"
        assert scores.isfinite().all()
        assert scores.flatten(2).std(2).min() > 0, "the same score everywhere"
        with torch.no_grad():
            other = method.localize(video, query.roll(1, 0), modality)
        assert not torch.equal(scores, other), "the query changes nothing"
    assert not localizes(method, "smell")


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """Every method's gradients by two processes that share the batch."""
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(tiny.second_rank, (str(folder),), nprocs=2)
    return folder


@every_method
def test_law_9_two_ranks_equal_one(name, two_ranks):
    if name in RANKS_DIFFER:
        pytest.skip(RANKS_DIFFER[name])
    one, two = tiny.gradients(name), load_file(two_ranks / f"{name}.safetensors")
    assert one.keys() == two.keys()
    scale = max(value.abs().max() for key, value in one.items() if not key.startswith("buffer"))
    assert scale > 0
    for key, value in one.items():
        atol = 1e-6 if key.startswith("buffer") else 2e-5 * float(scale)
        torch.testing.assert_close(two[key], value, atol=atol, rtol=1e-4, msg=lambda text, key=key: f"{key}: {text}")


@every_method
def test_law_10_the_state_dict_is_the_whole_truth(name, tmp_path):
    run = tiny.run(name)
    method = run.method()
    tiny.steps(method, [run.batch()], tiny.optimizers(method))
    save_file({key: value.contiguous() for key, value in method.state_dict().items()}, tmp_path / "method.safetensors")
    other = run.method(seed=1)
    other.load_state_dict(load_file(tmp_path / "method.safetensors"))
    turn = next(iter(method.turns()))
    losses = []
    for one in (method, other):
        torch.manual_seed(3)
        losses.append(one(run.batch(1), turn).loss)
    assert torch.equal(*losses)


@every_method
def test_law_11_chunks_change_neither_loss_nor_gradients(name):
    """Encoders that do not normalize over the batch, in three passes whose activations are computed again."""
    tried = tiny.run(name)
    kinds = {kind for kind, _ in tried.kind.towers(tried.cfg.method, tried.cfg.encoders).values()}
    words = [f"encoders.{kind}.norm=group" for kind in kinds if getattr(tried.cfg.encoders, kind).name == "small"]
    run = tiny.run(name, *words)
    whole, parts = run.method(), run.method(chunks=3)
    assert all(any(isinstance(one, Chunked) for one in encoder.modules()) for encoder in parts.encoders.values())
    parts.load_state_dict(whole.state_dict())
    for turn in whole.turns():
        losses, gradients = [], []
        for method in (whole, parts):
            torch.manual_seed(7)
            method.zero_grad(set_to_none=True)
            loss = method(run.batch(), turn).loss
            loss.backward()
            losses.append(loss.item())
            named = {key.replace(chunked.WITHIN, ""): one.grad for key, one in method.named_parameters()}
            gradients.append({key: one for key, one in named.items() if one is not None})
        assert losses[1] == pytest.approx(losses[0], rel=1e-4, abs=1e-5)
        assert gradients[0].keys() == gradients[1].keys()
        size = max(one.abs().max() for one in gradients[0].values())
        for key, one in gradients[0].items():
            assert (gradients[1][key] - one).abs().max() < 1e-4 * size, key
