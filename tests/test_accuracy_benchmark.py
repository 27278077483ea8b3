"""The accuracy benchmark: splits, episodes, choices, its record and its page, on tasks made up here."""

import re
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from benchmarks.accuracy import __main__, data, record, run
from benchmarks.accuracy.data.task import DataSet, Task
from benchmarks.accuracy.episodes import FEW_TASKS, N_REPEATS, draw, final_parts, folds, split
from benchmarks.accuracy.method import Answer, Method
from benchmarks.accuracy.ours import LONG, OURS
from benchmarks.accuracy.record import Record
from benchmarks.accuracy.report import half_width, page, put_short, short, tables_of
from benchmarks.accuracy.rivals import RIVALS
from benchmarks.accuracy.rows import N_DRAWS, nested, ratio, slope
from benchmarks.accuracy.studies import STUDIES, Cell, Study

N_TASKS = 70
CELLS = Cell(3, "natural"), Cell(5, "natural"), Cell(4, "time")
STUDY = Study("lines", "lines", "regression", CELLS)
CLASSES = Study("blobs", "blobs", "per_task", (Cell(2, "stratified"),), n_draws=30, n_query=3, n_way=4)


def lines(folder):
    """Tasks of a slope and a level each; ``known`` ones and families of two."""
    rng = np.random.default_rng(0)
    tasks = []
    for i in range(N_TASKS):
        X = rng.normal(size=(12, 1))
        y = X[:, 0] * rng.normal() + rng.normal() + 0.1 * rng.normal(size=12)
        views = {"rows": X, "squares": X**2}
        family = {"family": f"family {i // 2}"}
        tasks.append(Task(str(i), views, y, time=-np.arange(12), known=i < 10, about=family))
    return tasks


def blobs(folder):
    rng = np.random.default_rng(0)
    return [
        Task(
            f"class {i:02d}",
            {"rows": rng.normal(size=(8, 2)) + 5 * rng.normal(size=2)},
            np.repeat(f"class {i:02d}", 8),
        )
        for i in range(N_TASKS)
    ]


def ridge(tasks, view, seed, alpha=1.0):
    return lambda X, y, queries: Answer(Ridge(alpha).fit(X, y).predict(queries))


def nearest(tasks, view, seed):
    def model(X, y, queries):
        classes = np.unique(y)
        far = [((queries - X[y == c].mean(0)) ** 2).sum(1) for c in classes]
        p = np.exp(-np.array(far).T)
        return Answer(classes[p.argmax(1)], p / p.sum(1, keepdims=True), classes)

    return model


RIDGE = Method("ridge", ("regression",), ridge, {"alpha": [1e6, 0.1]}, "all")
NEAREST = Method("nearest", ("per_task",), nearest, ours=True)


@pytest.fixture(autouse=True)
def made_up(monkeypatch):
    for cached in run.all_tasks, run.parts_of:
        cached.cache_clear()
    made = {"lines": DataSet(lines), "blobs": DataSet(blobs)}
    monkeypatch.setattr(run, "DATA_SETS", made)
    monkeypatch.setattr(data, "DATA_SETS", made)
    yield
    for cached in run.all_tasks, run.parts_of:
        cached.cache_clear()


def develop(study, method, folder):
    run.measure(study, method, 0, Record(study.data, folder), tell=lambda line: None)
    return Record(study.data, folder)


# ---- splits and episodes


def test_final_tasks_are_new_and_families_stay_together():
    tasks = lines(None)
    development, final = split(tasks)
    assert sorted([*development, *final]) == list(range(N_TASKS))
    assert len(final) == 28 and not any(tasks[i].known for i in final)
    families = [{tasks[i].about["family"] for i in part} for part in (development, final)]
    assert not families[0] & families[1]
    for train, held in folds(tasks, development):
        assert sorted([*train, *held]) == development.tolist()
        assert not {tasks[i].about["family"] for i in train} & {tasks[i].about["family"] for i in held}
    assert sorted(np.concatenate([held for _, held in folds(tasks, development)])) == development.tolist()


def test_few_tasks_are_all_final_in_turn():
    tasks = lines(None)
    assert len(final_parts(tasks)) == 1
    few = tasks[: FEW_TASKS - 2]
    repeats = np.concatenate([held for _, held in final_parts(few)]).reshape(N_REPEATS, -1)
    assert all(sorted(repeat) == list(range(len(few))) for repeat in repeats)
    assert (repeats[0] != repeats[1]).any()


