"""The detectors: conventions, what they answer, and what they refuse."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from made_pages import make_shapes
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from skmeta import TAMLDetector, TaskList, TMAMLDetector, adapt, few_shot_scorer
from skmeta.detection import average_precision
from skmeta.engine import forced_strategy

QUICK = {
    "module__hidden_channels": 8,
    "module__n_features": 16,
    "max_iter": 3,
    "meta_batch_size": 2,
    "random_state": 0,
}
TASKS = make_shapes()
IMAGES, TARGETS = TASKS[-1]
ALL = {"least_score": 0.0}


@pytest.fixture(scope="module")
def detector():
    return TMAMLDetector(**QUICK).fit(TASKS[:-1])


@pytest.fixture
def adapted(detector):
    return copy.copy(detector).adapt(IMAGES[:2], TARGETS[:2])


def same(found, others, atol=1e-4):
    assert len(found) == len(others)
    for a, b in zip(found, others, strict=True):
        assert a["labels"].tolist() == b["labels"].tolist()
        np.testing.assert_allclose(a["boxes"], b["boxes"], atol=100 * atol)
        np.testing.assert_allclose(a["scores"], b["scores"], atol=atol)


def relabelled(targets, names):
    return [t | {"labels": np.array([names[label] for label in t["labels"]])} for t in targets]


# ---- conventions


@pytest.mark.parametrize("cls", [TMAMLDetector, TAMLDetector])
def test_parameters_are_stored_and_cloned(cls):
    detector = cls(n_shot=2, module__n_features=16, optimizer__weight_decay=0.1)
    params = clone(detector).get_params()
    assert params == detector.get_params()
    assert params["n_shot"] == 2 and params["module__n_features"] == 16
    with pytest.raises(
        TypeError, match=r"has no parameter 'inner_step', set to 1\. Did you mean 'inner_steps'"
    ):
        cls(inner_step=1)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("n_shot", 0, "an int in [1, inf) or a pair (least, most) of ints, 1 or more"),
        ("n_shot", "auto", "an int in [1, inf)"),
        ("inner_steps", -1, "an int in [0, inf) or one of {'auto'}"),
        ("meta_gradient", "reptile", "one of {'second_order', 'first_order'}"),
        ("early_stopping", "auto", "a bool"),
        ("max_iter", 0, "an int in [1, inf)"),
    ],
)
def test_parameters_have_rules(name, value, rule):
    with pytest.raises(ValueError, match=re.escape(f"{name!r} parameter of TMAMLDetector must be {rule}")):
        TMAMLDetector(**{name: value}).fit(TASKS)


def test_fit_leaves_parameters_and_global_random_states_alone():
    detector = TMAMLDetector(**QUICK)
    before = copy.deepcopy(detector.get_params()), np.random.get_state()[1].copy(), torch.get_rng_state()
    assert detector.fit(TASKS) is detector
    assert detector.get_params() == before[0]
    assert (np.random.get_state()[1] == before[1]).all() and torch.equal(torch.get_rng_state(), before[2])


def test_fitted_attributes(detector):
    assert (detector.n_tasks_, detector.n_iter_, detector.n_skipped_) == (5, 3, 0)
    assert (detector.stride_, detector.n_channels_) == (4, 1)
    assert len(detector.loss_curve_) == 3 and np.isfinite(detector.loss_curve_).all()
    assert detector.validation_scores_ == []
    assert detector.device_.type in ("cpu", "cuda", "mps")
    assert set(detector.inner_lr_) == {"head.weight", "head.bias"}


def test_the_same_seed_gives_the_same_result():
    curves = [TMAMLDetector(**QUICK | {"random_state": s}).fit(TASKS).loss_curve_ for s in (0, 0, 1)]
    assert curves[0] == curves[1] != curves[2]


def test_not_fitted_and_not_adapted(detector):
    with pytest.raises(NotFittedError, match="TMAMLDetector is not meta-trained yet"):
        TMAMLDetector().adapt(IMAGES, TARGETS)
    with pytest.raises(NotFittedError, match=r"5 tasks but not adapted .* Call adapt\(images, targets\)"):
        detector.predict(IMAGES)
    with pytest.raises(NotFittedError, match="not meta-trained"):
        TMAMLDetector().score(TASKS)


def test_a_pickle_answers_alike(adapted):
    twin = pickle.loads(pickle.dumps(adapted))
    same(twin.predict(IMAGES, **ALL), adapted.predict(IMAGES, **ALL), atol=1e-6)


# ---- answers


def test_answers_have_the_form_of_targets(adapted):
    found = adapted.predict(IMAGES[2:], **ALL)
    assert len(found) == 2
    for of_image in found:
        n = len(of_image["boxes"])
        assert 0 < n <= 100
        assert of_image["boxes"].shape == (n, 4) and of_image["boxes"].dtype == np.float32
        assert set(of_image["labels"]) <= set(adapted.classes_)
        assert (np.diff(of_image["scores"]) <= 0).all()
        left, top, right, bottom = of_image["boxes"].T
        assert (left >= 0).all() and (left < right).all() and (right <= 64).all()
        assert (top >= 0).all() and (top < bottom).all() and (bottom <= 48).all()


def test_a_higher_score_leaves_fewer(adapted):
    all_found = adapted.predict(IMAGES[2:], **ALL)[0]
    middle = float(np.median(all_found["scores"]))
    assert adapted.predict(IMAGES[2:], least_score=middle)[0]["scores"].min() >= middle
    with pytest.raises(ValueError, match="'least_score' parameter of predict must be"):
        adapted.predict(IMAGES, least_score=-1)


def test_an_image_is_predicted_alone(adapted):
    together = adapted.predict(IMAGES, **ALL)
    same([adapted.predict(IMAGES[i : i + 1], **ALL)[0] for i in range(4)], together)


def test_the_order_of_the_support_set_does_not_matter(detector):
    found = [
        copy.copy(detector).adapt(IMAGES[:3][::way], TARGETS[:3][::way]).predict(IMAGES[3:], **ALL)
        for way in (1, -1)
    ]
    same(*found)


def test_labels_may_be_strings_or_numbers_in_any_order(detector, adapted):
    labels = adapted.classes_.tolist()
    numbers = dict(zip(labels, range(len(labels), 0, -1), strict=True))
    other = copy.copy(detector).adapt(IMAGES[:2], relabelled(TARGETS[:2], numbers))
    assert other.classes_.tolist() == sorted(numbers.values())
    same(relabelled(adapted.predict(IMAGES[2:], **ALL), numbers), other.predict(IMAGES[2:], **ALL))


def test_adapting_starts_afresh(detector, adapted):
    twice = copy.copy(adapted).adapt(*TASKS[0]).adapt(IMAGES[:2], TARGETS[:2])
    same(twice.predict(IMAGES, **ALL), adapted.predict(IMAGES, **ALL), atol=1e-6)


def test_an_adapted_copy(detector, adapted):
    copied = adapt(detector, IMAGES[:2], TARGETS[:2])
    same(copied.predict(IMAGES, **ALL), adapted.predict(IMAGES, **ALL), atol=1e-6)
    assert not hasattr(detector, "adapted_params_")


def test_weights_of_images_and_a_scorer_of_rows_are_refused(detector):
    with pytest.raises(TypeError, match="sample_weight"):
        adapt(detector, IMAGES[:2], TARGETS[:2], [1, 1])
    with pytest.raises(TypeError, match="a classifier or regressor; it ends in a TMAMLDetector"):
        few_shot_scorer()(detector, TASKS)


def test_tasks_are_predicted_as_one_by_one(detector, adapted):
    supports, asked = [(IMAGES[:2], TARGETS[:2]), TASKS[0]], [IMAGES[2:], TASKS[0][0][:1]]
    found = detector.predict_tasks(supports, asked, **ALL)
    same(found[0], adapted.predict(IMAGES[2:], **ALL), atol=1e-6)
    assert not hasattr(detector, "adapted_params_")
    with pytest.raises(ValueError, match="one entry for each task; got 2 and 1"):
        detector.predict_tasks(supports, asked[:1])
    with pytest.raises(
        ValueError, match=r"'least_score' parameter of predict_tasks must be a float in \[0, 1\]"
    ):
        detector.predict_tasks(supports, asked, least_score=2)


def test_the_score_is_the_mean_average_precision_of_tasks(detector):
    given = [(images[:2], targets[:2], images[2:], targets[2:]) for images, targets in TASKS[:2]]
    scores = []
    for images, targets in TASKS[:2]:
        known = set(np.concatenate([t["labels"] for t in targets[:2]]))
        kept = [[label in known for label in t["labels"]] for t in targets[2:]]
        asked = [{n: v[own] for n, v in t.items()} for t, own in zip(targets[2:], kept, strict=True)]
        found = copy.copy(detector).adapt(images[:2], targets[:2]).predict(images[2:], least_score=0.01)
        scores.append(average_precision(found, asked))
    assert 0 < np.mean(scores) < 1
    assert detector.score(given) == pytest.approx(np.mean(scores))
    assert detector.score(TASKS) == detector.score(TASKS)


def test_images_without_objects(detector):
    empty = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int)}
    blank = np.zeros_like(IMAGES[:1])
    beside = copy.copy(detector).adapt(np.concatenate([IMAGES[:1], blank]), [TARGETS[0], empty])
    assert beside.classes_.tolist() == sorted(set(TARGETS[0]["labels"]))
    alone = copy.copy(detector).adapt(blank, [empty])
    found = alone.predict(IMAGES, **ALL)
    assert len(alone.classes_) == 0 and all(len(of_image["boxes"]) == 0 for of_image in found)
    tasks = [(np.concatenate([images, blank]), [*targets, empty]) for images, targets in TASKS[:3]]
    assert np.isfinite(TMAMLDetector(**QUICK, n_shot=1).fit(tasks).loss_curve_).all()


def test_images_of_different_sizes(adapted):
    sizes = [(48, 64), (40, 64), (30, 33), (48, 64)]
    images = [image[:, :h, :w] for image, (h, w) in zip(IMAGES, sizes, strict=True)]
    found = adapted.predict(images, **ALL)
    same([found[0], found[3]], [adapted.predict(IMAGES[[i]], **ALL)[0] for i in (0, 3)])
    assert found[2]["boxes"][:, 2].max() <= 33 and found[2]["boxes"][:, 3].max() <= 30
    targets = []
    for target, (h, w) in zip(TARGETS, sizes, strict=True):
        kept = (target["boxes"][:, 2] <= w) & (target["boxes"][:, 3] <= h)
        targets.append({name: values[kept] for name, values in target.items()})
    detector = TMAMLDetector(**QUICK).fit([*TASKS[:2], (images, targets)])
    assert np.isfinite(detector.loss_curve_).all()
    assert len(detector.adapt(images, targets).predict(images, **ALL)) == 4


def test_tensors_lists_and_task_lists_are_read_alike():
    as_tensors = [
        (torch.as_tensor(images), [{"boxes": torch.as_tensor(t["boxes"]), "labels": t["labels"]} for t in ts])
        for images, ts in TASKS[:3]
    ]
    as_lists = [
        (list(images), [{n: v.tolist() for n, v in t.items()} for t in ts]) for images, ts in TASKS[:3]
    ]
    lazy = TaskList(TASKS.__getitem__, range(3))
    curves = [TMAMLDetector(**QUICK).fit(t).loss_curve_ for t in (TASKS[:3], as_tensors, as_lists, lazy)]
    assert all(curve == curves[0] for curve in curves)


# ---- training


def test_taml_starts_as_tmaml():
    params = QUICK | {"max_iter": 1, "inner_steps": 1}
    first = [cls(**params).fit(TASKS).loss_curve_ for cls in (TMAMLDetector, TAMLDetector)]
    assert first[0] == first[1]


@pytest.mark.parametrize(("cls", "n_steps"), [(TMAMLDetector, 0), (TAMLDetector, 1)])
def test_a_meta_model_gets_a_step_to_predict_for(cls, n_steps):
    curves = [cls(**QUICK, inner_steps=n).fit(TASKS[:3]).loss_curve_ for n in ("auto", n_steps, 1 + n_steps)]
    assert curves[0] == curves[1] != curves[2]


def test_what_the_meta_model_did_can_be_read():
    detector = TAMLDetector(**QUICK, inner_steps=2).fit(TASKS[:-1]).adapt(IMAGES[:2], TARGETS[:2])
    updates = detector.updates_
    assert updates["tensors"].tolist() == ["head.weight", "head.bias"]
    assert updates["predicted"].shape == (detector.inner_steps, 2) and (updates["gradient"] > 0).all()


@pytest.mark.parametrize("adapt_params", ["head", ["backbone.box.*", "head.*"], "all"])
def test_strategies_agree(adapt_params):
    params = QUICK | {"adapt_params": adapt_params, "module": nn.Conv2d, "max_iter": 2, "inner_steps": 2}
    params |= {"module__out_channels": 4, "module__kernel_size": 4, "module__stride": 4}
    del params["module__hidden_channels"], params["module__n_features"]
    curves = []
    for strategy in "loop", "vmap":
        with forced_strategy(strategy):
            curves.append(TMAMLDetector(**params).fit(TASKS[:3]).loss_curve_)
    np.testing.assert_allclose(*curves, rtol=1e-4)


def test_steps_change_what_is_told_to_adapt(detector):
    none, some = (
        copy.copy(detector).set_params(adapt_steps=n).adapt(IMAGES[:2], TARGETS[:2]).adapted_params_
        for n in (0, 2)
    )
    changed = {name for name in none if not torch.equal(none[name], some[name])}
    assert changed == {"head.weight", "head.bias"}


def test_early_stopping_looks_at_tasks_that_are_held_out():
    params = QUICK | {"max_iter": 4, "early_stopping": True, "iterator_train__steps_per_epoch": 2}
    detector = TMAMLDetector(**params, validation_fraction=0.4).fit(TASKS)
    assert len(detector.validation_scores_) == 2
    assert detector.history_[-1, "valid_score"] == pytest.approx(
        -detector.history_[-1, "valid_loss"], rel=1e-4
    )


def test_the_step_size_falls_to_zero_as_half_a_cosine(detector):
    (rates,) = detector.history_[:, "batches", :, "event_lr"]
    falling = 0.004 * (1 + np.cos(np.pi * np.arange(3) / 3)) / 2
    np.testing.assert_allclose(rates, falling)


def test_training_finds_more_of_new_tasks():
    tasks, new = make_shapes(20, seed=1), make_shapes(6, seed=2)
    gains = []
    for seed in range(2):
        params = QUICK | {"random_state": seed, "outer_lr": 0.01, "average": 0, "meta_batch_size": 1}
        before, after = (TMAMLDetector(**params | {"max_iter": n}).fit(tasks).score(new) for n in (1, 80))
        print(f"average precision of new tasks: {before:.2f} before, {after:.2f} after")
        gains.append(after - before)
    assert min(gains) > 0.2


# ---- modules of the user's own


def test_a_module_of_another_stride():
    module = nn.Sequential(nn.Conv2d(1, 8, 8, stride=8), nn.ReLU())
    detector = TMAMLDetector(module, max_iter=1, random_state=0).fit(TASKS)
    assert detector.stride_ == 8
    assert detector.adapt(IMAGES, TARGETS).predict(IMAGES, **ALL)[0]["boxes"].shape[1] == 4


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Flatten(), r"to a feature map, .* it mapped \(2, 1, 48, 64\) to \(2, 3072\). Leave pooling"),
        (nn.Conv2d(1, 4, 5, stride=4), "one stride that divides 16, as 4 does; .* Pad its convolutions"),
        (nn.Sequential(nn.Conv2d(1, 4, 4, 4), nn.BatchNorm2d(4)), "batch normalisation '1'"),
        (nn.Conv2d(3, 4, 4, 4), r"module failed on rows of shape \(1, 48, 64\)"),
    ],
)
def test_modules_that_cannot_detect(module, message):
    with pytest.raises(ValueError, match=message):
        TMAMLDetector(module, max_iter=1).fit(TASKS)


# ---- bad input


def with_box(box, label="a"):
    return [{"boxes": np.array([[0, 0, 9, 9], box], float), "labels": np.array(["a", label], object)}]


ONE = np.zeros((1, 1, 32, 48), np.float32)
RULE = re.escape("[left, top, right, bottom] in pixels, 0 <= left < right <= 48 and 0 <= top < bottom <= 32")
BAD_BOXES = {
    "right of the image": ([40, 0, 49, 9], "outside of the image"),
    "left of the image": ([-1, 0, 9, 9], "outside of the image"),
    "below the image": ([0, 30, 9, 33], "outside of the image"),
    "inverted": ([9, 0, 3, 9], "inverted"),
    "upside down": ([0, 9, 9, 3], "inverted"),
    "empty": ([3, 3, 3, 9], "empty"),
    "not finite": ([0, 0, np.nan, 9], "not finite"),
}


@pytest.mark.parametrize("name", BAD_BOXES)
def test_a_bad_box_is_named(detector, name):
    box, what = BAD_BOXES[name]
    message = rf"image 0, box 1 is {what}: \[.*\]. A box must be {RULE}. \S+"
    with pytest.raises(ValueError, match="^" + message):
        copy.copy(detector).adapt(ONE, with_box(box))
    with pytest.raises(ValueError, match="^task 1, " + message):
        TMAMLDetector(**QUICK).fit([TASKS[0], (ONE, with_box(box))])


GOOD = {"boxes": [[0, 0, 9, 9]], "labels": ["a"]}
BAD_TASKS = {
    "no labels": (
        (ONE, [{"boxes": [[0, 0, 9, 9]]}]),
        "image 0 must have a target with 'boxes' and 'labels'; got the keys",
    ),
    "too few labels": (
        (ONE, [GOOD | {"labels": []}]),
        r"image 0: labels must have the shape \(1,\), one for each box; got",
    ),
    "a missing label": (
        (ONE, with_box([0, 0, 9, 9], None)),
        "image 0, box 1 has the label None. Each box must have a label",
    ),
    "labels of two types": ((ONE, with_box([0, 0, 9, 9], 1)), "labels must be of one type"),
    "boxes of three numbers": (
        (ONE, [GOOD | {"boxes": [[0, 0, 9]]}]),
        r"boxes must have the shape \(n_objects, 4\); got \(1, 3\)",
    ),
    "boxes of words": ((ONE, [GOOD | {"boxes": [["a"] * 4]}]), "image 0: boxes must be numbers"),
    "a target too many": (
        (ONE, [GOOD, GOOD]),
        "targets must be a list of a dict for each of the 1 images, .* got 2",
    ),
    "targets as one dict": ((ONE, GOOD), "targets must be a list of a dict for each of the 1 images"),
    "mixed channels": (
        ([ONE[0], np.zeros((3, 32, 48))], [GOOD, GOOD]),
        "image 1 has 3 channels, image 0 has 1. Convert all images alike",
    ),
    "infinite pixels": (
        (ONE + np.inf, [GOOD]),
        "image 0 has 1536 pixels that are not finite. Pixels must be finite: replace",
    ),
    "channels last": (
        ([np.zeros((32, 48, 3))], [GOOD]),
        r"image 0 has the shape \(32, 48, 3\), which are channels last. .* image.transpose\(2, 0, 1\)",
    ),
    "no axis of channels": (
        (ONE[0], [GOOD]),
        r"image 0 must have the shape \(n_channels, height, width\); got \(32, 48\). Add .* image\[None\]",
    ),
    "words as pixels": (([[[["a"]]]], [GOOD]), "image 0 must be an array of numbers"),
}


@pytest.mark.parametrize("name", BAD_TASKS)
def test_a_bad_task_is_named(detector, name):
    task, message = BAD_TASKS[name]
    with pytest.raises(ValueError, match=message):
        copy.copy(detector).adapt(*task)
    with pytest.raises(ValueError, match="task 1.*" + message):
        TMAMLDetector(**QUICK).fit([TASKS[0], task])


def test_other_channels_than_in_fit_are_named(detector, adapted):
    colours = np.zeros((1, 3, 32, 48), np.float32)
    with pytest.raises(ValueError, match="image 0 has 3 channels, those of fit had 1"):
        adapted.predict(colours)
    with pytest.raises(ValueError, match="task 1, image 0 has 3 channels, the tasks before it have 1"):
        TMAMLDetector(**QUICK).fit([TASKS[0], (colours, [GOOD])])


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "empty list of tasks"),
        (None, r"tasks must be a list of tuples \(images, targets\); got None"),
        (IMAGES, r"tasks must be a list of tuples \(images, targets\); got an array"),
        ([TASKS[0], IMAGES], r"task 1 must be a tuple \(images, targets\), or .* got ndarray"),
        ([TASKS[0], TASKS[0] + TASKS[0]], "must all come with a query set of their own"),
        ([(ONE, [GOOD])], "task 0 has 0 images for the support set and 1 to query"),
        ([(np.concatenate([ONE, ONE]), [{"boxes": [], "labels": []}] * 2)], "task 0 has no object"),
    ],
)
def test_bad_lists_of_tasks(tasks, message):
    with pytest.raises(ValueError, match=message):
        TMAMLDetector(**QUICK).fit(tasks)


def test_a_task_that_cannot_give_an_episode_is_left_out_and_told():
    with pytest.warns(
        UserWarning, match="1 of 4 tasks cannot give an episode and are left out: task 3 has 0"
    ):
        detector = TMAMLDetector(**QUICK).fit([*TASKS[:3], (ONE, [GOOD])])
    assert detector.n_tasks_ == 4


def test_labels_beside_the_tasks_are_refused(detector):
    with pytest.raises(ValueError, match="y must be None"):
        TMAMLDetector(**QUICK).fit(TASKS, [0] * 6)


def test_a_refused_call_leaves_the_detector_at_work(adapted):
    before = adapted.predict(IMAGES, **ALL)
    with pytest.raises(ValueError, match="outside"):
        adapted.adapt(ONE, with_box([0, 0, 99, 9]))
    with pytest.raises(ValueError, match="empty list"):
        adapted.fit([])
    same(adapted.predict(IMAGES, **ALL), before, atol=1e-6)
