"""The posterior head: by-hand formulas, other implementations, and what each head must do."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression, Ridge
from torch.nn import functional

from skmeta.core.losses import cross_entropy
from skmeta.core.mixed_model import fit_prior
from skmeta.core.posterior import (
    GaussianHead,
    LeastSquaresHead,
    LogisticHead,
    logits,
    moderated,
    predict,
)
from skmeta.core.regression_losses import AbsoluteError, Huber, Poisson, squared_error
from skmeta.core.reweighted import PoissonHead, ReweightedHead
from skmeta.core.ridge import ridge, variance_along

N_FEATURES, N_CLASSES = 4, 3
# Each takes a support set of class numbers, or of values, of which these are the losses.
VALUES = {"gaussian": squared_error, "huber": Huber(), "laplace": AbsoluteError(), "poisson": Poisson()}
HEADS = {
    "gaussian": partial(GaussianHead, N_FEATURES, 2),
    "least squares": partial(LeastSquaresHead, N_FEATURES, N_CLASSES),
    "least squares, own": partial(LeastSquaresHead, N_FEATURES),
    "logistic": partial(LogisticHead, N_FEATURES),
    "huber": partial(ReweightedHead, N_FEATURES, 2, Huber()),
    "laplace": partial(ReweightedHead, N_FEATURES, 2, AbsoluteError()),
    "poisson": partial(PoissonHead, N_FEATURES, 2, 0.0),
}
OWN = [name for name in HEADS if name.endswith("own")]
CLASSES = [name for name in HEADS if name not in VALUES]


def make(name, seed=0):
    head = HEADS[name]().double()
    generator = torch.Generator().manual_seed(seed)
    for p in head.parameters():
        p.data = 0.5 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
    return head


def make_tasks(name, n_rows=9, n_tasks=None, seed=1):
    """Features, labels and weights, of which the last two are zero; the axis of tasks if there are some."""
    generator = torch.Generator().manual_seed(seed)
    axes = (n_rows,) if n_tasks is None else (n_tasks, n_rows)
    features = torch.randn(*axes, N_FEATURES, generator=generator, dtype=torch.float64)
    if name in VALUES:
        y = torch.randn(*axes, 2, generator=generator, dtype=torch.float64)
        y = (2 * y).exp().round() if name == "poisson" else y
    else:
        y = (torch.arange(n_rows) % (2 if name == "logistic" else N_CLASSES)).expand(axes)
    weight = torch.ones(axes, dtype=torch.float64)
    weight[..., -2:] = 0
    return features, y, weight


def answer(name, layer, features):
    """What the head answers about rows, every number of it."""
    return torch.cat(predict(layer, features), -1) if name in VALUES else logits(layer, features)


def adapted(name, head, task, queries, **kwargs):
    return answer(name, head(*task, N_CLASSES, **kwargs), queries)


QUERIES = torch.randn(6, N_FEATURES, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


# ---- the contract


@pytest.mark.parametrize("n_rows", [3, 9])  # fewer rows than weights, and more
@pytest.mark.parametrize("name", HEADS)
def test_leading_axes_and_vmap_equal_one_task_at_a_time(name, n_rows):
    head, tasks = make(name), make_tasks(name, n_rows, n_tasks=5)
    queries = torch.randn(5, 6, N_FEATURES, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    alone = [adapted(name, head, task, q) for *task, q in zip(*tasks, queries, strict=True)]
    alone = torch.stack(alone)
    torch.testing.assert_close(adapted(name, head, tasks, queries), alone)
    mapped = torch.vmap(lambda x, y, weight, q: adapted(name, head, (x, y, weight), q))(*tasks, queries)
    torch.testing.assert_close(mapped, alone)
    assert not torch.allclose(alone[0], alone[1])


@pytest.mark.parametrize("n_rows", [4, 12])
@pytest.mark.parametrize("name", HEADS)
def test_padding_changes_nothing_whichever_side_it_decides(name, n_rows):
    head, (features, y, weight) = make(name), make_tasks(name, n_rows)
    kept = weight > 0
    bare = adapted(name, head, (features[kept], y[kept], weight[kept]), QUERIES)
    torch.testing.assert_close(adapted(name, head, (features, y, weight), QUERIES), bare)
    wild = features.clone()
    wild[~kept] = 1e3
    torch.testing.assert_close(adapted(name, head, (wild, y, weight), QUERIES), bare)


@pytest.mark.parametrize("name", HEADS)
def test_a_row_of_weight_two_is_two_rows(name):
    head, (features, y, weight) = make(name), make_tasks(name)
    weight[0] = 2
    twice = [torch.cat([part, part[:1]]) for part in (features, y, torch.ones_like(weight))]
    twice[2][7:9] = 0
    torch.testing.assert_close(
        adapted(name, head, (features, y, weight), QUERIES), adapted(name, head, twice, QUERIES)
    )


@pytest.mark.parametrize("n_rows", [4, 9])
@pytest.mark.parametrize("name", HEADS)
def test_gradients(name, n_rows):
    head, (features, y, weight) = make(name), make_tasks(name, n_rows)
    names = [n for n, _ in head.named_parameters()]
    query_y = make_tasks(name, 6, seed=5)[1]

    def loss(features, queries, *params):
        layer = torch.func.functional_call(
            head, dict(zip(names, params, strict=True)), (features, y, weight, N_CLASSES)
        )
        if name in VALUES:
            return VALUES[name].surprise(*predict(layer, queries), query_y, torch.ones(6))
        return cross_entropy(logits(layer, queries), query_y, torch.ones(6))

    inputs = [t.detach().clone().requires_grad_() for t in (features, QUERIES, *head.parameters())]
    assert torch.autograd.gradcheck(loss, inputs)
    assert all(g.any() for g in torch.autograd.grad(loss(*inputs), inputs))


@pytest.mark.parametrize("weight_zero", [True, False])
@pytest.mark.parametrize("name", [name for name in HEADS if name not in OWN])
def test_without_rows_it_is_the_prior(name, weight_zero):
    head, (features, y, weight) = make(name), make_tasks(name)
    task = (features, y, 0 * weight) if weight_zero else (features[:0], y[:0], weight[:0])
    layer = head(*task, N_CLASSES)
    mean, bias = head.mean, 0
    if name == "least squares":
        mean, bias = head.log_scale.exp() * mean, head.bias
    if name == "logistic":
        mean = torch.cat([-mean, mean]) / 2
    torch.testing.assert_close(layer["weight"], mean[:, :-1])
    torch.testing.assert_close(layer["bias"], mean[:, -1] + bias)
    if name == "least squares":
        return
    rows = torch.cat([QUERIES, torch.ones(6, 1)], 1).square()
    variance = rows @ (-head.log_precision.expand(2, -1)).exp().mT
    if name in VALUES:
        variance = variance + head.log_noise.exp()
    torch.testing.assert_close(predict(layer, QUERIES)[1], variance)


@pytest.mark.parametrize("name", CLASSES)
def test_a_support_set_of_one_class_raises_its_probability(name):
    head, (features, y, weight) = make(name), make_tasks(name)
    if name in OWN:
        head.log_precision.data.fill_(0)
    none, one = (
        adapted(name, head, (features, torch.ones_like(y), w), features) for w in (0 * weight, weight)
    )
    gain = one.softmax(1)[:, 1] - none.softmax(1)[:, 1]
    assert one.isfinite().all() and (gain[weight > 0] > 0).all() and gain.mean() > 0.1


@pytest.mark.parametrize("n_rows", [3, 9])
@pytest.mark.parametrize("name", OWN)
def test_relabelling_permutes_the_outputs_to_the_bit(name, n_rows):
    head, (features, y, weight) = make(name).float(), make_tasks(name, n_rows)
    features, weight = features.float(), torch.ones(n_rows)
    before = head(features, y, weight, N_CLASSES)
    for permuted in torch.tensor([[2, 0, 1], [1, 0, 2], [2, 1, 0]]):
        layer = head(features, permuted[y], weight, N_CLASSES)
        assert all(torch.equal(p[permuted], before[n]) for n, p in layer.items())
        after = logits(layer, QUERIES.float())
        torch.testing.assert_close(after[:, permuted], logits(before, QUERIES.float()))
        assert not torch.equal(after, logits(before, QUERIES.float()))


@pytest.mark.parametrize("name", OWN)
def test_classes_that_the_task_lacks_change_nothing(name):
    head, (features, y, weight) = make(name), make_tasks(name)
    mask = torch.tensor([True] * N_CLASSES + [False] * 2)
    padded = head(features, y, weight, N_CLASSES + 2, class_mask=mask)
    bare = head(features, y, weight, N_CLASSES)
    torch.testing.assert_close(logits(padded, QUERIES)[:, :N_CLASSES], logits(bare, QUERIES))
    assert not padded["weight"][N_CLASSES:].any() and not padded["bias"][N_CLASSES:].any()


@pytest.mark.parametrize("name", HEADS)
def test_float32_is_near_to_double_precision(name):
    head, task = make(name), make_tasks(name, 12)
    exact = adapted(name, head, task, QUERIES)
    features, y, weight = task
    task = features.float(), y.float() if name in VALUES else y, weight.float()
    near = adapted(name, make(name).float(), task, QUERIES.float())
    torch.testing.assert_close(near.double(), exact, rtol=1e-4, atol=1e-4)


# ---- one by one


@pytest.mark.parametrize("n_rows", [3, 5, 20])
def test_ridge_by_hand(n_rows):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(n_rows, 5, generator=generator, dtype=torch.float64)
    t = torch.randn(n_rows, 2, generator=generator, dtype=torch.float64)
    x = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    covariance = np.linalg.inv(np.eye(5) + z.T.numpy() @ z.numpy())
    mean, spread = ridge(z, t)
    assert_allclose(mean, covariance @ z.T.numpy() @ t.numpy())
    assert_allclose(variance_along(x, spread), np.einsum("ij,jk,ik->i", x, covariance, x))


def test_gaussian_posterior_by_hand():
    head, (features, y, weight) = make("gaussian"), make_tasks("gaussian")
    mean, variance = predict(head(features, y, weight), QUERIES)
    rows = np.c_[features, np.ones(len(features))][weight > 0]
    queries = np.c_[QUERIES, np.ones(6)]
    for j in range(2):
        prior, m = np.diag((-head.log_precision[j]).exp().detach()), head.mean[j].detach().numpy()
        noise = head.log_noise[j].exp().item()
        # As a Gaussian process, whose algebra is that of rows, where ours is that of weights here.
        gain = queries @ prior @ rows.T @ np.linalg.inv(rows @ prior @ rows.T + noise * np.eye(len(rows)))
        expected = queries @ m + gain @ (y[weight > 0, j].numpy() - rows @ m)
        assert_allclose(mean[:, j].detach(), expected)
        left = np.diag(queries @ prior @ queries.T - gain @ rows @ prior @ queries.T)
        assert_allclose(variance[:, j].detach(), left + noise)


def test_least_squares_is_ridge_on_centred_one_hot_labels():
    features, y, weight = make_tasks("least squares, own")
    head = make("least squares, own")
    head.log_precision.data = torch.tensor(
        [2.0, 2.0, 2.0, 2.0, -20.0], dtype=torch.float64
    )  # a free constant
    ours = logits(head(features, y, torch.ones_like(weight), N_CLASSES), QUERIES)
    target = functional.one_hot(y, N_CLASSES) - 1 / N_CLASSES
    expected = Ridge(alpha=math.exp(2.0)).fit(features, target).predict(QUERIES)
    assert_allclose(ours.detach(), head.log_scale.exp().item() * expected, atol=1e-6)


def test_logistic_without_variance_is_penalised_logistic_regression():
    """The mean of a narrow posterior is at its mode: many rows, a weak prior."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(4000, N_FEATURES, generator=generator, dtype=torch.float64)
    truth = torch.randn(N_FEATURES, generator=generator, dtype=torch.float64)
    y = (torch.rand(4000, generator=generator) < (features @ truth).sigmoid()).long()
    head = LogisticHead(N_FEATURES, n_steps=50).double()
    layer = head(features, y, torch.ones(len(y), dtype=torch.float64))
    expected = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(features, y)
    ours = logits(layer, features).softmax(1).detach()
    assert_allclose(ours, expected.predict_proba(features), atol=5e-3)
    assert predict(layer, features)[1].max() < 0.1


