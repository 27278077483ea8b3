"""The accuracy benchmark keeps what it computed, and its meta-test tasks to itself."""

import ast
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from joblib import Parallel, delayed, parallel_config
from sklearn.base import clone, is_classifier

from benchmarks.accuracy import __main__, data, meta_test, report, run, versions
from benchmarks.accuracy.baselines import BASELINES
from benchmarks.accuracy.clock import Clock, OutOfTime
from benchmarks.accuracy.data import parkinsons, text, votes, wisdm
from benchmarks.accuracy.results import best_of, is_met, results_of
from benchmarks.accuracy.run import methods_of, trial
from benchmarks.accuracy.store import Store
from benchmarks.accuracy.studies import STUDIES, Goal, Training, for_both
from benchmarks.accuracy.training import train
from benchmarks.accuracy.variants import VARIANTS
from skmeta import GaussianNoise, evaluate
from skmeta.datasets import make_scanners

SOURCE = Path(data.__file__).parents[1]

TINY = replace(
    STUDIES[0].quick(),
    protocol=replace(STUDIES[0].protocol, n_episodes=4, n_looked_at=4),
    training=Training(steps=4, chunk=2),
    variants=("TMAML, tuned",),
    grid=for_both({}, {"inner_lr": 0.2}),
    final=True,
)
LOCAL = next(b for b in BASELINES if b.name == "local logistic regression")
METHODS = [*methods_of(TINY)[:1], LOCAL]
ROWS = {"features": "rows"}
CODE = METHODS[0].code_of(ROWS)


READ = data._read


@pytest.fixture(autouse=True)
def few_scanners(monkeypatch):
    made = make_scanners(n_train=6, n_test=4, random_state=0)
    subsets = made.train[:3], made.train[3:], made.test
    monkeypatch.setattr(data, "_read", lambda name, split, features: subsets)
    monkeypatch.setattr(run, "methods_of", lambda study: METHODS)
    monkeypatch.setattr("benchmarks.accuracy.results.methods_of", lambda study: METHODS)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def compute(store, study=TINY, methods=METHODS, clock=None):
    """What a run computed, a list of lines."""
    lines = []
    for split in study.splits:
        for method in methods:
            run.run(study, split, method, store, clock or Clock(), tell=lines.append)
    return lines


class Ticks:
    """A clock that is over after so many looks at it."""

    def __init__(self, n):
        self.n = n

    def check(self):
        self.n -= 1
        if self.n < 0:
            raise OutOfTime


# ---- what is done is kept


def test_a_second_run_computes_nothing(store, monkeypatch):
    # Of each method: its candidates on meta-validation, the chosen one on meta-test.
    assert len(compute(store)) == (2 + 1) + (4 + 1)
    before = {file: file.stat().st_mtime_ns for file in store.folder.rglob("*")}
    monkeypatch.setattr(run, "fit", pytest.fail)
    assert compute(store) == []
    assert before == {file: file.stat().st_mtime_ns for file in store.folder.rglob("*")}


def test_a_changed_configuration_recomputes_only_itself(store):
    compute(store)
    changed = replace(TINY, grid=for_both({}, {"inner_lr": 0.3}))
    lines = compute(store, changed)
    assert lines and all("TMAML" in line for line in lines)
    assert sum("meta-validation" in line for line in lines) == 1
    longer = replace(TINY, training=Training(steps=6, chunk=2))
    assert all("TMAML" in line for line in compute(store, longer))
    assert len(compute(store, replace(TINY, protocol=replace(TINY.protocol, n_query=9)))) == 8


def test_results_of_other_code_are_not_taken(store):
    config = trial(TINY, 1, LOCAL, {"features": "rows"}, 0)
    store.put("test", config, "old", scores=[1.0])
    store.put_state(config, "old", "state")
    assert store.get("test", config, "new") is None and store.get_state(config, "new") is None
    lenient = Store(store.folder, any_code=True)
    assert lenient.get("test", config, "new")["scores"] == [1.0]
    assert lenient.get_state(config, "new") == "state"


