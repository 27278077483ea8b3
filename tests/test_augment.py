"""Augmentation: what the ready-made ones change, and that meta-training alone sees it, the same each time."""

import numpy as np
import pytest
import torch
from made_tasks import ESTIMATORS, PLAIN, QUICK, REGRESSORS, make_images, make_lines, make_tasks
from sklearn.base import clone

from skmeta import Conv4, GaussianNoise, Rotations, Shifts, TMAMLClassifier

TASKS, LINES = make_tasks(), make_lines()
of_each_estimator = pytest.mark.parametrize(
    ("estimator", "tasks"), [*((e, TASKS) for e in ESTIMATORS), *((e, LINES) for e in REGRESSORS)]
)
NOISE = GaussianNoise(0.5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- the ready-made ones


def test_noise_is_in_units_of_each_features_deviation_over_all_rows():
    scales, shift = torch.tensor([1.0, 100.0, 0.0]), torch.tensor([5.0, -7.0, 3.0])
    X = shift + scales * torch.randn(50, 400, 3, generator=generator(1))
    noise = GaussianNoise(0.5)(X, generator()) - X
    torch.testing.assert_close(noise.std((0, 1)), 0.5 * X.std((0, 1), correction=0), rtol=0.02, atol=1e-7)
    torch.testing.assert_close(noise.mean((0, 1)) / (scales + 1e-9), torch.zeros(3), rtol=0, atol=0.02)
    # A number of its own for each row and feature.
    assert abs(np.corrcoef(noise[..., 0].flatten(), noise[..., 1].flatten())[0, 1]) < 0.03


def test_rotations_turn_all_images_of_a_task_alike_and_tasks_by_themselves():
    X = torch.randn(64, 3, 2, 4, 4, generator=generator(1))
    turned = Rotations()(X, generator())
    turns = []
    for task, rows in zip(X, turned, strict=True):
        (k,) = [k for k in range(4) if torch.equal(rows, task.rot90(k, (-2, -1)))]
        turns.append(k)
    assert min(turns.count(k) for k in range(4)) >= 8


@pytest.mark.parametrize("shape", [(2, 3, 16), (2, 3, 1, 4, 5)])
def test_rotations_need_square_images(shape):
    with pytest.raises(ValueError, match=r"needs square images; got rows of shape \(.*[65],?\)\."):
        Rotations()(torch.zeros(shape), generator())


@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf"), "0.5", True, None])
def test_noise_of_no_size_is_an_error(scale):
    with pytest.raises(ValueError, match=f"'scale' parameter of GaussianNoise must be .* Got {scale!r} inst"):
        GaussianNoise(scale)


@pytest.mark.parametrize("flat", [False, True])
def test_shifts_move_each_image_by_itself_and_all_moves_are_alike(flat):
    X = torch.zeros(30, 20, 2, 7, 5)
    X[..., 3, 2] = torch.tensor([1.0, 2.0])  # a dot in the middle of each channel
    # Flat rows are images of one channel.
    rows, shifts = (X[:, :, 0].flatten(2), Shifts(1, shape=(7, 5))) if flat else (X, Shifts(1))
    moved = shifts(rows, generator()).reshape(30 * 20, -1, 7, 5)
    found = moved.nonzero()
    n_channels = moved.shape[1]
    assert len(found) == 600 * n_channels  # no dot is lost, none comes in
    places = found[:, 2:].reshape(600, n_channels, 2)
    assert torch.equal(places[:, 0], places[:, -1])
    assert torch.equal(moved.amax((2, 3)), torch.tensor([1.0, 2.0])[:n_channels].expand(600, -1))
    moves, counts = (places[:, 0] - torch.tensor([3, 2])).unique(dim=0, return_counts=True)
    assert len(moves) == 9 and moves.abs().max() == 1 and counts.min() > 600 / 9 / 2


def test_what_a_shift_brings_in_is_zero():
    ones = torch.ones(1, 100, 1, 4, 4)
    sizes = Shifts(1)(ones, generator()).sum((2, 3, 4)).unique()
    assert sizes.tolist() == [9, 12, 16]


@pytest.mark.parametrize(
    ("shifts", "shape", "message"),
    [
        (Shifts(1), (2, 3, 16), r"needs images, or shape=.*; got rows of shape \(16,\)\."),
        (Shifts(1, shape=(4, 5)), (2, 3, 16), r"of shape=\(4, 5\); got rows of shape \(16,\)\."),
        (Shifts(1, shape=(4, 4)), (2, 3, 1, 4, 4), r"of shape=\(4, 4\); got rows of shape \(1, 4, 4\)\."),
        (Shifts(4), (2, 3, 1, 6, 4), r"'n_pixels' .* less than .*, here 6 and 4\. Got 4 instead\."),
        (Shifts(4, shape=(4, 6)), (2, 3, 24), r"'n_pixels' .* less than .*, here 4 and 6\. Got 4 instead\."),
    ],
)
def test_shifts_need_images(shifts, shape, message):
    with pytest.raises(ValueError, match=message):
        shifts(torch.zeros(shape), generator())


@pytest.mark.parametrize("n_pixels", [0, -1, 1.5, "1", True, None])
def test_shifts_of_no_pixels_are_an_error(n_pixels):
    with pytest.raises(ValueError, match=f"'n_pixels' parameter of Shifts must be .* Got {n_pixels!r} inst"):
        Shifts(n_pixels)


@pytest.mark.parametrize("shape", [28, (28,), (0, 4), (2.0, 3), (True, 4), "28"])
def test_shifts_of_no_shape_are_an_error(shape):
    with pytest.raises(ValueError, match="'shape' parameter of Shifts must be None or a tuple of two ints"):
        Shifts(1, shape=shape)


@pytest.mark.parametrize("augment", [NOISE, Rotations(), Shifts(1)])
def test_the_generator_decides_and_the_rows_stay_as_they_are(augment):
    X = torch.randn(8, 3, 1, 4, 4, generator=generator(1))
    before = X.clone()
    assert torch.equal(augment(X, generator(2)), augment(X, generator(2)))
    assert not torch.equal(augment(X, generator(2)), augment(X, generator(3)))
    assert torch.equal(X, before)


# ---- in the estimators


def same(a, b):
    return all(torch.equal(p, b.meta_params_[name]) for name, p in a.meta_params_.items())


@of_each_estimator
def test_it_changes_what_is_learned_the_same_way_each_time(estimator, tasks):
    augmented = estimator(**QUICK, augment=NOISE).fit(tasks)
    assert same(augmented, clone(augmented).fit(tasks))
    assert not same(augmented, estimator(**QUICK).fit(tasks))
    nothing = estimator(**QUICK, augment=lambda X, generator: X).fit(tasks)
    assert same(nothing, estimator(**QUICK).fit(tasks))


def test_it_sees_the_meta_batches_of_meta_training_alone():
    seen = []

    def note(X, generator):
        seen.append((tuple(X.shape), generator.device, generator.initial_seed()))
        return X

    clf = TMAMLClassifier(**PLAIN | {"max_iter": 60, "n_shot": 2}, augment=note, early_stopping=True)
    clf.fit(make_tasks(10))
    # One meta-batch more is tried before the first step.
    first, *steps = seen
    assert [s for _, _, s in steps] == [first[2] + step for step in range(clf.n_iter_)]
    assert {shape for shape, _, _ in steps} == {(4, 2 * (2 + 5), 3)}
    before = len(seen)
    clf.adapt(*TASKS[0]).predict(TASKS[0][0])
    clf.predict_tasks(TASKS, [X for X, _ in TASKS])
    clf.score(TASKS)
    assert len(seen) == before


def test_a_hook_that_works_in_place_leaves_the_data():
    X, y = TASKS[0]
    before = X.copy()
    TMAMLClassifier(**QUICK, augment=lambda X, generator: X.mul_(2)).fit([(X, y), *TASKS[1:]])
    np.testing.assert_array_equal(X, before)


def test_images():
    settings = {"module__hidden_channels": 8, "n_shot": 1, "n_query": 1, "inner_steps": 1, "max_iter": 2}
    fit = TMAMLClassifier(Conv4, **settings, random_state=0).set_params
    plain, *changed = (fit(augment=a).fit(make_images()).meta_params_ for a in (None, Rotations(), Shifts(1)))
    for learned in changed:
        assert any(not torch.equal(p, plain[name]) for name, p in learned.items())


def test_flat_images():
    images = [(X.reshape(len(X), -1), y) for X, y in make_images()]
    pixels = make_images()[0][0].shape
    fit = TMAMLClassifier(**QUICK).set_params
    shifts = Shifts(1, shape=tuple(pixels[-2:]))
    assert not same(fit(augment=shifts).fit(images), TMAMLClassifier(**QUICK).fit(images))


@pytest.mark.parametrize(
    ("augment", "got"),
    [
        (lambda X, generator: X[:, 1:], r"\(4, 11, 3\), torch.float32, .*cpu.*"),
        (lambda X, generator: X.double(), r"\(4, 12, 3\), torch.float64, .*cpu.*"),
        (lambda X, generator: X.numpy(), "ndarray"),
        (lambda X, generator: None, "NoneType"),
    ],
    ids=["shape", "dtype", "array", "None"],
)
def test_what_it_returns_must_be_rows_of_the_same_kind(augment, got):
    clf = TMAMLClassifier(**PLAIN | {"n_shot": 1}, augment=augment)
    expected = r"augment must return a tensor of the shape, dtype and device \(\(4, 12, 3\), torch.float32"
    with pytest.raises(ValueError, match=rf"{expected}.*; got \(?{got}\)?\."):
        clf.fit(TASKS)
    assert not hasattr(clf, "net_")
