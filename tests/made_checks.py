"""scikit-learn's estimator checks in a process of their own: ``python made_checks.py NAME`` prints a report.

scipy reads SCIPY_ARRAY_API as it is imported; without it, the checks of array inputs are skipped.
"""

import json
import os
import subprocess
import sys
from typing import NamedTuple

import torch
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator
from skorch.callbacks import Callback

import skmeta

MOST_STEPS = 60


class EndsEarly(Callback):
    """Ends a run as Ctrl-C does."""

    def on_batch_end(self, net, training, **kwargs):
        if training and sum(len(epoch["batches"]) for epoch in net.history) >= MOST_STEPS:
            raise KeyboardInterrupt


# A small network that is trained for a short time checks the interface as the default one does: the check of
# class_weight asks for 1,000 outer steps. SKMETA_CHECK_DEFAULTS=1 takes the default one.
SHORT = {"inner_steps": 1, "hidden_layer_sizes": (8,), "meta_batch_size": 2, "callbacks": [EndsEarly()]}
if os.environ.get("SKMETA_CHECK_DEFAULTS"):
    SHORT = {}
SETTINGS = dict.fromkeys(["TMAMLClassifier", "TAMLClassifier", "TMAMLRegressor", "TAMLRegressor"], SHORT)


class Check(NamedTuple):
    """A line of the report; ``exceptions`` is the text of what was raised and of all that led to it."""

    name: str
    status: str
    expected_to_fail: bool
    exceptions: list


def run_checks(name):
    """The report of all checks of an estimator: of skmeta, or one of this file."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, name],
        env=os.environ | {"SCIPY_ARRAY_API": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = [Check(*row) for row in json.loads(done.stdout.splitlines()[-1])]
    assert len(report) >= 40
    assert not any(check.expected_to_fail for check in report)
    return report


class TrainsItsPrior:
    """The checks bring rows of any width, so the prior is fitted to the very rows of ``fit``."""

    def _check_prior(self):
        pass

    def fit(self, X, y, sample_weight=None):
        given, self.prior = self.prior, clone(self._learner).fit(X, y, sample_weight=sample_weight)
        try:
            return super().fit(X, y, sample_weight)
        finally:
            self.prior = given


class ReadyClassifier(TrainsItsPrior, skmeta.FewShotClassifier):
    _learner = skmeta.TMAMLClassifier(**SHORT, random_state=0)


class ReadyRegressor(TrainsItsPrior, skmeta.FewShotRegressor):
    _learner = skmeta.TMAMLRegressor(**SHORT, random_state=0)


def texts_of_chain(error):
    """What an exception says, and what each of those says that caused it or was handled as it came."""
    texts, waiting = [], [error]
    while waiting:
        error = waiting.pop()
        if error is not None:
            texts.append(str(error))
            waiting += [error.__cause__, error.__context__]
    return texts


def main(name):
    torch.set_num_threads(1)
    estimator = globals()[name]() if name in globals() else getattr(skmeta, name)(**SETTINGS.get(name, {}))
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    keys = "check_name", "status", "expected_to_fail"
    print(json.dumps([[*(r[key] for key in keys), texts_of_chain(r["exception"])] for r in results]))


if __name__ == "__main__":
    main(*sys.argv[1:])
