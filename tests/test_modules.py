"""The backbone is shaped by real rows of the data, and rows that do not fit are told what to do."""

import numpy as np
import pytest
import torch
from made_tasks import ESTIMATORS, QUICK, REGRESSORS, make_images, make_lines, make_tasks
from torch import nn

from skmeta import Conv4, TaskList, TMAMLClassifier, evaluate
from skmeta.estimators.modules import count_features, make_backbone

MODULE = {name: value for name, value in QUICK.items() if name != "hidden_layer_sizes"}
TASKS = make_tasks()
X, Y = TASKS[0]
LINES = make_lines()

each_kind = pytest.mark.parametrize("estimator", [*ESTIMATORS, *REGRESSORS])


def tasks_of(estimator):
    return LINES if estimator in REGRESSORS else TASKS


def learned(estimator, module, tasks=None):
    tasks = tasks_of(estimator) if tasks is None else tasks
    model = estimator(module, **MODULE).fit(tasks)
    return model, model.adapt(*tasks[0]).predict(tasks[1][0])


# ---- shapes come from real rows


class Tokens(nn.Module):
    """Knows ten tokens, and says which of the rows that it saw were no such numbers."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(10, 4)

    def forward(self, x):
        return self.embedding(x.long()).mean(1)


@pytest.mark.parametrize("form", [list, lambda tasks: TaskList(tasks.__getitem__, range(len(tasks)))])
@each_kind
def test_an_embedding_gets_tokens_of_the_data(estimator, form):
    rng = np.random.default_rng(0)
    tokens = [(rng.integers(10, size=(24, 5)), y) for _, y in tasks_of(estimator)]
    model, answers = learned(estimator, Tokens, form(tokens))
    assert model.meta_params_["backbone.embedding.weight"].shape == (10, 4)
    assert len(answers) == 24


def test_whole_numbers_stay_whole():
    rows = torch.arange(10).reshape(2, 5)
    backbone = make_backbone(nn.Embedding(10, 3), (5,), (), {})  # which refuses floats
    assert count_features(backbone, rows) == 15


@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("own", [torch.float32, torch.float64])
def test_broken_numbers_come_in_the_precision_of_the_module(given, own):
    module = nn.Linear(3, 4).to(own)
    model, _ = learned(TMAMLClassifier, module, [(X.astype(given), y) for X, y in TASKS])
    assert model.meta_params_["backbone.weight"].dtype == own


@pytest.fixture
def doubles():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "module", [None, lambda in_features: nn.Linear(in_features, 4)], ids=["default", "own"]
)
@each_kind
def test_under_doubles_as_torchs_default_all_is_double(estimator, module, doubles):
    model, answers = learned(estimator, module)
    assert {p.dtype for p in model.meta_params_.values()} == {torch.float64}
    assert len(answers) == 24 and np.isfinite(model.score(tasks_of(estimator)))


def lazy():
    return nn.Sequential(nn.LazyLinear(6), nn.Tanh(), nn.LazyLinear(4))


@pytest.mark.parametrize("make", [lambda: lazy, lazy], ids=["factory", "instance"])
@each_kind
def test_lazy_layers_learn_their_shapes_from_the_rows(estimator, make):
    module = make()
    model, _ = learned(estimator, module)
    first, second = (model.meta_params_[f"backbone.{i}.weight"].shape for i in (0, 2))
    assert (first, second) == ((6, 3), (4, 6))
    if isinstance(module, nn.Module):
        assert isinstance(module[0], nn.LazyLinear)  # the user's own stays as it was


def test_lazy_layers_start_by_the_random_state():
    (a, of_a), (_, of_b) = (learned(TMAMLClassifier, lazy) for _ in range(2))
    np.testing.assert_array_equal(of_a, of_b)
    other = TMAMLClassifier(lazy, **MODULE | {"random_state": 1}).fit(TASKS)
    assert not torch.equal(a.meta_params_["backbone.0.weight"], other.meta_params_["backbone.0.weight"])


def test_a_lazy_batch_normalisation_is_one():
    with pytest.raises(ValueError, match="module has the batch normalisation '1'"):
        TMAMLClassifier(lambda: nn.Sequential(nn.Linear(3, 4), nn.LazyBatchNorm1d()), **MODULE).fit(TASKS)


class Modes(nn.Linear):
    """Notes in which mode it is asked."""

    def forward(self, x):
        self.seen = [*getattr(self, "seen", []), self.training]
        return super().forward(x)


def test_to_look_at_the_rows_leaves_each_layer_in_its_mode():
    module = nn.Sequential(Modes(3, 4), Modes(4, 4).eval())
    rows = torch.ones(2, 3)
    backbone = make_backbone(module, (3,), (), {})
    count_features(backbone, rows)
    assert [layer.training for layer in backbone] == [True, False]
    assert backbone.training and not any(backbone[0].seen + backbone[1].seen)
    with pytest.raises(ValueError, match="module failed on rows of shape"):
        count_features(backbone, torch.ones(2, 5))
    assert [layer.training for layer in backbone] == [True, False]


# ---- compiled modules

# torch warns of a function that its own compiler uses.
by_torch = pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:DeprecationWarning")


def in_place(module):
    module.compile()
    return module


@pytest.mark.parametrize(
    "wrap",
    [
        torch.compile,
        in_place,
        lambda module: nn.Sequential(torch.compile(module), nn.Identity()),
        lambda module: lambda: torch.compile(module),
    ],
    ids=["whole", "in place", "a layer", "factory"],
)
@by_torch
def test_a_compiled_module_learns_as_itself(wrap):
    torch.manual_seed(0)
    module = nn.Linear(3, 4)
    expected = learned(TMAMLClassifier, module)[1]
    model, answers = learned(TMAMLClassifier, wrap(module))
    np.testing.assert_array_equal(answers, expected)
    assert not any("_orig_mod" in name for name in model.meta_params_)


@by_torch
def test_a_module_with_a_compiled_layer_stays_compiled():
    module = nn.Sequential(torch.compile(nn.Linear(3, 4)))
    layer = module[0]
    TMAMLClassifier(module, **MODULE).fit(TASKS)
    assert module[0] is layer


# ---- rows that do not fit


def conv():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())


@pytest.mark.parametrize(
    ("module", "shape", "words"),
    [
        (Conv4, (28, 28, 3), "Conv4 takes channels first, (3, 28, 28): X.transpose(0, 3, 1, 2)."),
        (Conv4, (28, 20, 1), "Conv4 takes channels first, (1, 28, 20): X.transpose(0, 3, 1, 2)."),
        (conv, (9, 8, 3), "Sequential takes channels first, (3, 9, 8): X.transpose(0, 3, 1, 2)."),
        (Conv4, (28, 28), "Conv4 takes channels first, (1, 28, 28): X[:, None]."),
        (None, (28, 28, 3), "which takes channels first, (3, 28, 28): X.transpose(0, 3, 1, 2)."),
        (None, (28, 28), "module=skmeta.Conv4, which takes channels first, (1, 28, 28): X[:, None]"),
        (None, (3, 28, 28), "Flatten them, X.reshape(len(X), -1), or for images pass module=skmeta.Conv4."),
        (None, (12, 3), "X.reshape(len(X), -1), or "),
        (None, (12, 3), "for windows of 12 steps a module of your own, with nn.Conv1d or nn.GRU."),
    ],
)  # fmt: skip
@each_kind
def test_the_message_names_the_axes_and_the_remedy(estimator, module, shape, words):
    tasks = [(np.random.default_rng(0).normal(size=(24, *shape)), y) for _, y in tasks_of(estimator)[:2]]
    with pytest.raises(ValueError) as error:
        estimator(module, **MODULE).fit(tasks)
    assert words in str(error.value) and str(shape) in str(error.value)


def test_the_remedies_help():
    images = [(X.transpose(0, 2, 3, 1), y) for X, y in make_images()]  # channels last
    for remedy in lambda X: X.transpose(0, 3, 1, 2), lambda X: X[..., 0][:, None]:
        TMAMLClassifier(Conv4, module__hidden_channels=8, **MODULE).fit([(remedy(X), y) for X, y in images])
    TMAMLClassifier(**QUICK).fit([(X.reshape(len(X), -1), y) for X, y in images])


def test_no_remedy_is_told_for_rows_that_are_no_such_images():
    with pytest.raises(ValueError, match=r"rows of shape \(1, 8, 8\)") as error:
        TMAMLClassifier(Conv4, **MODULE).fit([(np.zeros((4, 1, 8, 8)), [0, 1, 0, 1])] * 2)
    assert "channels first" not in str(error.value)


ROWS = {"image": X}


@pytest.mark.parametrize(
    "call",
    [
        lambda clf: clf.fit([(ROWS, Y)] * 4),
        lambda clf: clf.fit(TaskList(lambda i: (ROWS, Y), range(4))),
        lambda clf: clf.fit(ROWS, Y),
        lambda clf: clf.fit(dict(enumerate(TASKS))),
        lambda clf: clf.adapt(ROWS, Y),
        lambda clf: clf.adapt(X, Y).predict(ROWS),
        lambda clf: clf.predict_tasks([(ROWS, Y)], [X]),
        lambda clf: clf.predict_tasks([(X, Y)], [ROWS]),
        lambda clf: clf.score([(ROWS, Y)] * 4),
        lambda clf: evaluate(clf, [(ROWS, Y)] * 4, n_episodes=2),
    ],
)
def test_a_dict_is_refused_by_name(call):
    clf = TMAMLClassifier(**QUICK).fit(TASKS)
    with pytest.raises(TypeError, match=r"X must be an array, .* got a dict with the keys \[.*\]\. Pass"):
        call(clf)
