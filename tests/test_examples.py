"""The examples run, and so does every block of Python in the README and the user guide."""

import os
import re
import runpy
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.utils import Bunch

from benchmarks.accuracy.data.task import Task
from benchmarks.accuracy.episodes import split
from skmeta.datasets import make_scanners
from skmeta.estimators import auto

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("SKMETA_DATA", ROOT.parent / "shared" / "data"))


def run_blocks(page):
    """Names that all blocks of a page leave, run in order."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    namespace = {}
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)
    return namespace


def test_readme(monkeypatch):
    monkeypatch.setattr("skmeta.datasets.make_scanners", partial(make_scanners, 30, 20))
    monkeypatch.setattr(auto, "POSTERIOR_STEPS", (100, 50))  # a tenth
    names = run_blocks("README.md")
    assert names["gain"].difference > names["gain"].task_interval


def test_user_guide():
    names = run_blocks("docs/user_guide.md")
    assert names["part"].n_iter_ == 20
    assert names["plain"].classes_.tolist() == [8, 9]
    assert [row["event_lr"] for row in names["trained"].history_] == pytest.approx([2e-3, 1.8e-3])
    assert list(names["folder"].iterdir())
    assert names["gain"].task_interval > 0 and names["local"].task_interval > 0
    assert len(names["curve"].ax_.containers) == 3


def test_new_scanner(tmp_path, capsys):
    example = runpy.run_path(str(ROOT / "examples" / "plot_new_scanner.py"))
    example["main"](n_train=4, max_iter=2, figure=tmp_path / "figure.png")
    table = capsys.readouterr().out
    assert re.search(r"TAML +0\.\d{3} ± 0\.\d{3}", table)
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_task_losses(tmp_path, capsys):
    example = runpy.run_path(str(ROOT / "examples" / "plot_task_losses.py"))
    example["main"](n_train=4, max_iter=2, seeds=(0,), figure=tmp_path / "figure.png")
    table = capsys.readouterr().out
    rows = re.findall(r"^(.{22}) +(\d\.\d{3}) +(\d\.\d{3}) +(\d\.\d{3}) +(\d\.\d{3}) +0\.\d{3}$", table, re.M)
    assert [name.strip() for name, *_ in rows] == [str(r).replace("_", " ") for r in example["REGULARIZERS"]]
    before, _, after, _ = zip(*(row[1:] for row in rows), strict=True)
    assert all(float(b) > float(a) for b, a in zip(before, after, strict=True))
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_spread_is_that_of_the_losses_in_units_of_their_mean():
    spread = runpy.run_path(str(ROOT / "examples" / "plot_task_losses.py"))["spread"]
    assert spread(np.array([1.0, 3.0])) == spread(np.array([2.0, 6.0])) == 0.5


@pytest.mark.skipif(not (DATA / "omniglot").exists(), reason="needs a local copy of Omniglot")
def test_omniglot(monkeypatch, capsys):
    arguments = ["--minutes", "0.001", "--data", str(DATA / "omniglot"), "--threads", "1", "--chunk", "2"]
    arguments += ["--episodes", "20"]
    monkeypatch.setattr(sys, "argv", ["omniglot.py", *arguments])
    runpy.run_path(str(ROOT / "examples" / "omniglot.py"), run_name="__main__")
    shown = capsys.readouterr().out
    assert re.search(r"TMAML, 5-way 1-shot, meta-test: \d\d\.\d\d ± \d\.\d\d % \(20 episodes\)", shown)


@pytest.mark.skipif(not (DATA / "movielens_small").exists(), reason="needs a local copy of MovieLens")
def test_recommend(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SKMETA_DATA", str(DATA))
    example = runpy.run_path(str(ROOT / "examples" / "plot_recommend.py"))
    example["main"](quick=True, figure=tmp_path / "figure.png")
    shown = capsys.readouterr().out
    errors, gains = shown.split("NDCG@10")
    for table in errors, gains:
        for name in "TMAML", "TAML", "fold-in ridge", "item neighbours", "damped biases":
            assert len(re.findall(r"\d\.\d{3} ± \d\.\d{3}", re.search(rf"^{name} .*$", table, re.M)[0])) == 7
    assert len(re.findall(r"^  [0-5]\.[05]  \S", shown, re.M)) == 10
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_users_and_intents_that_are_new_are_the_final_ones_of_the_benchmark():
    for name, n in (
        ("plot_recommend", np.arange(610)),
        ("plot_intents", np.char.add("intent ", list("abcdefghij"))),
    ):
        example = runpy.run_path(str(ROOT / "examples" / f"{name}.py"))
        training, new = example["split"](len(n) if name == "plot_recommend" else n)
        names = [str(1 + i) for i in n] if name == "plot_recommend" else n
        tasks = [Task(name, {}, None) for name in names]
        final = {tasks[i].name for i in split(tasks)[1]}
        assert {names[i] for i in new} == final if name == "plot_recommend" else set(new) == final
        assert len(training) + len(new) == len(n) and not set(training) & set(new)


def test_find_characters(tmp_path, capsys):
    pytest.importorskip("skimage")
    example = runpy.run_path(str(ROOT / "examples" / "plot_find_characters.py"))
    example["main"](quick=True, figure=tmp_path / "figure.png")
    shown = capsys.readouterr().out
    for name in "TMAML", "TAML", "pooled, last", "pooled, class", "network from scratch", "template matching":
        assert len(re.findall(r"\d\.\d{3} ± \d\.\d{3}", re.search(rf"^{name}.*±.*$", shown, re.M)[0])) == 3
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_scores_of_ratings_are_of_what_was_not_given():
    example = runpy.run_path(str(ROOT / "examples" / "plot_recommend.py"))
    users = [(np.arange(50), np.random.default_rng(seed).choice(np.arange(1, 6), 50)) for seed in range(3)]

    def oracle(sign):
        asked_so_far = iter([y for _, y in users for _ in range(2)])

        def model(items, given, asked):
            y = next(asked_so_far)
            assert (y[items] == given).all() and not set(items) & set(asked)
            assert len(items) + len(asked) == 50 if len(items) else len(asked) == 40
            return sign * y[asked]

        return model

    errors, gains = example["scores"](oracle(1.0), users, shots=(0, 20))
    assert all((values == 0).all() for values in errors.values())
    assert all(values == pytest.approx(1) for values in gains.values())
    _, reversed_gains = example["scores"](oracle(-1.0), users, shots=(0, 20))
    assert all((values < 0.7).all() for values in reversed_gains.values())


def test_fold_in_learns_what_a_user_adds():
    example = runpy.run_path(str(ROOT / "examples" / "plot_recommend.py"))
    rng = np.random.default_rng(0)
    user, item = np.repeat(np.arange(30), 20), np.tile(np.arange(20), 30)
    ratings = example["Ratings"](user, item, rng.uniform(1, 5, 600), rng.normal(size=(20, 4)))
    model = example["fold_in"](example["learn"](ratings), alpha=1e6, damping=1e-6)
    before = model(item[:0], np.zeros(0), item[:20])
    after = model(item[:10], before[:10] + 0.7, item[:20])
    np.testing.assert_allclose(after - before, 0.7, atol=1e-3)


def test_bots_are_asked_what_they_were_not_made_of_and_refuse_the_least_sure():
    example = runpy.run_path(str(ROOT / "examples" / "plot_intents.py"))
    intents = np.array([f"intent {i}" for i in range(20)])
    labels = np.repeat(intents, 30)
    texts = np.array([f"{label}, text {i}" for i, label in enumerate(labels)], dtype=object)
    outside = np.array([f"none {i}" for i in range(100)], dtype=object)
    bots = example["make_bots"](Bunch(data=texts, target=labels, out_of_scope=outside), intents, n_rounds=1)
    for bot in bots:
        own = {intent for intent, _ in bot.support}
        assert all(text.startswith(f"{intent},") for intent, of in bot.support for text in of)
        assert all(t.startswith(f"{intent},") for t, intent in zip(bot.texts, bot.intents, strict=True))
        assert not set(bot.texts) & set(np.concatenate([of for _, of in bot.support]))
        assert set(bot.intents) == own and not own & {text.split(",")[0] for text in bot.outside}
        assert len(bot.texts) == len(bot.outside) == 150
    assert not {i for i, _ in bots[0].support} & {i for i, _ in bots[1].support}
    # Right and sure, right and unsure, wrong; outside are surer and less sure than the second.
    answers = example["Answers"](
        {3: np.array([True, True, False])}, {3: np.array([3.0, 1.0, 4.0])}, {3: np.array([2.0, 0.0])}
    )
    _, share = example["refused"]([answers], 3)
    assert share[0] == pytest.approx(1 / 3) and (np.diff(share) >= 0).all() and share.max() <= 2 / 3
    assert example["area"](answers, 3) == pytest.approx(5 / 6)


def test_neighbours_raise_what_similar_items_were_liked():
    example = runpy.run_path(str(ROOT / "examples" / "plot_recommend.py"))
    # Users like either the first two of four items or the last two.
    user, item = np.repeat(np.arange(20), 4), np.tile(np.arange(4), 20)
    rating = np.where((item < 2) == (user % 2 == 0), 5.0, 1.0)
    ratings = example["Ratings"](user, item, rating, np.eye(4))
    known = example["Known"](ratings, example["item_features"](ratings), None)
    model = example["neighbours"](known, shrinkage=1, doubt=1)
    expected = model(np.array([0]), np.array([5.0]), np.array([1, 2, 3]))
    assert expected[0] > 0.3 + expected[1] and expected[1] == pytest.approx(expected[2])


@pytest.mark.skipif(
    not (DATA / "clinc150").exists() or find_spec("wordllama") is None,
    reason="needs a local copy of CLINC150 and wordllama",
)
def test_intents(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SKMETA_DATA", str(DATA))
    example = runpy.run_path(str(ROOT / "examples" / "plot_intents.py"))
    example["main"](quick=True, figure=tmp_path / "figure.png")
    shown = capsys.readouterr().out
    for name in "TMAML", "TAML", "logistic regression", "cosine prototypes":
        values = re.findall(r"(\d\.\d{3}) ±", re.search(rf"^{name} .*$", shown, re.M)[0])
        assert len(values) == 6 and all(0.7 < float(value) <= 1 for value in values)
    assert (tmp_path / "figure.png").stat().st_size > 10_000


needs_mujoco = pytest.mark.skipif(
    find_spec("gymnasium") is None or find_spec("mujoco") is None, reason="needs gymnasium[mujoco]"
)


@pytest.fixture(scope="module")
def robots():
    """The names of the example of robots."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "examples" / "plot_robot.py")))


