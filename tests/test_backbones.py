"""Backbones: plain modules in which a row never sees the rows beside it."""

import pytest
import torch

from skmeta.core.backbones import BATCH_NORMS, MLP, Conv4, WeightedFeatures

BACKBONES = {
    "MLP": (lambda: MLP(4, (6, 3)), (4,), 3),
    "MLP without layers": (lambda: MLP(4, ()), (4,), 4),
    "WeightedFeatures": (lambda: WeightedFeatures(4), (4,), 4),
    "Conv4": (lambda: Conv4(2, hidden_channels=8, n_groups=4), (2, 16, 16), 8),
    "Conv4, wide images": (lambda: Conv4(1, hidden_channels=8), (1, 16, 35), 16),
}


@pytest.fixture(params=BACKBONES.values(), ids=BACKBONES)
def case(request):
    make, shape, n_features = request.param
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return make().double(), x, n_features


def test_rows_become_features(case):
    backbone, x, n_features = case
    assert backbone(x).shape == (5, n_features)


def test_a_row_alone_has_the_features_that_it_has_among_others(case):
    backbone, x, _ = case
    torch.testing.assert_close(torch.cat([backbone(row[None]) for row in x]), backbone(x))
    assert not any(isinstance(m, BATCH_NORMS) for m in backbone.modules()) and not list(backbone.buffers())


def test_training_mode_changes_nothing(case):
    backbone, x, _ = case
    assert torch.equal(backbone.train()(x), backbone.eval()(x))


def test_mlp_by_hand():
    mlp = MLP(2, (2, 1))
    first, second = mlp.layers
    first.weight.data, first.bias.data = torch.tensor([[1.0, 2.0], [3.0, -4.0]]), torch.tensor([1.0, 0.0])
    second.weight.data, second.bias.data = torch.tensor([[5.0, 6.0]]), torch.tensor([-7.0])
    # (1, 1): hidden (4, -1) becomes (4, 0), and 5 * 4 - 7 = 13. (-1, 0): (0, -3) becomes 0, and -7 becomes 0.
    assert mlp(torch.tensor([[1.0, 1.0], [-1.0, 0.0]])).tolist() == [[13.0], [0.0]]


def test_weighted_features_by_hand():
    backbone = WeightedFeatures(3, length=10.0)
    with torch.no_grad():
        backbone.log_weight.copy_(torch.tensor([0.0, 2.0, 0.0]).log1p())
        rows = backbone(torch.tensor([[4.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    assert rows.tolist() == [[8.0, 6.0, 0.0], [0.0, 0.0, 0.0]]


def test_weighted_features_of_a_row_of_zeros_have_finite_second_derivatives():
    backbone = WeightedFeatures(3).double()
    x = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    loss = backbone(x).sin().sum()
    (first,) = torch.autograd.grad(loss, [backbone.log_weight], create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), [backbone.log_weight])
    assert first.any() and first.isfinite().all() and second.isfinite().all()


@pytest.mark.parametrize("length", [0, -1.0, float("inf"), float("nan"), "5", None])
def test_weighted_features_need_a_positive_length(length):
    with pytest.raises(
        ValueError, match=r"'length' parameter of WeightedFeatures must be a float in \(0, inf\)\. Got "
    ):
        WeightedFeatures(3, length)


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 3), (2, 1, 3)])
def test_weighted_features_need_flat_rows_of_their_features(shape):
    with pytest.raises(ValueError, match="needs rows of 3 features; got "):
        WeightedFeatures(3)(torch.zeros(shape))
