"""Versions of code: what it does, whatever its comments say."""

import ast
import hashlib
import inspect
from functools import cache
from pathlib import Path

import skmeta

HERE = Path(__file__).parent
SKMETA = Path(skmeta.__file__).parent

# What draws and scores the episodes of every method.
SCORING = [
    SKMETA / file
    for file in (
        "tasks/episodes.py",
        "tasks/split.py",
        "tasks/scored.py",
        "estimators/answers.py",
        "model_selection/evaluate.py",
        "model_selection/metrics.py",
    )
]
BASELINES = [
    *(HERE / file for file in ("baselines.py", "pooled.py", "finetuned.py")),
    SKMETA / "core/backbones.py",
]
DATA_SETS = sorted((SKMETA / "datasets").glob("*.py"))
# The view of any data set with votes: a suffix of a view's name, and the file that makes it.
VOTES_VIEW, VOTES = " and votes", HERE / "data/votes.py"
# The list of public names; and the files that count for those methods alone that use them. The engine imports
# a meta-model's class, and asks for it only where there is a meta-model.
AUGMENT, META_MODELS = SKMETA / "core/augment.py", SKMETA / "core/meta_models.py"
NOT_LEARNERS = SKMETA / "__init__.py", AUGMENT, META_MODELS
LEARNERS = [
    HERE / "training.py",
    *(
        file
        for file in sorted(SKMETA.rglob("*.py"))
        if "datasets" not in file.parts and file not in NOT_LEARNERS
    ),
]


@cache
def code_version(*files):
    """Checksum of the syntax trees of source files, without docstrings."""
    digest = hashlib.sha256()
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
                node.body = node.body[1:]
        digest.update(repr(_syntax(tree)).encode())
    return digest.hexdigest()[:16]


def _syntax(node):
    """A syntax tree as nested lists, without the empty fields that a version of Python may add."""
    if isinstance(node, list):
        return [_syntax(part) for part in node]
    if not isinstance(node, ast.AST):
        return node
    fields = [[name, _syntax(value)] for name, value in ast.iter_fields(node) if value not in (None, [])]
    return [type(node).__name__, *fields]


def view_files(params):
    """The file that makes the view ``features`` of a data set's own; none if it is one of its own."""
    return (VOTES,) if params["features"].endswith(VOTES_VIEW) else ()


def augmentation_files(params):
    """The file that the parameter ``augment``, a function or an object, comes from; none without one."""
    augment = params.get("augment")
    if augment is None:
        return ()
    return (Path(inspect.getfile(augment if inspect.isfunction(augment) else type(augment))),)