def test_final_scores_of_few_tasks_have_each_task_in_every_repeat(tmp_path, monkeypatch):
    monkeypatch.setitem(run.DATA_SETS, "lines", DataSet(lambda folder: lines(folder)[: FEW_TASKS - 2]))
    kept = develop(STUDY, RIDGE, tmp_path)
    run.measure(STUDY, RIDGE, 0, kept, "final", tell=lambda line: None)
    tasks, n_episodes = np.unique(
        kept.get("final", "ridge", "3 rows", 0)["scores"]["task"], return_counts=True
    )
    assert len(tasks) == FEW_TASKS - 2 and (n_episodes == STUDY.n_draws * N_REPEATS).all()


def test_the_first_rows_are_the_first_in_time():
    for episode in draw(STUDY, CELLS[2], lines(None)[:3]):
        rows = 12 * episode.task + np.arange(12)[::-1]
        assert episode.support.tolist() == rows[:4].tolist()
        assert episode.query.tolist() == rows[4:].tolist()


def test_episodes_are_the_same_for_every_method_and_hold_all_other_rows():
    episodes = draw(STUDY, CELLS[0], lines(None)[:5])
    again = draw(STUDY, CELLS[0], lines(None)[:5])
    assert len(episodes) == 15
    for episode, other in zip(episodes, again, strict=True):
        np.testing.assert_array_equal(episode.support, other.support)
        assert len(episode.support) == 3
        rows = np.sort([*episode.support, *episode.query])
        assert rows.tolist() == (12 * episode.task + np.arange(12)).tolist()


# ---- choosing and scoring


def test_the_candidate_with_the_best_development_scores_is_chosen_for_each_cell(tmp_path):
    kept = develop(STUDY, RIDGE, tmp_path)
    development = run.parts_of(STUDY, "development")
    for cell in CELLS:
        entry = kept.get("development", "ridge", str(cell), 0)
        assert entry["chosen"] == "rows, alpha=0.1"
        errors = []
        for part in development:
            model = ridge(part.train, "rows", 0, 0.1)
            errors.append(part.score(cell, model, "rows")["error"])
        np.testing.assert_allclose(entry["scores"]["error"], np.concatenate(errors), atol=1e-4)
        assert set(entry["scores"]["task"]) == set(split(lines(None))[0])


def test_development_opens_no_final_task(tmp_path, monkeypatch):
    final = set(split(lines(None))[1].tolist())
    seen = set()

    def prepare(train, others):
        seen.update(int(task.name) for task in (*train, *others))
        return train, others

    monkeypatch.setitem(run.DATA_SETS, "lines", DataSet(lines, prepare))
    kept = develop(STUDY, RIDGE, tmp_path)
    assert seen and not seen & final
    run.measure(STUDY, RIDGE, 0, kept, "final", tell=lambda line: None)
    assert final <= seen
    assert set(kept.get("final", "ridge", "3 rows", 0)["scores"]["task"]) == final


def test_a_second_run_computes_nothing_and_a_changed_study_what_it_lacks(tmp_path):
    fits = []

    def counted(tasks, view, seed, **params):
        fits.append(params)
        return ridge(tasks, view, seed, **params)

    method = Method("ridge", ("regression",), counted)
    one_cell = Study("lines", "lines", "regression", CELLS[:1])
    develop(one_cell, method, tmp_path)
    assert len(fits) == 3
    develop(one_cell, method, tmp_path)
    assert len(fits) == 3
    develop(STUDY, method, tmp_path)
    assert len(fits) == 6
    develop(replace(STUDY, n_draws=2), method, tmp_path)
    assert len(fits) == 9
    develop(replace(STUDY, n_draws=2), replace(method, grid={"alpha": [1, 2]}), tmp_path)
    assert len(fits) == 15
    assert len(Record("lines", tmp_path).entries) == 3


def test_a_method_that_is_told_the_number_of_rows_is_fitted_once_for_each():
    told = []

    def counted(tasks, view, seed, n_shot):
        told.append(n_shot)
        return n_shot

    method = Method("told", ("regression",), counted, per_shot=True)
    model_of = run.fit(method, [], "rows", 0, {})
    assert [model_of(Cell(*cell)) for cell in ((5, "natural"), (10, "natural"), (5, "time"))] == [5, 10, 5]
    assert told == [5, 10]


def test_each_cell_chooses_its_own_candidate(tmp_path):
    def by_size(tasks, view, seed, best):
        return lambda X, y, queries: Answer(np.full(len(queries), float(len(y) != best)))

    def nothing(folder):
        return [replace(task, y=np.zeros(12)) for task in lines(folder)]

    run.DATA_SETS["lines"] = DataSet(nothing)
    kept = develop(STUDY, Method("by size", ("regression",), by_size, {"best": [5, 3, 4]}), tmp_path)
    for cell in CELLS:
        entry = kept.get("development", "by size", str(cell), 0)
        assert entry["chosen"] == f"rows, best={cell.n_shot}" and not entry["scores"]["error"].any()