@pytest.mark.parametrize("mean", [-1.0, 5.0])
@pytest.mark.parametrize(("deviation", "n_rows"), [(1.0, 4), (3.0, 3), (3.0, 10), (10.0, 30)])
def test_random_intercepts_are_integrated_as_by_quadrature(deviation, n_rows, mean):
    """The logit is the intercept, N(mean, deviation²): log loss of a new row, exactly and by the head."""
    nodes, share = np.polynomial.hermite_e.hermegauss(201)
    p = 1 / (1 + np.exp(-mean - deviation * nodes))
    head = LogisticHead(0).double()
    head.log_precision.data.fill_(-2 * math.log(deviation))
    head.mean.data.fill_(mean)
    exact = ours = 0
    for n_ones in range(n_rows + 1):
        joint = math.comb(n_rows, n_ones) * share / share.sum() * p**n_ones * (1 - p) ** (n_rows - n_ones)
        y = (torch.arange(n_rows) < n_ones).long()
        x = torch.zeros(n_rows, 0, dtype=torch.float64)
        layer = head(x, y, torch.ones(n_rows, dtype=torch.float64))
        predicted = logits(layer, x[:1]).softmax(1)[0, 1].item()
        for answer, name in ((joint @ p / joint.sum(), "exact"), (predicted, "ours")):
            loss = -(joint @ p) * math.log(answer) - (joint @ (1 - p)) * math.log(1 - answer)
            exact, ours = exact + loss * (name == "exact"), ours + loss * (name == "ours")
    assert exact <= ours <= exact + (0.003 if deviation < 5 else 0.03)


