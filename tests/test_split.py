"""Which tasks can give an episode, what is left out and told, and what is held out."""

import re

import numpy as np
import pytest

from skmeta.tasks.rows import Tasks
from skmeta.tasks.split import hold_out, usable_rows


def tasks_of(*labels, given=None):
    y = np.concatenate([np.array(part, dtype=object if not len(part) else None) for part in labels])
    task = np.repeat(np.arange(len(labels)), [len(part) for part in labels])
    return Tasks(None, y, task, [f"task {i}" for i in range(len(labels))], given)


def usable(tasks, *, own_classes, natural=False, n_shot=5):
    codes = np.unique(tasks.y, return_inverse=True)[1]
    rows = usable_rows(tasks, codes, natural=natural, own_classes=own_classes, n_shot=n_shot)
    return np.unique(tasks.task[rows]).tolist()


GOOD = list("aabb")


@pytest.mark.parametrize(
    ("own_classes", "natural", "n_shot", "labels", "reason"),
    [
        (True, False, 5, "aaa", "has only the class 'a'"),
        (True, True, 5, "aaa", "has only the class 'a'"),
        (True, False, 5, "ab", "has 1 row of each class"),
        (False, False, 5, "ab", "has 1 row of each class"),
        (False, False, 5, "a", "has 1 row"),
        (False, True, 5, "a", "has 1 row"),
        (False, False, (0, 3), "a", "has 1 row"),
        (False, False, 5, "aaa", None),
        (False, False, 5, "aab", None),
        (True, False, 5, "aab", None),
        (True, True, 5, "ab", None),
        (False, True, 5, "ab", None),
        (False, False, 0, "a", None),
        (True, False, (1, 3), "aab", None),
    ],
)
def test_a_task_that_cannot_give_an_episode_is_left_out_and_told(
    own_classes, natural, n_shot, labels, reason
):
    tasks = tasks_of(GOOD, list(labels), GOOD)
    settings = {"own_classes": own_classes, "natural": natural, "n_shot": n_shot}
    if reason is None:
        assert usable(tasks, **settings) == [0, 1, 2]
        return
    with pytest.warns(UserWarning, match=f"^1 of 3 tasks cannot give .* left out: task 1 {reason};"):
        assert usable(tasks, **settings) == [0, 2]
    alone = tasks_of(list(labels))
    with pytest.raises(ValueError, match=f"^task 0 {reason}; an episode needs"):
        usable(alone, **settings)


def test_the_warning_counts_all_and_names_a_few():
    tasks = tasks_of(GOOD, *[["a", "a"]] * 7)
    told = re.escape("7 of 8 tasks cannot give an episode and are left out: task 1 has only the class 'a', ")
    with pytest.warns(UserWarning, match=told + r".*task 5 has only the class 'a', \.\.\.;"):
        assert usable(tasks, own_classes=True) == [0]


@pytest.mark.parametrize(
    ("own_classes", "given", "reason"),
    [
        (True, 1, "has only the class 'a' in its support set"),
        (True, 0, "has no support rows"),
        (True, 4, "has no query rows"),
        (False, 4, "has no query rows"),
        (False, 0, None),
        (False, 1, None),
        (True, 3, None),
    ],
)
def test_given_episodes(own_classes, given, reason):
    tasks = tasks_of(list("abab"), list("abab"), given=np.array([2, given]))
    if reason is None:
        assert usable(tasks, own_classes=own_classes) == [0, 1]
        return
    with pytest.warns(UserWarning, match=f"task 1 {reason}"):
        assert usable(tasks, own_classes=own_classes) == [0]


def test_very_many_tasks_with_classes_of_their_own_need_no_table_of_both():
    n = 30_000
    labels = np.arange(2 * n).repeat(2)
    tasks = Tasks(None, labels, np.arange(n).repeat(4), [f"task {i}" for i in range(n)])
    rows = usable_rows(tasks, labels, natural=False, own_classes=True, n_shot=1)
    assert len(rows) == 4 * n


def test_what_is_left_out_is_not_held_out():
    tasks = tasks_of(GOOD, ["a"], GOOD, GOOD)
    codes = np.unique(tasks.y, return_inverse=True)[1]
    rows = np.flatnonzero(tasks.task != 1)
    for seed in range(10):
        mask = hold_out(tasks, codes, rows, 0.3, None, np.random.default_rng(seed))
        assert set(tasks.task[mask]) < {0, 2, 3} and len(set(tasks.task[mask])) == 1
