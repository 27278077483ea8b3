"""How a network is run with given parameters, and the gradient of its support loss.

``make_network`` is the door. Behind it are two kinds with the same methods: ``ModuleNetwork`` is any module,
and sees one task; ``MLPNetwork`` is the default network, and sees all tasks of a meta-batch, as the first
axis of every tensor.
"""

import torch
from torch import nn
from torch.func import functional_call

from skmeta.core.backbones import MLP
from skmeta.core.inner_loop import Evidence, gradient_by_autograd, gradient_of
from skmeta.core.losses import cross_entropy, squared_error
from skmeta.core.meta_models import BasisMetaModel
from skmeta.engine.mlp_gradient import MLPGradient, mlp

# Logit of a class that an episode does not hold: finite, so that 0 * logit stays 0.
ABSENT = -1e9


def make_network(learner, strategy):
    """The network of a ``MetaLearner``, as ``strategy`` runs it."""
    backbone, loss = learner.backbone, learner.objective.loss
    if strategy == "batched":
        return MLPNetwork(backbone, loss, with_evidence=learner.meta_model is not None)
    return ModuleNetwork(backbone, loss, mapped=strategy == "vmap")


def can_be_batched(learner):
    """Whether ``"batched"`` can run it: the default network, adapted as a whole, and a default meta-model."""
    n_tensors = sum(1 for _ in learner.backbone.parameters()) + 2
    return (
        MLPNetwork.takes(learner.backbone, learner.objective.loss)
        and len(learner.adapted) == n_tensors
        and (learner.meta_model is None or type(learner.meta_model) is BasisMetaModel)
    )


class ModuleNetwork:
    """Any backbone and a linear last layer, with the parameters of one task; ``mapped`` is under ``vmap``."""

    def __init__(self, backbone, loss, mapped=False):
        self.backbone, self.loss, self.mapped = backbone, loss, mapped

    def lone_rows(self, rows):
        """The rows of a task alone, a tensor or ``Rows``, as this kind slices them."""
        return rows

    def lone(self, tensor):
        """A tensor of a task alone, or None, as this kind takes it."""
        return tensor

    def own(self, tensor):
        """What this kind made for a task alone."""
        return tensor

    def initial(self, n_tasks):
        """The backbone's parameters before adaptation."""
        params = {f"backbone.{name}": p for name, p in self.backbone.named_parameters()}
        # Under vmap, a layer cannot be asked for the layout that its parameters have.
        return {name: p.contiguous() for name, p in params.items()} if self.mapped else params

    def head(self, head, features, y, weight, n_way):
        """Parameters of the last layer before adaptation."""
        return head(features, y, weight, n_way)

    def features(self, params, x):
        """What the backbone makes of rows: ``(n_rows, n_features)``."""
        own = {
            name.removeprefix("backbone."): p for name, p in params.items() if name.startswith("backbone.")
        }
        return functional_call(self.backbone, own, (x,)).flatten(1)

    def outputs(self, params, x, class_mask=None):
        """Logits or predictions of rows: ``(n_rows, n_outputs)``."""
        return _head_outputs(params, self.features(params, x), class_mask)

    def gradient(self, start, adapted, x, y, weight, class_mask=None):
        """The gradient that the inner loop descends, by the parameters named in ``adapted``."""
        loss = self.support_loss(start, adapted, x, y, weight, class_mask)
        return gradient_of(loss) if self.mapped else gradient_by_autograd(loss)

    def support_loss(self, start, adapted, x, y, weight, class_mask=None):
        """The loss, and its ``Evidence``, as a function of the parameters named in ``adapted``."""
        head_only = all(name.startswith("head.") for name in adapted)
        # When only the head adapts, the features are the same at every step.
        features = self.features(start, x()) if head_only else None
        n_way = _n_way(weight, class_mask)

        def loss(params):
            params = start | params
            outputs = _head_outputs(
                params, self.features(params, x()) if features is None else features, class_mask
            )
            value = self.loss(outputs, y, weight)
            return value, Evidence(outputs, y, weight, n_way, value)

        return loss


