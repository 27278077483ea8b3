"""Estimators with the posterior head: its start, what they answer, what they say of it."""

import pickle

import numpy as np
import pytest
import torch
from made_tasks import make_tasks
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import BayesianRidge, LogisticRegression, RidgeClassifier
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

import skmeta
from skmeta.core.mixed_model import fit_prior
from skmeta.core.posterior import GaussianHead, predict

# No training is better by so much.
START = {"head": "posterior", "random_state": 0, "max_iter": 1, "tol": 1e9}
FEW_STEPS = {"head": "posterior", "random_state": 0, "max_iter": 4}
N_FEATURES = 3


def lines(n_tasks=30, n_rows=12, noise=0.5, seed=0, n_outputs=None):
    """Tasks of a linear mixed model, whose features and targets have offsets and units."""
    rng = np.random.default_rng(seed)
    shape = (N_FEATURES, *([] if n_outputs is None else [n_outputs]))
    tasks = []
    for _ in range(n_tasks):
        X = rng.normal(size=(n_rows, N_FEATURES))
        weights = rng.normal(size=shape) * 0.4 + 1
        level = 1.5 * rng.normal(size=shape[1:])
        y = X @ weights + level + noise * rng.normal(size=(n_rows, *shape[1:]))
        tasks.append((100 + 10 * X, 1000 + 50 * y))
    return tasks


def noisy_classes(n_tasks=60, n_rows=10, seed=0, names=("no", "yes")):
    """Two classes, which features tell little of, and tasks more."""
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        X = rng.normal(size=(n_rows, N_FEATURES))
        logit = 0.5 * X[:, 0] + 1.5 * rng.normal() - 1
        tasks.append((X, np.array(names)[(rng.random(n_rows) < 1 / (1 + np.exp(-logit))).astype(int)]))
    return tasks


def own_classes(n_classes=60, n_rows=12, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat([f"class {i:02d}" for i in range(n_classes)], n_rows)
    X = np.repeat(3 * rng.normal(size=(n_classes, N_FEATURES)), n_rows, axis=0)
    return X + 0.3 * rng.normal(size=X.shape), y


# ---- the start


def test_the_start_of_a_regression_is_the_mixed_model_of_all_tasks():
    tasks = lines()
    reg = skmeta.TMAMLRegressor(**START).fit(tasks)
    assert reg.best_iter_ == 0 and reg.n_iter_ > 0
    X, y = (np.stack(part) for part in zip(*tasks, strict=True))
    center, unit, level, scale = X.mean((0, 1)), X.std((0, 1)), y.mean(), y.std()
    head = GaussianHead(N_FEATURES, 1).double()
    features, targets = (torch.as_tensor(part) for part in ((X - center) / unit, (y - level) / scale))
    head.load_state_dict(fit_prior(features, targets[..., None], torch.ones(y.shape)), strict=False)
    new_X, new_y = lines(1, seed=1)[0]
    units = (new_X - center) / unit, (new_y - level) / scale
    features, targets = (torch.as_tensor(part) for part in units)
    for n in 0, 1, 5:
        layer = head(features[:n], targets[:n, None], torch.ones(n).double())
        mean, variance = predict(layer, features)
        predicted, deviation = reg.adapt(new_X[:n], new_y[:n]).predict(new_X, return_std=True)
        # Means and units of the features are those of training tasks alone.
        assert_allclose(predicted, level + scale * mean[:, 0].detach(), atol=0.03 * scale)
        expected = reg.calibration_ * scale * variance[:, 0].detach().sqrt()
        assert_allclose(deviation, expected, rtol=0.05)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_start_of_noisy_classes_beats_the_share_of_each(seed):
    """Where 4 rows are known, by 0.05 at least in log loss; and without any row it is no worse."""
    clf = skmeta.TMAMLClassifier(**START).fit(noisy_classes(seed=seed))
    new = noisy_classes(300, seed=seed + 10)
    y = np.concatenate([y[4:] for _, y in new])
    share = np.mean(np.concatenate([y for _, y in noisy_classes(seed=seed)]) == "yes")
    constant = log_loss(y, np.tile([1 - share, share], (len(y), 1)), labels=["no", "yes"])
    for n, gain in (0, -0.02), (4, 0.05):
        p = np.concatenate([clf.adapt(X[:n], y[:n]).predict_proba(X[4:]) for X, y in new])
        loss = log_loss(y, p, labels=["no", "yes"])
        print(f"{n} rows: {loss:.3f}, constant {constant:.3f}")
        assert loss < constant - gain


def test_the_start_of_one_task_alone_is_the_same_each_time():
    X, y = lines(1, 60)[0]
    models = [skmeta.TMAMLRegressor(head="posterior", random_state=seed).fit(X, y) for seed in (0, 1)]
    answers = [model.predict(X) for model in models]
    assert np.corrcoef(answers[0], y)[0, 1] > 0.9
    assert_allclose(*answers, rtol=1e-9)
    assert models[0].loss_curve_ == [] and models[0].best_iter_ == 0


@pytest.mark.parametrize("n_features", [5, 60, 300])
def test_rows_alone_are_bayesian_ridge_regression_and_its_intervals_hold(n_features):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, n_features))
    y = np.stack([3 * X[:, 0] + rng.normal(size=800), 50 - X[:, 1]], axis=1)
    reg = skmeta.TMAMLRegressor(random_state=0).fit(X[:500], y[:500])
    for j in range(2):
        expected = make_pipeline(StandardScaler(), BayesianRidge()).fit(X[:500], y[:500, j])
        error = reg.predict(X[500:])[:, j] - expected.predict(X[500:])
        assert np.abs(error).max() < 0.02 * y[:, j].std()
    low, high = np.moveaxis(reg.predict_interval(X[500:]), -1, 0)
    assert abs(((low < y[500:]) & (y[500:] < high)).mean(0)[0] - 0.9) < 0.05


