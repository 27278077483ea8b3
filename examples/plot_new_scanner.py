"""A new scanner: read its digits from two labelled rows of each.

Eighty scanners have digitised handwritten digits, each in its own way: turned, paler, as a negative,
with a sensor pattern of its own. What does a new scanner need? One model for all scanners ignores how
they differ; a model of the new scanner alone has twenty rows to learn from. Meta-learning is trained on
the eighty and adapts to the new one.

    python examples/plot_new_scanner.py

prints a table and draws new_scanner.png beside this file. Everything runs offline: the digits are
scikit-learn's, and the images that the training scanners saw are not those of the test scanners.
"""

import copy
import time
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from skmeta import TAMLClassifier, TMAMLClassifier, evaluate
from skmeta.datasets import make_scanners, scan

SHOTS = 1, 2, 5, 10
TABLE_SHOT = 2
FIGURE = Path(__file__).with_name("new_scanner.png")


def main(n_train=80, max_iter="auto", figure=FIGURE):
    scanners = make_scanners(n_train, random_state=0)
    models, seconds = fit_models(scanners.train, max_iter)
    results = {name: {} for name in models}
    print(f"\n40 new scanners, {TABLE_SHOT} labelled rows a digit, 200 rows to predict on each")
    print(f"{'':26}{'accuracy':>16}{'training':>12}{'a new scanner':>16}")
    for name, model in models.items():
        for n_shot in SHOTS:
            start = time.perf_counter()
            # One episode for each scanner; the same rows for every model.
            results[name][n_shot] = evaluate(model, scanners.test, n_episodes=40, n_shot=n_shot, n_query=20)
            elapsed = time.perf_counter() - start
            if n_shot == TABLE_SHOT:
                score = results[name][n_shot]
                accuracy = f"{score.mean:.3f} ± {score.interval:.3f}"
                print(f"{name:26}{accuracy:>16}{seconds[name]:>10.1f} s{1000 * elapsed / 40:>13.1f} ms")
    draw(results, scanners, figure)
    print(f"\nDrawn: {figure}")


def fit_models(tasks, max_iter):
    """Models for ``evaluate``, and the seconds that each took to train."""
    X, y = (np.concatenate(parts) for parts in zip(*tasks, strict=True))
    models, seconds = {}, {}
    for name, learner in {
        "TMAML": TMAMLClassifier(max_iter=max_iter, verbose=1, random_state=0),
        "TAML": TAMLClassifier(max_iter=max_iter, verbose=1, random_state=0),
    }.items():
        start = time.perf_counter()
        models[name] = learner.fit(tasks)
        seconds[name] = time.perf_counter() - start
    start = time.perf_counter()
    pooled = MLPClassifier((64, 64), early_stopping=True, random_state=0).fit(X, y)
    models["pooled MLP"] = FrozenEstimator(pooled)
    seconds["pooled MLP"] = time.perf_counter() - start
    for name, candidates in {
        "local logistic regression": [LogisticRegression(C=c, max_iter=1000) for c in (0.1, 1, 10)],
        "local SVC": [SVC(C=c, kernel=kernel) for c in (1, 10) for kernel in ("rbf", "linear")],
    }.items():
        start = time.perf_counter()
        models[name] = best_local(candidates, tasks)
        seconds[name] = time.perf_counter() - start
    models["TMAML, last layer alone"] = copy.copy(models["TMAML"]).set_params(adapt_steps=0)
    seconds["TMAML, last layer alone"] = seconds["TMAML"]
    return models, seconds


def best_local(candidates, tasks):
    """The candidate that does best on the training scanners, from as few rows as the table gives."""
    scores = [evaluate(c, tasks, n_episodes=len(tasks), n_shot=TABLE_SHOT).mean for c in candidates]
    return clone(candidates[int(np.argmax(scores))])


def draw(results, scanners, path):
    """What scanners do to digits, and the accuracy against the number of labelled rows."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 5.2), layout="constrained", width_ratios=(1, 1.25)
    )
    digits = load_digits()
    images = digits.images[[np.flatnonzero(digits.target == d)[0] for d in range(10)]] / 16
    seen = [images, *(scan(images, scanner) for scanner in scanners.test_scanners[:6])]
    left.imshow(mosaic(seen), cmap="gray_r", vmin=-0.3, vmax=1.3)
    left.set_yticks(9 * np.arange(7) + 4, ["as written", *(f"scanner {i}" for i in range(1, 7))])
    left.set_xticks([])
    left.tick_params(length=0)
    left.set_frame_on(False)
    left.set_title("Ten digits, and how six new scanners see them")

    for name, scores in results.items():
        style = {"linewidth": 2.5} if name in ("TMAML", "TAML") else {"linewidth": 1.2, "linestyle": "--"}
        mean = [scores[n].mean for n in SHOTS]
        right.errorbar(
            SHOTS, mean, [scores[n].interval for n in SHOTS], label=name, capsize=2, marker="o", **style
        )
    right.set_xscale("log")
    right.set_xticks(SHOTS, SHOTS)
    right.minorticks_off()
    right.set_xlabel("labelled rows a digit from the new scanner")
    right.set_ylabel("accuracy on its other rows")
    right.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3)
    right.set_title("Accuracy on 40 new scanners, with 95 % intervals")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def mosaic(rows_of_images):
    """One image of rows of 8x8 images, a blank pixel between them."""
    padded = [np.pad(images, ((0, 0), (0, 1), (0, 1))) for images in rows_of_images]
    return np.concatenate([np.concatenate(list(images), axis=1) for images in padded])[:-1, :-1]


if __name__ == "__main__":
    main()
