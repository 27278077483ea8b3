"""Heads: where a task's last layer starts, by hand and by what must not matter."""

import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch.nn import functional

from skmeta.core.heads import HEADS, CosineHead, LinearHead, PrototypeHead, TiedHead
from skmeta.core.inner_loop import Evidence, GradientDescent, gradient_of, inner_loop
from skmeta.core.losses import cross_entropy

N_WAY, N_FEATURES = 3, 4
FEATURES = torch.randn(8, N_FEATURES, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 2, 1, 0, 0, 1])
WEIGHT = torch.ones(8, dtype=torch.float64)


def make(name):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return HEADS[name](N_FEATURES, *[N_WAY] * (name == "linear")).double()


def logits(layer, x):
    return functional.linear(x, layer["weight"], layer["bias"])


def prototypes(features, y, n_way, log_scale=0.0, weight=None):
    head = PrototypeHead(features.shape[1])
    head.log_scale.data.fill_(log_scale)
    weight = torch.ones(len(y)) if weight is None else weight
    with torch.no_grad():
        return head(features, y, weight, n_way)


# ---- the contract


@pytest.mark.parametrize("name", HEADS)
def test_a_head_is_a_layer_for_the_task_and_all_its_parameters_learn(name):
    head = make(name)
    layer = head(FEATURES, Y, WEIGHT, N_WAY)
    assert {n: tuple(p.shape) for n, p in layer.items()} == {"weight": (N_WAY, N_FEATURES), "bias": (N_WAY,)}
    cross_entropy(logits(layer, FEATURES), Y, WEIGHT).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in head.parameters())


@pytest.mark.parametrize("name", [name for name, head in HEADS.items() if not head.reads_support])
def test_a_head_that_does_not_read_the_support_set_is_the_same_for_any(name):
    head = make(name)
    torch.testing.assert_close(
        head(None, None, None, N_WAY), head(FEATURES, Y, WEIGHT, N_WAY), rtol=0, atol=0
    )


@pytest.mark.parametrize("name", HEADS)
def test_padding_changes_nothing(name):
    head = make(name)
    padded = torch.cat([FEATURES, FEATURES[:2]]), torch.cat([Y, Y[:2]]), torch.cat([WEIGHT, WEIGHT[:2] * 0])
    torch.testing.assert_close(head(*padded, N_WAY), head(FEATURES, Y, WEIGHT, N_WAY))


@pytest.mark.parametrize("n_steps", [0, 1, 5])
@pytest.mark.parametrize("name", ["tied", "prototype", "cosine"])
def test_relabelling_the_classes_permutes_the_adapted_outputs(name, n_steps):
    relabelled = torch.tensor([2, 0, 1])
    outputs = []
    for y in Y, relabelled[Y]:

        def loss(layer, y=y):
            out = logits(layer, FEATURES)
            value = cross_entropy(out, y, WEIGHT)
            return value, Evidence(out, y, WEIGHT, torch.tensor(N_WAY), value)

        rule = GradientDescent(dict.fromkeys(("weight", "bias"), torch.tensor(0.5)))
        layer = inner_loop(gradient_of(loss), make(name)(FEATURES, y, WEIGHT, N_WAY), rule, n_steps)
        outputs.append(logits(layer, FEATURES))
    torch.testing.assert_close(outputs[1][:, relabelled], outputs[0])
    # Not because all classes look alike: after a step, or from prototypes, they differ.
    assert torch.allclose(outputs[0], outputs[0][:, :1].expand(-1, N_WAY)) == (
        name == "tied" and n_steps == 0
    )


# ---- one by one


def test_linear_head_is_its_own_layer():
    head = LinearHead(N_FEATURES, N_WAY)
    layer = head(None, None, None, None)
    assert layer["weight"] is head.weight and layer["bias"] is head.bias