def test_many_rows_of_a_rare_class_are_solved_to_the_end():
    """Each task as if it were alone: what fills it up, and others beside it, change nothing."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 1000, 2, dtype=torch.float64, generator=generator)
    y = (torch.rand(3, 1000, generator=generator) < (x[..., 0] - 5).sigmoid()).long()
    weight = (torch.arange(1000) < torch.tensor([[1000], [300], [20]])).double()
    head = LogisticHead(2).double().eval()
    head.log_precision.data.fill_(-2.0)
    together = head(x, y, weight)
    for i, n in enumerate([1000, 300, 20]):
        alone = head(x[i, :n], y[i, :n], weight[i, :n])
        torch.testing.assert_close(together["weight"][i], alone["weight"])
        queries = x[i, :5]
        of_task = {name: p[i] for name, p in together.items()}
        torch.testing.assert_close(predict(of_task, queries), predict(alone, queries))
    expected = LogisticRegression(C=math.exp(2.0), tol=1e-10).fit(x[0], y[0])
    ours = logits({name: p[0] for name, p in together.items()}, x[0]).softmax(-1)[:, 1].detach()
    losses = [
        functional.binary_cross_entropy(p, y[0].double())
        for p in (ours, torch.tensor(expected.predict_proba(x[0])[:, 1]))
    ]
    assert abs(losses[0] - losses[1]) < 0.002


def test_steps_converge():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(50, 8, N_FEATURES, generator=generator, dtype=torch.float64)
    task = features, (torch.arange(8) % 2).expand(50, -1), torch.ones(50, 8).double()
    before, four, many = (LogisticHead(N_FEATURES, n_steps=n).double() for n in (1, 4, 200))
    for head in before, four, many:
        head.log_precision.data.fill_(-2 * math.log(2.0))
    p1, p4, p = (logits(head(*task), features).softmax(-1) for head in (before, four, many))
    assert (p4 - p).abs().mean() < 0.01 < (p1 - p).abs().mean()


def test_moderated_logits_are_about_the_mean_probability():
    mean, variance = torch.tensor([[-2.0], [0.5], [3.0]]), torch.tensor([[4.0], [1.0], [9.0]])
    nodes, share = map(torch.tensor, np.polynomial.hermite_e.hermegauss(61))
    expected = ((mean + variance.sqrt() * nodes).sigmoid() * share / share.sum()).sum(1)
    torch.testing.assert_close(moderated(mean, variance)[:, 0].sigmoid(), expected.float(), atol=0.02, rtol=0)


# ---- the prior


def make_groups(n_groups=40, n_rows=(3, 12), slope=0.7, n_outputs=1, seed=0):
    """Random intercepts and slopes of the first of three features: padded tensors of double precision."""
    rng = np.random.RandomState(seed)
    sizes = rng.randint(*n_rows, size=n_groups)
    x = rng.randn(n_groups, n_rows[1], 3)
    x[..., 2] = x[:, :1, 2]  # of the group
    effects = rng.randn(n_groups, 2, n_outputs) * np.array([1.0, slope])[:, None]
    y = x @ rng.randn(3, n_outputs) + effects[:, :1] + x[..., :1] * effects[:, 1:] + 2
    y = y + 0.5 * rng.randn(*y.shape)
    weight = (np.arange(n_rows[1]) < sizes[:, None]).astype(float)
    return tuple(map(torch.tensor, (x * weight[..., None], y * weight[..., None], weight)))


FIRST = torch.tensor([True, False, False])


def head_of(prior):
    head = GaussianHead(prior["mean"].shape[1] - 1, len(prior["mean"])).double()
    head.load_state_dict(prior, strict=False)
    return head


# Where slopes do not vary, MixedLM is not asked for their variance, to whose zero it does not converge.
@pytest.mark.parametrize(
    ("random", "slope"), [(~FIRST & FIRST, 0.7), (FIRST, 0.7), (~FIRST & FIRST, 0.0), (FIRST, 0.0)]
)
def test_the_prior_is_the_linear_mixed_model(random, slope):
    formula_api = pytest.importorskip("statsmodels.formula.api")
    pandas = pytest.importorskip("pandas")
    x, y, weight = make_groups(slope=slope)
    n_groups, n_rows, _ = x.shape
    kept = (weight > 0).flatten().numpy()
    frame = pandas.DataFrame(x.reshape(-1, 3).numpy(), columns=["a", "b", "c"])
    frame = frame.assign(y=y.flatten().numpy(), group=np.repeat(np.arange(n_groups), n_rows))[kept]
    components = {"intercept": "1"} | ({"slope": "0 + a"} if random.any() and slope else {})
    model = formula_api.mixedlm("y ~ a + b + c", frame, groups="group", re_formula="0", vc_formula=components)
    theirs = model.fit()
    mean = theirs.fe_params[["a", "b", "c", "Intercept"]].to_numpy()
    variances = dict(zip(model.exog_vc.names, theirs.vcomp, strict=True))
    covariance = np.diag([variances.get("slope", 0.0), 0, 0, variances["intercept"]])

    head = head_of(fit_prior(x, y, weight, random))
    new_x, new_y, new_weight = make_groups(slope=slope, seed=1)
    for task_x, task_y, n in zip(new_x, new_y, [0, 1, 2, 3] * 10, strict=True):
        ours, _ = predict(head(task_x[:n], task_y[:n], new_weight[0, :1].expand(n)), task_x)
        rows = np.c_[task_x, np.ones(len(task_x))]
        seen = rows[:n] @ covariance @ rows[:n].T + theirs.scale * np.eye(n)
        gain = rows @ covariance @ rows[:n].T @ np.linalg.inv(seen)
        expected = rows @ mean + gain @ (task_y[:n, 0].numpy() - rows[:n] @ mean)
        assert_allclose(ours[:, 0].detach(), expected, atol=1e-3 * frame["y"].std())


def test_an_effect_without_variance_gets_none():
    x, y, weight = make_groups(slope=0.0)
    none, some = (fit_prior(x, y, weight, random) for random in (~FIRST & FIRST, FIRST))
    slope, _, _, intercept = (-some["log_precision"] / 2).exp()[0]
    assert slope < 1e-3 and intercept == pytest.approx(1.0, abs=0.3)
    assert_allclose(some["mean"], none["mean"], rtol=1e-4)


def test_outputs_are_fitted_each_on_its_own():
    x, y, weight = make_groups(n_outputs=2)
    both = fit_prior(x, y, weight)
    for j in range(2):
        alone = fit_prior(x, y[..., j : j + 1], weight)
        for name, value in alone.items():
            assert_allclose(both[name][j], value[0], rtol=1e-3, atol=1e-3)


def test_weights_of_the_prior_count_rows():
    x, y, weight = make_groups()
    twice = [torch.cat([part, part], 1) for part in (x, y, weight)]
    for name, value in fit_prior(x, y, 2 * weight).items():
        assert_allclose(fit_prior(*twice)[name], value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n_tied", [0, 3])
def test_the_prior_does_not_depend_on_units(n_tied):
    x, y, weight = make_groups()
    unit = torch.tensor([100.0, 0.01, 1.0])
    plain, scaled = (fit_prior(rows, y, weight, n_tied=n_tied) for rows in (x, x * unit))
    assert_allclose(scaled["mean"][:, :3] * unit, plain["mean"][:, :3], rtol=1e-6)
    assert_allclose(scaled["log_noise"], plain["log_noise"], rtol=1e-6)


@pytest.mark.parametrize("are_tied", [False, True])
def test_features_that_are_constant_or_the_same_do_no_harm(are_tied):
    x, y, weight = make_groups()
    wide = torch.cat([x, torch.zeros_like(x), x], -1)
    prior = fit_prior(wide, y, weight, n_tied=9 * are_tied)
    assert all(p.isfinite().all() for p in prior.values())
    plain = predict(head_of(fit_prior(x, y, weight, n_tied=3 * are_tied))(x, y, weight), x)[0]
    ours = predict(head_of(prior)(wide, y, weight), wide)[0]
    assert (ours - plain)[weight > 0].square().mean().sqrt() < 0.05 * y[weight > 0].std()


def test_targets_without_variance_have_a_finite_prior():
    x, _, weight = make_groups()
    prior = fit_prior(x, torch.zeros(*weight.shape, 1), weight)
    assert all(p.isfinite().all() for p in prior.values())


def test_many_features_are_shrunk():
    rng = np.random.RandomState(0)
    x, truth = rng.randn(230, 10, 150), rng.randn(150) / 150**0.5
    y = x @ truth + 0.5 * rng.randn(230, 1) + 0.5 * rng.randn(230, 10)
    x, y = torch.tensor(x), torch.tensor(y)[..., None]
    errors = []
    for n_tied in 0, 150:
        prior = fit_prior(x[:30], y[:30], torch.ones(30, 10), n_tied=n_tied)
        mean = x[30:] @ prior["mean"][0, :-1] + prior["mean"][0, -1]
        errors.append((mean - y[30:, :, 0]).square().mean().item())
    assert errors[1] < 0.9 * errors[0] and errors[1] < 0.95 * y.var().item()


def test_rows_of_other_classes_leave_a_shared_class_as_the_prior_has_it():
    head = LeastSquaresHead(2, 3).double()
    torch.nn.init.normal_(head.mean)
    features, y = torch.randn(6, 2, dtype=torch.double), torch.tensor([0, 2, 0, 0, 2, 2])
    layer, prior = (head(features, y, torch.full((6,), w).double()) for w in (1.0, 0.0))
    assert_allclose(layer["weight"][1].detach(), prior["weight"][1].detach())
    assert not np.allclose(layer["weight"][0].detach(), prior["weight"][0].detach())


# ---- each row by the others


def left_out_by_hand(head, features, y, weight):
    """Logits of each row by a head that sees all others, and of its own weight what is above one."""
    found = []
    for i in range(len(y)):
        others = weight.clone()
        others[i] = (weight[i] - 1).clamp_min(0)
        layer = head(features, y, others)
        found.append(logits(layer, features[[i]])[0])
    return torch.stack(found)


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0], [0.3, 1.0]])
def test_least_squares_leave_out_each_row_exactly(weights):
    head = LeastSquaresHead(4, n_classes=3).double()
    features, y, _ = rows_of_classes(3)
    weight = torch.tensor(weights).repeat(len(y))[: len(y)].double()
    torch.testing.assert_close(
        head.left_out(features, y, weight), left_out_by_hand(head, features, y, weight), rtol=1e-8, atol=1e-8
    )


def test_two_classes_leave_out_each_row_nearly():
    head = LogisticHead(4).double()
    features, y, weight = rows_of_classes(2)
    found, truth = head.left_out(features, y, weight), left_out_by_hand(head, features, y, weight)
    assert (found.softmax(-1) - truth.softmax(-1)).abs().max() < 0.1
    assert (found.softmax(-1) - truth.softmax(-1)).abs().mean() < 0.02


def rows_of_classes(n_classes, n_rows=24):
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n_rows) % n_classes
    features = torch.randn(n_rows, 4, generator=generator, dtype=torch.float64)
    features[:, 0] += y
    return features, y, torch.ones(n_rows, dtype=torch.float64)
