"""The module that runs the inner loop of each task of a meta-batch."""

import copy
from functools import partial

import torch
from torch import nn
from torch.func import functional_call

from skmeta.backbones import BATCH_NORMS
from skmeta.inner_loop import Evidence, GradientDescent, LearnedUpdate, inner_loop

# Logit of a class that an episode does not hold: finite, so that 0 * logit stays 0.
ABSENT = -1e9
# One part, for a support set that is in memory at once.
ALL_ROWS = (slice(None),)


class MetaLearner(nn.Module):
    """Backbone, head and what the inner loop learns; ``forward`` adapts to each task and predicts.

    Parameters
    ----------
    backbone : nn.Module
        ``(n_rows, ...)`` to ``(n_rows, ...)``, flattened to features.
    head : nn.Module
        One of ``heads``.
    loss : callable
        One of ``losses``, of one task.
    adapted : list of str
        Names of the parameters that the inner loop changes: ``backbone.*``, ``head.weight``, ``head.bias``.
    meta_model : nn.Module or None
        TAML's g.
    inner_lr, learn_inner_lr, meta_model_lr, inner_steps, adapt_steps, meta_gradient, strategy
        As in the estimators.
    keep_initial : bool
        Also return the outputs before adaptation, which a regularizer needs.
    """

    def __init__(
        self,
        backbone,
        head,
        *,
        loss,
        adapted,
        meta_model=None,
        inner_lr,
        learn_inner_lr=False,
        meta_model_lr=0.0,
        inner_steps,
        adapt_steps,
        meta_gradient="second_order",
        strategy="auto",
        keep_initial=False,
    ):
        super().__init__()
        self.backbone, self.head, self.loss = backbone, head, loss
        self.adapted = list(adapted)
        self.meta_model, self.meta_model_lr = meta_model, meta_model_lr
        self.inner_steps, self.adapt_steps = inner_steps, adapt_steps
        self.meta_gradient, self.strategy, self.keep_initial = meta_gradient, strategy, keep_initial
        log_lr = torch.full((len(self.adapted),), float(inner_lr)).log()
        self.log_inner_lr = nn.Parameter(log_lr, requires_grad=learn_inner_lr)

    def forward(
        self,
        support_x,
        support_y,
        support_weight,
        query_x,
        class_mask=None,
        output_scale=None,
        n_steps=None,
    ):
        """Adapt to the tasks of a meta-batch and predict their query rows.

        ``n_steps`` is the number of inner steps; None takes the one to train or to validate with. Outputs
        are multiplied by ``output_scale``, shape ``(n_tasks, n_outputs)``, where given.
        Returns a dict of tensors whose first axis is ``n_tasks``: ``outputs`` and, where wanted,
        ``initial_outputs`` and Reptile's direction as a product whose gradient it is.
        """
        n_steps = self._n_steps() if n_steps is None else n_steps
        tensors = support_x, support_y, support_weight, class_mask, query_x, output_scale
        return over_tasks(partial(self._forward_task, n_steps), self.chosen_strategy())(*tensors)

    def adapt_task(self, support_x, support_y, support_weight, class_mask=None, *, n_steps, at_once=None):
        """Adapted parameters of one task: dict of str to Tensor.

        ``support_x`` is a tensor or ``Rows``; ``at_once`` of its rows are in memory at a time.
        """
        support = support_x, support_y, support_weight, class_mask
        n = len(support_y)
        parts = [slice(first, first + (at_once or n)) for first in range(0, n, at_once or n)]
        return self._adapt(self.start(*support, parts), *support, n_steps, parts)

    def for_this_thread(self):
        """A copy that shares the tensors: a module is lent other tensors while it runs, which no other
        thread must see."""
        tensors = [*self.parameters(), *self.buffers()]
        return copy.deepcopy(self, {id(t): t for t in tensors})

    def train(self, mode=True):
        """Training mode, except for batch normalisation with trained statistics, which keeps them."""
        super().train(mode)
        for layer in self.backbone.modules():
            if isinstance(layer, BATCH_NORMS):
                layer.eval()
        return self

    def start(self, support_x, support_y, support_weight, class_mask=None, parts=ALL_ROWS):
        """Parameters of one task before its inner loop: the backbone's, and the head's for it."""
        params = {f"backbone.{name}": p for name, p in self.backbone.named_parameters()}
        features = None
        if self.head.reads_support:
            features = torch.cat([self.features(params, support_x[part]) for part in parts])
        n_way = None if class_mask is None else class_mask.shape[-1]
        head = self.head(features, support_y, support_weight, n_way)
        if class_mask is not None:  # rows of classes that the task lacks count nowhere
            head = {name: p * _as_rows(class_mask, p) for name, p in head.items()}
        return params | {f"head.{name}": p for name, p in head.items()}

    def features(self, params, x):
        """Features ``(n_rows, n_features)`` of one task's rows."""
        own = {
            name.removeprefix("backbone."): p for name, p in params.items() if name.startswith("backbone.")
        }
        return functional_call(self.backbone, own, (x,)).flatten(1)

    def outputs(self, params, x, class_mask=None, output_scale=None):
        """Logits or predictions ``(n_rows, n_outputs)`` of one task's rows."""
        outputs = _head_outputs(params, self.features(params, x), class_mask)
        return outputs if output_scale is None else outputs * output_scale

    def _forward_task(self, n_steps, support_x, support_y, support_weight, class_mask, query_x, output_scale):
        support = support_x, support_y, support_weight, class_mask
        start = self.start(*support)
        adapted = self._adapt(start, *support, n_steps)
        outcome = {}
        if self.training and self.meta_gradient == "reptile":
            outcome["reptile"] = sum(
                (start[name] * (start[name] - adapted[name]).detach()).sum() for name in self.adapted
            )
            adapted = {name: p.detach() for name, p in adapted.items()}
        if self.keep_initial:
            outcome["initial_outputs"] = self.outputs(start, query_x, class_mask, output_scale)
        return outcome | {"outputs": self.outputs(adapted, query_x, class_mask, output_scale)}

    def support_loss(self, start, support_x, support_y, support_weight, class_mask=None, part=slice(None)):
        """The function of the changing parameters that the inner loop descends, of a part of the rows."""
        head_only = all(name.startswith("head.") for name in self.adapted)
        # When only the head adapts, the features are the same at every step.
        features = self.features(start, support_x[part]) if head_only else None
        y, weight = support_y[part], support_weight[part]
        n_way = support_weight.new_ones(()) if class_mask is None else class_mask.sum()

        def loss(params):
            params = start | params
            x = self.features(params, support_x[part]) if features is None else features
            outputs = _head_outputs(params, x, class_mask)
            value = self.loss(outputs, y, weight)
            return value, Evidence(outputs, y, weight, n_way, value)

        return loss

    def _adapt(self, start, support_x, support_y, support_weight, class_mask, n_steps, parts=ALL_ROWS):
        support = support_x, support_y, support_weight, class_mask
        losses = [self.support_loss(start, *support, part) for part in parts]
        if len(parts) == 1:
            loss = losses[0]
        else:
            shares = [support_weight[part].sum() / support_weight.sum() for part in parts]
            loss = list(zip(shares, losses, strict=True))
        changing = {name: start[name] for name in self.adapted}
        first_order = self.meta_gradient != "second_order"
        adapted = inner_loop(
            loss, changing, self._rule(changing, class_mask), n_steps, first_order=first_order
        )
        return start | adapted

    def _rule(self, params, class_mask):
        inner_lr = dict(zip(self.adapted, self.log_inner_lr.exp(), strict=True))
        if self.meta_model is None:
            return GradientDescent(inner_lr)
        sizes = {name: p.numel() for name, p in params.items()}
        if class_mask is not None:
            n_way = class_mask.sum()
            sizes |= {name: n_way * p[0].numel() for name, p in params.items() if name.startswith("head.")}
        return LearnedUpdate(inner_lr, self.meta_model, self.meta_model_lr, self.inner_steps, sizes)

    def _n_steps(self):
        if not self.training:
            return self.adapt_steps
        return 0 if self.meta_gradient == "joint" else self.inner_steps

    def chosen_strategy(self):
        """``"vmap"`` or ``"loop"``, whichever is faster here if it is left to us."""
        if self.strategy != "auto":
            return self.strategy
        # One weight for each task turns a convolution into a grouped one, slow on a CPU.
        convolves = any(isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d) for m in self.backbone.modules())
        return "loop" if convolves and self.log_inner_lr.device.type == "cpu" else "vmap"


def _as_rows(class_mask, p):
    return class_mask.to(p.dtype).reshape(-1, *[1] * (p.ndim - 1))


def _head_outputs(params, features, class_mask):
    outputs = nn.functional.linear(features, params["head.weight"], params["head.bias"])
    return outputs if class_mask is None else outputs.masked_fill(~class_mask, ABSENT)


def over_tasks(function, strategy):
    """Add the meta-batch axis to a function of one task, of tensors or None, to a dict of tensors."""
    if strategy == "vmap":

        def mapped(*args):
            in_dims = tuple(None if a is None else 0 for a in args)
            return torch.vmap(function, in_dims, randomness="different")(*args)

    else:

        def mapped(*args):
            tasks = zip(*([None] * len(args[0]) if a is None else a for a in args), strict=True)
            results = [function(*task) for task in tasks]
            return {name: torch.stack([r[name] for r in results]) for name in results[0]}

    return mapped
