"""Levels and scales of targets: known answers, a plain version, and what multiplying and shifting do."""

import numpy as np
import pytest
import torch
from scipy.special import digamma, polygamma

from skmeta.tasks.targets import TargetScaler, moments


def make_targets(n_tasks=6, *, n_outputs=2, level=3.0, log_scale=2.0, seed=0):
    """Targets ``(n_rows, n_outputs)`` of tasks of 1 to 12 rows, whose levels and scales differ."""
    rng = np.random.default_rng(seed)
    targets = []
    for n_rows in rng.permutation(12)[:n_tasks] + 1:
        mean, scale = level * rng.normal(size=n_outputs), np.exp(log_scale * rng.normal(size=n_outputs))
        targets.append(torch.as_tensor(scale * (mean + rng.normal(size=(n_rows, n_outputs)))))
    return targets


def with_moments(mean, variance, n_rows):
    """Targets of one output with exactly this mean and variance."""
    y = torch.linspace(-1, 1, n_rows, dtype=torch.float64)
    return (mean + y / y.std() * variance**0.5)[:, None]


def ones(y):
    return torch.ones(len(y), dtype=torch.float64)


def fit(targets):
    of_tasks = [moments(y, ones(y)) for y in targets]
    return TargetScaler(*(torch.stack(part) for part in zip(*of_tasks, strict=True)))


def levels_and_scales(targets, scaler=None):
    """Arrays of shape (n_tasks, n_outputs)."""
    scaler = scaler or fit(targets)
    return [torch.stack(part).numpy() for part in zip(*(scaler(y, ones(y)) for y in targets), strict=True)]


def assert_close(actual, expected, rtol=1e-9):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-12)


# ---- known answers


def test_moments_by_hand():
    y = torch.tensor([[1.0, 5], [2, 5], [6, 5], [100, 100]], dtype=torch.float64)
    n, mean, variance = moments(y, torch.tensor([1.0, 1, 1, 0]))
    assert (n.tolist(), mean.tolist(), variance.tolist()) == ([3, 3], [3, 5], [7, 0])
    n, mean, variance = moments(y[:1], torch.ones(1))
    assert (n.tolist(), mean.tolist(), variance.tolist()) == ([1, 1], [1, 5], [0, 0])


def test_one_task_has_its_mean_and_the_unbiased_logarithm_of_its_deviation():
    """Of three rows, the logarithm of a chi square of 2 degrees, halved, has the mean -0.5772."""
    targets = [with_moments(7.0, 4.0, 3)]
    level, scale = levels_and_scales(targets)
    assert_close(level, 7.0)
    assert_close(scale, 2 * np.exp(np.euler_gamma / 2))


@pytest.mark.parametrize("n_rows", [2, 3, 5, 30])
def test_the_logarithm_of_the_scale_is_unbiased(n_rows):
    rng, n_tasks = np.random.default_rng(n_rows), 5_000
    scaler = fit(torch.as_tensor(5 * rng.normal(size=(n_tasks, n_rows, 1))))
    error = np.sqrt(polygamma(1, (n_rows - 1) / 2) / 4 / n_tasks)
    assert abs(scaler.log_scale[0].item() - np.log(5)) < 4 * error
    assert scaler.log_scale[1].item() < 0.05  # these tasks do not differ


@pytest.mark.parametrize("apart", [0.5, 2.0, 20.0])
def test_two_tasks_whose_scales_differ(apart):
    """By hand: values 0 and a with the noise v = pi^2/24 have the variance a^2/2 - v between them."""
    noise = np.pi**2 / 24
    targets = [with_moments(0.0, np.exp(2 * a), 3) for a in (0.0, apart)]
    _, scale = levels_and_scales(targets)
    variance = max(0, apart**2 / 2 - noise)
    own = np.array([0, apart]) + np.euler_gamma / 2
    expected = own.mean() + variance / (variance + noise) * (own - own.mean())
    assert_close(np.log(scale[:, 0]), expected)


@pytest.mark.parametrize("apart", [0.5, 2.0, 20.0])
def test_two_tasks_whose_levels_differ(apart):
    """Scales alike: in units of the scale, levels 0 and d with the noise 1/4 differ by d^2/2 - 1/4."""
    scale = np.exp((np.log(1.5) - digamma(1.5)) / 2)
    level, scales = levels_and_scales([with_moments(d * scale, 1.0, 4) for d in (0.0, apart)])
    variance = max(0, apart**2 / 2 - 1 / 4)
    expected = apart / 2 + variance / (variance + 1 / 4) * np.array([-apart / 2, apart / 2])
    assert_close(scales, scale)
    assert_close(level[:, 0], scale * expected)


