"""Sparse text: what is made dense is a meta-batch or a part of the rows, never the whole matrix."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.special import softmax
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.pipeline import make_pipeline

from skmeta import TMAMLClassifier, WeightedFeatures, adapt
from skmeta.tasks import limits

DATA = Path(os.environ.get("SKMETA_DATA", Path(__file__).parents[2] / "shared" / "data"))
CLINC150 = DATA / "clinc150" / "data_full.json.gz"
QUICK = {"hidden_layer_sizes": (8,), "inner_steps": 2, "max_iter": 3, "meta_batch_size": 4, "random_state": 0}
TEXTS = [
    f"{verb} {thing} {i}" for verb in ("book", "cancel") for thing in ("flight", "table") for i in range(12)
]
INTENTS = np.array([" ".join(text.split()[:2]) for text in TEXTS])


@pytest.mark.parametrize("vectorizer", [HashingVectorizer(n_features=64), TfidfVectorizer()])
def test_a_pipeline_of_texts_tells_intents_apart(vectorizer):
    pipe = make_pipeline(vectorizer, TMAMLClassifier(max_iter=20, random_state=0)).fit(TEXTS, INTENTS)
    assert pipe.score(TEXTS, INTENTS) > 0.9
    some = np.arange(len(TEXTS)) % 4 == 0
    adapted = adapt(pipe, [t for t, s in zip(TEXTS, some, strict=True) if s], INTENTS[some])
    assert adapted.score(TEXTS, INTENTS) > 0.9


def test_rows_are_made_dense_a_part_at_a_time(monkeypatch):
    X = TfidfVectorizer().fit_transform(TEXTS)
    whole = TMAMLClassifier(**QUICK, head="linear").fit(X, INTENTS)
    expected = whole.predict_proba(X)
    n_dense = []
    toarray = sparse.csr_matrix.toarray

    def noted(self, *args, **kwargs):
        n_dense.append(self.shape[0])
        return toarray(self, *args, **kwargs)

    monkeypatch.setattr(limits, "NUMBERS_AT_ONCE", 10 * X.shape[1])
    monkeypatch.setattr(type(X), "toarray", noted)
    clf = TMAMLClassifier(**QUICK | {"n_shot": 1, "n_query": 1}).fit(X, INTENTS)
    assert max(n_dense) <= 4 * 4  # tasks in a meta-batch, by classes, of each one row
    parts = TMAMLClassifier(**QUICK, head="linear").fit(X, INTENTS)
    np.testing.assert_allclose(parts.predict_proba(X), expected, rtol=1e-4)
    n_dense.clear()
    clf.predict(X)
    assert max(n_dense) == 10 and sum(n_dense) == len(TEXTS)


def test_untrained_feature_weights_with_a_cosine_head_are_nearest_prototypes_by_angle():
    X = TfidfVectorizer().fit_transform(TEXTS)
    some = np.arange(len(TEXTS)) % 4 == 0
    text = {"head": "cosine", "label_space": "per_task", "adapt_params": "head", "adapt_steps": 0}
    clf = TMAMLClassifier(WeightedFeatures, **text, **QUICK | {"outer_lr": 1e-12, "n_way": 3}).fit(X, INTENTS)
    clf.adapt(X[some], INTENTS[some])
    means = [np.asarray(X[some & (intent == INTENTS)].mean(0))[0] for intent in clf.classes_]
    expected = cosine_similarity(X, np.array(means))
    np.testing.assert_allclose(clf.predict_proba(X), softmax(10 * expected, axis=1), rtol=1e-4)


MEMORY = """
import gzip, json, sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from skmeta import TMAMLClassifier, adapt

kind, path = sys.argv[1:]
texts, intents = zip(*json.loads(gzip.open(path).read())["train"])
intents = np.array(intents)
settings = {"n_way": 5, "n_shot": 5, "n_query": 15, "max_iter": 2, "inner_steps": 1, "random_state": 0}
settings["head"] = "prototype"
if kind == "needed":  # the sparse matrix, and the model trained on as few rows as give its episodes
    X = TfidfVectorizer().fit_transform(texts)
    classes = np.unique(intents)[:6]
    few = np.concatenate([np.flatnonzero(intents == c)[:20] for c in classes])
    TMAMLClassifier(**settings).fit(X[few].toarray(), intents[few])
elif kind == "dense":
    X = TfidfVectorizer(dtype=np.float32).fit_transform(texts).toarray()
    TMAMLClassifier(**settings).fit(X, intents)
else:
    pipe = make_pipeline(TfidfVectorizer(), TMAMLClassifier(**settings)).fit(texts, intents)
    pipe.predict(texts[:5000])
    adapt(pipe, texts[:2000], intents[:2000])
status = Path("/proc/self/status").read_text()  # getrusage would count the process that started this one
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


def peak_memory(kind):
    """In MiB, of a process of its own."""
    command = [sys.executable, "-W", "ignore", "-c", MEMORY, kind, str(CLINC150)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.skipif(not CLINC150.exists(), reason="needs a local copy of CLINC150")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's record of the peak")
def test_the_memory_of_a_pipeline_of_texts():
    """With class means; a posterior head takes all rows of a support set dense at once."""
    needed, used, dense = (peak_memory(kind) for kind in ("needed", "pipeline", "dense"))
    print(f"needed {needed:.0f} MiB, pipeline {used:.0f} MiB, with a dense matrix {dense:.0f} MiB")
    copy = dense - needed
    assert copy > 100 and used < needed + 2 / 3 * copy
