"""Imports go down only, read from the syntax tree: each file uses the rows below its own and nothing else."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from sys import stdlib_module_names

import pytest

import skmeta

SOURCE = Path(skmeta.__file__).parent

ROWS = [
    {"parameter_rules"},
    {"augment", "episodes", "inequality", "backbones", "targets"},
    {"inner_loop", "heads", "losses", "mlp_gradient"},
    {"meta_models", "datasets"},
    {"engine"},
    {"estimators"},
    {"model_selection", "inspection", "persistence"},
]
ROW = {part: i for i, row in enumerate(ROWS) for part in row}

# What a row may use beside the standard library; skorch is for the engine alone.
THIRD_PARTY = [set(), {"torch", "numpy"}, {"torch"}]
ONLY_IN = {"skorch": "engine", "tqdm": "engine"}


def module_name(path):
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def imports(name, tree, is_package, known=frozenset(FILES)):
    """Full names of all modules that ``tree`` imports, wherever in it."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = name.split(".")
            home = parts[: len(parts) - node.level + is_package] if node.level else []
            base = ".".join([*home, *([node.module] if node.module else [])])
            members = {f"{base}.{alias.name}" for alias in node.names}
            found |= {member if member in known else base for member in members}
    return found


IMPORTS = {name: imports(name, tree, FILES[name].name == "__init__.py") for name, tree in TREES.items()}


def part(name):
    """The package or file just below ``skmeta`` that a module is in, or None outside of it."""
    first, *rest = name.split(".")
    return rest[0] if first == "skmeta" and rest else None


def upward(name, imported):
    """Those of ``imported`` that a module may not use: of ``skmeta``, but of no row below its own."""
    own = [i for i in imported if i.split(".")[0] == "skmeta" and part(i) != part(name)]
    return {i for i in own if part(i) is None or ROW[part(i)] >= ROW[part(name)]}


def foreign(name, imported):
    """Third-party packages that a module's row may not use."""
    packages = {i.split(".")[0] for i in imported} - stdlib_module_names - {"skmeta"}
    row = ROW[part(name)]
    allowed = THIRD_PARTY[row] if row < len(THIRD_PARTY) else packages
    return packages - allowed | {p for p in packages if ONLY_IN.get(p, part(name)) != part(name)}


MODULES = sorted(set(FILES) - {"skmeta"})


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down_only(name):
    assert part(name) in ROW, f"{name} has no row"
    assert not upward(name, IMPORTS[name])


@pytest.mark.parametrize("name", MODULES)
def test_a_row_uses_only_the_libraries_that_are_for_it(name):
    assert not foreign(name, IMPORTS[name])


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
        ("skmeta.losses", "from skmeta.engine import train"),
        ("skmeta.parameter_rules", "from skmeta import augment"),
        ("skmeta.losses", "from skmeta import heads"),
        ("skmeta.losses", "import skmeta"),
        ("skmeta.losses", "from . import engine"),
        ("skmeta.engine.net", "from ..estimators._base import MetaEstimator"),
        ("skmeta.engine.net", "def f():\n    import skmeta.model_selection"),
        ("skmeta.datasets._omniglot", "from ..meta_models import BasisMetaModel"),
    ],
)
def test_an_import_that_does_not_go_down_is_found(name, source):
    assert upward(name, imports(name, ast.parse(source), is_package=False))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("skmeta.estimators._base", "from skorch import NeuralNet"),
        ("skmeta.episodes", "import scipy.sparse"),
        ("skmeta.heads", "import numpy as np"),
    ],
)
def test_a_library_in_the_wrong_row_is_found(name, source):
    assert foreign(name, imports(name, ast.parse(source), is_package=False))


def test_relative_imports_are_resolved():
    tree = ast.parse("from .net import train\nfrom . import batches\nfrom ..heads import HEADS")
    expected = {"skmeta.engine.net", "skmeta.engine.batches", "skmeta.heads"}
    assert imports("skmeta.engine", tree, is_package=True) == expected
    assert imports("skmeta.engine.learner", tree, is_package=False) == expected


def test_a_cycle_is_found():
    with pytest.raises(CycleError):
        in_order(IMPORTS | {"skmeta.inequality": {"skmeta.losses"}})