@pytest.mark.parametrize("n_features", [60, 300])  # means with a prior, and a fit to episodes
def test_outputs_are_fitted_each_by_itself_and_many_features_are_shrunk(n_features):
    rng = np.random.default_rng(0)
    tasks = []
    for _ in range(17):
        X = rng.normal(size=(40, n_features))
        y = X[:, 0] + 0.5 * X[:, 1] + 0.5 * rng.normal() + 0.5 * rng.normal(size=40)
        tasks.append((X, np.stack([y, y], 1)))
    reg = skmeta.TMAMLRegressor(random_state=0).fit([(X[:15], y[:15]) for X, y in tasks[:9]])
    errors, inside = [], []
    for X, y in tasks[9:]:
        reg.adapt(X[:10], y[:10])
        predicted, deviation = reg.predict(X[10:], return_std=True)
        assert_allclose(predicted[:, 0], predicted[:, 1], rtol=1e-3, atol=1e-3)
        assert_allclose(deviation[:, 0], deviation[:, 1], rtol=1e-3)
        errors.append(np.abs(predicted - y[10:])), inside.append(errors[-1] < 1.64 * deviation)
    spread = np.mean([np.abs(y - y.mean()) for _, y in tasks])
    print(f"{n_features} features: error {np.mean(errors):.2f} of {spread:.2f}, {np.mean(inside):.2f} inside")
    assert np.mean(errors) < spread and np.mean(inside) > 0.7


@pytest.mark.parametrize(
    "logit", [lambda X: X[:, 0] - 4.5, lambda X: 1e9 * X[:, 0]], ids=["rare", "separable"]
)
def test_rows_alone_of_two_classes_are_logistic_regression(logit):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 5))
    y = (rng.random(4000) < expit(logit(X))).astype(int)
    ours, theirs = (
        log_loss(y[3000:], model.fit(X[:3000], y[:3000]).predict_proba(X[3000:]))
        for model in (skmeta.TMAMLClassifier(random_state=0), LogisticRegression())
    )
    assert ours < theirs + 0.002


