"""Parkinson's telemonitoring: 42 patients, some 140 recordings of each one's voice over half a year.

21 patients to train on, 7 to choose by, 14 new ones. Features, the time of the recording among them, are
standardised.
"""

import numpy as np
import pandas as pd
from sklearn.preprocessing import StandardScaler

FILES = ("parkinsons_telemonitoring/parkinsons_updrs.csv.gz",)
N_TEST, N_VALIDATION = 14, 7
NO_FEATURES = ["subject#", "motor_UPDRS", "total_UPDRS"]


def read(target, folder, split, features):
    """Tasks of meta-train, meta-validation and meta-test; other patients are new in each ``split``."""
    recordings = pd.read_csv(folder / FILES[0])
    by_patient = dict(list(recordings.groupby("subject#")))
    patients = np.random.RandomState(0).permutation(list(by_patient))
    patients = np.roll(patients, -N_TEST * (split - 1))
    test, validation, train = np.split(patients, [N_TEST, N_TEST + N_VALIDATION])
    scale = StandardScaler().fit(_features(pd.concat(by_patient[p] for p in train)))
    return [
        [(scale.transform(_features(by_patient[p])), by_patient[p][target].to_numpy()) for p in part]
        for part in (train, validation, test)
    ]


def _features(recordings):
    return recordings.drop(columns=NO_FEATURES).to_numpy()
