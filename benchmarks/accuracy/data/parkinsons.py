"""Parkinson's telemonitoring: 42 patients, some 140 recordings of each one's voice over half a year.

21 patients to train on, 7 to choose by, 14 new ones. Features, the time of the recording among them, are
standardised. UPDRS was assessed three times and interpolated between, so that the time alone tells much
about a patient that one knows: ``features="time"`` is a view of it.
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
    columns = ["test_time"] if features == "time" else recordings.columns.drop(NO_FEATURES)
    scale = StandardScaler().fit(pd.concat(by_patient[p] for p in train)[columns].to_numpy())
    return [
        [(scale.transform(by_patient[p][columns].to_numpy()), by_patient[p][target].to_numpy()) for p in part]
        for part in (train, validation, test)
    ]
