"""Intents of utterances: CLINC150 and BANKING77, each by embeddings and by terms.

embedding  mean of 256 numbers for each token, learned elsewhere, of length 1: package ``wordllama``
letters    TF-IDF of words and pairs of words, and of 2 to 4 letters inside a word, sparse; hashed, so
           that a term that only new intents have counts too
svd        ``letters``, reduced by a truncated SVD
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import Normalizer, normalize

from benchmarks.accuracy.data.task import Task, learned
from skmeta.datasets import fetch_clinc150

CLINC = ("clinc150/data_full.json.gz",)
BANKING = ("banking77/train.csv.gz", "banking77/test.csv.gz")


def hashed(**terms):
    """TF-IDF of hashed terms."""
    counts = HashingVectorizer(alternate_sign=False, norm=None, dtype=np.float32, **terms)
    return make_pipeline(counts, TfidfTransformer(sublinear_tf=True))


letters = make_pipeline(
    make_union(
        hashed(n_features=2**11, ngram_range=(1, 2)),
        hashed(n_features=2**12, analyzer="char_wb", ngram_range=(2, 4)),
    ),
    Normalizer(),
)
count_terms = learned(
    "text",
    letters=letters,
    svd=make_pipeline(letters, TruncatedSVD(256, n_iter=2, random_state=0), Normalizer()),
)


def read(utterances, folder):
    """A task for each intent, of its texts."""
    return _by_intent("text", *utterances(folder))


def read_embedded(utterances, folder):
    """A task for each intent, of the embeddings of its texts."""
    texts, intents = utterances(folder)
    return _by_intent("embedding", embed(texts), intents)


def clinc(folder):
    """Texts and intents of CLINC150, without the utterances of no intent."""
    utterances = fetch_clinc150(path=folder / CLINC[0])
    return utterances.data, utterances.target


def banking(folder):
    """Texts and intents of BANKING77."""
    rows = pd.concat(pd.read_csv(folder / file) for file in BANKING)
    return rows["text"].to_numpy(object), rows["category"].to_numpy(str)


def embed(texts):
    """Rows of length 1."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    package = Path(find_spec("wordllama").submodule_search_locations[0])
    vectors = load_file(package / "weights/l2_supercat_256.safetensors")["embedding.weight"].astype("f4")
    tokenizer = Tokenizer.from_file(str(package / "tokenizers/l2_supercat_tokenizer_config.json"))
    tokens = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return normalize(np.array([vectors[text.ids].mean(0) for text in tokens]))


def _by_intent(view, rows, intents):
    return [
        Task(str(intent), {view: rows[intents == intent]}, intents[intents == intent])
        for intent in np.unique(intents)
    ]
