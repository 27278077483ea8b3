"""The average of the iterates: its weights, where it stands in for them, and that training is blind to it."""

import copy
import pickle

import pytest
import torch
from made_learners import StubSource, make_test_net, params_of
from made_tasks import ESTIMATORS, PLAIN, QUICK, REGRESSORS, make_lines, make_tasks
from sklearn.base import clone
from skorch.callbacks import Callback, Checkpoint

from skmeta import TMAMLClassifier
from skmeta.engine import average_iterates, early_stopping, train

DECAY = 0.8


class Iterates(Callback):
    """Notes the parameters after each step, and what is in the module at the end of each epoch."""

    def initialize(self):
        self.steps_, self.validated_, self.epochs_ = [], [], []
        return self

    def on_batch_end(self, net, training, **kwargs):
        (self.steps_ if training else self.validated_).append(params_of(net))

    def on_epoch_end(self, net, **kwargs):
        self.epochs_.append(params_of(net))


def averaged(callbacks=(), **kwargs):
    """A net that keeps an average, and what it notes."""
    notes = Iterates()
    net = make_test_net(callbacks=[*average_iterates(DECAY), ("notes", notes), *callbacks], **kwargs)
    return net, notes


def average_of(iterates):
    weights = torch.tensor([DECAY**k for k in reversed(range(len(iterates)))], dtype=torch.float64)
    weights /= weights.sum()
    return {
        name: torch.stack([w * p[name] for w, p in zip(weights, iterates, strict=True)]).sum(0)
        for name in iterates[0]
    }


def assert_close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def assert_equal(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("n_steps", [1, 3, 60])
def test_it_is_the_sum_of_the_iterates_by_powers_of_the_decay(n_steps):
    net, notes = averaged()
    train(net, StubSource(range(n_steps)))
    assert len(notes.steps_) == n_steps
    assert_close(params_of(net), average_of(notes.steps_))


def test_training_does_not_see_it():
    (net, notes), plain = averaged(), make_test_net(callbacks=[("notes", Iterates())])
    train(net, StubSource(range(120)), StubSource(range(1)))
    train(plain, StubSource(range(120)))
    for a, b in zip(notes.steps_, dict(plain.callbacks_)["notes"].steps_, strict=True):
        assert_equal(a, b)
    assert net.history[:, "train_loss"] == plain.history[:, "train_loss"]


def test_it_is_in_the_module_while_validated_and_at_the_end_of_each_epoch():
    net, notes = averaged()
    train(net, StubSource(range(120)), StubSource(range(2)))
    for i, n_steps in enumerate([50, 100, 120]):
        expected = average_of(notes.steps_[:n_steps])
        for seen in (*notes.validated_[2 * i : 2 * i + 2], notes.epochs_[i]):
            assert_close(seen, expected)


def test_stop_and_resume_is_one_run():
    whole, resumed = averaged()[0], averaged()[0]
    train(whole, StubSource(range(70)))
    for steps in range(30), range(30, 70):
        train(resumed, StubSource(steps))
        resumed = pickle.loads(pickle.dumps(copy.deepcopy(resumed)))
    assert_equal(params_of(resumed), params_of(whole))


def test_an_interrupted_run_keeps_the_average():
    net, short = averaged()[0], averaged()[0]
    train(net, StubSource(range(70), interrupt=55))
    train(short, StubSource(range(55)))
    assert_equal(params_of(net), params_of(short))


def test_early_stopping_keeps_the_best_average_and_goes_on_from_it():
    script = iter([0.1, 0.5, 0.4, 0.3, 0.2])
    net, notes = averaged(early_stopping(lambda *_: torch.tensor(next(script)), patience=2, tol=0.0))
    train(net, StubSource(range(1000)), StubSource(range(1)))
    assert len(notes.steps_) == 200
    best = params_of(net)
    assert_equal(best, notes.epochs_[1])
    train(net, StubSource(range(200, 201)), StubSource(range(1)))
    # One step of Adam from there; the last iterate of the first run was elsewhere.
    assert furthest(notes.steps_[200], best) < 0.02 < furthest(notes.steps_[199], best)


def furthest(a, b):
    return max((p - b[name]).abs().max() for name, p in a.items())


def test_a_checkpoint_holds_the_average(tmp_path):
    net, notes = averaged([("checkpoint", Checkpoint(monitor=None, dirname=str(tmp_path)))])
    train(net, StubSource(range(60)))
    saved = torch.load(tmp_path / "params.pt")
    assert_equal({name: saved[name] for name in notes.epochs_[-1]}, params_of(net))
    assert_close(params_of(net), average_of(notes.steps_))


def test_a_pickle_holds_tensors_of_the_cpu_alone_and_no_more_than_two_states():
    net = averaged()[0]
    train(net, StubSource(range(3)))
    state = dict(net.callbacks_)["average"].__getstate__()
    n = len([p for p in net.module_.parameters() if p.requires_grad])
    assert {name: len(value) for name, value in state.items() if isinstance(value, list)} == {
        "average_": n,
        "iterate_": n,
    }
    assert "learned" not in state


# ---- in the estimators

TASKS, LINES = make_tasks(10), make_lines(10)
of_each_estimator = pytest.mark.parametrize(
    ("estimator", "tasks"), [*((e, TASKS) for e in ESTIMATORS), *((e, LINES) for e in REGRESSORS)]
)


def same(a, b):
    return all(torch.equal(p, b.meta_params_[name]) for name, p in a.meta_params_.items())


@of_each_estimator
def test_it_changes_what_is_kept_and_not_how_it_is_found(estimator, tasks):
    kept = estimator(**PLAIN | {"max_iter": 20}, average=DECAY).fit(tasks)
    last = estimator(**PLAIN | {"max_iter": 20}).fit(tasks)
    assert kept.loss_curve_ == last.loss_curve_
    assert not same(kept, last)
    assert same(kept, clone(kept).fit(tasks))
    one = {"max_iter": 1}
    assert same(estimator(**PLAIN | one, average=DECAY).fit(tasks), estimator(**PLAIN | one).fit(tasks))


def test_validation_scores_are_those_of_what_is_kept():
    settings = QUICK | {"inner_steps": 1, "max_iter": 100, "outer_lr": 0.05}
    clf = TMAMLClassifier(**settings, average=0.95, early_stopping=True, tol=0.0)
    clf.fit(make_tasks(10, spread=4.0))
    last = TMAMLClassifier(**settings, early_stopping=True, tol=0.0).fit(make_tasks(10, spread=4.0))
    assert clf.validation_scores_ != last.validation_scores_
    short = TMAMLClassifier(**settings | {"max_iter": 50}, average=0.95, early_stopping=True, tol=0.0)
    assert short.fit(make_tasks(10, spread=4.0)).validation_scores_ == clf.validation_scores_[:1]
    best = clf if clf.validation_scores_[1] > clf.validation_scores_[0] else short
    assert same(clf, best)