def test_a_run_without_a_step_starts_anew():
    """Of the tasks of the second fit, which say the opposite."""
    tasks = lines(5)
    contrary = [(X, -y) for X, y in tasks]
    reg = skmeta.TMAMLRegressor(random_state=0, warm_start=True).fit(tasks)
    before = reg.adapt(*tasks[0][:2]).predict(tasks[1][0])
    assert reg.fit(contrary).loss_curve_ == []
    after = reg.adapt(tasks[0][0], tasks[0][1]).predict(tasks[1][0])
    assert np.abs(after - before).max() > 1


def test_a_start_with_a_module_answers_as_it_was_fitted():
    """Its features must stay as they were for the fit: no inner steps."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(N_FEATURES, 16), nn.Tanh())
    tasks = [((X - 100) / 10, y) for X, y in lines(40)]
    answers = [
        skmeta.TMAMLRegressor(module, inner_lr=lr, **START).fit(tasks).adapt(*tasks[0]).predict(tasks[1][0])
        for lr in (0.05, 1e-9)
    ]
    assert_allclose(*answers)


def test_a_kept_start_is_left_for_a_better_state_in_a_further_run():
    """The held-out tasks stay held out, and the network may grow."""
    tasks = lines(20)
    reg = skmeta.TMAMLRegressor(**START | {"max_iter": 2}, warm_start=True).fit(tasks)
    assert reg.best_iter_ == 0
    head = reg.net_.module_.head
    assert not head.is_open
    before = reg.adapt(*tasks[0]).predict(tasks[1][0])
    reg.fit(tasks).adapt(*tasks[0])
    assert reg.best_iter_ == 0 and reg.n_iter_ == 4
    assert_allclose(reg.predict(tasks[1][0]), before)
    stop = dict(reg.net_.callbacks_)["early_stopping"]
    assert stop.of_start_.mean() == pytest.approx(stop.dynamic_threshold_ - 1e9, abs=1e-3)


def test_ctrl_c_in_the_first_epoch_keeps_what_there_is():
    class Stop(Callback):
        def on_batch_end(self, net, training=False, **kwargs):
            raise KeyboardInterrupt

    for head in "linear", "posterior":
        reg = skmeta.TMAMLRegressor(head=head, early_stopping=True, max_iter=3, callbacks=[Stop()]).fit(
            lines(12)
        )
        X, y = lines(1)[0]
        assert np.isfinite(reg.adapt(X[:3], y[:3]).predict(X)).all()


@pytest.mark.parametrize("by_direction", [True, False])
def test_own_classes_are_told_apart_by_direction_where_that_is_what_tells(by_direction):
    X, y = own_classes()
    if by_direction:
        X = X * np.random.default_rng(0).lognormal(sigma=2, size=(len(X), 1))
    else:
        X = X[:, :1] + 0.1 * np.random.default_rng(0).normal(size=X.shape)
    clf = skmeta.TMAMLClassifier(**START).fit(X, y)
    lengths = np.linalg.norm(clf._network().rows(X[:9])[:], axis=1)
    assert np.allclose(lengths, N_FEATURES**0.5) == by_direction


def test_the_start_of_own_classes_is_ridge_regression():
    X, y = own_classes()
    clf = skmeta.TMAMLClassifier(**START).fit(X[:600], y[:600])
    new, names = X[660:], y[660:]  # five classes
    precision = clf.meta_params_["head.log_precision"][[0, -1]].exp().sqrt().numpy()
    rows = clf._network().rows(new)[:].numpy() / precision[0]
    rows = np.column_stack([rows, np.full(len(rows), 1 / precision[1])])
    ridge = RidgeClassifier(alpha=1.0, fit_intercept=False).fit(rows[::4], names[::4])
    answers = clf.adapt(new[::4], names[::4]).predict(new)
    assert_array_equal(answers, ridge.predict(rows))
    assert (answers == names).mean() > 0.9


@pytest.mark.parametrize("n_features", [N_FEATURES, 2001])
def test_what_cannot_be_held_out_or_is_wide_is_answered_by_the_start(n_features):
    X, y = own_classes(24 if n_features == N_FEATURES else 30)
    X = np.pad(X, ((0, 0), (0, n_features - N_FEATURES)))
    clf = skmeta.TMAMLClassifier(head="posterior", random_state=0).fit(X, y)
    assert clf.label_space_ == "per_task"
    assert clf.loss_curve_ == [] and clf.best_iter_ == 0
    assert clf.adapt(X[:60:3], y[:60:3]).score(X[1:60:3], y[1:60:3]) > 0.8


@pytest.mark.parametrize("early_stopping", [True, False])
def test_who_asks_for_early_stopping_or_none_gets_steps(early_stopping, monkeypatch):
    monkeypatch.setattr("skmeta.estimators.auto.POSTERIOR_STEPS", (60, 50))
    X, y = own_classes(12)
    clf = skmeta.TMAMLClassifier(random_state=0, early_stopping=early_stopping, n_iter_no_change=1).fit(X, y)
    assert clf.n_iter_ >= 50
    assert bool(clf.validation_scores_) == early_stopping


def test_features_of_a_module_keep_the_precision_of_the_start():
    X, y = own_classes()
    module = nn.Sequential(nn.Linear(N_FEATURES, 8), nn.ReLU())
    params = START | {"early_stopping": False, "outer_lr": 1e-9, "average": 0.0}
    precision = skmeta.TMAMLClassifier(module, **params).fit(X, y).meta_params_["head.log_precision"]
    assert precision.min() < 3.9


def test_the_start_of_a_wide_regression_has_means():
    rng, weights = np.random.default_rng(0), np.ones(300)
    tasks = [(X, X @ weights) for X in rng.normal(size=(12, 40, 300))]
    means = skmeta.TMAMLRegressor(**START).fit(tasks).meta_params_["head.mean"][0, :300]
    assert means.mean() > 0


def three_classes(n_tasks, seed):
    rng = np.random.default_rng(seed)
    tasks = []
    for _ in range(n_tasks):
        means, y = 2 * np.eye(3) + 0.5 * rng.normal(size=(3, N_FEATURES)), rng.integers(3, size=40)
        tasks.append((means[y] + 0.7 * rng.normal(size=(40, N_FEATURES)), y))
    return tasks


def test_of_many_classes_a_support_set_may_hold_few_or_each():
    clf = skmeta.TMAMLClassifier(**FEW_STEPS | {"max_iter": 200}).fit(three_classes(30, seed=0))
    losses = []
    for X, y in three_classes(20, seed=1):
        for support in np.arange(2), np.concatenate([np.flatnonzero(y == c)[:2] for c in range(3)]):
            p = clf.adapt(X[support], y[support]).predict_proba(np.delete(X, support, 0))
            losses.append(log_loss(np.delete(y, support), p, labels=[0, 1, 2]))
    of_few, of_each = np.mean(losses[::2]), np.mean(losses[1::2])
    assert of_each < of_few < 0.7 * np.log(3)


# ---- what is answered


def test_intervals_cover_what_they_say():
    reg = skmeta.TMAMLRegressor(**START).fit(lines(60))
    for coverage in 0.5, 0.9:
        covered = []
        for X, y in lines(150, seed=2):
            low, high = reg.adapt(X[:3], y[:3]).predict_interval(X[3:], coverage=coverage).T
            covered.append(((low <= y[3:]) & (y[3:] <= high)).mean())
        assert abs(np.mean(covered) - coverage) < 0.05


def test_several_outputs_have_intervals_of_their_own():
    tasks = lines(20, n_outputs=2)
    reg = skmeta.TMAMLRegressor(**FEW_STEPS).fit(tasks)
    X, y = tasks[0]
    predicted, deviation = reg.adapt(X[:4], y[:4]).predict(X, return_std=True)
    assert predicted.shape == deviation.shape == y.shape
    assert reg.predict_interval(X).shape == (*y.shape, 2)


@pytest.mark.parametrize("name", ["TMAML", "TAML"])
@pytest.mark.parametrize("max_iter", [4, 55])
def test_many_tasks_are_answered_as_one_at_a_time(name, max_iter):
    regression, classes = lines(20), noisy_classes(20)
    reg = getattr(skmeta, f"{name}Regressor")(**FEW_STEPS | {"max_iter": max_iter}).fit(regression)
    clf = getattr(skmeta, f"{name}Classifier")(**FEW_STEPS | {"max_iter": max_iter}).fit(classes)
    for model, tasks in (reg, regression), (clf, classes):
        supports = [(X[:n], y[:n]) for n, (X, y) in enumerate(tasks[:6])]
        together = model.predict_tasks(supports, [X for X, _ in tasks[:6]])
        for (X, y), (X_query, _), answer in zip(supports, tasks, together, strict=False):
            alone = model.adapt(X, y).predict(X_query)
            assert_array_equal(answer, alone) if model is clf else assert_allclose(answer, alone, rtol=1e-3)


def test_a_task_of_one_class_leaves_the_other_some_chance():
    clf = skmeta.TMAMLClassifier(**START).fit(noisy_classes())
    X = np.zeros((3, N_FEATURES))
    p = clf.adapt(X, ["yes"] * 3).predict_proba(X)
    assert_array_equal(clf.classes_, ["no", "yes"])
    assert (p[:, 1] > 0.5).all() and (p[:, 0] > 0.02).all()


@pytest.mark.parametrize(("max_iter", "least"), [(1, 0.5), (60, 0.75)])
def test_own_classes_may_be_called_anything_and_be_more_than_in_training(max_iter, least):
    X, y = own_classes()
    clf = skmeta.TMAMLClassifier(**FEW_STEPS | {"max_iter": max_iter}).fit(X[:600], y[:600])
    assert clf.label_space_ == "per_task"
    new, names = X[600:], y[600:]
    support = np.arange(0, 120, 6)
    p = clf.adapt(new[support], names[support]).predict_proba(new)
    assert (clf.classes_[p.argmax(1)] == names).mean() > least
    renamed = np.array([f"name {-int(name[-2:]) % 97:02d}" for name in names])
    q = clf.adapt(new[support], renamed[support]).predict_proba(new)
    # Gradients by the backbone are sums over classes, in their order.
    assert_allclose(q[:, ::-1], p, atol=1e-4)


def test_an_untrained_taml_is_tmaml():
    for kind, tasks in ("Regressor", lines(20)), ("Classifier", noisy_classes(20)):
        params = FEW_STEPS | {"max_iter": 1, "early_stopping": False, "outer_lr": 1e-12}
        X, y = tasks[0]
        answers = [
            getattr(skmeta, name + kind)(**params).fit(tasks).adapt(X[:5], y[:5])._outputs(X)
            for name in ("TMAML", "TAML")
        ]
        assert_allclose(*answers, rtol=1e-6, atol=1e-6)


# ---- with what else there is


def test_modules_sparse_rows_and_heads_alone():
    tasks = [(sparse.csr_matrix(X), y) for X, y in noisy_classes(12)]
    for params in (
        {},
        {"adapt_params": "head"},
        {"meta_gradient": "first_order"},
        {"hidden_layer_sizes": ()},
        {"module": nn.Sequential(nn.Linear(N_FEATURES, 8), nn.Tanh())},
        {"adapt_params": ["head.*"]},
        {"task_regularizer": "theil"},
        {"sampling": "stratified"},
    ):
        clf = skmeta.TAMLClassifier(**FEW_STEPS, early_stopping=False, **params).fit(tasks)
        assert np.isfinite(clf.adapt(*tasks[0]).predict_proba(tasks[1][0])).all(), params
        n_steps = 0 if "adapt_params" in params or params.get("hidden_layer_sizes") == () else 2
        assert clf.updates_["gradient"].shape[0] == n_steps


def test_a_pickle_answers_and_a_warm_start_goes_on():
    tasks = lines(20)
    X, y = tasks[0]
    reg = skmeta.TMAMLRegressor(**FEW_STEPS, warm_start=True).fit(tasks).adapt(X[:4], y[:4])
    twin = pickle.loads(pickle.dumps(reg))
    assert_array_equal(twin.predict(X), reg.predict(X))
    assert twin.fit(tasks).n_iter_ == 8


def test_a_warm_start_goes_on_with_other_numbers_of_tasks():
    """Whether tasks are held out is settled by the first fit."""
    for first, second in (12, 9), (9, 12):
        reg = skmeta.TMAMLRegressor(**FEW_STEPS, warm_start=True).fit(lines(first)).fit(lines(second))
        assert reg.n_iter_ == 8 and len(reg.validation_scores_) == 2 * (first == 12)


def test_natural_draws_of_own_classes():
    X, y = own_classes()
    params = {"sampling": "natural", "label_space": "per_task"}
    clf = skmeta.TMAMLClassifier(**FEW_STEPS, **params).fit(X, y)
    assert np.isfinite(clf.adapt(X[::6], y[::6]).predict_proba(X)).all()


def test_few_tasks_are_not_held_out():
    assert skmeta.TMAMLRegressor(**FEW_STEPS).fit(lines(9)).validation_scores_ == []
    assert len(skmeta.TMAMLRegressor(**FEW_STEPS).fit(lines(10)).validation_scores_) == 1


def test_tasks_of_very_different_units_have_their_own():
    tasks = [(X, y * 10.0 ** (i % 7)) for i, (X, y) in enumerate(lines(40, noise=0.05))]
    reg = skmeta.TMAMLRegressor(**FEW_STEPS).fit(tasks)
    for X, y in tasks[:7]:
        error = np.abs(reg.adapt(X[:8], y[:8]).predict(X[8:]) - y[8:]).mean()
        assert error < 0.5 * y.std()


def test_what_cannot_be_is_told():
    tasks = lines(10)
    with pytest.raises(ValueError, match=r"head='posterior' is learned through the inner loop.*'reptile'"):
        skmeta.TMAMLRegressor(head="posterior", meta_gradient="reptile").fit(tasks)
    reg = skmeta.TMAMLRegressor(head="linear", max_iter=1).fit(tasks).adapt(*tasks[0])
    for ask in lambda X: reg.predict(X, return_std=True), reg.predict_interval:
        with pytest.raises(ValueError, match=r"has no deviations.*Fit with head='posterior'"):
            ask(tasks[0][0])
    reg = skmeta.TMAMLRegressor(**FEW_STEPS).fit(tasks).adapt(*tasks[0])
    with pytest.raises(ValueError, match="'coverage' parameter of predict_interval must be a float in"):
        reg.predict_interval(tasks[0][0], coverage=90)


def test_two_classes_of_a_users_module():
    """Such a network runs under vmap, which shows the head no numbers."""
    tasks = make_tasks(12)
    module = nn.Sequential(nn.Linear(tasks[0][0].shape[1], 8), nn.Tanh())
    clf = skmeta.TMAMLClassifier(module=module, head="posterior", max_iter=2, random_state=0).fit(tasks)
    assert 0 <= clf.score(tasks) <= 1
    assert clf.adapt([], []).predict(tasks[0][0]).shape == (len(tasks[0][1]),)


def test_rows_of_one_task_need_no_order():
    """Of many, some are looked at, of each class though they come in turn."""
    rng = np.random.default_rng(0)
    y = np.arange(1500) % 3
    X = rng.normal(size=(1500, 4)) + y[:, None]
    order = rng.permutation(1500)
    in_turn = skmeta.TMAMLClassifier(random_state=0).fit(X, y)
    mixed = skmeta.TMAMLClassifier(random_state=0).fit(X[order], y[order])
    losses = [log_loss(y, model.predict_proba(X)) for model in (in_turn, mixed)]
    assert losses[0] == pytest.approx(losses[1], abs=0.03)


def test_answers_without_their_variance_are_the_same():
    clf = skmeta.TMAMLClassifier(**START).fit(noisy_classes())
    for X, y in noisy_classes(5, seed=1):
        clf.adapt(X[:4], y[:4])
        assert_array_equal(clf.predict(X), clf.classes_[clf.predict_proba(X).argmax(1)])
    reg = skmeta.TMAMLRegressor(**START).fit(lines())
    X, y = lines(1, seed=1)[0]
    assert_allclose(reg.adapt(X, y).predict(X), reg.predict(X, return_std=True)[0], rtol=1e-12)
