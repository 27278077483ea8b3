"""A new user with few ratings: which films come next?

Each user of MovieLens is a task: rows are films, the target is what the user gave them. Film features are
learned from the training users, by a few rounds of alternating least squares: how much better than others a
film is rated, and what kind of users like it; genres stand beside them. A training user's own films are
described by what *other* users said, as a new user's films are.

    python examples/plot_recommend.py            # about three minutes on two cores
    python examples/plot_recommend.py --quick    # to see that it runs

prints the error and NDCG@10 of each method for new users, from no rating to 20, and what it would propose to
one of them; draws recommend.png beside this file. The ratings are downloaded once, or read from the folder
that ``SKMETA_DATA`` names. For your own data, make ``Ratings`` of them: the user, the item and the rating of
each row, and a table of what is known of the items.
"""

import argparse
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import ndcg_score
from sklearn.preprocessing import StandardScaler

from skmeta import TAMLRegressor, TMAMLRegressor
from skmeta.datasets import fetch_movielens
from skmeta.model_selection.intervals import task_interval

SHOTS = 0, 1, 2, 3, 5, 10, 20
NEW, LAST = 0.4, 0.2  # shares: new users of all, and of the others those that rivals are tuned on
TUNED = 1, 5, 10  # numbers of ratings that rivals are tuned with, on average
N_ASKED = 20  # films to rank, at least
N_FACTORS, N_ROUNDS, N_FOLDS = 4, 10, 5
PENALTY = np.diag([4.0] + N_FACTORS * [20.0])  # of a bias and of factors, in ratings
N_KNOWN = 500  # films, those of most ratings, that may be proposed
RIVAL = "fold-in ridge"
WIDTHS = {"TMAML": 5, "TAML": 2}  # they may lie on each other
FIGURE = Path(__file__).with_name("recommend.png")


class Ratings(NamedTuple):
    """What users 0, 1, ... said of items, of each once; ``about`` has a row of four numbers or more for each.

    New users need 11 ratings or more, to be asked for some when they have given 10.
    """

    user: np.ndarray
    item: np.ndarray
    rating: np.ndarray
    about: np.ndarray

    def of(self, users):
        """The ratings of these users, numbered anew."""
        rows = np.isin(self.user, users)
        return Ratings(
            np.searchsorted(np.sort(users), self.user[rows]), self.item[rows], self.rating[rows], self.about
        )

    def by_user(self):
        """Pairs of items and their ratings, one for each user."""
        order = np.argsort(self.user, kind="stable")
        ends = np.cumsum(np.bincount(self.user))[:-1]
        return list(zip(*(np.split(part[order], ends) for part in (self.item, self.rating)), strict=True))


class Known(NamedTuple):
    """What training users tell: features of the items, and a task ``(X, y)`` for each user."""

    ratings: Ratings
    features: np.ndarray
    tasks: list


def main(quick=False, figure=FIGURE):
    films = fetch_movielens()
    ratings = Ratings(films.user, films.film, films.rating, films.genres.astype(float))
    training, new = split(1 + ratings.user.max())
    if quick:
        training, new = training[:80], new[:10]
    params = {"max_iter": 2, "early_stopping": False} if quick else {}
    models = fit_models(ratings.of(training), **params)
    users = ratings.of(new).by_user()
    results = {name: scores(model, users) for name, model in models.items()}
    show(results)
    # Someone who likes some films and not others, by ten ratings at random.
    drawn = [
        [part[shuffled(number, len(y))[:10]] for part in (items, y)]
        for number, (items, y) in enumerate(users)
    ]
    items, given = max(drawn, key=lambda pair: np.std(pair[1]))
    counts = np.bincount(ratings.of(training).item, minlength=len(films.title))
    show_person(models["TMAML"], items, given, films.title, counts)
    draw(results, figure)
    print(f"\nDrawn: {figure}")


def split(n_users):
    """Numbers of the training users and of the new ones: the final users of ``benchmarks.accuracy``."""
    order = np.random.RandomState(0).permutation(np.sort(np.arange(1, 1 + n_users).astype(str)))
    new = np.sort(order[: round(NEW * n_users)].astype(int) - 1)
    return np.setdiff1d(np.arange(n_users), new), new


def shuffled(number, n):
    """The order in which a new user's ratings are given."""
    return np.random.default_rng(number).permutation(n)


# ---- what is known of films


