"""Train, choose on meta-validation, score what was chosen on meta-test."""

from dataclasses import asdict

from benchmarks.accuracy.baselines import BASELINES
from benchmarks.accuracy.data import data_version, development
from benchmarks.accuracy.meta_test import score_once
from benchmarks.accuracy.store import kept
from benchmarks.accuracy.variants import VARIANTS


def methods_of(study):
    """The methods that are run in a study."""
    baselines = BASELINES if study.has_baselines else []
    if study.brief:
        baselines = [baseline.quick() for baseline in baselines if not baseline.slow]
    return [method for method in (*VARIANTS, *baselines) if method.suits(study)]


def run(study, split, method, store, clock, tell=print):
    """All that a method still lacks on a split of a study: ``OutOfTime`` if the clock ends it."""
    for params in method.candidates(study):
        validate(study, trial(study, split, method, params, 0), method, store, clock, tell)
    params = chosen(study, split, method, store)
    for seed in range(method.n_seeds(study)):
        finish(study, trial(study, split, method, params, seed), method, store, clock, tell)


def trial(study, split, method, params, seed):
    """The configuration of a fit: all that its scores depend on, but the code."""
    return {
        "study": study.name,
        "kind": study.kind,
        "data": data_version(study.data),
        "protocol": asdict(study.protocol),
        "split": split,
        "method": method.name,
        "params": params,
        "seed": seed,
        **method.config(study),
    }


def validate(study, trial, method, store, clock, tell):
    """Fit, score on meta-validation, and keep the score, if that is not done."""
    code = method.code_of(trial["params"])
    if store.get("validation", trial, code) is None:
        model, spent = fit(study, trial, method, store, clock)
        tasks = _development(study, trial).validation
        result = study.evaluate(model, tasks, study.protocol.n_looked_at)
        store.put("validation", trial, code, score=float(result.mean), **kept(result), **spent)
        tell(f"{describe(trial)}: meta-validation {result.mean:.4f}, {spent['minutes']:.1f} min")


def finish(study, trial, method, store, clock, tell):
    """Score a chosen configuration on meta-test, if the study is final and that is not done."""
    validate(study, trial, method, store, clock, tell)
    if study.final and store.get("test", trial, method.code_of(trial["params"])) is None:
        model, _ = fit(study, trial, method, store, clock)
        score_once(study, trial, model, method, store)
        tell(f"{describe(trial)}: scored on meta-test")


def fit(study, trial, method, store, clock):
    """The fitted model of a configuration, from its kept state where there is one, and what it took."""
    clock.check()
    params = {name: value for name, value in trial["params"].items() if name != "features"}
    code = method.code_of(trial["params"])
    return method.fit(
        study,
        _development(study, trial),
        params,
        trial["seed"],
        clock,
        lambda: store.get_state(trial, code),
        lambda state: store.put_state(trial, code, state),
    )


def chosen(study, split, method, store):
    """The candidate that does best on meta-validation; None while some are not scored there."""
    candidates = method.candidates(study)
    records = [
        store.get("validation", trial(study, split, method, params, 0), method.code_of(params))
        for params in candidates
    ]
    if None in records:
        return None
    return max(zip(records, candidates, strict=True), key=lambda pair: pair[0]["score"])[1]


def records(study, method, store):
    """``(validation, scored)`` records by split and seed, those that are there.

    ``scored`` is of meta-test; of a study that is not final, of meta-validation again.
    """
    kinds = "validation", "test" if study.final else "validation"
    found = {}
    for split in study.splits:
        params = chosen(study, split, method, store)
        for seed in range(method.n_seeds(study)) if params is not None else ():
            config = trial(study, split, method, params, seed)
            pair = tuple(store.get(kind, config, method.code_of(params)) for kind in kinds)
            if None not in pair:
                found[split, seed] = pair
    return found


def describe(trial):
    """A line that tells which fit it is."""
    return f"{trial['study']}, split {trial['split']}, {trial['method']}, seed {trial['seed']}"


def _development(study, trial):
    return development(study.data, trial["split"], trial["params"]["features"])
