"""The benchmarks compare equals: all contestants compute the same meta-gradient. No wall time here."""

from dataclasses import replace

import pytest
import torch

from benchmarks import goals, growth, memory, peaks
from benchmarks.contestants import PEERS, missing_peers, task_by_task, tutorial_loop
from benchmarks.gradients import TOLERANCE, check_gradient, check_gradients, gradient
from benchmarks.imports import PROGRAMS
from benchmarks.limits import batched_mlp, count_flops
from benchmarks.outer_step import CASES, VARIANTS
from benchmarks.plot import draw
from benchmarks.report import markdown
from benchmarks.serving import check_predictions, new_tasks, regress, tutorial_model
from benchmarks.timing import alternate

TINY = [replace(case, n_tasks=3, n_query=case.n_support, inner_steps=2) for case in CASES]


@pytest.mark.parametrize("case", TINY, ids=lambda case: case.name)
def test_contestants_compute_the_same(case):
    others = {"loop": tutorial_loop, "loop, task by task": task_by_task} | (
        {} if case.convolves else {"limit": batched_mlp}
    )
    errors = check_gradients(case, others)
    assert errors.keys() == {"skmeta", "skmeta, vmap", "skmeta, loop", *others}
    assert max(errors.values()) <= TOLERANCE


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("case", TINY, ids=lambda case: case.name)
@pytest.mark.filterwarnings("default")  # of the peers' own
def test_peers_compute_the_same(case, name):
    if name in missing_peers():
        pytest.skip(f"{name} is not installed")
    assert check_gradients(case, {name: PEERS[name]})[name] <= TOLERANCE


@pytest.mark.parametrize("case", TINY, ids=lambda case: case.name)
def test_a_wrong_gradient_is_found(case):
    order = replace(case, second_order=not case.second_order)

    def wrong(model, batch, case):
        tutorial_loop(model, batch, order)

    with pytest.raises(ValueError, match="meta-gradient of 'wrong' differs"):
        check_gradients(case, {"wrong": wrong})


def test_a_gradient_that_is_not_finite_is_found():
    g = torch.ones(3)
    with pytest.raises(ValueError, match="'broken'"):
        check_gradient("broken", g * float("nan"), g)


def test_cases_give_the_estimators_the_same_step():
    for case in CASES:
        estimator = case.estimator(max_iter=1, n_query=1, meta_batch_size=2).fit(case.tasks(2))
        shapes = [tuple(p.shape) for name, p in estimator.meta_params_.items() if name != "log_inner_lr"]
        assert sorted(shapes) == sorted(tuple(p.shape) for p in case.model().parameters())
        assert estimator.module is (case.make_backbone if case.convolves else None)


def test_second_derivatives_count():
    first, second = (count_flops(case.model(), case.batch(), case) for case in (TINY[4], TINY[3]))
    assert second > 1.2 * first > 0


def test_predictions_are_compared():
    case = TINY[1]
    tasks = case.tasks(4)
    clf = case.estimator(max_iter=1).fit(tasks)
    supports, queries = new_tasks(case, 3)
    assert check_predictions(clf, tutorial_model(case, clf, tasks), supports, queries) >= 0.999
    with pytest.raises(ValueError, match="agree on"):
        check_predictions(clf, regress, supports, queries)


def test_contestants_take_turns():
    seen = []
    measured = alternate({name: lambda name=name: seen.append(name) or name for name in "ab"}, 1e-9)
    assert measured == {"a": ["a"] * 3, "b": ["b"] * 3}
    assert seen == ["a", "b"] * 3
    assert alternate({"a": lambda: 1}, 0) == {"a": [1]}


def test_growth_is_an_exponent():
    sizes = [1, 2, 4, 8, 16]
    assert growth.slope(sizes, [9, 9, 16, 64, 256]) == pytest.approx(2)


def test_memory_grows_after_the_warm_up():
    assert memory.growth([100.0, 200.0, *[200.0] * 17, 220.0]) == pytest.approx(1.1)
    assert memory.growth([100.0] * 20) == 1


def test_a_missed_goal_is_shown():
    missed = goals.at_least(2, "gain", [1.5, 3.0])
    assert not missed.met
    assert (missed.figure, missed.two_threads) == ("1.50 times", "3.00 times")
    assert goals.at_most(2, "share", [1.5]).met
    assert not goals.between(0.9, 1.1, "exponent", 1.2).met


def made_results(fit=0.1):
    """Results of all parts, as if each step took a second and ``fit``'s a share of it."""
    seconds = {name: {"1": [1.0], "2": [1.0]} for name in ["loop", "limit", *VARIANTS]}
    seconds["skmeta"] = {"1": [fit], "2": [fit]}
    case = {"seconds": seconds, "gradient_errors": {"loop": 1e-7}, "two_cores": {"1": [1.0], "2": [0.6]}}
    cases = {c.name: {"title": c.title, **case} for c in CASES}
    answers = {name: {"1": [1.0], "2": [1.0]} for name in ("skmeta", "LogisticRegression", "loop")}
    return {
        "machine": {"processor": "abacus"},
        "quick": False,
        "outer_step": cases,
        "gpu": cases,
        "serving": {"n_tasks": 9, "agreement": 1.0, "one": answers, "many": answers},
        "imports": {program: [1.0] for program in PROGRAMS},
        "memory": {"adapt calls": {"amount": 20, "megabytes": [100.0] * 20}},
        "peaks": {"second order": {who: {"before": 300.0, "peak": 400.0} for who in peaks.CONTESTANTS}},
        "growth": {"tasks": {"sizes": [1, 2, 4], "seconds": [1.0, 2.0, 4.0]}},
    }


def test_the_page_shows_goals_met_and_missed():
    page = markdown(made_results())
    what = f"outer step in `fit`, {CASES[0].title}: faster than the tutorial loop"
    assert f"| {what} | ≥ 10 | 10.00 times | 10.00 times | yes |" in page
    page = markdown(made_results(fit=0.2))
    assert f"| {what} | ≥ 10 | 5.00 times | 5.00 times | **no** |" in page


def test_the_page_is_of_the_parts_that_were_run(tmp_path):
    results = made_results()
    some = {name: results[name] for name in ("machine", "quick", "growth")} | {"gpu": None}
    assert markdown(some).count("| **no** |") == 0
    assert "GPU" not in markdown(some)
    draw(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_gradients_do_not_add_up():
    case, model = TINY[0], TINY[0].model()
    first = gradient(tutorial_loop, model, case.batch(), case)
    assert torch.equal(gradient(tutorial_loop, model, case.batch(), case), first)