def item_features(ratings):
    """Bias, log count and factors of each item, by alternating least squares, beside what is known of it.

    A rating is a mean, two biases and the product of two rows of factors. These may be turned at will: all
    fits start from the same axes of the table, and so end with factors that mean about the same.
    """
    n_items = len(ratings.about)
    shape = 1 + ratings.user.max(), n_items
    where = ratings.user, ratings.item
    seen = sparse.csr_array((np.ones(len(ratings.item)), where), shape)
    above = sparse.csr_array((ratings.rating - ratings.rating.mean(), where), shape)
    described = np.zeros((n_items, 1 + N_FACTORS))
    rated = np.unique(ratings.item)
    described[rated, 1:] = PCA(N_FACTORS, random_state=0).fit_transform(ratings.about)[rated]
    for _ in range(N_ROUNDS):
        described = least_squares(above.T, seen.T, least_squares(above, seen, described))
    return np.column_stack([np.insert(described, 1, np.log1p(seen.sum(0)), axis=1), ratings.about])


def least_squares(above, seen, other):
    """Bias and factors of one side, given those of the other one."""
    bias, Z = other[:, :1], np.c_[np.ones(len(other)), other[:, 1:]]
    n = Z.shape[1]
    squares = (seen @ (Z[:, :, None] * Z[:, None]).reshape(-1, n * n)).reshape(-1, n, n)
    return np.linalg.solve(squares + PENALTY, (above @ Z - seen @ (bias * Z))[..., None])[..., 0]


def learn(ratings):
    """What these users tell. In a user's task, items are described by the other folds of users."""
    users = np.arange(1 + ratings.user.max())
    described = [item_features(ratings.of(users[users % N_FOLDS != fold])) for fold in range(N_FOLDS)]
    tasks = [(described[user % N_FOLDS][items], y) for user, (items, y) in enumerate(ratings.by_user())]
    return Known(ratings, item_features(ratings), tasks)


# ---- methods: ``model(items, given, asked)`` are the ratings to expect of the asked items


def fit_models(ratings, **params):
    """Each method by its name; the rivals' numbers are chosen on the last training users."""
    known, models = learn(ratings), {}
    for estimator in (TMAMLRegressor, TAMLRegressor):
        fitted = estimator(verbose=1, random_state=0, **params).fit(known.tasks)
        models[estimator.__name__.removesuffix("Regressor")] = partial(adapted, fitted, known.features)
    n_users = len(known.tasks)
    kept, held = np.split(np.arange(n_users), [n_users - round(LAST * n_users)])
    known_by_kept, held = learn(ratings.of(kept)), ratings.of(held).by_user()
    for name, (make, grid) in {
        RIVAL: (fold_in, {"alpha": [3, 10, 30, 100], "damping": [1, 3, 10]}),
        "item neighbours": (neighbours, {"shrinkage": [5, 20, 80], "doubt": [0.3, 1, 3]}),
        "damped biases": (damped_biases, {"damping": [1, 3, 10]}),
    }.items():
        candidates = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        found = [scores(make(known_by_kept, **params), held, TUNED)[0] for params in candidates]
        best = candidates[
            int(np.argmin([np.mean([of.mean() for of in errors.values()]) for errors in found]))
        ]
        models[name] = make(known, **best)
    return models


def adapted(regressor, features, items, given, asked):
    """What a meta-trained regressor expects after it has seen the ratings given."""
    return regressor.predict_tasks([(features[items], given)], [features[asked]])[0]


def damped_biases(known, damping):
    """The mean, the item's bias and the user's, a mean as if so many more ratings were as expected."""
    level, bias = known.ratings.rating.mean(), known.features[:, 0]

    def model(items, given, asked):
        user = (given - level - bias[items]).sum() / (len(given) + damping)
        return level + bias[asked] + user

    return model


def fold_in(known, alpha, damping):
    """A ridge regression of all users, who count alike, and one of what it leaves of a new user's ratings."""
    X, y = (np.concatenate(parts) for parts in zip(*known.tasks, strict=True))
    counts = np.array([len(y) for _, y in known.tasks])
    weight = np.repeat(counts.mean() / counts, counts)
    scaler = StandardScaler().fit(X)
    ridge, Z_all = Ridge(10).fit(scaler.transform(X), y, weight), scaler.transform(known.features)
    penalties = np.diag([damping, *np.full(X.shape[1], alpha)])

    def model(items, given, asked):
        Z = np.column_stack([np.ones(len(items)), Z_all[items]])
        left = given - ridge.predict(Z_all[items]) if len(items) else given
        weights = np.linalg.solve(Z.T @ Z + penalties, Z.T @ left)
        return ridge.predict(Z_all[asked]) + weights[0] + Z_all[asked] @ weights[1:]

    return model


