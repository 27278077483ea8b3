"""Task regularizers: do they serve the tasks more evenly?

TMAML's ``task_regularizer`` adds a term to the outer objective that looks at the model before it is adapted:
``"entropy"`` wants its outputs undecided there, an inequality wants the losses of the tasks even, so that
no task is favoured by the initialisation (Jamal & Qi, CVPR 2019). Here each is trained on the same
scanners, and asked for the loss on each of forty new ones, before and after adaptation.

    python examples/plot_task_losses.py

prints a table of the losses, their spread over the scanners and the accuracy, and draws task_losses.png
beside this file. Everything runs offline.
"""

import copy
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, log_loss

from skmeta import TMAMLClassifier
from skmeta.datasets import make_scanners

REGULARIZERS = None, "entropy", "theil", "gini", "atkinson", "generalized_entropy", "log_variance"
N_SHOT = 2
SEEDS = 0, 1, 2
FIGURE = Path(__file__).with_name("task_losses.png")


def main(n_train=80, max_iter="auto", weight=1.0, seeds=SEEDS, figure=FIGURE):
    scanners = make_scanners(n_train, random_state=0)
    results = {}
    print(f"40 new scanners, {N_SHOT} labelled rows a digit, weight {weight:g}, mean of {len(seeds)} seeds")
    print(f"{'':22}{'loss before':>13}{'spread':>8}{'loss after':>12}{'spread':>8}{'accuracy':>10}")
    for regularizer in REGULARIZERS:
        clf = TMAMLClassifier(
            head="linear",
            task_regularizer=regularizer,
            regularizer_weight=weight,
            n_shot=N_SHOT,
            max_iter=max_iter,
        )
        fitted = [copy.copy(clf).set_params(random_state=seed).fit(scanners.train) for seed in seeds]
        of_seeds = np.array([task_losses(one, scanners.test) for one in fitted])
        name = str(regularizer).replace("_", " ")
        results[name] = of_seeds[0, :2]
        before, after, accuracy = of_seeds.mean((0, 2))
        uneven = spread(of_seeds[:, :2]).mean(0)
        print(f"{name:22}{before:>13.3f}{uneven[0]:>8.3f}{after:>12.3f}{uneven[1]:>8.3f}{accuracy:>10.3f}")
    draw(results, figure)
    print(f"\nDrawn: {figure}")


def task_losses(clf, tasks):
    """Loss before and after adaptation and accuracy after it, each an array of shape (n_tasks,)."""
    unadapted = copy.copy(clf).set_params(adapt_steps=0)
    rows = []
    for X, y in tasks:
        query, labels = X[10 * N_SHOT :], y[10 * N_SHOT :]
        models = [model.adapt(X[: 10 * N_SHOT], y[: 10 * N_SHOT]) for model in (unadapted, clf)]
        losses = [log_loss(labels, m.predict_proba(query), labels=m.classes_) for m in models]
        rows.append((*losses, accuracy_score(labels, clf.predict(query))))
    return np.transpose(rows)


def spread(losses):
    """Standard deviation of the losses over the tasks, in units of their mean."""
    return losses.std(-1) / losses.mean(-1)


def draw(results, path):
    """The loss of each new scanner in units of their mean, before and after adaptation, of the first seed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 1, figsize=(9, 7), layout="constrained", sharex=True)
    for axis, which, title in zip(axes, (0, 1), ("before adaptation", "after adaptation"), strict=True):
        shares = [losses[which] / losses[which].mean() for losses in results.values()]
        axis.boxplot(shares, showfliers=False, medianprops={"color": "tab:blue"})
        for i, (losses, share) in enumerate(zip(results.values(), shares, strict=True)):
            jitter = np.random.default_rng(0).uniform(-0.12, 0.12, len(share))
            axis.scatter(i + 1 + jitter, share, s=12, alpha=0.5, color="tab:blue")
            words = f"mean {losses[which].mean():.2f}\nspread {share.std():.2f}"
            axis.annotate(words, (i + 1, share.max()), (0, 5), textcoords="offset points", ha="center")
        axis.margins(y=0.2)
        axis.set_ylabel("loss / mean loss")
        axis.set_title(f"Losses of 40 new scanners {title}")
        axis.grid(axis="y", alpha=0.3)
    axes[1].set_xticks(range(1, len(results) + 1), results)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
