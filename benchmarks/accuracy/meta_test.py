"""The one place where meta-test tasks are opened."""

from benchmarks.accuracy.data import sealed_tasks
from benchmarks.accuracy.store import kept


def score_once(study, trial, model, method, store):
    """The scores of a finished configuration on meta-test episodes, kept as its record.

    Raises
    ------
    RuntimeError
        If the configuration has no score on meta-validation yet, or one on meta-test already.
    """
    code = method.code_of(trial["params"])
    if store.get("validation", trial, code) is None:
        raise RuntimeError(f"{trial['method']!r} is to be scored on meta-validation before meta-test.")
    if store.get("test", trial, code) is not None:
        raise RuntimeError(f"{trial['method']!r} has been scored on meta-test.")
    tasks = sealed_tasks(study.data, trial["split"], trial["params"]["features"])
    result = study.evaluate(model, tasks, study.protocol.n_episodes)
    return store.put("test", trial, code, **kept(result))
