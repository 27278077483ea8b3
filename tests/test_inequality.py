"""Inequalities: the properties that make an index of inequality, and their closed forms."""

import math
from functools import partial

import pytest
import torch

from skmeta.core.inequality import INEQUALITIES, atkinson, generalized_entropy, gini, log_variance, theil

MEASURES = {
    **INEQUALITIES,
    **{f"generalized_entropy({a})": partial(generalized_entropy, alpha=a) for a in (0, 1, 2)},
    **{f"atkinson({e})": partial(atkinson, epsilon=e) for e in (0.5, 1, 2)},
}


@pytest.fixture(params=MEASURES.values(), ids=MEASURES)
def measure(request):
    return request.param


def draw(n_tasks, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n_tasks, generator=generator, dtype=dtype) * 3 + 0.05


@pytest.mark.parametrize("n_tasks", [1, 2, 7])
@pytest.mark.parametrize("level", [0.0, 1e-8, 1.0, 1e8])
def test_zero_when_all_are_equal(measure, n_tasks, level):
    value = measure(torch.full((n_tasks,), level, dtype=torch.float64))
    assert value.shape == () and abs(value) < 1e-12


@pytest.mark.parametrize("n_tasks", [2, 3, 16])
def test_positive_when_some_differ(measure, n_tasks):
    assert all(measure(draw(n_tasks, seed)) > 0 for seed in range(50))


@pytest.mark.parametrize("factor", [1e-6, 0.3, 1e6])
def test_unchanged_by_scaling(measure, factor):
    torch.testing.assert_close(measure(draw(9) * factor), measure(draw(9)))


def test_unchanged_by_order(measure):
    losses = draw(9)
    for seed in range(5):
        order = torch.randperm(9, generator=torch.Generator().manual_seed(seed))
        torch.testing.assert_close(measure(losses[order]), measure(losses))


# With all losses below 1e-37 the true derivative, of the order of 1 / loss, is no float32 any more.
@pytest.mark.parametrize("rest", [[], [0.0], [1.0, 2.0]], ids=["alone", "beside zero", "beside others"])
@pytest.mark.parametrize("small", [0.0, 1e-35, 1e-20, 1e-10, 1e-5])
def test_finite_with_a_finite_gradient_as_a_loss_vanishes(measure, small, rest):
    losses = torch.tensor([small, *rest], dtype=torch.float32, requires_grad=True)
    value = measure(losses)
    (gradient,) = torch.autograd.grad(value, losses)
    assert value.isfinite() and gradient.isfinite().all()


def test_negative_loss_is_an_error(measure):
    with pytest.raises(ValueError, match=r"losses must be non-negative; got a minimum of -0\.5"):
        measure(torch.tensor([1.0, -0.5]))


def test_gradcheck(measure):
    assert torch.autograd.gradcheck(measure, draw(6).requires_grad_())


# Losses [1, 3] have the shares 1/2 and 3/2; [1, 4] the means 5/2 (arithmetic) and 2 (geometric).
BY_HAND = [
    (theil, [1.0, 3.0], 0.25 * math.log(0.5) + 0.75 * math.log(1.5)),
    (gini, [1.0, 3.0], 0.25),
    (log_variance, [1.0, math.e**2], 1.0),
    (partial(generalized_entropy, alpha=0), [1.0, 4.0], math.log(1.25)),
    (partial(generalized_entropy, alpha=2), [1.0, 3.0], 0.125),
    (partial(generalized_entropy, alpha=-1), [1.0, 3.0], 1 / 6),
    (partial(atkinson, epsilon=0.5), [1.0, 4.0], 0.1),
    (partial(atkinson, epsilon=1), [1.0, 4.0], 0.2),
    (partial(atkinson, epsilon=2), [1.0, 3.0], 0.25),
]


@pytest.mark.parametrize(("measure", "losses", "expected"), BY_HAND)
def test_values_by_hand(measure, losses, expected):
    assert measure(torch.tensor(losses, dtype=torch.float64)).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n_tasks", [2, 5, 16])
def test_relations_between_the_measures(n_tasks):
    losses = draw(n_tasks)
    squared_variation = losses.var(correction=0) / losses.mean() ** 2
    torch.testing.assert_close(generalized_entropy(losses, 2), squared_variation / 2)
    torch.testing.assert_close(generalized_entropy(losses, 1), theil(losses))
    torch.testing.assert_close(atkinson(losses, 1), 1 - (-generalized_entropy(losses, 0)).exp())
    torch.testing.assert_close(log_variance(losses), losses.log().var(correction=0))


@pytest.mark.parametrize(
    ("family", "point"), [(generalized_entropy, 0), (generalized_entropy, 1), (atkinson, 1)]
)
def test_families_are_continuous_where_their_formula_changes(family, point):
    for near in point - 1e-5, point + 1e-5:
        torch.testing.assert_close(family(draw(6), near), family(draw(6), point), rtol=1e-4, atol=0)


@pytest.mark.parametrize("n_tasks", [1, 2, 5, 16])
def test_gini_is_the_mean_difference_of_all_pairs_and_bounded(n_tasks):
    losses = draw(n_tasks)
    pairs = (losses[:, None] - losses).abs().sum() / (2 * n_tasks * losses.sum())
    torch.testing.assert_close(gini(losses), pairs)
    all_in_one = torch.zeros(n_tasks, dtype=torch.float64)
    all_in_one[0] = 1
    bound = (n_tasks - 1) / n_tasks
    assert gini(losses) <= bound and gini(all_in_one).item() == pytest.approx(bound, abs=1e-4)


@pytest.mark.parametrize("epsilon", [0, -1.0])
def test_atkinson_needs_a_positive_aversion(epsilon):
    message = rf"'epsilon' parameter of atkinson must be a float in \(0, inf\)\. Got {epsilon} instead"
    with pytest.raises(ValueError, match=message):
        atkinson(torch.ones(2), epsilon)
