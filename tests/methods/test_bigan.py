"""BiGAN: the two-player objective against two sources, whose turn it is, and sizes."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import nn

from avssl.methods.generative.bigan import Critic
from avssl.nn.adversaries import Maker


class Told(nn.Module):
    """A critic that gives known logits: first for real pairs, then for made ones."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)

    def forward(self, picture, code):
        return self.answers.pop(0) + 0 * code.sum(1) + 0 * picture.sum((1, 2, 3))


def literal(real, made, turn):
    """The paper's log-likelihoods, with flipped labels for the players."""

    def d(logit):
        return 1 / (1 + math.exp(-logit))

    if turn == "critic":
        wanted = [math.log(d(x)) for x in real], [math.log(1 - d(x)) for x in made]
    else:
        wanted = [math.log(1 - d(x)) for x in real], [math.log(d(x)) for x in made]
    return -sum(sum(part) / len(part) for part in wanted)


@pytest.mark.parametrize(("turn", "reference"), [("critic", 1.5910737513593467), ("players", 1.791073751359346)])
def test_the_loss_is_the_papers_and_the_reference_librarys(turn, reference):
    """The references were computed once with sklearn, for the critic's turn as

    p = lambda logits: 1 / (1 + np.exp(-np.array(logits)))
    log_loss([1, 1, 1], p([2, -.5, .3]), labels=[0, 1]) + log_loss([0, 0, 0], p([-1, .7, 1.5]), labels=[0, 1])
    """
    real, made = [2.0, -0.5, 0.3], [-1.0, 0.7, 1.5]
    run = tiny.run("bigan")
    method = run.method()
    method.critic = Told(torch.tensor(real), torch.tensor(made))
    loss = method(run.batch(size=3), turn).loss.item()
    assert loss == pytest.approx(reference, abs=1e-6)
    assert loss == pytest.approx(literal(real, made, turn), abs=1e-6)


def test_when_nothing_can_be_told_both_pay_two_bits_of_log_two():
    run = tiny.run("bigan")
    method = run.method()
    for turn in method.turns():
        method.critic = Told(torch.zeros(3), torch.zeros(3))
        assert method(run.batch(size=3), turn).loss.item() == pytest.approx(2 * math.log(2), abs=1e-6)


def test_the_critics_turn_moves_nobody_else():
    run = tiny.run("bigan")
    method = run.method()
    method(run.batch(), "critic").loss.backward()
    assert all(p.grad is None for p in method.turns()["players"])
    method.zero_grad(set_to_none=True)
    method(run.batch(), "players").loss.backward()
    assert all(p.grad is not None for p in method.turns()["players"]), "the encoder moves with the generator"


def test_the_players_want_the_opposite_of_the_critic():
    run = tiny.run("bigan")
    method, batch = run.method(), run.batch()
    grads = {}
    for turn in ("critic", "players"):
        method.zero_grad(set_to_none=True)
        method(batch, turn).loss.backward()
        grads[turn] = method.critic.judge[-1].bias.grad.item()
    # d/dbias of the critic is mean(D(made)) - mean(1 - D(real)); of the players the same with both signs turned
    code = method.to_code(method.encoders["image"](batch["picture"]).vector)
    real = method.critic(batch["picture"].float() / 127.5 - 1, code)
    made = method.critic(method.maker(batch["code"]), batch["code"])
    d = [torch.sigmoid(x).mean().item() for x in (real, made)]
    assert grads["critic"] == pytest.approx(d[1] - (1 - d[0]), abs=1e-5)
    assert grads["players"] == pytest.approx(d[0] - (1 - d[1]), abs=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (36, 50), (17, 24)])
def test_pictures_are_made_and_judged_at_any_size(size):
    torch.manual_seed(0)
    made = Maker(7, 16, *size)(torch.rand(2, 7))
    assert made.shape == (2, 3, *size)
    assert made.abs().max() <= 1
    assert Critic(7, 16)(made, torch.rand(2, 7)).shape == (2,)


def test_codes_are_uniform_and_drawn_per_sample():
    run = tiny.run("bigan")
    code = run.batch()["code"]
    assert code.abs().max() <= 1
    assert code.std() == pytest.approx(3**-0.5, abs=0.05)
    assert not torch.equal(code[0], code[1])
    assert torch.equal(run.batch(size=3)["code"], code[:3]), "the rest of the batch changes nothing"


def test_codes_of_pictures_differ_as_drawn_ones_do_where_vectors_are_nearly_the_same():
    method = tiny.run("bigan").method().train()
    draw = torch.Generator().manual_seed(0)
    vectors = 5 + 0.1 * torch.randn(64, method.width, generator=draw)
    code = method.to_code(vectors).detach()
    assert code.std(0).mean() == pytest.approx(3**-0.5, rel=0.2)
    assert code.mean(0).abs().max() < 0.2, "no more than the layer's own bias"
    assert torch.allclose(method.to_code(100 * vectors), code, atol=1e-2), "what all have in common tells nothing"


def test_the_critic_learns_to_tell_and_the_players_to_fool():
    run = tiny.run("bigan")
    method = run.method()
    moved = tiny.optimizers(method, 5e-3)
    before = method(run.batch(), "players").loss.item()
    tiny.steps(method, [run.batch()] * 12, moved, only="critic")
    told = method(run.batch(), "players")
    assert told.metrics["critic_accuracy"] > 0.9
    assert told.loss.item() > before
    tiny.steps(method, [run.batch()] * 12, moved, only="players")
    assert method(run.batch(), "players").loss.item() < told.loss.item() - 0.5


def test_shows_pictures_of_drawn_codes_and_of_the_real_ones():
    run = tiny.run("bigan")
    method, batch = run.method().eval(), run.batch()
    shown = method.show(batch)
    assert set(shown) == {"made", "again"}
    assert all(x.shape == (8, 3, 32, 32) and x.min() >= 0 and x.max() <= 1 for x in shown.values())
    torch.testing.assert_close(shown["made"], (method.maker(batch["code"]) + 1) / 2)
    other = method.show({**batch, "code": -batch["code"]})
    assert torch.equal(other["again"], shown["again"]), "its code is the encoder's, not the drawn one"


def test_a_sure_critic_still_moves_both_players_as_it_would_not_by_a_loss_that_saturates():
    """What the players minimize is not the critic's own loss turned round, which is flat where it has won."""
    run = tiny.run("bigan", "method.planes=16")
    method, batch = run.method(), run.batch()
    tiny.steps(method, [batch] * 25, tiny.optimizers(method, 5e-3), only="critic")
    assert method(batch, "critic").metrics["critic_accuracy"] == 1
    weights = [method.to_code[-1].weight, method.maker.start.weight]

    def pushes(loss):
        return [grad.norm().item() for grad in torch.autograd.grad(loss, weights)]

    def answers():
        code = method.to_code(method.encoders["image"](batch["picture"]).vector)
        real = method.critic(batch["picture"].float() / 127.5 - 1, code)
        return real, method.critic(method.maker(batch["code"]), batch["code"])

    softplus = nn.functional.softplus
    real, made = answers()
    most = pushes(real.mean() - made.mean())
    real, made = answers()
    turned = pushes(-softplus(-real).mean() - softplus(made).mean())
    own = pushes(method(batch, "players").loss)
    assert all(push < 0.1 * top for push, top in zip(turned, most, strict=True)), "the shortcut exists"
    assert all(push > 0.9 * top for push, top in zip(own, most, strict=True)), "and is closed"
