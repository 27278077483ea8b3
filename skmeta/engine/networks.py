"""How a network is run with given parameters, and the gradient of its support loss.

``make_network`` is the door. Behind it are two kinds with the same methods: ``ModuleNetwork`` is any module,
and sees one task; ``MLPNetwork`` is the default network, and sees all tasks of a meta-batch, as the first
axis of every tensor.
"""

import torch
from torch import nn
from torch.func import functional_call

from skmeta.core.backbones import MLP, InputAndMLP
from skmeta.core.inner_loop import Evidence, gradient_by_autograd, gradient_of
from skmeta.core.losses import cross_entropy
from skmeta.core.meta_models import BasisMetaModel
from skmeta.core.posterior import logits, predict
from skmeta.core.regression_losses import squared_error
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
    n_tensors = sum(1 for _ in learner.backbone.parameters())
    all_that_adapt = [n_tensors, 0] if learner.head.is_posterior else [n_tensors + 2]
    if type(learner.backbone) is InputAndMLP and not learner.head.is_posterior:
        return False
    return (
        MLPNetwork.takes(learner.backbone, learner.objective.loss)
        and len(learner.adapted) in all_that_adapt
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

    def head(self, head, features, y, weight, n_way, class_mask):
        """Tensors of the last layer that a head makes of a support set."""
        mask = (class_mask,) if head.is_posterior else ()
        return head(features, y, weight, n_way, *mask)

    def features(self, params, x):
        """What the backbone makes of rows: ``(n_rows, n_features)``."""
        own = {
            name.removeprefix("backbone."): p for name, p in params.items() if name.startswith("backbone.")
        }
        return functional_call(self.backbone, own, (x,)).flatten(1)

    def gradient(self, start, adapted, x, y, weight, class_mask=None, features=None):
        """The gradient that the inner loop descends, by the parameters named in ``adapted``.

        ``features`` are those of ``x`` at the ``start``, if they are known.
        """
        loss = self.support_loss(start, adapted, x, y, weight, class_mask, features)
        return gradient_of(loss) if self.mapped else gradient_by_autograd(loss)

    def support_loss(self, start, adapted, x, y, weight, class_mask=None, features=None):
        """The loss, and its ``Evidence``, as a function of the parameters named in ``adapted``."""
        head_only = all(name.startswith("head.") for name in adapted)
        # When only the head adapts, the features are the same at every step.
        if not head_only:
            features = None
        elif features is None:
            features = self.features(start, x())
        n_way = _n_way(weight, class_mask)

        def loss(params):
            params = start | params
            seen = self.features(params, x()) if features is None else features
            outputs = _mean_outputs(params, seen, class_mask)
            value = self.loss(outputs, y, weight)
            told = getattr(self.loss, "told", None)  # targets that are a dict, as two tensors
            return value, Evidence(*(told(outputs, y) if told else (outputs, y)), weight, n_way, value)

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
        if loss not in (cross_entropy, squared_error):
            return False
        if type(backbone) is InputAndMLP and not _is_changed(backbone):
            backbone = backbone.mlp
        if type(backbone) is not MLP:
            return False
        names = [f"layers.{i}.{name}" for i in range(len(backbone.layers)) for name in ("weight", "bias")]
        return (
            all(type(layer) is nn.Linear for layer in backbone.layers)
            and [name for name, _ in backbone.named_parameters()] == names  # none shared, none beside
            and not any(map(_is_changed, backbone.modules()))
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

    def head(self, head, features, y, weight, n_way, class_mask):
        """Tensors of the last layers that a head makes of the support sets."""
        if head.is_posterior:
            return head(features, y, weight, n_way, class_mask)
        if head.reads_support:
            return torch.vmap(lambda *task: head(*task, n_way))(features, y, weight)
        return {name: p.expand(len(y), *p.shape) for name, p in head(None, y, weight, n_way).items()}

    def features(self, params, x):
        """What the backbone makes of rows: ``(n_tasks, n_rows, n_features)``."""
        layers = [p for name, p in params.items() if name.startswith("backbone.")]
        features = mlp(x, layers, relu_last=True)
        if type(self.backbone) is InputAndMLP:
            return torch.cat([self.backbone.kept(x), features], -1)
        return features

    def gradient(self, start, adapted, x, y, weight, class_mask=None, features=None):
        """The gradient that the inner loop descends."""
        softmax = self.loss is cross_entropy
        head = [start["head.weight"], start["head.bias"]]
        n_outputs = head[1].shape[-1]
        target = nn.functional.one_hot(y, n_outputs).to(weight.dtype) if softmax else y
        target = target.mT.contiguous()
        total = weight.sum(-1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
        scale = (weight / total * (1 if softmax else 2 / n_outputs))[:, None]
        offset = None if class_mask is None else ABSENT * ~class_mask[..., None]
        n_way = _n_way(weight, class_mask)
        if type(self.backbone) is InputAndMLP:  # what it adds to the outputs without the network, stays
            of_kept, head[0] = head[0].tensor_split([self.backbone.n_kept], -1)
            linear = of_kept @ self.backbone.kept(x()).mT
            offset = linear if offset is None else linear + offset

        solved = [] if "head.weight" in adapted else head

        def gradient(params):
            layers = [*params.values(), *solved]
            *grads, outputs = MLPGradient.apply(x(), target, scale, offset, softmax, *layers)
            outputs = outputs.mT
            grads = dict(zip(params, grads, strict=False))
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


def _is_changed(module):
    # Torch has no public way to ask for hooks.
    return "forward" in vars(module) or bool(module._forward_hooks or module._forward_pre_hooks)


def _n_way(weight, class_mask):
    return weight.new_ones(()) if class_mask is None else class_mask.sum(-1)


def answers(params, features, class_mask):
    """``outputs``, logits or predictions, of rows by their features, and the ``variance`` of a posterior.

    By all tensors of the last layer. A dict of tensors of shape ``(..., n_rows, n_outputs)``.
    """
    layer = {n.removeprefix("head."): p for n, p in params.items() if n.startswith("head.")}
    if "noise" in layer:
        mean, variance = predict(layer, features)
        return {"outputs": mean, "variance": variance}
    return {"outputs": _masked(logits(layer, features), class_mask)}


def in_units_of_query(answers, output_scale):
    """The same answers, in units of the query set's targets: ``output_scale`` or, if None, as they are."""
    if output_scale is None:
        return answers
    scale = output_scale[..., None, :]
    scales = {"outputs": scale, "variance": scale.square()}
    return {name: values * scales[name] for name, values in answers.items()}


def _mean_outputs(params, features, class_mask):
    """Of rows of one task, by the last layer's mean alone."""
    outputs = nn.functional.linear(features, params["head.weight"], params["head.bias"])
    return _masked(outputs, class_mask)


def _masked(outputs, class_mask):
    return outputs if class_mask is None else outputs.masked_fill(~class_mask[..., None, :], ABSENT)
