"""Signatures and docstrings of the estimators: every parameter once, every one described."""

import ast
import inspect
import re
from pathlib import Path

import pandas as pd
import pytest
from made_tasks import ESTIMATORS, QUICK, REGRESSORS, make_lines, make_tasks
from sklearn.base import clone

import skmeta
from skmeta import TAMLClassifier, TAMLDetector, TMAMLClassifier, TMAMLDetector, TMAMLRegressor
from skmeta.datasets import make_pages
from skmeta.estimators.params import CONSTRAINTS, GONE, check_params
from skmeta.parameter_rules import Options

PUBLIC = [*ESTIMATORS, *REGRESSORS]
DETECTORS = [TMAMLDetector, TAMLDetector]
each_public = pytest.mark.parametrize("cls", PUBLIC)
each_and_detectors = pytest.mark.parametrize("cls", [*PUBLIC, *DETECTORS])


def entries(cls, section):
    """Name to pairs of the type and the text, read from the docstring as numpydoc does."""
    lines = inspect.getdoc(cls).splitlines()
    start = next(i for i, line in enumerate(lines) if line == section and set(lines[i + 1]) == {"-"}) + 2
    found, names = {}, None
    for line, after in zip(lines[start:], [*lines[start + 1 :], ""], strict=True):
        if after and set(after) == {"-"}:
            return found
        if line and not line.startswith(" "):
            name, _, kind = line.partition(" : ")
            assert name not in found, f"{name} is described twice"
            names = found[name] = [kind, ""]
        elif line:
            names[1] += line.strip() + " "
    return found
    return found


@each_and_detectors
def test_the_docstring_describes_each_parameter_with_its_default(cls):
    described = entries(cls, "Parameters")
    signature = inspect.signature(cls).parameters
    assert list(described) == [*signature, "**kwargs"]
    assert set(signature) == set(cls().get_params())
    for name, parameter in signature.items():
        kind, text = described[name]
        kind, default = kind.rsplit(", default=", 1)
        assert ast.literal_eval(default) == parameter.default
        assert kind and len(text) > 10 and text.rstrip().endswith(".")
    assert "{" not in re.sub(r"\{\"[^}]*\}", "", inspect.getdoc(cls))


@each_and_detectors
def test_the_docstring_names_the_options_that_the_rules_allow(cls):
    of_classes = {"task_regularizer": {"entropy"}, "head": {"tied", "prototype", "cosine"}}
    lacking = of_classes if cls in REGRESSORS else {}
    if "meta_model" in cls().get_params() and cls not in DETECTORS:
        lacking["meta_gradient"] = {"reptile", "joint"}
    rules = CONSTRAINTS | cls._own_rules
    for name, (kind, text) in entries(cls, "Parameters").items():
        options = {v for r in rules.get(name, ()) if isinstance(r, Options) for v in r.values if v}
        quoted = set(re.findall(r'"(\w+)"', kind if "{" in kind else kind + text))
        if options:
            assert quoted & options == options - lacking.get(name, set()), name


def test_what_differs_between_the_estimators_is_told_of_each():
    classifier, regressor = (entries(cls, "Parameters") for cls in (TMAMLClassifier, TMAMLRegressor))
    assert set(classifier) - set(regressor) == {"label_space", "n_way", "sampling", "class_weight"}
    assert set(entries(TAMLClassifier, "Parameters")) - set(classifier) == {"meta_model", "meta_model_lr"}
    assert set(regressor) - set(classifier) == {"loss", "quantile"}
    differ = {name for name in set(regressor) & set(classifier) if classifier[name] != regressor[name]}
    assert differ == {"head", "n_shot", "n_query", "task_regularizer"}
    assert "class" in classifier["n_shot"][1] and "class" not in regressor["n_shot"][1]
    scores = (
        entries(cls, "Attributes")["validation_scores_"][1] for cls in (TMAMLClassifier, TMAMLRegressor)
    )
    assert [("accuracy" in text, "squared error" in text) for text in scores] == [
        (True, False),
        (False, True),
    ]


