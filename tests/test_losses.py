"""Task losses and the outer objective, by hand."""

import math

import pytest
import torch

from skmeta.core.inequality import INEQUALITIES
from skmeta.core.losses import (
    OuterObjective,
    accuracy,
    cross_entropy,
    entropy,
    weighted_mean,
)
from skmeta.core.regression_losses import squared_error

LN2 = math.log(2)
# Two rows, whose class probabilities are (1/4, 3/4) and (1/2, 1/2).
LOGITS = torch.tensor([[1.0, 3.0], [5.0, 5.0]]).log()


# ---- one task


def test_negative_log_likelihood_is_of_a_gaussian():
    mean, variance, y = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 0.25]]), torch.tensor([[0.0, 5.0]])
    expected = -torch.distributions.Normal(mean, variance.sqrt()).log_prob(y).mean()
    padded = (torch.cat([part, torch.zeros(1, 2)]) for part in (mean, variance, y))
    torch.testing.assert_close(squared_error.surprise(*padded, torch.tensor([2.0, 0.0])), expected)


def test_values_by_hand():
    weight = torch.tensor([1.0, 3.0])
    y = torch.tensor([0, 1])
    assert cross_entropy(LOGITS, y, weight).item() == pytest.approx((2 * LN2 + 3 * LN2) / 4)
    assert accuracy(torch.tensor([[1.0, 3.0], [0.0, 7.0]]), y, weight).item() == 0.75
    predicted, y = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert squared_error(predicted, y, weight).item() == (1 * 2 + 3 * 9) / 4
    assert weighted_mean(torch.tensor([2.0, 6.0]), weight).item() == 5


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_row_of_weight_zero_is_not_looked_at(value):
    values = torch.tensor([2.0, value, 4.0], requires_grad=True)
    mean = weighted_mean(values, torch.tensor([1.0, 0.0, 1.0]))
    mean.backward()
    assert mean.item() == 3 and values.grad.tolist() == [0.5, 0.0, 0.5]


# The square of the one overflows, the difference of the other and its negative.
PADDED = {
    "squared_error": (squared_error, [[1.0, 3.0], [1e30, -1e30]], torch.zeros(2, 2)),
    "cross_entropy": (cross_entropy, [[1.0, 3.0], [3e38, -3e38]], torch.tensor([0, 1])),
}


@pytest.mark.parametrize(("loss", "outputs", "y"), PADDED.values(), ids=PADDED)
def test_a_padded_row_with_an_infinite_loss_has_no_influence(loss, outputs, y):
    outputs = torch.tensor(outputs, requires_grad=True)
    assert loss(outputs, y, torch.ones(2)) == float("inf")
    padded, alone = loss(outputs, y, torch.tensor([1.0, 0.0])), loss(outputs[:1], y[:1], torch.ones(1))
    assert torch.equal(padded, alone) and alone.isfinite()
    assert torch.equal(*(torch.autograd.grad(value, outputs)[0] for value in (padded, alone)))


@pytest.mark.parametrize("loss", [cross_entropy, squared_error])
def test_a_task_without_rows_has_loss_zero_and_no_gradient(loss):
    outputs = LOGITS.clone().requires_grad_()
    y = torch.tensor([0, 1]) if loss is cross_entropy else LOGITS + 1
    value = loss(outputs, y, torch.zeros(2))
    value.backward()
    assert value.item() == 0 and not outputs.grad.any()


def test_entropy_by_hand():
    assert entropy(torch.zeros(2, 4)).tolist() == pytest.approx([2 * LN2] * 2)
    assert entropy(LOGITS[0]).item() == pytest.approx(2 * LN2 - 0.75 * math.log(3))
    # An absent class has a very small logit, and no entropy or gradient of its own.
    outputs = torch.tensor([0.0, 0.0, -1e9], requires_grad=True)
    entropy(outputs).backward()
    assert entropy(outputs).item() == pytest.approx(LN2) and outputs.grad.tolist() == [0.0, 0.0, 0.0]


