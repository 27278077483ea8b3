"""CLINC150: what people say to an assistant, and what they want."""

import json
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from ._places import ANEW, download, file_in, folder_of, keep, make_folder, read, verify

URL = "https://raw.githubusercontent.com/clinc/oos-eval/828f8093932c8fe6ca7936c3d2e52903b1c523de/data/data_full.json"
SHA256 = "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0"
FILE = "data_full.json"
PARTS = "train", "val", "test"
ADVICE = f"Without a network, put a copy of {URL} somewhere and name it: fetch_clinc150(path=...)."

DESCR = """\
CLINC150
--------
22,500 utterances in English, such as "what is my balance", 150 for each of 150 intents of ten domains; and
1,200 that ask for none of these. In few-shot learning an intent is a class, and those of meta-training are
not those of use.

Source: S. Larson et al., An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction,
EMNLP 2019; github.com/clinc/oos-eval, Creative Commons Attribution 3.0.
"""


def fetch_clinc150(*, path=None, data_home=None, download_if_missing=True):
    """Fetch the utterances of CLINC150, downloading them once.

    A local copy is looked for in `path`, then in ``clinc150`` in the folder that the environment variable
    ``SKMETA_DATA`` names, then in ``skmeta`` in `data_home`. Else ``data_full.json`` (2.5 MB) is downloaded,
    verified and kept there.

    Parameters
    ----------
    path : str, path or None, default=None
        A local copy: ``data_full.json``, packed as ``.gz`` or not, or the folder that holds it. Nothing else
        is then tried.
    data_home : str, path or None, default=None
        Where to keep the data; None is scikit-learn's ``~/scikit_learn_data``.
    download_if_missing : bool, default=True
        Whether to download the data if there is no local copy.

    Returns
    -------
    Bunch
        data : object ndarray of shape (22500,)
            Utterances, each a str.
        target : str ndarray of shape (22500,)
            Their intents.
        out_of_scope : object ndarray of shape (1200,)
            Utterances of no intent.
        DESCR : str

    Raises
    ------
    OSError
        If there is no copy and none can be downloaded, or it is not of these data.

    References
    ----------
    S. Larson et al., An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction, EMNLP 2019.

    Examples
    --------
    >>> from skmeta.datasets import fetch_clinc150
    >>> utterances = fetch_clinc150()  # doctest: +SKIP
    >>> pipeline.fit(utterances.data, utterances.target)  # doctest: +SKIP
    """
    parts = json.loads(_content(path, data_home, download_if_missing))
    texts, intents = zip(*(row for part in PARTS for row in parts[part]), strict=True)
    return Bunch(
        data=np.array(texts, dtype=object),
        target=np.array(intents),
        out_of_scope=np.array([text for part in PARTS for text, _ in parts[f"oos_{part}"]], dtype=object),
        DESCR=DESCR,
    )


def _content(path, data_home, download_if_missing):
    """The verified content of the file, as bytes."""
    if path is None:
        file = file_in(folder_of("clinc150", partial(file_in, name=FILE), data_home), FILE)
        if file is None:
            folder = make_folder("clinc150", data_home, "CLINC150", download_if_missing, ADVICE)
            content = download(URL, ADVICE)
            verify(content, "sha256", SHA256, URL, ADVICE)
            keep(content, folder / FILE)
            return content
    else:
        place = Path(path).expanduser()
        file = place if place.is_file() else file_in(place, FILE)
        if file is None:
            raise FileNotFoundError(
                f"path must be {FILE}, packed as .gz or not, or the folder that holds it; {place} is not."
            )
    content = read(file)
    verify(content, "sha256", SHA256, file, ANEW)
    return content
