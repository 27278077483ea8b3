"""WISDM: six activities of 35 users, by ten-second windows of their phone's accelerometer.

The user with a single activity gives no episode and is left out. 18 users to train on, 5 to choose by,
12 new ones. Features are brought to normal distributions, by quantiles: peaks and spreads of the
accelerations are skewed, and some are missing.
"""

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

FILES = ("wisdm_transformed/wisdm_transformed.csv.gz",)
N_TEST, N_VALIDATION = 12, 5
NO_FEATURES = ["UNIQUE_ID", "user", "class"]


def read(folder, split, features):
    """Tasks of meta-train, meta-validation and meta-test; other users are new in each ``split``."""
    windows = pd.read_csv(folder / FILES[0])
    by_user = {user: rows for user, rows in windows.groupby("user") if rows["class"].nunique() > 1}
    users = np.random.RandomState(0).permutation(list(by_user))
    users = np.roll(users, -N_TEST * (split - 1))
    test, validation, train = np.split(users, [N_TEST, N_TEST + N_VALIDATION])
    scale = make_pipeline(
        SimpleImputer(strategy="median"), QuantileTransformer(output_distribution="normal", random_state=0)
    )
    scale.fit(_features(pd.concat(by_user[user] for user in train)))
    return [
        [(scale.transform(_features(by_user[u])).astype("f4"), by_user[u]["class"].to_numpy()) for u in part]
        for part in (train, validation, test)
    ]


def _features(windows):
    return windows.drop(columns=NO_FEATURES).to_numpy()
