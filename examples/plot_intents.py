"""A new bot: what do its users want, from a few utterances of each intent?

A bot answers some intents, each of which its maker describes by one to five utterances; what asks for none of
them should not be answered at all: here half of that are CLINC150's utterances out of scope, half those of
intents that the bot does not have. Meta-learning is trained on the utterances of ninety other intents. Rows
are embeddings of the reader's choice; here they are wordllama's, whose weights come with the package, and

    from sentence_transformers import SentenceTransformer
    embed = SentenceTransformer("all-MiniLM-L6-v2").encode

would do as well.

    python examples/plot_intents.py            # about two minutes on two cores
    python examples/plot_intents.py --quick    # to see that it runs

prints the accuracy on new bots of ten intents each, and how well what is out of scope is told from the rest,
by the largest of a row's scores; draws intents.png beside this file. (The largest probability tells less: it
is near one for the nearest of ten intents that are all far away.) For your own data, pass texts and their
intents to ``fit``.
"""

import argparse
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, normalize

from skmeta import TAMLClassifier, TMAMLClassifier, adapt, evaluate
from skmeta.datasets import fetch_clinc150
from skmeta.model_selection.intervals import task_interval

SHOTS = 1, 3, 5
NEW = 0.4  # share of the intents that are new
N_WAY, N_ASKED, N_OUTSIDE = 10, 15, 75  # intents of a bot; utterances asked of each; twice those of none
ANSWERED = 0.9  # share of a bot's own utterances that is to be answered
WIDTHS = {"TMAML": 5, "TAML": 2}  # they may lie on each other
FIGURE = Path(__file__).with_name("intents.png")


def main(quick=False, figure=FIGURE):
    utterances = fetch_clinc150()
    training, new = split(utterances.target)
    known = np.isin(utterances.target, training)
    params = {"max_iter": 2, "early_stopping": False} if quick else {}
    models = fit_models(utterances.data[known], utterances.target[known], **params)
    bots = make_bots(utterances, new[: 2 * N_WAY] if quick else new, n_rounds=1 if quick else 10)
    results = {name: [answers(model, bot) for bot in bots] for name, model in models.items()}
    show(results)
    # How sure to be is told by bots of intents that are not new.
    of_training = [answers(models["TMAML"], bot) for bot in make_bots(utterances, training, n_rounds=1)]
    least = np.quantile(np.concatenate([bot.sure[3] for bot in of_training]), 1 - ANSWERED)
    show_bot(models["TMAML"], bots[0], least)
    draw(results, figure)
    print(f"\nDrawn: {figure}")


def split(labels):
    """Training intents and new ones, which are the final ones of ``benchmarks.accuracy``."""
    intents = np.random.RandomState(0).permutation(np.unique(labels))
    n_new = round(NEW * len(intents))
    return intents[n_new:], intents[:n_new]


def embed(texts):
    """Rows of length 1."""
    return np.stack([embedding(text) for text in texts])


@cache
def embedding(text):
    """The mean of 256 numbers for each token of the text."""
    vectors, tokenizer = embedder()
    mean = vectors[tokenizer.encode(text, add_special_tokens=False).ids].mean(0)
    return mean / np.linalg.norm(mean)


@cache
def embedder():
    """Numbers of all tokens, and the tokenizer, from the files of wordllama."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    found = find_spec("wordllama")
    if found is None:
        raise ImportError("The embeddings are wordllama's: pip install 'skmeta[examples]'.")
    package = Path(found.submodule_search_locations[0])
    vectors = load_file(package / "weights/l2_supercat_256.safetensors")["embedding.weight"].astype("f4")
    return vectors, Tokenizer.from_file(str(package / "tokenizers/l2_supercat_tokenizer_config.json"))


class CosinePrototypes(ClassifierMixin, BaseEstimator):
    """The class whose mean has the smallest angle to a row."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.means_ = normalize([X[y == label].mean(0) for label in self.classes_])
        return self

    def decision_function(self, X):
        return X @ self.means_.T

    def predict(self, X):
        return self.classes_[self.decision_function(X).argmax(1)]


def fit_models(texts, intents, **params):
    """Pipelines from texts to intents, by name."""
    models = {}
    for classifier in (TMAMLClassifier, TAMLClassifier):
        pipeline = make_pipeline(FunctionTransformer(embed), classifier(verbose=1, random_state=0, **params))
        models[classifier.__name__.removesuffix("Classifier")] = pipeline.fit(texts, intents)
    candidates = [LogisticRegression(C=C, max_iter=1000) for C in (0.1, 1, 10, 100)]
    rows = [(embed(texts), intents)]
    scores = [
        [evaluate(c, rows, n_episodes=30, n_way=N_WAY, n_shot=n).mean for n in SHOTS] for c in candidates
    ]
    best = candidates[int(np.argmax(np.mean(scores, axis=1)))]
    models["logistic regression"] = make_pipeline(FunctionTransformer(embed), best)
    models["cosine prototypes"] = make_pipeline(FunctionTransformer(embed), CosinePrototypes())
    return models


# ---- new bots


class Bot(NamedTuple):
    """Utterances by which a bot is made, the first of each intent first, and those that it is asked."""

    support: list
    texts: np.ndarray
    intents: np.ndarray
    outside: np.ndarray