# ---- a plain version


def plain_mean_and_variance(values, noise):
    """DerSimonian and Laird, of lists of numbers."""
    if not values:
        return 0.0, 0.0
    values, weight = np.array(values), 1 / np.array(noise)
    variance = 0.0
    if len(values) > 1:
        q = np.sum(weight * (values - np.average(values, weights=weight)) ** 2)
        spare = weight.sum() - (weight**2).sum() / weight.sum()
        variance = max(0.0, (q - (len(values) - 1)) / spare)
    return np.average(values, weights=1 / (1 / weight + variance)), variance


def plain_scaler(targets):
    """Levels and scales of the tasks themselves, each a list of numbers."""

    def log_scale(y):  # half the logarithm of a chi square, whose mean and variance are known
        half = (len(y) - 1) / 2
        bias, noise = (digamma(half) - np.log(half)) / 2, polygamma(1, half) / 4
        return np.log(np.std(y, ddof=1)) - bias, noise

    def drawn(value, noise, mean, variance):
        return (mean * noise + value * variance) / (noise + variance)

    own = [log_scale(y) if len(y) > 1 and np.ptp(y) > 0 else None for y in targets]
    prior = plain_mean_and_variance([v for v, _ in filter(None, own)], [n for _, n in filter(None, own)])
    scales = [np.exp(drawn(*known, *prior) if known else prior[0]) for known in own]
    in_units = [np.mean(y) / s for y, s in zip(targets, scales, strict=True)]
    prior = plain_mean_and_variance(in_units, [1 / len(y) for y in targets])
    levels = [s * drawn(v, 1 / len(y), *prior) for s, v, y in zip(scales, in_units, targets, strict=True)]
    return levels, scales


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("spread", [0.01, 0.5, 5.0])
def test_a_plain_version_gives_the_same(spread, seed):
    targets = make_targets(12, n_outputs=1, level=spread, log_scale=spread, seed=seed)
    assert min(map(len, targets)) == 1
    targets.append(torch.full((4, 1), 0.1, dtype=torch.float64))
    level, scale = levels_and_scales(targets)
    plain_level, plain_scale = plain_scaler([y[:, 0].numpy() for y in targets])
    assert_close(level[:, 0], plain_level, rtol=1e-7)
    assert_close(scale[:, 0], plain_scale, rtol=1e-7)


# ---- between the own and the common


def test_alike_tasks_have_the_common_level_and_scale():
    targets = [with_moments(2.0, 9.0, n) for n in (5, 5, 5, 5)]
    scaler = fit(targets)
    strange = with_moments(1e3, 1e8, 5)
    expected = levels_and_scales(targets)
    for y in *targets, strange, strange[:1]:
        assert_close(scaler(y, ones(y))[1], expected[1][0])
        assert_close(scaler(y, ones(y))[0], 2.0)


def test_tasks_that_differ_by_factors_of_a_million_have_their_own():
    own = [(1e-6, 1e-12), (1.0, 1.0), (-3e6, 1e12), (1e12, 1e24)]
    level, scale = levels_and_scales([with_moments(m, v, 100) for m, v in own])
    assert_close(scale[:, 0], [v**0.5 for _, v in own], rtol=0.01)
    for got, (mean, variance) in zip(level[:, 0], own, strict=True):
        assert abs(got - mean) < 0.02 * variance**0.5


def test_the_more_rows_the_closer_to_the_own_mean_and_deviation():
    scaler = fit(make_targets(10, n_outputs=1))
    far = []
    for n_rows in 3, 10, 100, 10_000:
        level, scale = scaler(y := with_moments(40.0, 25.0, n_rows), ones(y))
        far.append([abs(level.item() - 40) / 5, abs(np.log(scale.item() / 5))])
    assert (np.diff(far, axis=0) < 0).all()
    assert np.max(far[-1]) < 1e-3