class MLPNetwork:
    """An ``MLP`` and a linear last layer, with the parameters of each task, all of which adapt.

    The ``Evidence`` of a step, which only a meta-model reads, is None unless ``with_evidence``.
    """

    def __init__(self, backbone, loss, with_evidence):
        self.backbone, self.loss, self.with_evidence = backbone, loss, with_evidence

    @staticmethod
    def takes(backbone, loss):
        """Whether the backbone is exactly the one whose derivatives are written out, and the loss too."""
        if type(backbone) is not MLP or loss not in (cross_entropy, squared_error):
            return False
        names = [f"layers.{i}.{name}" for i in range(len(backbone.layers)) for name in ("weight", "bias")]
        return (
            all(type(layer) is nn.Linear for layer in backbone.layers)
            and [name for name, _ in backbone.named_parameters()] == names  # none shared, none beside
            and not any("forward" in vars(m) or _has_hooks(m) for m in backbone.modules())
        )

    def lone_rows(self, rows):
        """The rows of a task alone, as those of a meta-batch of one."""
        return _OneTask(rows)

    def lone(self, tensor):
        """A tensor of a task alone, or None, as that of a meta-batch of one."""
        return None if tensor is None else tensor[None]

    def own(self, tensor):
        """What was made for a meta-batch of one."""
        return tensor[0]

    def initial(self, n_tasks):
        """The backbone's parameters before adaptation, the same for all tasks."""
        named = self.backbone.named_parameters()
        return {f"backbone.{name}": p.expand(n_tasks, *p.shape) for name, p in named}

    def head(self, head, features, y, weight, n_way):
        """Parameters of the last layers before adaptation."""
        if head.reads_support:
            return torch.vmap(lambda *task: head(*task, n_way))(features, y, weight)
        return {name: p.expand(len(y), *p.shape) for name, p in head(None, y, weight, n_way).items()}

    def features(self, params, x):
        """What the backbone makes of rows: ``(n_tasks, n_rows, n_features)``."""
        layers = [p for name, p in params.items() if name.startswith("backbone.")]
        return mlp(x, layers, relu_last=True)

    def outputs(self, params, x, class_mask=None):
        """Logits or predictions of rows: ``(n_tasks, n_rows, n_outputs)``."""
        outputs = mlp(x, list(params.values()))
        return outputs if class_mask is None else outputs.masked_fill(~class_mask[:, None], ABSENT)

    def gradient(self, start, adapted, x, y, weight, class_mask=None):
        """The gradient that the inner loop descends."""
        softmax = self.loss is cross_entropy
        n_outputs = start["head.bias"].shape[-1]
        target = nn.functional.one_hot(y, n_outputs).to(weight.dtype) if softmax else y
        target = target.mT.contiguous()
        total = weight.sum(-1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
        scale = (weight / total * (1 if softmax else 2 / n_outputs))[:, None]
        offset = None if class_mask is None else ABSENT * ~class_mask[..., None]
        n_way = _n_way(weight, class_mask)

        def gradient(params):
            *grads, outputs = MLPGradient.apply(x(), target, scale, offset, softmax, *params.values())
            outputs = outputs.mT
            grads = dict(zip(params, grads, strict=True))
            if not self.with_evidence:
                return grads, None
            return grads, Evidence(outputs, y, weight, n_way, self.loss(outputs, y, weight))

        return gradient


class _OneTask:
    """Rows of one task: a slice has the axis of tasks before it."""

    def __init__(self, rows):
        self.rows = rows

    def __getitem__(self, part):
        return self.rows[part][None]


def _has_hooks(module):
    # torch has no public way to ask.
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _n_way(weight, class_mask):
    return weight.new_ones(()) if class_mask is None else class_mask.sum(-1)


def _head_outputs(params, features, class_mask):
    outputs = nn.functional.linear(features, params["head.weight"], params["head.bias"])
    return outputs if class_mask is None else outputs.masked_fill(~class_mask, ABSENT)