@each_public
def test_the_docstring_describes_the_attributes_that_fit_and_adapt_make(cls):
    tasks = make_lines() if cls in REGRESSORS else make_tasks()
    tasks = [(pd.DataFrame(X, columns=["a", "b", "c"]), y) for X, y in tasks]
    model = cls(**QUICK).fit(tasks).adapt(*tasks[0])
    made = {name for name in dir(model) if name.endswith("_") and not name.startswith("_")}
    assert made == set(entries(cls, "Attributes"))
    of_folds = {"calibration_", "gain_"}  # None of fewer tasks
    assert all(getattr(model, name) is not None for name in made - of_folds)


@pytest.mark.parametrize("cls", DETECTORS)
def test_the_docstring_of_a_detector_describes_its_attributes(cls):
    tasks = make_pages(2, characters="digits", n_pages=2, random_state=0).tasks
    model = cls(max_iter=1, module__hidden_channels=8, random_state=0).fit(tasks).adapt(*tasks[0])
    made = {name for name in dir(model) if name.endswith("_") and not name.startswith("_")}
    assert made == set(entries(cls, "Attributes"))


def defaults_in(folder):
    """Pairs of a parameter of an ``__init__`` that has a default, and the name of the class."""
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.py")))
    classes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    for cls in classes:
        for node in cls.body:
            if isinstance(node, ast.FunctionDef) and node.name == "__init__":
                given, named = node.args.args, node.args.kwonlyargs
                yield from ((a.arg, cls.name) for a in given[len(given) - len(node.args.defaults) :])
                yield from (
                    (a.arg, cls.name)
                    for a, value in zip(named, node.args.kw_defaults, strict=True)
                    if value is not None
                )


def test_no_default_is_written_twice(tmp_path):
    defaults = list(defaults_in(Path(skmeta.__file__).parent / "estimators"))
    for cls in [*PUBLIC, *DETECTORS]:
        bases = {base.__name__ for base in cls.__mro__}
        names = [name for name, owner in defaults if owner in bases]
        assert len(names) == len(set(names))
        assert set(cls().get_params()) == set(names)
    (tmp_path / "twice.py").write_text("class A:\n def __init__(self, m=1, *, a, b=2): pass\n" * 2)
    assert list(defaults_in(tmp_path)) == [("m", "A"), ("b", "A")] * 2


@each_and_detectors
def test_every_default_is_allowed_and_has_a_rule(cls):
    check_params(cls())
    assert set(cls().get_params()) <= set(CONSTRAINTS)


def test_a_subclass_has_the_parameters_of_its_base_and_its_own():
    class Own(TAMLClassifier):
        """Has nothing of its own."""

    class Louder:
        """A mixin.

        Parameters
        ----------
        volume : int
            How loud it is.
        """

        def __init__(self, *args, volume=3, **kwargs):
            super().__init__(*args, **kwargs)
            self.volume = volume

    class Loud(Louder, TMAMLClassifier):
        """Has one more.

        Parameters
        ----------
        {parameters}
        """

    assert inspect.signature(Own) == inspect.signature(TAMLClassifier)
    assert Own.__doc__ == "Has nothing of its own."
    own = {"volume": ["int, default=3", "How loud it is. "]}
    assert entries(Loud, "Parameters") == entries(TMAMLClassifier, "Parameters") | own
    loud = Loud(inner_lr=0.2, volume=7, module__x=1)
    assert loud.get_params() == TMAMLClassifier(inner_lr=0.2, module__x=1).get_params() | {"volume": 7}
    assert clone(loud).get_params() == loud.get_params()


@each_public
@pytest.mark.parametrize("name", GONE)
def test_a_name_that_is_gone_says_what_to_do_instead(cls, name):
    text = rf"^{cls.__name__} has no parameter '{name}', set to 3\. It is gone: {GONE[name]}\.$"
    with pytest.raises(TypeError, match=text):
        cls(**{name: 3})
    with pytest.raises(ValueError, match=text):
        cls().set_params(**{name: 3})


@each_public
@pytest.mark.parametrize("n_shot", [0, 5, (0, 0), (0, 50), [2, 7]])
def test_a_number_of_shots_may_be_a_pair(cls, n_shot):
    check_params(cls(n_shot=n_shot))