# ---- the outer objective

# Squared errors of two tasks with two query rows, the last one padding: after adaptation (1 + 9) / 2 and 4,
# before it 2 and 6.
TARGET = {"query_y": torch.zeros(2, 2, 1), "query_weight": torch.tensor([[1.0, 1.0], [1.0, 0.0]])}
AFTER = torch.tensor([[[1.0], [3.0]], [[2.0], [99.0]]])
BEFORE = torch.tensor([2.0, 2.0, 6.0, 77.0]).sqrt().reshape(2, 2, 1)

# The same for classes: after adaptation the first task is decided, the second undecided.
CLASS_TARGET = TARGET | {"query_y": torch.zeros(2, 2, dtype=torch.long)}
CLASS_AFTER = torch.tensor([[[99.0, 0.0], [99.0, 0.0]], [[0.0, 0.0], [99.0, 0.0]]])
CLASS_BEFORE = torch.stack([LOGITS, LOGITS.flip(0)])


def outcome(before=BEFORE, after=AFTER):
    return {"outputs": after.clone().requires_grad_(), "initial_outputs": before.clone().requires_grad_()}


def test_the_objective_is_the_mean_of_the_task_losses():
    objective = OuterObjective(squared_error)
    assert objective.task_losses(AFTER, TARGET).tolist() == [5.0, 4.0]
    assert objective(outcome(), TARGET).item() == 4.5


@pytest.mark.parametrize("regularizer", ["entropy", *INEQUALITIES])
def test_weight_zero_is_the_mean_loss(regularizer):
    tasks = outcome(CLASS_BEFORE, CLASS_AFTER), CLASS_TARGET
    plain, regularized = OuterObjective(cross_entropy), OuterObjective(cross_entropy, regularizer, 0.0)
    assert torch.equal(regularized(*tasks), plain(*tasks))


@pytest.mark.parametrize("name", INEQUALITIES)
def test_an_inequality_is_that_of_the_task_losses_before_adaptation(name):
    tasks = outcome()
    value = OuterObjective(squared_error, name, 10.0)(tasks, TARGET)
    value.backward()
    losses = torch.tensor([2.0, 6.0], requires_grad=True)
    index = INEQUALITIES[name](losses)
    index.backward()
    assert index.item() > 0.1
    torch.testing.assert_close(value, 4.5 + 10 * index)
    # By the chain rule: d loss / d output is the output in the first task, twice it in the second.
    expected = 10 * losses.grad[:, None] * BEFORE[..., 0] * torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    torch.testing.assert_close(tasks["initial_outputs"].grad[..., 0], expected)


def test_the_entropy_regularizer_wants_undecided_outputs_before_and_decided_ones_after():
    tasks = outcome(CLASS_BEFORE, CLASS_AFTER)
    value = OuterObjective(cross_entropy, "entropy", 2.0)(tasks, CLASS_TARGET)
    value.backward()
    # Losses 0 and ln 2. Entropies before (h + ln 2) / 2 and ln 2, after 0 and ln 2.
    h = 2 * LN2 - 0.75 * math.log(3)
    assert value.item() == pytest.approx(LN2 / 2 + 2 * (0 - (h + LN2) / 2 + LN2 - LN2) / 2, rel=1e-5)
    # A step down the gradient moves the first row's (1/4, 3/4) towards one half, padding nowhere.
    push = -tasks["initial_outputs"].grad
    assert push[0, 0, 0] > 0 > push[0, 0, 1] and not push[1, 1].any()


def test_reptile_reports_the_query_loss_and_descends_its_direction():
    start = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    direction = torch.tensor([[5.0, 6.0], [7.0, 8.0]])
    tasks = outcome() | {"reptile": (start * direction).sum(1)}
    value = OuterObjective(squared_error)(tasks, TARGET)
    value.backward()
    assert value.item() == 4.5
    assert torch.equal(start.grad, direction / 2)
    assert tasks["outputs"].grad is None
