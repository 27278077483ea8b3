"""Episodes whose rows stay in the user's own containers: what every score is the mean of."""

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import torch

# Private by name, but documented; nothing public takes rows of whatever container a task may hold.
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from skmeta.tasks import limits
from skmeta.tasks.rows import Tasks, look_at_tasks, pairs_of
from skmeta.tasks.split import make_sampler, usable_rows

# How often an episode is drawn again, at most, to have two classes in its support set.
DRAWS = 100


class Episode(NamedTuple):
    """Rows of one episode, of the type that the user gave; ``name`` is its task in messages.

    Weights are what rows count; None is one each.
    """

    name: str
    X_support: object
    y_support: np.ndarray
    X_query: object
    y_query: np.ndarray
    support_weight: np.ndarray | None = None
    query_weight: np.ndarray | None = None

    @property
    def support(self):
        """What a model is adapted to."""
        return self.X_support, self.y_support, self.support_weight


@dataclass
class ScoredEpisodes:
    """Row numbers of episodes, those of a task one after another, so that each task is loaded once.

    ``source`` holds the tasks as the user gave them, ``tasks`` what was read of them. ``labels`` numbers what
    episodes were drawn by: classes, or nothing in ``natural`` draws. ``task`` numbers the task of each
    episode; ``rows`` holds its ``(support, query)`` row numbers; ``place`` says where rows stand in their
    tasks, query sets behind support sets.
    """

    source: object
    tasks: Tasks
    place: np.ndarray
    labels: np.ndarray
    natural: bool
    task: np.ndarray
    rows: list

    def __iter__(self):
        """Each ``Episode``."""
        names, y, weight, given = self.tasks.names, self.tasks.y, self.tasks.weight, self.tasks.given
        for i, of_task in groupby(zip(self.task, self.rows, strict=True), key=itemgetter(0)):
            pairs = pairs_of(self.source[i])
            X_support, X_query = pairs[0][0], pairs[-1][0]  # the same without a query set of the task's own
            for _, (support, query) in of_task:
                yield Episode(
                    names[i],
                    take(X_support, self.place[support]),
                    y[support],
                    take(X_query, self.place[query] - (0 if given is None else given[i])),
                    y[query],
                    None if weight is None else weight[support],
                    None if weight is None else weight[query],
                )

    def short_of(self, n_rows):
        """Name of each task, class (None in natural draws) and number of its rows, where these are fewer.

        Of tasks that come with a query set, support rows. Tasks without an episode are not looked at.
        """
        tasks = self.tasks
        rows = np.flatnonzero(np.isin(tasks.task, self.task))
        if tasks.given is not None:
            rows = rows[rows < (tasks.bounds()[:-1] + tasks.given)[tasks.task]]
        n_labels = int(self.labels.max()) + 1
        cells, first, size = np.unique(
            tasks.task[rows] * n_labels + self.labels[rows], return_index=True, return_counts=True
        )
        for cell, row, n in zip(cells, rows[first], size, strict=True):
            if n < n_rows:
                label = None if self.natural else tasks.y[row].item()
                yield tasks.names[cell // n_labels], label, int(n)


def draw_scored(
    X,
    y=None,
    groups=None,
    sample_weight=None,
    *,
    regression,
    natural,
    own_classes,
    n_shot,
    seed,
    n_episodes=None,
    n_way=None,
    n_query=None,
):
    """``ScoredEpisodes`` of tasks as ``fit`` takes them, spread evenly over those that can give one.

    Tasks that come with a query set are one episode each, and so is every task if ``n_episodes`` is None.
    ``n_query=None`` takes all rows that are left.
    """
    source, tasks, place = look_at_tasks(X, y, groups, sample_weight, regression=regression)
    codes = None if regression else np.unique(tasks.y, return_inverse=True)[1]
    natural = natural or regression
    labels = np.zeros(len(tasks.y), dtype=np.int64) if natural else codes
    rows = usable_rows(tasks, codes, natural=natural, own_classes=own_classes, n_shot=n_shot)
    ids = np.unique(tasks.task[rows])
    if tasks.given is not None or n_episodes is None:
        n_episodes = len(ids)
    n_query = len(tasks.y) if n_query is None else n_query
    sampler = make_sampler(tasks, labels, rows, n_way=n_way, n_shot=n_shot, n_query=n_query)
    number = np.sort(np.arange(n_episodes) % len(ids))
    generator = torch.Generator().manual_seed(int(seed))
    drawn = [
        pair
        for chunk in torch.as_tensor(number).split(limits.TASKS_AT_ONCE)
        for pair in sampler.draw(chunk, generator).rows()
    ]
    if natural and own_classes and tasks.given is None:  # of a regression no class is a task's own
        pairs = zip(drawn, number, strict=True)
        drawn = [_with_two_classes(pair, i, codes, sampler, generator) for pair, i in pairs]
    return ScoredEpisodes(source, tasks, place, labels, natural, ids[number], drawn)


def _with_two_classes(pair, i, codes, sampler, generator):
    """An episode of task ``i`` of the sampler, drawn again while its support set has one class alone."""
    for _ in range(DRAWS):
        if len(np.unique(codes[pair[0]])) > 1:
            break
        (pair,) = sampler.draw(torch.tensor([i]), generator).rows()
    return pair


def chunks(episodes):
    """Lists of episodes that are held in memory at once."""
    chunk, most = [], 0
    for episode in episodes:
        n_rows = len(episode.y_support) + _num_samples(episode.X_query)
        most = max(most, n_rows)
        if chunk and len(chunk) >= limits.episodes_at_once(most, np.shape(episode.X_query)[1:]):
            yield chunk
            chunk, most = [], n_rows
        chunk.append(episode)
    yield chunk


def take(X, index):
    """The rows of these numbers, in the container that they come in."""
    return _safe_indexing(X.tocsr() if hasattr(X, "tocsr") else X, index)
