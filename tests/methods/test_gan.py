"""GAN: both players' objective against two sources, whose turn it is, the regressor, and what is shown."""

from __future__ import annotations

import math

import pytest
import torch
from contract import tiny
from torch import nn

REGRESSOR = "method.learner=regressor"
LEARNERS = ("critic", "regressor")


class Told(nn.Module):
    """A critic that gives known logits, one list for each time it is asked."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)

    def forward(self, x):
        return (self.answers.pop(0) + 0 * x.flatten(1).sum(1))[:, None]


def literal(real, made, turn):
    """Goodfellow's log-likelihoods; the generator's turn in the form that does not saturate."""

    def d(logit):
        return 1 / (1 + math.exp(-logit))

    if turn == "critic":
        return -sum(math.log(d(x)) for x in real) / len(real) - sum(math.log(1 - d(x)) for x in made) / len(made)
    return -sum(math.log(d(x)) for x in made) / len(made)


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize(("turn", "reference"), [("critic", 1.5910737513593467), ("players", 0.6392870047954777)])
def test_the_loss_is_the_papers_and_the_reference_librarys(learner, turn, reference):
    """The references were computed once with sklearn, for the critic's turn as

    p = lambda logits: 1 / (1 + np.exp(-np.array(logits)))
    log_loss([1, 1, 1], p([2, -.5, .3]), labels=[0, 1]) + log_loss([0, 0, 0], p([-1, .7, 1.5]), labels=[0, 1])

    and for the other one as log_loss([1, 1, 1], p([-1, .7, 1.5]), labels=[0, 1]).
    """
    real, made = [2.0, -0.5, 0.3], [-1.0, 0.7, 1.5]
    run = tiny.run("gan", f"method.learner={learner}")
    method, batch = run.method(), run.batch(size=3)
    method.judge = Told(torch.tensor(made), torch.tensor(real))
    loss, metrics = method(batch, turn)
    adversarial = loss.item()
    if (learner, turn) == ("regressor", "players"):
        adversarial -= (1 - metrics["explained"].item()) / 3
    assert adversarial == pytest.approx(reference, abs=1e-6)
    assert adversarial == pytest.approx(literal(real, made, turn), abs=1e-6)


@pytest.mark.parametrize("size", [2, 5])
def test_the_regressors_error_is_the_mean_square(size):
    run = tiny.run("gan", REGRESSOR, "method.code=7")
    method, batch = run.method(), run.batch(size=size)
    told = method.coded(method.made(batch["code"]))
    pairs = zip(told.flatten().tolist(), batch["code"].flatten().tolist(), strict=True)
    error = sum((a - b) ** 2 for a, b in pairs) / (size * 7)
    assert method(batch, "players").metrics["explained"].item() == pytest.approx(1 - error / (1 / 3), abs=1e-5)


@pytest.mark.parametrize("learner", LEARNERS)
def test_each_turn_moves_its_own_players(learner):
    run = tiny.run("gan", f"method.learner={learner}")
    method = run.method()
    turns = {name: {id(p) for p in moved} for name, moved in method.turns().items()}
    of_encoder = {id(p) for p in method.encoders.parameters()}
    assert of_encoder <= turns["critic" if learner == "critic" else "players"]
    assert not turns["critic"] & turns["players"]
    method(run.batch(), "critic").loss.backward()
    assert all(p.grad is None for p in method.maker.parameters()), "the critic's turn costs the generator nothing"


@pytest.mark.parametrize("joint", [0.0, 0.25])
def test_the_generator_is_moved_by_the_regressor_as_much_as_asked(joint):
    """Its gradient is that of the critic's disbelief, and ``joint`` times that of the regressor's error."""
    run = tiny.run("gan", REGRESSOR, f"method.joint={joint}")
    method, batch = run.method(), run.batch()
    weight = method.maker.start.weight
    method(batch, "players").loss.backward()
    found = weight.grad.clone()
    made = method.made(batch["code"])
    disbelief = nn.functional.softplus(-method.judged(made)).mean()
    error = (method.coded(made) - batch["code"]).square().mean()
    both = [torch.autograd.grad(one, weight, retain_graph=True)[0] for one in (disbelief, error)]
    assert both[1].abs().max() > 0
    torch.testing.assert_close(found, both[0] + joint * both[1], atol=1e-8, rtol=1e-4)


def test_the_regressor_never_sees_a_real_picture():
    run = tiny.run("gan", REGRESSOR)
    method, batch = run.method(), run.batch()
    seen = []
    method.encoders["image"].register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    for turn in method.turns():
        method(batch, turn)
    assert len(seen) == 1
    assert torch.equal(seen[0], method.made(batch["code"]))


def test_the_critic_learns_to_tell_and_the_generator_to_fool():
    run = tiny.run("gan")
    method = run.method()
    moved = tiny.optimizers(method, 5e-3)
    tiny.steps(method, [run.batch()] * 12, moved, only="critic")
    assert method(run.batch(), "critic").metrics["accuracy"] > 0.9
    told = method(run.batch(), "players").loss.item()
    tiny.steps(method, [run.batch()] * 12, moved, only="players")
    assert method(run.batch(), "players").loss.item() < told - 0.5


def test_the_critic_makes_the_generator_paint_what_is_real():
    """Of pictures in one colour the generator learns that colour, which nothing but the critic tells it."""
    run = tiny.run("gan", "method.area=1.0", "method.planes=16")
    method, batch = run.method(), run.batch()
    colour = torch.tensor([230, 40, 128], dtype=torch.uint8)
    batch["picture"] = colour[None, :, None, None].expand(8, 3, 32, 32)
    wanted = colour / 255

    def off():
        with torch.no_grad():
            return (method.made(batch["code"]).mean((0, 2, 3)) - wanted).abs().max().item()

    before = off()
    optimizers = {turn: torch.optim.Adam(moved, 2e-3, (0.5, 0.99)) for turn, moved in method.turns().items()}
    tiny.steps(method, [batch] * 40, optimizers)
    assert before > 0.3
    assert off() < 0.5 * before


@pytest.mark.parametrize(("learner", "names"), [("critic", {"made"}), ("regressor", {"made", "again"})])
def test_shows_what_it_makes(learner, names):
    run = tiny.run("gan", f"method.learner={learner}", "inputs.width=40")
    shown = run.method().eval().show(run.batch())
    assert set(shown) == names
    for pictures in shown.values():
        assert pictures.shape == (8, 3, 32, 40)
        assert pictures.min() >= 0
        assert pictures.max() <= 1


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_sure_critic_still_moves_the_generator_as_it_would_not_by_a_loss_that_saturates(learner):
    """log(1 - D(G(z))) of the minimax game says nothing where D is 0: a critic that wins by anything at all, such as
    how smooth made pictures are at first, would stop the game."""
    run = tiny.run("gan", f"method.learner={learner}", "method.planes=16")
    method, batch = run.method(), run.batch()
    tiny.steps(method, [batch] * 25, tiny.optimizers(method, 5e-3), only="critic")
    assert method(batch, "critic").metrics["accuracy"] == 1

    def push(loss):
        return torch.autograd.grad(loss, method.maker.start.weight)[0].norm().item()

    def answers():
        return method.judged(method.made(batch["code"]))

    most = push(answers().mean())  # where the loss is as steep as the critic's own answer
    assert push(-nn.functional.softplus(answers()).mean()) < 0.1 * most, "the shortcut exists"
    assert push(method(batch, "players").loss) > 0.9 * most, "and is closed"
