"""Meta-models: TAML's g, which predicts an update of the parameters from a task's support set.

A meta-model is a module whose ``forward`` takes an ``inner_loop.Step`` and returns a dict with an
update for each tensor in ``step.params``, of the same shape. It sees one task.
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
        w = self._weights(moments, step)
        # The five directions, regrouped by the tensors that they are made of.
        of_g, of_theta, of_start = -w[0], -w[2] - w[4], w[4]
        of_sign, of_m = -w[1] * moments.rms_g, -w[3] * moments.rms_g / moments.rms_m
        return {
            name: of_g[i] * step.grads[name]
            + of_sign[i] * step.grads[name].detach().sign()
            + of_theta[i] * theta
            + of_m[i] * step.momentum[name]
            + of_start[i] * step.initial_params[name]
            for i, (name, theta) in enumerate(step.params.items())
        }

    def direction_weights(self, step):
        """The explanation of an update: for each tensor's name, the weights of ``directions``."""
        with torch.no_grad():
            return dict(zip(step.params, self._weights(_Moments(step), step).T, strict=True))

    def _weights(self, moments, step):
        """Shape (n_directions, n_tensors)."""
        with torch.no_grad():
            task = _task_features(step.evidence)
            tensor = moments.features(step)
            features = torch.cat([tensor, task[:, None].expand(-1, tensor.shape[1])])
        raw = self.out(self.h(features.T)).T
        return self.bound * torch.tanh(raw / self.bound)


class _Moments:
    """First and second moments of each tensor, its gradient and momentum, shapes ``(n_tensors,)``.

    All moments of a tensor are one small matrix product: summed one by one, they cost several times
    a plain inner step.
    """

    def __init__(self, step):
        grams = [_gram(step.grads[name], p, step.momentum[name]) for name, p in step.params.items()]
        gram = torch.stack(grams, -1)
        kind = {"dtype": gram.dtype, "device": gram.device}
        self.size = torch.stack([torch.as_tensor(step.sizes[name], **kind) for name in step.params])
        self.is_vector = torch.tensor([float(p.ndim <= 1) for p in step.params.values()], **kind)
        gram = gram / self.size
        self.g_theta, self.g_m, self.mean_g, self.mean_theta = gram[0, 1], gram[0, 2], gram[0, 3], gram[1, 3]
        self.rms_g, self.rms_theta, self.rms_m = (gram[i, i].sqrt().clamp_min(TINY) for i in range(3))

    def features(self, step):
        """(TENSOR_FEATURES, n_tensors), logarithms scaled to the order of one."""
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
            ]
        )


def _gram(*tensors):
    """Sums of the products of tensors of the same shape with each other and with one."""
    flat = [t.reshape(-1) for t in tensors]
    rows = torch.stack([*flat, torch.ones_like(flat[0])])
    return rows @ rows.T


def _task_features(evidence):
    """z, shape (TASK_FEATURES,): the same for any order of the support rows."""
    outputs, y, weight, n_way, loss = (part.detach() for part in evidence)
    total = weight.sum()
    if y.is_floating_point():
        residual = outputs - y
        bias = (residual * weight[:, None]).sum(0) / total
        variance = ((residual - bias).square() * weight[:, None]).sum(0) / total
        shape = _log(variance.mean()), bias.mean()
    else:
        log_p = outputs.log_softmax(-1)
        entropy = -(log_p.exp() * log_p).sum(-1)
        mean = (entropy * weight).sum() / total
        shape = mean, ((entropy - mean).square() * weight).sum().div(total).sqrt()
    return torch.stack([_log(loss), *shape, total.log() / 5, n_way.to(loss.dtype).log() / 5])


def _log(x):
    return x.clamp_min(TINY).log() / 5