def test_where_labels_are_of_a_task_each_class_is_scored(tmp_path):
    scores = develop(CLASSES, NEAREST, tmp_path).get("development", "nearest", "2 rows a class", 0)["scores"]
    assert len(scores["accuracy"]) == len(scores["log loss"]) == 90
    assert scores["accuracy of class"].mean() == pytest.approx(scores["accuracy"].mean(), abs=0.03)
    assert set(scores["class"]) <= set(split(blobs(None))[0])
    (table,) = tables_of([CLASSES], [Record("blobs", tmp_path)], [NEAREST])
    line = table.lines[0]
    values = line.scores["accuracy of class"]
    by_hand = 1.96 * values.std() / len(values) ** 0.5
    assert half_width(CLASSES, line) == pytest.approx(by_hand, rel=0.15)
    assert half_width(CLASSES, line, line) == 0


def test_probabilities_are_narrowed_to_the_classes_that_a_task_has():
    p, classes = np.array([[0.5, 0.3, 0.2], [0.5, 0.1, 0.4]]), np.array(["a", "b", "c"])
    answer = Answer(np.array(["a", "a"]), p, classes)
    y = np.array(["b", "c"])
    scores, right = run.of_classes(answer, y, None)
    assert scores == {"accuracy": 0, "log loss": pytest.approx(-np.log([0.3, 0.4]).mean())}
    assert not right.any()
    scores, right = run.of_classes(answer, y, np.array(["b", "c"]))
    assert scores == {"accuracy": 1, "log loss": pytest.approx(-np.log([0.3 / 0.5, 0.4 / 0.5]).mean())}
    assert right.all()


def test_errors_and_intervals_of_values():
    answer = Answer(np.array([1.0, 2.0]), low=np.array([0.0, 2.5]), high=np.array([2.0, 3.0]))
    assert run.of_values(answer, np.array([1.5, 2.0])) == {"error": 0.25, "coverage": 0.5, "width": 1.25}


# ---- the record, the page and the command


def test_a_record_keeps_scores_to_the_fourth_digit_and_who_made_them(tmp_path):
    kept = Record("lines", tmp_path)
    scores = {"error": np.array([0.123456, 7.0]), "task": np.array([3, 12000])}
    kept.put("development", "ridge", "3 rows", 0, scores=scores, chosen="rows", seconds=1.5)
    entry = Record("lines", tmp_path).get("development", "ridge", "3 rows", 0)
    assert entry["scores"]["error"].tolist() == pytest.approx([0.1235, 7.0], abs=1e-12)
    assert entry["scores"]["task"].tolist() == [3, 12000]
    assert re.fullmatch(r"[0-9a-f]{8}\+?|unknown", entry["commit"])
    assert {"torch", "scikit-learn"} <= set(entry["versions"])
    assert kept.forget(["TMAML"]) == 0
    assert len(Record("lines", tmp_path).entries) == 1
    assert kept.forget(["TMAML", "ri*"]) == 1
    assert not Record("lines", tmp_path).entries


def test_a_line_of_the_ledger_for_each_opening(tmp_path):
    for why in "a release", "another":
        record.note_opening(why, tmp_path)
    first, second = (tmp_path / "LEDGER.md").read_text().splitlines()
    assert first.endswith(": a release") and second.endswith(": another")


def test_final_tables_need_of_ours_the_defaults_alone(tmp_path):
    told = Method("TMAML, told", ("regression",), RIDGE.fit, ours=True)
    kept = develop(STUDY, told, tmp_path)
    assert {table.part for table in tables_of([STUDY], [kept], [told, RIDGE])} == {"development"}
    kept = develop(STUDY, RIDGE, tmp_path)
    assert {table.part for table in tables_of([STUDY], [kept], [told, RIDGE])} == {"development"}
    run.measure(STUDY, RIDGE, 0, kept, "final", tell=lambda line: None)
    tables = tables_of([STUDY], [kept], [told, RIDGE])
    assert {table.part for table in tables} == {"final"}
    assert [line.name for line in tables[0].lines] == ["ridge"]


def test_ratios_are_to_the_best_rival(tmp_path):
    mean = Method(
        "TMAML",
        ("regression",),
        lambda tasks, view, seed: lambda X, y, q: Answer(np.full(len(q), y.mean())),
        ours=True,
    )
    kept = develop(STUDY, RIDGE, tmp_path)
    kept = develop(STUDY, mean, tmp_path)
    tables = tables_of([STUDY], [kept], [mean, RIDGE])
    text = page(tables)
    errors = {
        name: kept.get("development", name, "5 rows", 0)["scores"]["error"].mean()
        for name in ("ridge", "TMAML")
    }
    ratio = errors["TMAML"] / errors["ridge"]
    assert ratio > 1.5
    assert f"| lines, 5 rows | error | ridge {errors['ridge']:.3f} | {ratio:.2f} |" in text
    assert "development tasks" in text and "**TMAML**" in text
    readme = put_short("before <!-- accuracy -->old<!-- end of accuracy --> after", tables)
    assert short(tables) in readme and "old" not in readme
    assert readme.startswith("before ") and readme.endswith(" after")