def test_one_row_has_the_common_scale_and_a_level_half_way():
    """Levels whose variance in units of the scale is 1, like the noise of one row."""
    apart = np.sqrt((1 + 1 / 100) * 2) * np.exp((np.log(49.5) - digamma(49.5)) / 2)
    scaler = fit([with_moments(mean, 1.0, 100) for mean in (0.0, apart)])
    assert scaler.level[1].item() == pytest.approx(1)
    level, scale = scaler(torch.tensor([[30.0]], dtype=torch.float64), torch.ones(1))
    assert scale.item() == pytest.approx(scaler.log_scale[0].exp().item())
    assert level.item() == pytest.approx((30 + scaler.level[0].item() * scale.item()) / 2)


def test_constant_targets_have_the_common_scale_or_one():
    constant = torch.full((7, 1), 0.1, dtype=torch.float64)
    scaler = fit([with_moments(0.0, 16.0, 1001), constant])
    assert scaler(constant, ones(constant))[1].item() == pytest.approx(4, rel=1e-3)
    for far in 0.0, 0.1, -1e9:
        targets = [torch.full((n, 1), far, dtype=torch.float64) for n in (1, 4, 7)]
        level, scale = levels_and_scales(targets)
        assert_close(scale, 1.0)
        assert_close(level, far)


# ---- equalities


@pytest.mark.parametrize("factor", [1e-9, 3.0, 1e6, 1e30])
def test_multiplying_all_targets_multiplies_levels_and_scales(factor):
    targets = make_targets(10)
    level, scale = levels_and_scales(targets)
    new_level, new_scale = levels_and_scales([factor * y for y in targets])
    assert_close(new_level, factor * level)
    assert_close(new_scale, factor * scale)


def test_changing_all_signs_changes_the_levels_signs():
    targets = make_targets()
    level, scale = levels_and_scales(targets)
    assert_close(levels_and_scales([-y for y in targets]), [-level, scale])


@pytest.mark.parametrize("shift", [-7.0, 1e6])
def test_shifting_all_targets_shifts_the_levels_where_scales_are_alike(shift):
    targets = [with_moments(m, 4.0, 6) for m in (0.0, 1.0, -2.0, 5.0)]
    level, scale = levels_and_scales(targets)
    assert np.ptp(level) > 4
    new_level, new_scale = levels_and_scales([y + shift for y in targets])
    assert_close(new_level - shift, level, rtol=1e-6)
    assert_close(new_scale, scale, rtol=1e-6)


def test_shifting_far_leaves_levels_within_the_noise_of_the_mean():
    targets = make_targets(10)
    level, scale = levels_and_scales([y + 1e9 for y in targets])
    for y, task_level, task_scale in zip(targets, level, scale, strict=True):
        assert (np.abs(task_level - 1e9 - y.numpy().mean(0)) < task_scale / np.sqrt(len(y))).all()


def test_the_order_of_tasks_and_rows_does_not_matter():
    targets = make_targets()
    level, scale = levels_and_scales(targets)
    assert_close(levels_and_scales([y.flip(0) for y in targets[::-1]]), [level[::-1], scale[::-1]])


def test_rows_of_weight_zero_count_as_absent():
    targets = make_targets()
    scaler = fit(targets)
    for y in targets:
        padded = torch.cat([y, torch.full_like(y, 1e9)])
        weight = torch.cat([ones(y), 0 * ones(y)])
        assert_close(torch.stack(scaler(padded, weight)), torch.stack(scaler(y, ones(y))))


def test_vmap_is_a_loop_over_tasks():
    scaler = fit(make_targets(10))
    y = torch.stack([y.repeat(12, 1)[:12] for y in make_targets(10)])
    weight = (torch.arange(12) < torch.arange(1, 11)[:, None]).float()
    loop = [scaler(*task) for task in zip(y, weight, strict=True)]
    for batched, single in zip(torch.vmap(scaler)(y, weight), zip(*loop, strict=True), strict=True):
        assert_close(batched, torch.stack(single))


def test_outputs_do_not_see_each_other():
    targets = make_targets(10, n_outputs=3)
    together = levels_and_scales(targets)
    for i in range(3):
        alone = levels_and_scales([y[:, i : i + 1] for y in targets])
        assert_close(alone, [part[:, i : i + 1] for part in together])


@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e100])
@pytest.mark.parametrize("seed", range(5))
def test_levels_are_finite_and_scales_positive(seed, scale):
    targets = [scale * y for y in make_targets(8, log_scale=20.0, seed=seed)]
    level, scale = levels_and_scales(targets)
    assert np.isfinite(level).all() and np.isfinite(scale).all() and (scale > 0).all()
