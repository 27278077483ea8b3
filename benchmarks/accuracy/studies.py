"""What is measured: data, and how support rows are drawn of each task."""

from dataclasses import dataclass, replace

from benchmarks.accuracy.data import SHOTS

BINARY = "verbagg", "respiratory", "guimmun", "males"


@dataclass(frozen=True)
class Cell:
    """A column of tables: ``n_shot`` support rows, drawn in one of three ways.

    ``draw`` is "stratified", so many of each class, "natural", so many of the task at random, or "time", the
    task's first ones.
    """

    n_shot: int
    draw: str

    def __str__(self):
        if self.draw == "time":
            return f"the first {self.n_shot} rows"
        return f"{self.n_shot} row{'s' * (self.n_shot > 1)}" + " a class" * (self.draw == "stratified")


@dataclass(frozen=True)
class Study:
    """A table of the page.

    Parameters
    ----------
    data : str
        Name in ``DATA_SETS``, and of the study.
    title : str
    kind : {"regression", "shared", "per_task"}
        What a label means in two tasks.
    cells : tuple of Cell
        One fit of a method serves all.
    n_draws : int
        Episodes of each task; where labels are a task's own, in all.
    n_query : int or None
        Query rows, of each class if drawn by class; None takes all that are left.
    n_way : int or None
        Classes of an episode where labels are a task's own.
    """

    data: str
    title: str
    kind: str
    cells: tuple
    n_draws: int = 3
    n_query: int | None = None
    n_way: int | None = None

    @property
    def measure(self):
        """What methods are chosen by."""
        if self.kind == "regression":
            return "error"
        return "log loss" if self.cells[0].draw == "natural" else "accuracy"

    def quick(self):
        """The same with a few episodes."""
        return replace(self, n_draws=30 if self.kind == "per_task" else 1, cells=self.cells[:1])


def cells(draw, *shots):
    """A cell for each number of support rows."""
    return tuple(Cell(n_shot, draw) for n_shot in shots)


def grouped(name):
    """Study of a grouped table."""
    kind = "shared" if name in BINARY else "regression"
    return Study(name, f"{name}, new groups", kind, cells("natural", SHOTS[name]))


def texts(name, title):
    """Study of intents."""
    return Study(name, title, "per_task", cells("stratified", 1, 5), n_draws=200, n_query=5, n_way=5)


STUDIES = [
    *map(grouped, SHOTS),
    Study("scanners", "digits through new scanners", "shared", cells("stratified", 2), n_query=20),
    Study("wisdm", "WISDM, activities of new users", "shared", cells("stratified", 1, 3), 5, 15),
    *(
        Study(
            f"parkinsons-{target}",
            f"Parkinson's, {target} UPDRS of new patients",
            "regression",
            cells("natural", 5, 10) + cells("time", 5, 10),
        )
        for target in ("motor", "total")
    ),
    Study(
        "movielens",
        "MovieLens, ratings of new users",
        "regression",
        cells("natural", 5, 10) + cells("time", 5, 10),
        n_draws=1,
    ),
    texts("clinc", "CLINC150, 5 new intents, embeddings"),
    texts("banking", "BANKING77, 5 new intents, embeddings"),
    texts("clinc-terms", "CLINC150, 5 new intents, hashed terms"),
    texts("banking-terms", "BANKING77, 5 new intents, hashed terms"),
    replace(texts("omniglot", "Omniglot, 5 new characters, MLP"), n_query=15),
]