def test_the_command_runs_what_is_lacking_and_writes_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(__main__, "STUDIES", [STUDY, CLASSES])
    monkeypatch.setattr(__main__, "METHODS", [RIDGE, NEAREST])
    monkeypatch.setattr(__main__, "missing", lambda name: [])
    monkeypatch.setattr(__main__, "Parallel", lambda jobs, batch_size: list)
    monkeypatch.setattr(__main__, "delayed", lambda function: partial(function))
    where = ["--record", str(tmp_path), "--out", str(tmp_path / "page.md")]
    __main__.main(where)
    text = (tmp_path / "page.md").read_text()
    assert "## lines, the first 4 rows" in text and "## blobs, 2 rows a class" in text
    assert not (tmp_path / "LEDGER.md").exists()
    __main__.main(["lines", "--final", "a test", *where])
    assert "a test" in (tmp_path / "LEDGER.md").read_text()
    text = (tmp_path / "page.md").read_text()
    assert "episodes of final tasks" in text and "episodes of development tasks" in text
    with pytest.raises(SystemExit, match="no method like TMAML"):
        __main__.main(["--forget", "TMAML", *where])
    __main__.main(["--forget", "rid*", "--report", *where])
    assert not Record("lines", tmp_path).entries and Record("blobs", tmp_path).entries


def test_a_study_without_its_data_is_left_out_and_said(monkeypatch, capsys):
    monkeypatch.setattr(__main__, "missing", lambda name: ["a file"])
    assert not __main__.is_there(STUDY)
    assert capsys.readouterr().out == "lines is left out: there is no a file\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no_such"], "no study is called no_such"),
        (["--quick", "--final", "why"], "--final opens final tasks, which --quick and --report do not"),
        (["--report", "--final", "why"], "--final opens final tasks, which --quick and --report do not"),
    ],
)
def test_a_wrong_call_is_an_error(arguments, message, capsys):
    with pytest.raises(SystemExit):
        __main__.parse(arguments)
    assert message in capsys.readouterr().err


def test_a_score_that_is_not_finite_is_an_error(tmp_path):
    def broken(tasks, view, seed):
        return lambda X, y, queries: Answer(np.full(len(queries), np.nan))

    with pytest.raises(FloatingPointError, match="3 rows, view 'rows': a score is not finite"):
        develop(STUDY, Method("broken", ("regression",), broken), tmp_path)


def test_every_study_has_data_rivals_and_ours():
    assert [study.data for study in STUDIES] == list(dict.fromkeys(study.data for study in STUDIES))
    for study in STUDIES:
        ours = [method.name for method in OURS if method.suits(study)]
        assert ours == ["TMAML", "TAML", "TMAML, told"]
        assert sum(method.suits(study) for method in RIVALS) >= 5
        names = [method.name for method in (*OURS, *LONG, *RIVALS) if method.suits(study)]
        assert len(names) == len(set(names))


# ---- errors by the number of rows


def test_support_rows_are_nested_and_query_rows_the_same():
    tasks = [Task(str(i), {}, np.zeros(n)) for i, n in enumerate((5, 12))]
    none, three, five = (list(nested(tasks, n)) for n in (0, 3, 5))
    assert [episode.task for episode in three] == [0] * N_DRAWS + [1] * N_DRAWS
    assert [episode.task for episode in five] == [1] * N_DRAWS  # of five rows, two are asked for
    for few, more in zip(none, three, strict=True):
        assert few.query.tolist() == more.query.tolist() and len(few.support) == 0
        assert not set(more.query) & set(more.support)
    for few, more in zip(three[N_DRAWS:], five, strict=True):
        assert more.support[:3].tolist() == few.support.tolist()
        assert set(more.support) | set(more.query) <= set(range(5, 17))


def test_a_ratio_of_errors_is_of_the_tasks_that_have_both():
    few = {"error": np.array([1.0, 3.0, 9.0]), "task": np.array([0, 1, 2])}
    more = {"error": np.array([1.0, 1.0]), "task": np.array([0, 1])}
    assert ratio(more, few, "error").startswith("0.50 ± ")


@pytest.mark.parametrize("sure", [0.5, 1.0, 2.0])
def test_the_slope_is_what_logits_must_be_multiplied_by(sure):
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(20_000, 3))
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    assert slope([(sure * logits, y)]) == pytest.approx(1 / sure, rel=0.05)