def make_bots(utterances, intents, n_rounds):
    """In each round, the intents are dealt out to bots of ``N_WAY`` intents each."""
    rng, bots = np.random.default_rng(1), []
    for _ in range(n_rounds):
        for of_bot in rng.permutation(intents).reshape(-1, N_WAY):
            of_intents = [rng.permutation(utterances.data[utterances.target == intent]) for intent in of_bot]
            asked = [texts[max(SHOTS) : max(SHOTS) + N_ASKED] for texts in of_intents]
            others = utterances.data[np.isin(utterances.target, np.setdiff1d(intents, of_bot))]
            outside = [
                rng.choice(texts, N_OUTSIDE, replace=False) for texts in (utterances.out_of_scope, others)
            ]
            support = [
                (intent, texts[: max(SHOTS)]) for intent, texts in zip(of_bot, of_intents, strict=True)
            ]
            bots.append(
                Bot(support, np.concatenate(asked), np.repeat(of_bot, N_ASKED), np.concatenate(outside))
            )
    return bots


class Answers(NamedTuple):
    """What a bot said by number of utterances for each intent: was it right, and how sure was it."""

    right: dict
    sure: dict
    sure_outside: dict


def answers(model, bot):
    """What the adapted model says to a bot's users."""
    found = Answers({}, {}, {})
    for n_shot in SHOTS:
        adapted = made_from(model, bot, n_shot)
        found.right[n_shot] = adapted.predict(bot.texts) == bot.intents
        found.sure[n_shot], found.sure_outside[n_shot] = (
            adapted.decision_function(texts).max(1) for texts in (bot.texts, bot.outside)
        )
    return found


def made_from(model, bot, n_shot):
    """The model of a bot made by so many utterances of each intent; what is no prior is fitted anew."""
    texts = np.concatenate([texts[:n_shot] for _, texts in bot.support])
    intents = np.repeat([intent for intent, _ in bot.support], n_shot)
    is_prior = hasattr(model[-1], "adapt")
    return adapt(model, texts, intents) if is_prior else clone(model).fit(texts, intents)


# ---- what is seen


def show(results):
    """Accuracy and area under the curve of new bots."""
    n_bots = len(next(iter(results.values())))
    print(
        f"\n{n_bots} new bots of {N_WAY} intents, ± half of the 95 % interval over bots, which share intents"
    )
    print(f"{'':28}" + f"{'accuracy':^48}{'out of scope: area under the curve':^48}".rstrip())
    print(f"{'utterances an intent':28}" + 2 * "".join(f"{n:>16}" for n in SHOTS))
    rows = {}
    for name, bots in results.items():
        right = [[bot.right[n].mean() for bot in bots] for n in SHOTS]
        rows[name] = np.array(right + [[area(bot, n) for bot in bots] for n in SHOTS])
    for rival in "logistic regression", "cosine prototypes":  # paired: the same bots
        rows[f"TMAML - {rival}"] = rows["TMAML"] - rows[rival]
    for name, values in rows.items():
        cells = (f"{v.mean():.3f} ± {task_interval(v, np.arange(n_bots)):.3f}" for v in values)
        print(f"{name:28}" + "".join(f"{cell:>16}" for cell in cells))


def area(bot, n_shot):
    """How often the model is surer of an utterance of the bot's than of another one."""
    inside, outside = bot.sure[n_shot], bot.sure_outside[n_shot]
    return roc_auc_score(np.repeat([1, 0], [len(inside), len(outside)]), np.append(inside, outside))


def show_bot(model, bot, least):
    """What a bot made by three utterances of each intent says, and refuses by a score below the least."""
    adapted = made_from(model, bot, 3)
    print("\nA bot for " + ", ".join(intent for intent, _ in bot.support))
    texts = np.append(bot.texts[:: 2 * N_ASKED], bot.outside[:: N_OUTSIDE // 2])
    scores = adapted.decision_function(texts).max(1)
    for text, intent, score in zip(texts, adapted.predict(texts), scores, strict=True):
        print(f"  {text[:66]:68}{intent if score >= least else '(out of scope)'}")


def draw(results, path):
    """Accuracy against the number of utterances, and what is refused."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    for name, bots in results.items():
        style = {"linewidth": WIDTHS[name]} if name in WIDTHS else {"linewidth": 1.2, "linestyle": "--"}
        mean = [np.mean([bot.right[n].mean() for bot in bots]) for n in SHOTS]
        left.plot(SHOTS, mean, marker="o", label=name, **style)
        right.plot(*refused(bots, 3), label=name, **style)
    left.set_xticks(SHOTS)
    left.set_xlabel("utterances of each intent")
    left.set_ylabel("accuracy")
    left.set_title(f"New bots of {N_WAY} intents")
    right.set_xlabel("out of scope, but answered")
    right.set_ylabel("of the bot's own, rightly answered")
    right.set_title("Answer only when sure: 3 utterances of each intent")
    for ax in (left, right):
        ax.grid(alpha=0.3)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def refused(bots, n_shot):
    """Shares that are answered of what is out of scope, and answered rightly of the rest."""
    where = np.linspace(0, 0.3, 61)
    curves = []
    for bot in bots:
        inside, outside = np.where(bot.right[n_shot], bot.sure[n_shot], -1), bot.sure_outside[n_shot]
        is_inside = np.repeat([1, 0], [len(inside), len(outside)])
        curve = np.interp(where, *roc_curve(is_inside, np.append(inside, outside))[:2])
        curves.append(np.minimum(curve, bot.right[n_shot].mean()))  # none of the wrong answers
    return where, np.mean(curves, axis=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Intents of new bots.")
    parser.add_argument("--quick", action="store_true", help="few bots and steps, to see that it runs")
    main(**vars(parser.parse_args()))
