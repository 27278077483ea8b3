"""WISDM: six activities of 35 users, by ten-second windows of their phone's accelerometer.

The user with a single activity gives no episode and is left out. Some features are missing, and take their
median. Peaks and spreads of accelerations are skewed, so that a view ``normal`` brings all features to
normal distributions, by quantiles.
"""

import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer

from benchmarks.accuracy.data.task import Task, learned

FILES = ("wisdm_transformed/wisdm_transformed.csv.gz",)
NO_FEATURES = ["UNIQUE_ID", "user", "class"]

impute = SimpleImputer(strategy="median")
prepare = learned(
    "rows",
    rows=impute,
    normal=make_pipeline(impute, QuantileTransformer(output_distribution="normal", random_state=0)),
)


def read(folder):
    """A task for each user."""
    windows = pd.read_csv(folder / FILES[0])
    columns = windows.columns.drop(NO_FEATURES)
    return [
        Task(
            str(user), {"rows": rows[columns].to_numpy()}, rows["class"].to_numpy(str), columns=list(columns)
        )
        for user, rows in windows.groupby("user")
        if rows["class"].nunique() > 1
    ]