def test_a_stopped_training_goes_on_where_it_was(store, tmp_path):
    config = trial(TINY, 1, METHODS[0], METHODS[0].candidates(TINY)[0], 0)
    with pytest.raises(OutOfTime):
        compute(store, clock=Ticks(2))  # as the fit starts, and before the first of two chunks
    assert store.get_state(config, CODE).steps == 2
    compute(store)
    compute(whole := Store(tmp_path / "whole"))
    states = [s.get_state(config, CODE) for s in (store, whole)]
    assert states[0].steps == 4 and states[0].looks == states[1].looks
    scores = [results_of(TINY, s)["TMAML, tuned"].scores for s in (store, whole)]
    np.testing.assert_array_equal(*scores)


def test_a_version_of_code_is_of_what_it_does(tmp_path):
    sources = (
        "def f(x):\n    return x + 1",
        "def f(x):\n    'A sum.'\n    return x + 1  # one",
        "def f(x): return x",
    )
    files = [tmp_path / f"{i}.py" for i in range(3)]
    for file, source in zip(files, sources, strict=True):
        file.write_text(source, encoding="utf-8")
    same, commented, other = map(versions.code_version, files)
    assert same == commented != other


def test_a_field_that_a_python_adds_to_syntax_changes_no_version():
    tree = ast.parse("def f(): pass")
    before = versions._syntax(tree)
    tree.body[0]._fields += ("new_in_this_python",)
    tree.body[0].new_in_this_python = []
    assert versions._syntax(tree) == before


def test_an_augmentation_is_code_of_the_methods_that_use_it():
    def flip(X, generator):
        return X.flip(-1)

    codes = [METHODS[0].code_of(ROWS | {"augment": augment}) for augment in (None, GaussianNoise(0.5), flip)]
    assert codes[0] == CODE and len(set(codes)) == 3
    (file,) = versions.augmentation_files({"augment": GaussianNoise(0.5)})
    assert file not in versions.LEARNERS
    users = [learner for learner in versions.LEARNERS if uses(learner, "GaussianNoise")]
    assert users == []  # so that nothing else of what is learned depends on the file


def test_the_meta_model_is_code_of_taml_alone():
    tmaml, taml = (next(v for v in VARIANTS if v.name == name) for name in ("TMAML", "TAML"))
    assert tmaml.code_of(ROWS) == CODE != taml.code_of(ROWS)
    assert versions.META_MODELS not in versions.LEARNERS
    users = {learner.name for learner in versions.LEARNERS if uses(learner, "BasisMetaModel")}
    assert users == {"taml.py", "networks.py", "updates.py"}  # the engine's two ask whether there is one


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_votes_are_code_of_the_methods_that_see_them(method):
    assert method.code_of(ROWS) != method.code_of({"features": "rows and votes"})


def test_no_forest_votes_on_a_task_that_it_has_seen(monkeypatch):
    monkeypatch.setattr(votes, "VOTERS", clone(votes.VOTERS).set_params(n_estimators=30))
    rng = np.random.RandomState(0)
    # Labels are noise, and each row is four times in its task: a forest knows it that saw another row of it.
    train, new = (
        [(np.tile(rng.randn(n, 3), (4, 1)), np.tile(rng.permutation(n) % 4, 4)) for n in sizes]
        for sizes in ((20, 17, 25, 9, 20, 31, 12), (20, 17))
    )
    tasks, seen = votes.with_votes(train, train)
    hits = [np.mean([(X[:, 3:].argmax(1) == y).mean() for X, y in part]) for part in (tasks, seen)]
    assert hits[0] < 0.4 < 0.9 < hits[1]
    for (X, y), (rows, labels) in zip(votes.with_votes(train, new)[1], new, strict=True):
        assert X.shape == (len(labels), 7)
        np.testing.assert_array_equal(X[:, :3], rows.astype("f4"))
        np.testing.assert_array_equal(y, labels)


class Interrupted:
    """A learner whose fit ends early, as skorch's does on Ctrl-C."""

    n_iter_ = 1

    def set_params(self, **params):
        return self

    def fit(self, tasks):
        return self


def test_a_chunk_that_was_interrupted_is_not_kept():
    with pytest.raises(KeyboardInterrupt):
        train(Interrupted(), [], Training(chunk=2), pytest.fail, Clock(), lambda: None, pytest.fail)