def neighbours(known, shrinkage, doubt):
    """Biases, and what the user's ratings of similar items leave of them (adjusted cosine, shrunken)."""
    ratings, biases = known.ratings, damped_biases(known, 3)
    shape = 1 + ratings.user.max(), len(ratings.about)
    left = [y - biases(items, y, items) for items, y in ratings.by_user()]
    users = np.repeat(np.arange(shape[0]), list(map(len, left)))
    items = np.concatenate([items for items, _ in ratings.by_user()])
    left = sparse.csc_array((np.concatenate(left), (users, items)), shape)
    seen = left.copy()
    seen.data[:] = 1

    def model(items, given, asked):
        expected = biases(items, given, asked)
        if len(items) == 0:
            return expected
        common = (seen[:, asked].T @ seen[:, items]).toarray()
        products = (left[:, asked].T @ left[:, items]).toarray()
        lengths = [(left.power(2)[:, asked].T @ seen[:, items]).toarray()]
        lengths.append((seen[:, asked].T @ left.power(2)[:, items]).toarray())
        cosines = products / np.sqrt(np.maximum(lengths[0] * lengths[1], 1e-9))
        similar = cosines * common / (common + shrinkage)
        similar = similar.clip(0)
        return expected + similar @ (given - biases(items, given, items)) / (similar.sum(1) + doubt)

    return model


# ---- scores


def scores(model, users, shots=SHOTS):
    """Errors and NDCG@10 by number of ratings given: arrays of the users who rated enough.

    A user's films are taken in random order: the first ones are given, and the same films are asked
    whatever is given, all but the first 10. Only users with 40 ratings give 20 of them, and all but these are
    asked.
    """
    errors, gains = {n: [] for n in shots}, {n: [] for n in shots}
    for number, (items, y) in enumerate(users):
        order = shuffled(number, len(items))
        items, y = items[order], y[order]
        for n in shots:
            first = max(n, 10)
            if n > 10 and len(y) < 40:
                continue
            expected = model(items[:n], y[:n], items[first:])
            errors[n].append(np.abs(expected - y[first:]).mean())
            if len(y) - first >= N_ASKED:
                gains[n].append(ndcg_score([y[first:]], [expected], k=10))
    return tuple({n: np.array(values) for n, values in found.items()} for found in (errors, gains))


def show(results):
    """Tables of the errors and of NDCG@10."""
    for i, title in enumerate(("mean absolute error", "NDCG@10 of 20 films or more")):
        lengths = {n: len(values) for n, values in next(iter(results.values()))[i].items()}
        print(f"\n{title}, ± half of the 95 % interval over new users")
        print(f"{'ratings given':23}" + "".join(f"{n:>15}" for n in lengths))
        print(f"{'new users':23}" + "".join(f"{n:>15}" for n in lengths.values()))
        rows = {name: found[i] for name, found in results.items()}
        for name in "TMAML", "TAML":  # paired: the same users, ratings and films
            rows[f"{name} - {RIVAL}"] = {n: rows[name][n] - rows[RIVAL][n] for n in lengths}
        for name, values in rows.items():
            cells = (f"{v.mean():.3f} ± {task_interval(v, np.arange(len(v))):.3f}" for v in values.values())
            print(f"{name:23}" + "".join(f"{cell:>15}" for cell in cells))


def show_person(model, items, given, titles, counts):
    """The ratings of a new user, and the films that are proposed before and after."""
    print("\nA new user's ratings")
    for item, rating in sorted(zip(items, given, strict=True), key=lambda pair: -pair[1]):
        print(f"  {rating:.1f}  {titles[item]}")
    asked = np.setdiff1d(np.argsort(counts)[-N_KNOWN:], items)
    before, after = (
        titles[asked[np.argsort(-model(items[:n], given[:n], asked))[:10]]] for n in (0, len(items))
    )
    print(f"\n  {'proposed before':48}and after these ratings")
    for pair in zip(before, after, strict=True):
        print("  {:48}{}".format(*(title[:46] for title in pair)))


def draw(results, path):
    """Errors and NDCG@10 against the number of ratings."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    labels = "mean absolute error, in stars", "NDCG@10 among the user's other films"
    for i, (ax, label) in enumerate(zip(axes, labels, strict=True)):
        for name, found in results.items():
            style = {"linewidth": WIDTHS[name]} if name in WIDTHS else {"linewidth": 1.2, "linestyle": "--"}
            # Those who gave 20 are other users than all.
            shots = [n for n in found[i] if n <= 10]
            ax.plot(shots, [found[i][n].mean() for n in shots], marker="o", label=name, **style)
        ax.set_xlabel("ratings that a new user gave")
        ax.set_ylabel(label)
        ax.grid(alpha=0.3)
    best = max(max(gains[n].mean() for n in gains if n <= 10) for _, gains in results.values())
    axes[1].set_ylim(best - 0.04, best + 0.01)  # intervals are that wide
    axes[0].set_title("How far off: lower is better")
    axes[1].set_title("How well ranked: higher is better")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Ratings of new users.")
    parser.add_argument("--quick", action="store_true", help="few users and steps, to see that it runs")
    main(**vars(parser.parse_args()))
