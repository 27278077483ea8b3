"""Meta-models: TAML's g, which predicts an update of the parameters from a task's support set.

A meta-model is a module whose ``forward`` takes a ``skmeta.Step`` and returns a dict with an
update for each tensor in ``step.params``, of the same shape. It sees one task; the default one also
takes tensors with leading axes of tasks, ``...`` in the shapes.
"""

import torch
from torch import nn

from skmeta.core.backbones import TINY
from skmeta.core.losses import entropy

TENSOR_FEATURES = 9
TASK_FEATURES = 5
# The root mean square of a tensor, its gradient or momentum, below which they may be rounding errors, whose
# size and direction tell nothing: the first gradient of a backbone under a tied head is zero but for those.
LEAST_RMS = 1e-5


class BasisMetaModel(nn.Module):
    """Mixes five directions for each parameter tensor, with weights read off the support set.

    The directions are the gradient, its sign, decay, momentum and the return to the start. Their
    weights are ``bound * tanh(W h(s, z) / bound)``, with ``s`` nine statistics of the tensor and its
    gradient, ``z`` five of the support set, and ``h`` a small network shared by all tensors. So its
    size does not depend on the backbone's; it never sees a task id; and with ``W`` zero at the start
    it first predicts no update. All statistics are detached: the outer gradient reaches the
    directions and the weights, but no root or norm.

    Parameters
    ----------
    hidden : int, default=32
        Width of ``h``, two layers.
    bound : float, default=5.0
        Largest absolute weight, which keeps many inner steps finite.

    References
    ----------
    Per-tensor rates from statistics: Baik et al., Meta-Learning with Adaptive Hyperparameters,
    NeurIPS 2020. Inputs of learned optimizers: Metz et al., 2020, arXiv 2009.11243.
    """

    directions = ("gradient", "sign", "decay", "momentum", "return")

    def __init__(self, hidden=32, bound=5.0):
        super().__init__()
        self.bound = bound
        self.h = nn.Sequential(
            nn.Linear(TENSOR_FEATURES + TASK_FEATURES, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.out = nn.Linear(hidden, len(self.directions))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, step):
        """Update of each parameter tensor: dict of str to Tensor."""
        with torch.no_grad():
            moments = _Moments(step)
        w = self._weights(moments, step).unbind(-2)
        # The five directions, regrouped by the tensors that they are made of.
        of_sign, of_m = -w[1] * moments.rms_g, -w[3] * moments.rms_g / moments.rms_m
        weights = torch.stack([-w[0], of_sign, -w[2] - w[4], of_m, w[4]], -1).unbind(-2)
        parts = step.grads, step.params, step.momentum, step.initial_params
        return {
            name: _mixed(of_tensor, *(part[name] for part in parts))
            for name, of_tensor in zip(step.params, weights, strict=True)
        }

    def direction_weights(self, step):
        """The explanation of an update: for each tensor's name, the weights of ``directions``."""
        with torch.no_grad():
            weights = self._weights(_Moments(step), step)
            return dict(zip(step.params, weights.unbind(-1), strict=True))

    def _weights(self, moments, step):
        """Shape (..., n_directions, n_tensors)."""
        with torch.no_grad():
            tensor, task = moments.features(step), _task_features(step.evidence)
            features = torch.cat([tensor, task[..., None].expand(*task.shape, tensor.shape[-1])], -2)
        raw = self.out(self.h(features.mT)).mT
        return self.bound * torch.tanh(raw / self.bound)


def _mixed(weights, grad, *others):
    """Sum of gradient, its sign, the tensor itself, momentum and start, times their ``weights`` (..., 5)."""
    columns = (w.reshape((*w.shape, *[1] * (grad.ndim - w.ndim))) for w in weights.unbind(-1))
    tensors = grad, grad.detach().sign(), *others
    return sum(w * tensor for w, tensor in zip(columns, tensors, strict=True))


def _dot(axes, a, b):
    """Sum of products over all but the leading ``axes``."""
    return (a * b).reshape(*axes, -1).sum(-1)


class _Moments:
    """First and second moments of each tensor, its gradient and momentum, shapes ``(..., n_tensors)``."""

    def __init__(self, step):
        axes = step.evidence.loss.shape
        norms, totals, products = [], [], []
        for name in step.params:
            parts = step.grads, step.params, step.momentum
            g, theta, m = (part[name].reshape(*axes, -1) for part in parts)
            norms += [torch.linalg.vector_norm(t, dim=-1) for t in (g, theta, m)]
            totals += [g.sum(-1), theta.sum(-1)]
            products += [_dot(axes, g, theta), _dot(axes, g, m)]
        n = len(step.params)
        norms, totals, products = (
            torch.stack(t, -1).reshape(*axes, n, -1).movedim(-1, 0) for t in (norms, totals, products)
        )
        kind = {"dtype": norms.dtype, "device": norms.device}
        self.size = torch.stack(
            [torch.as_tensor(step.sizes[k], **kind).expand(axes) for k in step.params], -1
        )
        self.is_vector = torch.tensor([float(p.ndim - len(axes) <= 1) for p in step.params.values()], **kind)
        rms = norms / self.size.sqrt()
        self.rms_g, _, self.rms_m = rms.clamp_min(TINY)
        told = rms.clamp_min(LEAST_RMS)
        self.log_rms = told[:2].log() / 5
        self.mean = totals / self.size / told[:2]
        self.cosine = products / self.size / (told[0] * told[1:])

    def features(self, step):
        """(..., TENSOR_FEATURES, n_tensors), logarithms scaled to the order of one."""
        progress = torch.full_like(self.size, step.progress)
        rest = torch.stack([self.size.log() / 5, self.is_vector.expand_as(self.size), progress])
        return torch.cat([self.log_rms, self.mean, self.cosine, rest]).movedim(0, -2)


def _task_features(evidence):
    """z, shape (..., TASK_FEATURES): the same for any order of the support rows."""
    outputs, y, weight, n_way, loss = (part.detach() for part in evidence)
    total = weight.sum(-1).clamp_min(TINY)
    if y.is_floating_point():
        residual = outputs - y
        bias = (residual * weight[..., None]).sum(-2) / total[..., None]
        variance = ((residual - bias[..., None, :]).square() * weight[..., None]).sum(-2) / total[..., None]
        shape = _log(variance.mean(-1)), bias.mean(-1)
    else:
        of_rows = entropy(outputs)
        mean = (of_rows * weight).sum(-1) / total
        spread = ((of_rows - mean[..., None]).square() * weight).sum(-1).div(total).sqrt()
        shape = mean, spread
    n_way = n_way.to(loss.dtype).expand_as(loss)
    return torch.stack([_log(loss), *shape, total.log() / 5, n_way.log() / 5], -1)


def _log(x):
    return x.clamp_min(TINY).log() / 5