def test_tied_head_copies_one_row_and_gathers_its_derivatives():
    head = TiedHead(2)
    layer = head(None, None, None, 3)
    assert torch.equal(layer["weight"], head.weight.repeat(3, 1))
    assert torch.equal(layer["bias"], head.bias.repeat(3))
    coefficients = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    ((layer["weight"] * coefficients).sum() + (layer["bias"] * coefficients[:, 0]).sum()).backward()
    assert head.weight.grad.tolist() == [[9.0, 12.0]] and head.bias.grad.tolist() == [9.0]


def test_prototypes_by_hand():
    features = torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 4.0], [9.0, 9.0]])
    y, weight = torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    layer = prototypes(features, y, n_way=3, weight=weight)
    # Class means (1, 0) and (4, 4); the third class is not there.
    assert layer["weight"].tolist() == [[2.0, 0.0], [8.0, 8.0], [0.0, 0.0]]
    assert layer["bias"].tolist() == [-1.0, -32.0, 0.0]


def test_prototype_logits_are_negative_squared_distances_up_to_what_all_classes_share():
    features = FEATURES.float()
    means = torch.stack([features[Y.eq(c)].mean(0) for c in range(3)])
    log_scale = 0.7
    ours = logits(prototypes(features, Y, N_WAY, log_scale), features)
    distances = -torch.tensor(log_scale).exp() * torch.cdist(features, means) ** 2
    torch.testing.assert_close(ours.log_softmax(1), distances.log_softmax(1), rtol=1e-4, atol=1e-5)


def test_prototype_scale_starts_at_one_over_the_root_of_the_features():
    assert PrototypeHead(16).log_scale.exp().item() == pytest.approx(1 / 4)


@pytest.mark.parametrize("seed", range(3))
def test_one_shot_prototypes_are_the_nearest_neighbour(seed):
    generator = torch.Generator().manual_seed(seed)
    support, queries = torch.randn(5, 3, generator=generator), torch.randn(200, 3, generator=generator)
    y = torch.randperm(5, generator=generator)
    nearest = KNeighborsClassifier(1).fit(support.numpy(), y.numpy()).predict(queries.numpy())
    ours = logits(prototypes(support, y, n_way=5), queries).argmax(1)
    assert ours.tolist() == nearest.tolist() and len(set(nearest)) == 5


def test_cosine_rows_by_hand():
    features = torch.tensor([[0.0, 1.0], [0.0, 3.0], [3.0, 1.0], [9.0, 9.0]])
    y, weight = torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 1.0, 1.0, 0.0])
    head = CosineHead(2)
    with torch.no_grad():
        layer = head(features, y, weight, 3)
    # Class means along (0, 1) and (3, 1); rows of a mean square of 20 / 3; the third class is not there.
    root = (20 / 3) ** 0.5
    expected = torch.tensor([[0.0, 10 / root], [30 / 10**0.5 / root, 10 / 10**0.5 / root], [0.0, 0.0]])
    torch.testing.assert_close(layer["weight"], expected)
    assert layer["bias"].tolist() == [0.0, 0.0, 0.0]


def test_cosine_head_takes_the_class_of_the_smallest_angle_whatever_the_size_of_the_features():
    features = FEATURES.float()
    means = torch.stack([features[Y.eq(c)].mean(0) for c in range(3)])
    angles = functional.normalize(features) @ functional.normalize(means).T
    for factor in 1.0, 1e-3, 1e3:
        with torch.no_grad():
            ours = logits(
                CosineHead(N_FEATURES)(factor * features, Y, WEIGHT.float(), N_WAY), factor * features
            )
        assert ours.argmax(1).tolist() == angles.argmax(1).tolist()
        torch.testing.assert_close(ours, 10 * angles * features.norm(dim=1, keepdim=True) / rms(features))


def rms(rows):
    return rows.square().sum(1).mean().sqrt()


def test_cosine_head_of_rows_of_zero_has_finite_derivatives():
    features = torch.zeros(4, 3, requires_grad=True)
    layer = CosineHead(3)(features, torch.tensor([0, 0, 1, 1]), torch.ones(4), 2)
    logits(layer, features).sum().backward()
    assert not layer["weight"].any() and features.grad.isfinite().all()
