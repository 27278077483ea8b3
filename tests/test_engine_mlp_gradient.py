"""The derivatives of an MLP that are written out, against autograd's."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from skmeta.engine.mlp_gradient import MLPGradient, mlp

N_TASKS, N_ROWS, N_FEATURES, N_OUTPUTS = 2, 5, 3, 4
HIDDEN = {"no hidden layer": (), "one": (6,), "two": (6, 5)}


def make_params(hidden, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = N_FEATURES, *hidden, N_OUTPUTS
    shapes = [shape for a, b in pairwise(sizes) for shape in ((b, a), (b,))]
    return [
        torch.randn(N_TASKS, *shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    ]


def make_rows():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N_TASKS, N_ROWS, N_FEATURES, generator=generator, dtype=torch.float64)
    weight = torch.rand(N_TASKS, N_ROWS, generator=generator, dtype=torch.float64)
    weight[:, -1] = 0
    return x, weight


def targets(softmax):
    if softmax:
        return functional.one_hot(torch.arange(N_TASKS * N_ROWS).reshape(N_TASKS, -1) % N_OUTPUTS, N_OUTPUTS)
    return make_rows()[0][..., :1].sin().expand(-1, -1, N_OUTPUTS)


def plain(x, params):
    """A network of each task, one row after the other."""
    layers = list(zip(params[::2], params[1::2], strict=True))
    outputs = []
    for task in range(N_TASKS):
        h = x[task]
        for i, (weight, bias) in enumerate(layers):
            h = h @ weight[task].T + bias[task]
            if i < len(layers) - 1:
                h = h.relu()
        outputs.append(h)
    return torch.stack(outputs)


def loss(outputs, target, weight, softmax):
    """Whose derivative by the outputs is ``weight * (mean - target)``."""
    if softmax:
        return -(outputs.log_softmax(-1) * target * weight[..., None]).sum()
    return ((outputs - target).square() * weight[..., None]).sum() / 2


@pytest.fixture(params=HIDDEN.values(), ids=HIDDEN)
def params(request):
    return make_params(request.param)


def gradient(params, softmax, offset=None):
    x, weight = make_rows()
    target = targets(softmax).to(x.dtype).mT
    return MLPGradient.apply(x, target, weight[:, None], offset, softmax, *params)


def test_outputs_are_those_of_a_network_for_each_task(params):
    x, _ = make_rows()
    torch.testing.assert_close(mlp(x, params), plain(x, params))
    torch.testing.assert_close(mlp(x, params, relu_last=True), plain(x, params).relu())


@pytest.mark.parametrize("softmax", [False, True])
def test_gradient_and_its_derivative_are_autograds(params, softmax):
    x, weight = make_rows()
    value = loss(plain(x, params), targets(softmax), weight, softmax)
    expected = torch.autograd.grad(value, params, create_graph=True)
    *found, outputs = gradient(params, softmax)
    torch.testing.assert_close(outputs.mT, plain(x, params).detach())
    generator = torch.Generator().manual_seed(2)
    direction = [torch.randn(g.shape, generator=generator, dtype=g.dtype) for g in expected]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    products = (torch.autograd.grad(g, params, direction, materialize_grads=True) for g in (expected, found))
    for ours, theirs in zip(*products, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_an_offset_hides_outputs(params):
    offset = torch.zeros(N_TASKS, N_OUTPUTS, 1, dtype=torch.float64)
    offset[0, 1] = -1e9
    *grads, outputs = gradient(params, True, offset)
    assert (outputs[0, 1] < -1e8).all()
    hidden_class = targets(True)[0, :, 1] * make_rows()[1][0]
    last_bias = grads[-1]
    torch.testing.assert_close(last_bias[0, 1], -hidden_class.sum())  # a probability of zero


def test_the_third_derivative_is_refused(params):
    (grad, *_) = gradient(params, True)
    (second,) = torch.autograd.grad(grad.sum(), params[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="does not require grad"):
        second.sum().backward()