@needs_mujoco
def test_robot(tmp_path, capsys, robots):
    robots.main(quick=True, figure=tmp_path / "figure.png")
    shown = capsys.readouterr().out
    for name in "TMAML", "TAML", "pooled", "pooled, recent steps", "from scratch", "true simulator":
        rows = re.findall(rf"^{name} +-?\d+\.\d ± \d+\.\d +-?\d+\.\d\d ", shown, re.M)
        assert len(rows) == 1
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@needs_mujoco
def test_a_robot_with_motors_reversed_does_by_reversed_moves_what_it_did(robots):
    body = robots.BODIES["half-cheetah"]
    robot, twin, other = (robots.make_robot(body, number) for number in (1, 1, 2))
    moves = np.random.default_rng(0).uniform(-1, 1, (20, 6))
    there, *_ = robots.move_on(robot, lambda motion: moves[len(motion.moves)], 20, seed=0)
    twin.model.actuator_gear *= -1
    here, *_ = robots.move_on(twin, lambda motion: -moves[len(motion.moves)], 20, seed=0)
    np.testing.assert_array_equal(here.states, there.states)
    elsewhere, *_ = robots.move_on(other, lambda motion: moves[len(motion.moves)], 20, seed=0)
    np.testing.assert_array_equal(elsewhere.states[0], there.states[0])
    assert np.abs(elsewhere.states[-1] - there.states[-1]).max() > 0.1