# ---- meta-test tasks are for one function


def uses(file, name):
    """Whether a module imports a name, calls it, or takes it from a module."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return any(
        name in (getattr(node, "id", None), getattr(node, "attr", None), getattr(node, "name", None))
        for node in nodes
    )


def test_only_one_module_can_open_the_meta_test_tasks():
    users = {
        name: {str(f.relative_to(SOURCE)) for f in SOURCE.rglob("*.py") if uses(f, name)}
        for name in ("sealed_tasks", "_read", "score_once", "SOURCES")
    }
    assert users["sealed_tasks"] == {"data/__init__.py", "meta_test.py"}
    assert users["score_once"] == {"meta_test.py", "run.py"}
    assert users["SOURCES"] == {"data/__init__.py"}
    assert users["_read"] == {"data/__init__.py", "data/omniglot.py"}  # omniglot's reads one subset


@pytest.fixture
def real_data(monkeypatch):
    """The readers read the real files; a test skips for a data set whose files are not there."""
    default = Path(__file__).parents[2] / "shared" / "data"
    monkeypatch.setenv("SKMETA_DATA", os.environ.get("SKMETA_DATA", str(default)))
    monkeypatch.setattr(data, "_read", READ)

    def parts(name, split, features):
        if data.missing_files(name):
            pytest.skip(f"needs {data.missing_files(name)} in SKMETA_DATA")
        return *data.development(name, split, features), data.sealed_tasks(name, split, features)

    return parts


# Who each row is of, and what tells the rows of one from those of another.
OWNERS = {
    "wisdm": (wisdm.FILES[0], "user", "class"),
    "parkinsons-motor": (parkinsons.FILES[0], "subject#", "motor_UPDRS"),
    "parkinsons-total": (parkinsons.FILES[0], "subject#", "total_UPDRS"),
}
SPLITS = sorted({(s.data, split) for s in STUDIES for split in s.splits if s.data in OWNERS})


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_development_holds_no_user_and_no_patient_of_meta_test(name, split, real_data):
    parts = real_data(name, split, "rows")
    file, owner, label = OWNERS[name]
    labels = [(who, rows[label].to_numpy()) for who, rows in pd.read_csv(data.folder() / file).groupby(owner)]
    owners = [[[who for who, its in labels if np.array_equal(its, y)] for _, y in tasks] for tasks in parts]
    assert all(len(found) == 1 for tasks in owners for found in tasks)  # nobody else's
    train, validation, test = ({found[0] for found in tasks} for tasks in owners)
    assert [len(train), len(validation), len(test)] == [len(tasks) for tasks in parts]
    assert not train & test and not validation & test and not train & validation


@pytest.mark.parametrize("name", ["clinc", "banking"])
def test_development_holds_no_intent_of_meta_test(name, real_data):
    for split in range(1, 6):
        train, validation, test = (set(y) for ((_, y),) in real_data(name, split, "words"))
        assert train and validation and test
        assert not train & test and not validation & test and not train & validation


def test_development_holds_no_digit_of_meta_test(real_data):
    """No image of a new scanner, whatever another scanner made of it, and no new scanner."""
    parts = real_data("scanners", 1, "rows")
    made = make_scanners(random_state=0)
    images = [np.unique(np.concatenate(rows)) for rows in (made.train_rows, made.test_rows)]
    assert np.intersect1d(*images).size == 0
    for tasks, its in zip(parts, (made.train[15:], made.train[:15], made.test), strict=True):
        assert all(np.array_equal(X, other) for (X, _), (other, _) in zip(tasks, its, strict=True))


def test_choosing_does_not_open_the_meta_test_tasks(store, monkeypatch):
    monkeypatch.setattr(meta_test, "sealed_tasks", lambda *_: pytest.fail("opened"))
    for method in METHODS:
        for params in method.candidates(TINY):
            run.validate(TINY, trial(TINY, 1, method, params, 0), method, store, Clock(), print)
        assert run.chosen(TINY, 1, method, store) in method.candidates(TINY)


def test_a_configuration_is_scored_on_meta_test_once_and_after_meta_validation(store):
    config = trial(TINY, 1, LOCAL, LOCAL.candidates(TINY)[0], 0)
    model, _ = run.fit(TINY, config, LOCAL, store, Clock())
    with pytest.raises(RuntimeError, match="before meta-test"):
        meta_test.score_once(TINY, config, model, LOCAL, store)
    run.finish(TINY, config, LOCAL, store, Clock(), print)
    with pytest.raises(RuntimeError, match="'local logistic regression' has been scored"):
        meta_test.score_once(TINY, config, model, LOCAL, store)


def test_a_study_that_is_not_final_leaves_meta_test_closed(store, monkeypatch):
    monkeypatch.setattr(meta_test, "sealed_tasks", lambda *_: pytest.fail("opened"))
    study = replace(TINY, final=False)
    compute(store, study)
    assert not list(store.folder.rglob("*-test-*"))
    page = report.page([study], store)
    assert report.NOT_FINAL in page and "meta-test episodes" not in page
    assert not any(study.quick().final for study in STUDIES)


def test_the_chosen_is_the_best_on_meta_validation(store):
    compute(store)
    scores = [
        store.get("validation", trial(TINY, 1, LOCAL, params, 0), LOCAL.code_of(params))["score"]
        for params in LOCAL.candidates(TINY)
    ]
    assert run.chosen(TINY, 1, LOCAL, store) == LOCAL.candidates(TINY)[int(np.argmax(scores))]
    assert run.chosen(replace(TINY, views=("rows", "other")), 1, LOCAL, store) is None


# ---- the data sets


@pytest.mark.parametrize(("features", "knows"), [("words", False), ("letters", True)])
def test_a_term_that_only_new_intents_have_counts_in_letters(features, knows):
    transformer = text.make_transformer(features).fit(["book a flight", "cancel a flight"])
    assert bool(transformer.transform(["zebra"]).nnz) == knows


# ---- the page


def test_the_page_tells_whether_a_goal_is_met(store):
    def met(goal):
        study = replace(TINY, goal=goal)
        return report.page([study], store).split("| TMAML, tuned |")[1].splitlines()[0].split("|")[-2].strip()

    compute(store)
    assert met(Goal(at_least=0.0)) == "yes"
    assert met(Goal(at_least=1.01)) == "**no**"
    # After four steps it does not beat a local model.
    assert met(Goal(beat_baselines=True)) == "**no**"
    page = report.page([replace(TINY, n_seeds=2)], store)
    assert "| not finished |" in page and "Not finished: TMAML, tuned." in page


def test_a_goal_is_met_so_far_while_methods_are_missing(store):
    compute(store, methods=METHODS[:1])
    goals = Goal(at_least=0.0), Goal(at_least=0.0, beat_baselines=True)
    marks = "yes, of what is finished", "not finished"
    for goal, mark in zip(goals, marks, strict=True):
        assert f"| {mark} |" in report.page([replace(TINY, goal=goal)], store)


def test_the_page_tells_the_versions_of_packages(store):
    compute(store)
    assert f"Made with scikit-learn {sklearn.__version__}, torch {torch.__version__}." in report.page(
        [TINY], store
    )
    file = next(store.folder.rglob("TMAML*-test-*.json"))
    file.write_text(file.read_text().replace(f"torch {torch.__version__}", "torch 0.0.0"))
    assert "torch 0.0.0; or with scikit-learn" in report.page([TINY], store)


def test_the_page_tells_that_results_of_any_code_were_taken(store):
    pages = [report.page([TINY], s) for s in (store, Store(store.folder, any_code=True))]
    assert ["earlier versions of the code" in page for page in pages] == [False, True]


def test_differences_are_paired(store):
    compute(store)
    results = results_of(TINY, store)
    ours, hardest = best_of(results)
    assert (ours.method.name, hardest.method.name) == ("TMAML, tuned", LOCAL.name)
    model, _ = run.fit(TINY, trial(TINY, 1, LOCAL, hardest.params[0], 0), LOCAL, store, Clock())
    tasks = data.sealed_tasks("scanners", 1, "rows")
    direct = evaluate(model, tasks, n_episodes=4, n_shot=2, n_query=20, random_state=1)
    np.testing.assert_allclose(hardest.scores, direct.scores, atol=1e-6)
    difference = ours.minus(hardest)
    np.testing.assert_allclose(difference.scores, ours.scores - hardest.scores)
    ours.scores = hardest.scores + 0.01
    assert is_met(Goal(beat_baselines=True, surely=True), ours, results)


def test_the_command_goes_on_and_writes_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(__main__, "STUDIES", [TINY])
    monkeypatch.setattr(__main__, "methods_of", lambda study: METHODS)
    page = tmp_path / "RESULTS.md"
    command = ["scanners", "--cache", str(tmp_path / "cache"), "--out", str(page)]
    __main__.main([*command, "--minutes", "0"])
    assert "Stopped" in capsys.readouterr().out and "not finished" in page.read_text()
    __main__.main([*command, "--methods", "TMAML, tuned"])
    assert "Not finished: local logistic regression." in page.read_text()
    __main__.main(command)
    assert "| **no** |" in page.read_text()
    __main__.main([*command, "--list"])
    assert "2 of    2 done" in capsys.readouterr().out


def test_several_methods_at_a_time_give_the_same(store, tmp_path, monkeypatch):
    compute(store)
    monkeypatch.setattr(__main__, "STUDIES", [TINY])
    monkeypatch.setattr(__main__, "methods_of", lambda study: METHODS)
    command = ["--jobs", "2", "--cache", str(tmp_path / "jobs"), "--out", str(tmp_path / "page.md")]
    with parallel_config(backend="threading"):  # where the few scanners are seen
        __main__.main(command)
    pages = [report.page([TINY], s) for s in (store, Store(tmp_path / "jobs"))]
    assert "| TMAML, tuned |" in pages[0]
    figures = [[line.split("|")[2:6] for line in page.splitlines() if line[:1] == "|"] for page in pages]
    assert figures[0] == figures[1]


def test_a_study_that_needs_a_gpu_is_left_out_without_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    study = replace(TINY, name="gpu-scanners", settings={"device": "cuda"})
    monkeypatch.setattr(__main__, "STUDIES", [study])
    __main__.main(["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "page.md")])
    assert "gpu-scanners is left out: there is no GPU" in capsys.readouterr().out
    assert "not finished" in (tmp_path / "page.md").read_text()


def test_a_wrong_name_is_told():
    with pytest.raises(SystemExit):
        __main__.main(["scaners"])


# ---- the tables of methods


def test_a_fit_can_go_to_another_process(store):
    pairs = [
        (study, method) for study in STUDIES for method in [*VARIANTS, *BASELINES] if method.suits(study)
    ]
    there = Parallel(2)(delayed(candidates)(*pair, store, Clock(1)) for pair in pairs)
    assert there == [candidates(*pair, store, Clock(1)) for pair in pairs]


def candidates(study, method, store, clock):
    clock.check()
    return repr([study.name, method.candidates(study), store.folder])


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_estimators_take_every_candidate(study):
    for variant in VARIANTS:
        for params in variant.candidates(study) if variant.suits(study) else ():
            params.pop("features")
            assert variant.make(study, params, seed=0).get_params()["random_state"] == 0


def test_names_are_told_apart():
    for study in STUDIES:
        names = [method.name for method in [*VARIANTS, *BASELINES] if method.suits(study)]
        assert len(set(names)) == len(names)
    assert len({study.name for study in STUDIES}) == len(STUDIES)


@pytest.mark.parametrize(
    "baseline", [b for b in BASELINES if b.kinds != ("regression",)], ids=lambda baseline: baseline.name
)
def test_baselines_answer_with_classes_of_the_support_set(baseline):
    tasks = data.development("scanners", 1, "rows")
    study = replace(TINY, kind=baseline.kinds[0])
    params = baseline.quick().candidates(study)[0]
    params.pop("features")
    model = baseline.make(tasks, 0, **params)
    assert is_classifier(model)
    X, y = tasks.train[0]  # all that a pooled model needs to answer with a digit of the support set
    known = np.flatnonzero(y < 3)[:6]
    predicted = clone(model).fit(X[known], y[known]).predict(X)
    assert predicted.shape == y.shape and set(predicted) <= {0, 1, 2}
    assert (predicted == y)[y < 3].mean() > 0.4
