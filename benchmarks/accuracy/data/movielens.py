"""MovieLens: what 610 users, each with 20 ratings or more, rated films.

Features of a film are its genres and what training users tell of it: the logarithm of how many rated it,
how much above other films they did, and what kind of users like it, four factors. A training user's own
films are described by the other folds of users, so that own ratings do not make own features.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.decomposition import PCA

from benchmarks.accuracy.data.task import Task

FILES = "movielens_small/ratings.csv.gz", "movielens_small/movies.csv.gz"
N_FACTORS, N_ROUNDS, N_FOLDS = 4, 10, 5
PENALTY = np.diag([4.0] + N_FACTORS * [20.0])  # of a bias and of factors, in ratings


def read(folder):
    """A task for each user; ``items`` are rows of the table of films."""
    ratings, films = (pd.read_csv(folder / file) for file in FILES)
    genres = films["genres"].str.get_dummies("|").drop(columns="(no genres listed)")
    start = PCA(N_FACTORS, random_state=0).fit_transform(genres)
    ratings["film"] = films["movieId"].searchsorted(ratings["movieId"])
    return [
        Task(
            name=str(user),
            views={"genres": genres.to_numpy(float)[rows["film"]], "start": start[rows["film"]]},
            y=rows["rating"].to_numpy(),
            time=rows["timestamp"].to_numpy(),
            columns=["bias", "log count", *(f"factor {i}" for i in range(N_FACTORS)), *genres],
            about={"items": rows["film"].to_numpy()},
        )
        for user, rows in ratings.groupby("userId")
    ]


def prepare(train, others):
    """View ``rows``, features of the films, cross-fitted on ``train``."""
    n_films = 1 + max(task.about["items"].max() for task in [*train, *others])
    folds = np.arange(len(train)) % N_FOLDS
    by_fold = [
        films_of([task for task, f in zip(train, folds, strict=True) if f != fold], n_films)
        for fold in range(N_FOLDS)
    ]
    by_all = films_of(train, n_films)
    return (
        [_described(task, by_fold[fold]) for task, fold in zip(train, folds, strict=True)],
        [_described(task, by_all) for task in others],
    )


def films_of(users, n_films):
    """Bias, logarithm of the count, and factors of each film, by alternating least squares.

    A user's rating of a film is a mean, two biases and the product of two rows of factors. These may be
    turned at will: all fits start from the same axes of genres, and so end with factors that mean about the
    same.
    """
    user = np.repeat(np.arange(len(users)), [len(task.y) for task in users])
    film, rating, start = (
        np.concatenate(parts)
        for parts in zip(*((t.about["items"], t.y, t.views["start"]) for t in users), strict=True)
    )
    seen = sparse.csr_array((np.ones(len(film)), (user, film)), shape=(len(users), n_films))
    above = sparse.csr_array((rating - rating.mean(), (user, film)), shape=seen.shape)
    described = np.zeros((n_films, 1 + N_FACTORS))
    described[film, 1:] = start
    for _ in range(N_ROUNDS):
        described = _least_squares(above.T, seen.T, _least_squares(above, seen, described))
    return np.insert(described, 1, np.log1p(seen.sum(0)), axis=1)


def _least_squares(above, seen, other):
    """Bias and factors of one side, given those of the other one."""
    bias, Z = other[:, :1], np.c_[np.ones(len(other)), other[:, 1:]]
    n = Z.shape[1]
    squares = (seen @ (Z[:, :, None] * Z[:, None]).reshape(-1, n * n)).reshape(-1, n, n)
    return np.linalg.solve(squares + PENALTY, (above @ Z - seen @ (bias * Z))[..., None])[..., 0]


def _described(task, films):
    return replace(task, views={"rows": np.hstack([films[task.about["items"]], task.views["genres"]])})
