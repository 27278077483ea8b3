"""How fast an outer step can be: matrix code by hand, or its floating-point operations in one product."""

import time

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.contestants import tutorial_loop

# Rows and columns of the product: large enough for the processor's best rate, a blink to compute.
SIZE = {"cpu": 1024, "cuda": 8192}


def batched_mlp(model, batch, case):
    """MAML of an MLP with a leading task axis in every tensor; nothing that another network could use."""
    backbone, head = model
    layers = [*backbone.layers, head]
    n = len(batch.support_x)
    params = [p for layer in layers for p in (layer.weight.T.expand(n, -1, -1), layer.bias.expand(n, 1, -1))]
    for _ in range(case.inner_steps):
        loss = _sum_of_losses(_outputs(params, batch.support_x), batch.support_y, case)
        grads = torch.autograd.grad(loss, params, create_graph=case.second_order)
        params = [p - case.inner_lr * g for p, g in zip(params, grads, strict=True)]
    (_sum_of_losses(_outputs(params, batch.query_x), batch.query_y, case) / n).backward()


def _outputs(params, x):
    *hidden, last = zip(params[::2], params[1::2], strict=True)
    for weight, bias in hidden:
        x = torch.baddbmm(bias, x, weight).relu()
    return torch.baddbmm(last[1], x, last[0])


def _sum_of_losses(outputs, y, case):
    if case.is_regression:
        return functional.mse_loss(outputs, y) * len(y)
    return functional.cross_entropy(outputs.flatten(0, 1), y.flatten()) * len(y)


def count_flops(model, batch, case):
    """Floating-point operations of the products and convolutions in an outer step."""
    with FlopCounterMode(display=False) as counter:
        tutorial_loop(model, batch, case)
    return counter.get_total_flops()


def product_block(n_flops, device, n_repeats=20):
    """A function that measures the seconds of ``n_flops`` at the rate of one large matrix product."""
    size = SIZE[device]
    a, b = torch.randn(2, size, size, device=device)

    def block():
        (a @ b).sum().item()
        start = time.perf_counter()
        for _ in range(n_repeats):
            product = a @ b
        product[0, 0].item()
        return (time.perf_counter() - start) * n_flops / (n_repeats * 2 * size**3)

    return block
