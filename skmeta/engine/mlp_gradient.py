"""The gradient of an MLP's loss and its derivative, for many tasks with their own parameters at once.

``vmap`` of autograd comes to the same matrix products, but keeps books about each of them three times
over, which costs small networks more than the arithmetic. So both derivatives are written out here, as
products that are batched over tasks.
"""

import torch
from torch.autograd.function import once_differentiable


def mlp(x, params, *, relu_last=False):
    """Outputs ``(n_tasks, n_rows, n_outputs)`` of fully connected layers with ReLU between them.

    Parameters
    ----------
    x : Tensor of shape (n_tasks, n_rows, n_features)
    params : sequence of Tensor
        Weight ``(n_tasks, n_out, n_in)`` and bias ``(n_tasks, n_out)`` of each layer in turn.
    relu_last : bool, default=False
        Also apply ReLU to the outputs.
    """
    last = len(params) // 2 - 1
    x = x.mT  # with rows last, autograd gives each weight a gradient that lies in memory as the weight does
    for i, (weight, bias) in enumerate(_layers(params)):
        x = torch.baddbmm(bias[..., None], weight, x)
        if i < last or relu_last:
            x = x.relu()
    return x.mT


class MLPGradient(torch.autograd.Function):
    """``(*gradients, outputs)`` of a loss whose derivative by the outputs is ``scale * (mean - target)``.

    ``mean`` is the softmax of the outputs for ``softmax=True``, otherwise the outputs themselves:
    cross-entropy and squared error. Outputs and ``target`` are ``(n_tasks, n_outputs, n_rows)``, since
    a softmax over a short last axis is slow; ``scale`` and ``offset``, which is added to the outputs or
    None, broadcast to that; what has a derivative is of that shape. The outputs come without one.
    """

    @staticmethod
    def forward(ctx, x, target, scale, offset, softmax, *params):
        layers = _layers(params)
        hidden = [x]
        for weight, bias in layers[:-1]:
            hidden.append(_affine(hidden[-1], weight, bias).relu_())
        weight, bias = layers[-1]
        outputs = torch.baddbmm(bias[..., None], weight, hidden[-1].mT)
        if offset is not None:
            outputs += offset
        mean = outputs.softmax(1) if softmax else outputs
        delta = (mean - target).mul_(scale)
        deltas, grads = [delta], [torch.bmm(delta, hidden[-1]), delta.sum(-1)]
        delta = delta.mT
        for i in reversed(range(len(layers) - 1)):
            delta = torch.bmm(delta, layers[i + 1][0]).mul_(hidden[i + 1].sign())
            deltas.insert(0, delta)
            grads[:0] = torch.bmm(delta.mT, hidden[i]), delta.sum(1)
        ctx.softmax, ctx.n_layers = softmax, len(layers)
        ctx.save_for_backward(scale, mean, *hidden, *deltas, *params)
        ctx.mark_non_differentiable(outputs)
        return *grads, outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, *direction):
        """The Hessian times ``direction``: forward and backward once more, differentiated along it."""
        scale, mean, *saved = ctx.saved_tensors
        n = ctx.n_layers
        hidden, deltas, layers = saved[:n], saved[n : 2 * n], _layers(saved[2 * n :])
        along = _layers(direction[:-1])  # the outputs have no derivative
        signs = [None, *(h.sign() for h in hidden[1:])]
        moved = [None]  # the derivatives of ``hidden``; the rows themselves do not move
        for i in range(n - 1):
            change = _affine(hidden[i], *along[i])
            if i:
                change.baddbmm_(moved[i], layers[i][0].mT)
            moved.append(change.mul_(signs[i + 1]))
        weight, bias = along[-1]
        change = torch.baddbmm(bias[..., None], weight, hidden[-1].mT)
        if n > 1:
            change.baddbmm_(layers[-1][0], moved[-1].mT)
        if ctx.softmax:
            change = mean * change
            change.sub_(mean * change.sum(1, keepdim=True))
        change = change.mul_(scale)
        of_offset = change if ctx.needs_input_grad[3] else None
        products = [torch.bmm(change, hidden[-1]), change.sum(-1)]
        if n > 1:
            products[0].baddbmm_(deltas[-1], moved[-1])
        change, delta = change.mT, deltas[-1].mT
        for i in reversed(range(n - 1)):
            change = torch.bmm(change, layers[i + 1][0]).baddbmm_(delta, along[i + 1][0]).mul_(signs[i + 1])
            delta = deltas[i]
            product = torch.bmm(change.mT, hidden[i])
            if i:
                product.baddbmm_(delta.mT, moved[i])
            products[:0] = product, change.sum(1)
        return None, None, None, of_offset, None, *products


def _layers(params):
    return list(zip(params[::2], params[1::2], strict=True))


def _affine(x, weight, bias):
    return torch.baddbmm(bias[:, None], x, weight.mT)
