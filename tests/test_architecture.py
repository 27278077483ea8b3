"""Imports go down only, read from the syntax tree: each file uses the floors below its own alone."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from sys import stdlib_module_names

import pytest

import skmeta

SOURCE = Path(skmeta.__file__).parent

FLOORS = [
    {"parameter_rules", "datasets", "detection"},
    {"core", "tasks"},
    {"engine"},
    {"estimators"},
    {"model_selection"},
    {"inspection"},
]
FLOOR = {part: i for i, row in enumerate(FLOORS) for part in row}

# The same inside the two wings.
ROOMS = {
    "core": [
        {"augment", "inequality", "kernel", "ridge"},
        {"backbones"},
        {"inner_loop", "heads", "posterior", "losses"},
        {"meta_models", "mixed_model", "calibration", "cells", "regression_losses"},
        {"reweighted"},
    ],
    "tasks": [
        {"limits", "task_list", "targets", "episodes"},
        {"labels", "categories", "weights"},
        {"rows", "preparation", "batch", "split", "label_space"},
        {"scored", "pages"},
        {"cells"},
    ],
}
ROOM = {f"{wing}.{name}": i for wing, rows in ROOMS.items() for i, row in enumerate(rows) for name in row}

# What may be used beside the standard library; skorch is for the engine alone.
THIRD_PARTY = {"parameter_rules": {"numpy"}, "detection": {"numpy", "scipy"}, "core": {"torch"}}
ONLY_IN = {"skorch": "engine", "tqdm": "engine"}


def module_name(path):
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def imports(name, tree, is_package, known=frozenset(FILES)):
    """Full names of all modules that ``tree`` imports, wherever in it."""
    return {member if member in known else base for base, member in _imported_names(name, tree, is_package)}


def _imported_names(name, tree, is_package):
    """Pairs of a module and of what is imported from it, or of the module twice."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            home = parts[: len(parts) - node.level + is_package] if node.level else []
            base = ".".join([*home, *([node.module] if node.module else [])])
            yield from ((base, f"{base}.{alias.name}") for alias in node.names)


def is_package(name):
    return FILES[name].name == "__init__.py"


IMPORTS = {name: imports(name, tree, is_package(name)) for name, tree in TREES.items()}


def part(name):
    """The package or file just below ``skmeta`` that a module is in, or None outside of it."""
    first, *rest = name.split(".")
    return rest[0] if first == "skmeta" and rest else None


def room(name):
    """A module of ``skmeta`` without that name."""
    return name.removeprefix("skmeta.")


def upward(name, imported):
    """Those of ``imported`` that a module may not use: of ``skmeta``, but of no floor below its own."""
    own = {i for i in imported if i.split(".")[0] == "skmeta"}
    inside = {i for i in own if part(i) == part(name) and room(name) in ROOM}
    outside = {i for i in own if part(i) != part(name)}
    found = {i for i in inside if ROOM[room(i)] >= ROOM[room(name)]}
    return found | {i for i in outside if part(i) is None or FLOOR[part(i)] >= FLOOR[part(name)]}


def foreign(name, imported):
    """Third-party packages that a module may not use."""
    packages = {i.split(".")[0] for i in imported} - stdlib_module_names - {"skmeta"}
    allowed = THIRD_PARTY.get(part(name), packages)
    return packages - allowed | {p for p in packages if ONLY_IN.get(p, part(name)) != part(name)}


def underscored(name, tree, is_package=False):
    """Names with an underscore before them that a module imports from another folder of ``skmeta``."""
    found = {member for _, member in _imported_names(name, tree, is_package) if part(member) != part(name)}
    return {m for m in found if part(m) and any(p.startswith("_") for p in m.split("."))}


MODULES = sorted(set(FILES) - {"skmeta"})


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down_only(name):
    assert part(name) in FLOOR, f"{name} has no floor"
    assert part(name) not in ROOMS or is_package(name) or room(name) in ROOM, f"{name} has no place"
    assert not upward(name, IMPORTS[name])


@pytest.mark.parametrize("name", MODULES)
def test_a_floor_uses_only_the_libraries_that_are_for_it(name):
    assert not foreign(name, IMPORTS[name])


@pytest.mark.parametrize("name", MODULES)
def test_no_underscored_name_crosses_folders(name):
    assert not underscored(name, TREES[name], is_package(name))


def in_order(all_imports):
    """The modules, each after what it imports; ``CycleError`` if there is no such order."""
    graph = {name: found & set(FILES) for name, found in all_imports.items()}
    return list(TopologicalSorter(graph).static_order())


def test_no_import_cycles():
    assert set(in_order(IMPORTS)) == set(FILES)


def test_importing_the_package_loads_nothing():
    assert IMPORTS["skmeta"] == {"importlib"}


def test_only_estimators_are_estimators():
    bases = {
        name: {
            ast.unparse(base).split(".")[-1]
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
            for base in node.bases
        }
        for name, tree in TREES.items()
    }
    homes = {
        part(name) for name, found in bases.items() if any("Estimator" in b or "Mixin" in b for b in found)
    }
    assert homes == {"estimators"}


# ---- the checks see what is wrong


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("skmeta.core.losses", "from skmeta.engine import train"),
        ("skmeta.core.losses", "from skmeta.tasks import rows"),
        ("skmeta.tasks.rows", "from skmeta.core import losses"),
        ("skmeta.parameter_rules", "from skmeta.core import augment"),
        ("skmeta.core.losses", "from skmeta.core import heads"),
        ("skmeta.core.backbones", "from skmeta.core.losses import entropy"),
        ("skmeta.tasks.rows", "from skmeta.tasks.batch import Rows"),
        ("skmeta.core.losses", "import skmeta"),
        ("skmeta.core.losses", "from .. import engine"),
        ("skmeta.engine.net", "from ..estimators.base import MetaEstimator"),
        ("skmeta.engine.net", "def f():\n    import skmeta.model_selection"),
        ("skmeta.datasets._omniglot", "from ..core.meta_models import BasisMetaModel"),
    ],
)
def test_an_import_that_does_not_go_down_is_found(name, source):
    assert upward(name, imports(name, ast.parse(source), is_package=False))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("skmeta.estimators.base", "from skorch import NeuralNet"),
        ("skmeta.core.losses", "import scipy.sparse"),
        ("skmeta.core.heads", "import numpy as np"),
    ],
)
def test_a_library_on_the_wrong_floor_is_found(name, source):
    assert foreign(name, imports(name, ast.parse(source), is_package=False))


@pytest.mark.parametrize(
    "source",
    [
        "from skmeta.datasets._omniglot import SIZE",
        "from skmeta.tasks.rows import _unique",
        "import skmeta.datasets._omniglot",
    ],
)
def test_an_underscored_name_of_another_folder_is_found(source):
    assert underscored("skmeta.estimators.base", ast.parse(source))


def test_an_underscored_name_of_the_own_folder_is_not():
    assert not underscored("skmeta.datasets", ast.parse("from ._omniglot import SIZE"), is_package=True)


def test_relative_imports_are_resolved():
    tree = ast.parse("from .net import train\nfrom . import learner\nfrom ..core.heads import HEADS")
    expected = {"skmeta.engine.net", "skmeta.engine.learner", "skmeta.core.heads"}
    assert imports("skmeta.engine", tree, is_package=True) == expected
    assert imports("skmeta.engine.learner", tree, is_package=False) == expected


def test_a_cycle_is_found():
    with pytest.raises(CycleError):
        in_order(IMPORTS | {"skmeta.core.inequality": {"skmeta.core.losses"}})
