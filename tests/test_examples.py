"""The examples run, and so does every block of Python in the README and the user guide."""

import os
import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

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


def test_neighbours_raise_what_similar_items_were_liked():
    example = runpy.run_path(str(ROOT / "examples" / "plot_recommend.py"))
    # Users like either the first two of four items or the last two.
    user, item = np.repeat(np.arange(20), 4), np.tile(np.arange(4), 20)
    rating = np.where((item < 2) == (user % 2 == 0), 5.0, 1.0)
    ratings = example["Ratings"](user, item, rating, np.eye(4))
    known = example["Known"](ratings, example["item_features"](ratings), None)
    model = example["neighbours"](known, n_neighbours=2, shrinkage=1)
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
