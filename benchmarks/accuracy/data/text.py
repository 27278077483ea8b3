"""Intents of utterances: CLINC150 and BANKING77, with the five class splits of ProtAugment.

One task holds all intents of a subset; episodes draw five of them. Four views, each fitted on the
utterances of the meta-train intents alone:

    words      TF-IDF of words, sparse
    letters    TF-IDF of words and pairs of words, and of 2 to 4 letters inside a word, sparse; hashed, so
               that a term that only new intents have counts too
    svd        ``letters``, reduced by a truncated SVD
    projected  ``letters``, projected at random, which keeps the angles that an SVD of few intents loses
"""

import gzip
import json

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, Normalizer
from sklearn.random_projection import SparseRandomProjection

SPLITS = "protaugment_class_splits.json"
CLINC_FILES = "clinc150/data_full.json.gz", f"clinc150/{SPLITS}"
BANKING_FILES = "banking77/train.csv.gz", "banking77/test.csv.gz", f"banking77/{SPLITS}"
SUBSETS = "train", "valid", "test"


def read(read_utterances, folder, split, features):
    """Tasks of meta-train, meta-validation and meta-test classes by one of the class splits."""
    texts, intents, splits = read_utterances(folder)
    rows = [np.isin(intents, splits[f"{split:02d}"][subset]) for subset in SUBSETS]
    transformer = make_transformer(features).fit(texts[rows[0]])
    return [[(transformer.transform(texts[part]), intents[part])] for part in rows]


def read_clinc(folder):
    """Texts, intents and class splits of CLINC150, without the utterances of no intent."""
    utterances, splits = CLINC_FILES
    with gzip.open(folder / utterances, "rt", encoding="utf-8") as stream:
        parts = json.load(stream)
    texts, intents = zip(*(row for part in ("train", "val", "test") for row in parts[part]), strict=True)
    return np.array(texts, dtype=object), np.array(intents), _read_json(folder / splits)


def read_banking(folder):
    """Texts, intents and class splits of BANKING77."""
    *utterances, splits = BANKING_FILES
    rows = pd.concat(pd.read_csv(folder / file) for file in utterances)
    return rows["text"].to_numpy(object), rows["category"].to_numpy(str), _read_json(folder / splits)


def make_transformer(features):
    """From texts to one of the views, rows of length 1 (``words``, ``letters``) or of deviation 1."""
    if features == "words":
        return TfidfVectorizer(sublinear_tf=True)
    words = _hashed(n_features=2**13, ngram_range=(1, 2))
    letters = make_union(words, _hashed(n_features=2**14, analyzer="char_wb", ngram_range=(2, 4)))
    if features == "letters":
        return make_pipeline(letters, Normalizer())
    reduce = {
        "svd": TruncatedSVD(512, random_state=0),
        "projected": SparseRandomProjection(1024, dense_output=True, random_state=0),
    }[features]
    return make_pipeline(letters, reduce, Normalizer(), FunctionTransformer(_to_unit_deviation))


def _hashed(**terms):
    counts = HashingVectorizer(alternate_sign=False, norm=None, dtype=np.float32, **terms)
    return make_pipeline(counts, TfidfTransformer(sublinear_tf=True))


def _to_unit_deviation(rows):
    """Rows of length 1 as float32 with entries of the order of 1, which networks start best from."""
    return (np.sqrt(rows.shape[1]) * rows).astype(np.float32)


def _read_json(file):
    return json.loads(file.read_text(encoding="utf-8"))