@needs_mujoco
def test_robots_are_of_the_family_and_new_ones_are_none_of_training(robots):
    for body in robots.BODIES.values():
        plain = robots.plain_robot(body).model
        drawn = [robots.make_robot(body, number).model for number in range(40)]
        mass = np.array([model.body_mass[1:] / plain.body_mass[1:] for model in drawn])
        motor = np.array([model.actuator_gear[:, 0] / plain.actuator_gear[:, 0] for model in drawn])
        for values, (least, most) in (mass, robots.MASS), (np.abs(motor[motor != 0]), robots.STRENGTH):
            assert least <= values.min() < 1 < values.max() <= most
        assert (motor == 0).sum(1).max() == 1 and 8 < (motor == 0).sum() < 32
        assert 0.3 < (motor < 0).sum() / (motor != 0).sum() < 0.7
    training, new = (robots.make_robot(body, number).model.body_mass for number in (0, robots.NEW))
    assert not np.isclose(training[1:], new[1:]).any()


@needs_mujoco
@pytest.mark.parametrize("name", ["half-cheetah", "swimmer"])
def test_the_simulator_knows_where_plans_lead_and_leaves_the_robot_where_it_is(robots, name):
    robot = robots.make_robot(robots.BODIES[name], 3)
    robots.at_random(robot, seed=0)
    before = robots.state_of(robot)
    plans = np.random.default_rng(0).uniform(-1, 1, (4, 6, robot.model.nu))
    places = robots.by_simulator(robot)(None, plans)
    np.testing.assert_array_equal(robots.state_of(robot), before)
    for move in plans[2]:
        robot.step(move)
    assert robots.state_of(robot)[0] == pytest.approx(places[2], abs=1e-9)
    assert places[2] != pytest.approx(places[0], abs=1e-3)


