"""Meta-models: TAML's g, which predicts an update of the parameters from a task's support set.

A meta-model is a module whose ``forward`` takes an ``inner_loop.Step`` and returns a dict with an
update for each tensor in ``step.params``, of the same shape. It sees one task; the default one also
takes tensors with leading axes of tasks, ``...`` in the shapes.
"""

import torch
from torch import nn

TENSOR_FEATURES = 9
TASK_FEATURES = 5
# No logarithm or quotient of less than this.
TINY = 1e-12


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
        of_g, of_theta, of_start = -w[0], -w[2] - w[4], w[4]
        of_sign, of_m = -w[1] * moments.rms_g, -w[3] * moments.rms_g / moments.rms_m
        weights = torch.stack([of_g, of_sign, of_theta, of_m, of_start])
        return {
            name: _mixed(
                weights[..., i],
                step.grads[name],
                step.grads[name].detach().sign(),
                theta,
                step.momentum[name],
                step.initial_params[name],
            )
            for i, (name, theta) in enumerate(step.params.items())
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


def _mixed(weights, *tensors):
    """Sum of the tensors, each times its weight for the task: a row of ``weights``."""
    n_axes = tensors[0].ndim - weights.ndim + 1
    weights = weights.reshape(*weights.shape, *[1] * n_axes)
    return sum(w * tensor for w, tensor in zip(weights, tensors, strict=True))


class _Moments:
    """First and second moments of each tensor, its gradient and momentum, shapes ``(..., n_tensors)``.

    All moments of a tensor are one small matrix product: summed one by one, they cost several times
    a plain inner step.
    """

    def __init__(self, step):
        axes = step.evidence.loss.shape
        grams = [_gram(axes, step.grads[name], p, step.momentum[name]) for name, p in step.params.items()]
        gram = torch.stack(grams, -1)
        kind = {"dtype": gram.dtype, "device": gram.device}
        sizes = [torch.as_tensor(step.sizes[name], **kind).expand(axes) for name in step.params]
        self.size = torch.stack(sizes, -1)
        self.is_vector = torch.tensor([float(p.ndim - len(axes) <= 1) for p in step.params.values()], **kind)
        gram = gram / self.size[..., None, None, :]
        self.g_theta, self.g_m, self.mean_g, self.mean_theta = (
            gram[..., i, j, :] for i, j in ((0, 1), (0, 2), (0, 3), (1, 3))
        )
        self.rms_g, self.rms_theta, self.rms_m = (
            gram[..., i, i, :].sqrt().clamp_min(TINY) for i in range(3)
        )

    def features(self, step):
        """(..., TENSOR_FEATURES, n_tensors), logarithms scaled to the order of one."""
        ones = torch.ones_like(self.rms_g)
        return torch.stack(
            [
                self.rms_g.log() / 5,
                self.rms_theta.log() / 5,
                self.mean_g / self.rms_g,
                self.mean_theta / self.rms_theta,
                self.g_theta / (self.rms_g * self.rms_theta),
                self.g_m / (self.rms_g * self.rms_m),
                self.size.log() / 5,
                self.is_vector.expand_as(ones),
                step.progress * ones,
            ],
            -2,
        )


def _gram(axes, *tensors):
    """Sums of the products of tensors of the same shape with each other and with one, for each task."""
    flat = [t.reshape(*axes, -1) for t in tensors]
    rows = torch.stack([*flat, torch.ones_like(flat[0])], -2)
    return rows @ rows.mT


def _task_features(evidence):
    """z, shape (..., TASK_FEATURES): the same for any order of the support rows."""
    outputs, y, weight, n_way, loss = (part.detach() for part in evidence)
    total = weight.sum(-1)
    if y.is_floating_point():
        residual = outputs - y
        bias = (residual * weight[..., None]).sum(-2) / total[..., None]
        variance = ((residual - bias[..., None, :]).square() * weight[..., None]).sum(-2) / total[..., None]
        shape = _log(variance.mean(-1)), bias.mean(-1)
    else:
        log_p = outputs.log_softmax(-1)
        entropy = -(log_p.exp() * log_p).sum(-1)
        mean = (entropy * weight).sum(-1) / total
        spread = ((entropy - mean[..., None]).square() * weight).sum(-1).div(total).sqrt()
        shape = mean, spread
    n_way = n_way.to(loss.dtype).expand_as(loss)
    return torch.stack([_log(loss), *shape, total.log() / 5, n_way.log() / 5], -1)


def _log(x):
    return x.clamp_min(TINY).log() / 5
