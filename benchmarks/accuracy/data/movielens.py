"""MovieLens: what 610 users, each with 20 ratings or more, rated films.

Features of a film are those of ``examples/plot_recommend.py``: what training users tell of it, and genres. A
training user's own films are described by the other folds of users.
"""

from dataclasses import replace

import numpy as np

from benchmarks.accuracy.data.task import Task
from examples.plot_recommend import N_FACTORS, Ratings, learn
from skmeta.datasets import fetch_movielens

FILES = "movielens_small/ratings.csv.gz", "movielens_small/movies.csv.gz"


def read(folder):
    """A task for each user; ``items`` are rows of the table of films, ``genres``."""
    films = fetch_movielens(path=folder / "movielens_small")
    genres = films.genres.astype(float)
    columns = ["bias", "log count", *(f"factor {i}" for i in range(N_FACTORS)), *films.genre_names]
    ends = np.flatnonzero(np.diff(films.user)) + 1
    return [
        Task(
            name=str(1 + user),
            views={"genres": genres[films.film[rows]]},
            y=films.rating[rows],
            time=films.timestamp[rows],
            columns=columns,
            about={"items": films.film[rows], "genres": genres},
        )
        for user, rows in enumerate(np.split(np.arange(len(films.user)), ends))
    ]


def prepare(train, others):
    """View ``rows``, features of the films, cross-fitted on ``train``."""
    known = learn(ratings_of(train))
    return (
        [replace(task, views={"rows": X}) for task, (X, _) in zip(train, known.tasks, strict=True)],
        [replace(task, views={"rows": known.features[task.about["items"]]}) for task in others],
    )


def ratings_of(tasks):
    """The ``Ratings`` of these users."""
    user = np.repeat(np.arange(len(tasks)), [len(task.y) for task in tasks])
    item = np.concatenate([task.about["items"] for task in tasks])
    return Ratings(user, item, np.concatenate([task.y for task in tasks]), tasks[0].about["genres"])