@needs_mujoco
def test_planner_finds_the_optimum_of_a_quadratic_within_the_limits(robots):
    best = np.array([[0.5, -2.0], [0.4, -1.5], [0.2, -1.0]])  # smooth, as plans are
    planner = robots.Planner(n_plans=1000, n_rounds=10, n_best=100, horizon=3)

    def returns(plans):
        assert np.abs(plans).max() <= 1
        return -((plans - best) ** 2).sum((1, 2))

    found = planner.plan(returns, np.zeros((3, 2)), np.random.default_rng(0))
    np.testing.assert_allclose(found, best.clip(-1, 1), atol=0.05)


@needs_mujoco
def test_a_model_that_knows_the_velocities_predicts_the_motion(robots):
    body = robots.BODIES["swimmer"]
    motions = [robots.at_random(robots.make_robot(body, number), 0) for number in range(3)]
    steps = robots.two_steps(body, motions)
    (_, joints), (X, trunk) = steps.questions(motions[0])
    oracles = [SimpleNamespace(predict=lambda X, y=y: y) for y in (joints, trunk)]
    changes = steps.changes(oracles, motions[0].states, motions[0].moves)
    np.testing.assert_allclose(changes[:, 5:], motions[0].changes[:, 5:])
    unexplained = (changes - motions[0].changes)[:, :5].var(0) / motions[0].changes[:, :5].var(0)
    assert unexplained.max() < 0.05  # ways are by velocities before and after alone
    # Two places do not matter; three directions of links do; joints are what the trunk is asked by.
    assert X.shape == (50, 3 + 5 + 6 + 2)
    np.testing.assert_array_equal(X[:, -2:], joints)


@needs_mujoco
def test_windows_hold_the_steps_before(robots):
    motion = robots.Motion(*(np.arange(30.0).reshape(10, 3) + add for add in (0, 100, 200)))
    rows = motion.windows()[7].reshape(robots.N_RECENT, 8)  # without the first place
    np.testing.assert_array_equal(rows[-1], [19, 20, 118, 119, 120, 218, 219, 220])
    np.testing.assert_array_equal(motion.windows(np.full(10, 3))[9], motion.windows()[7])
