"""Parkinson's telemonitoring: 42 patients, some 140 recordings of each one's voice over half a year.

UPDRS was assessed three times and interpolated between, so that the time alone tells much about a patient
whom one knows: the view ``time``.
"""

import pandas as pd

from benchmarks.accuracy.data.task import Task

FILES = ("parkinsons_telemonitoring/parkinsons_updrs.csv.gz",)
NO_FEATURES = ["subject#", "motor_UPDRS", "total_UPDRS"]


def read(target, folder):
    """A task for each patient."""
    recordings = pd.read_csv(folder / FILES[0])
    columns = recordings.columns.drop(NO_FEATURES)
    return [
        Task(
            name=str(patient),
            views={"rows": rows[columns].to_numpy(float), "time": rows[["test_time"]].to_numpy()},
            y=rows[target].to_numpy(),
            time=rows["test_time"].to_numpy(),
            columns=list(columns),
        )
        for patient, rows in recordings.groupby("subject#")
    ]
