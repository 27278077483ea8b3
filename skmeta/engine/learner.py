"""The module that runs the inner loop of each task of a meta-batch."""

import copy
from functools import partial
from operator import getitem, itemgetter

import torch
from torch import nn

from skmeta.core.backbones import BATCH_NORMS
from skmeta.core.inner_loop import GradientDescent, LearnedUpdate, bounded, gradient_of_parts, inner_loop
from skmeta.engine.loop import loop, loop_with_gradient
from skmeta.engine.networks import answers, can_be_batched, in_units_of_query, make_network
from skmeta.engine.strategy import FORCED
from skmeta.tasks.batch import mapped

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
    objective : OuterObjective
        Its task loss is also that of the inner loop.
    adapted : list of str
        Names of the parameters that the inner loop changes: ``backbone.*``, ``head.weight``, ``head.bias``.
    meta_model : nn.Module or None
        TAML's g.
    inner_lr, learn_inner_lr, meta_model_lr, inner_steps, adapt_steps, meta_gradient
        As in the estimators.
    largest_gradient : float or None
        Norm that a gradient of the inner loop is drawn in to.
    dtype : torch.dtype
        Of the backbone's parameters.
    """

    def __init__(
        self,
        backbone,
        head,
        *,
        objective,
        adapted,
        meta_model=None,
        inner_lr,
        learn_inner_lr=False,
        meta_model_lr=0.0,
        inner_steps,
        adapt_steps,
        meta_gradient="second_order",
        largest_gradient=None,
        dtype=torch.float32,
    ):
        super().__init__()
        self.backbone, self.head, self.objective = backbone, head, objective
        self.adapted = list(adapted)
        self.meta_model, self.meta_model_lr = meta_model, meta_model_lr
        self.inner_steps, self.adapt_steps = inner_steps, adapt_steps
        self.meta_gradient, self.vmap_works = meta_gradient, True
        self.largest_gradient = largest_gradient
        log_lr = torch.full((len(self.adapted),), float(inner_lr), dtype=dtype).log()
        self.log_inner_lr = nn.Parameter(log_lr, requires_grad=learn_inner_lr)

    def forward(
        self,
        support_x,
        support_y,
        support_weight,
        query_x,
        class_mask=None,
        output_scale=None,
        query_y=None,
        query_weight=None,
        n_steps=None,
    ):
        """Adapt to the tasks of a meta-batch and predict their query rows.

        ``n_steps`` is the number of inner steps; None takes the one to train or to validate with. Outputs
        are multiplied by ``output_scale``, shape ``(n_tasks, n_outputs)``, where given.
        Returns a dict of tensors whose first axis is ``n_tasks``: ``outputs`` and, where the objective looks
        at them, ``initial_outputs``, and Reptile's direction as a product whose gradient it is.
        In training, a loop over tasks that is also given the labels of the query rows leaves no graph of
        these, and adds the scalar ``objective``, whose gradient it has computed task by task.
        """
        n_steps = self._n_steps() if n_steps is None else n_steps
        strategy = self.chosen_strategy()
        network = make_network(self, strategy)
        function = partial(self._forward, network, n_steps)
        args = support_x, support_y, support_weight, class_mask, query_x, output_scale
        if strategy == "batched":
            return function(*args)
        if strategy == "vmap":
            in_dims = tuple(None if a is None else 0 for a in args)
            return torch.vmap(function, in_dims, randomness="different")(*args)
        tasks = [
            tuple(None if a is None else mapped(itemgetter(i), a) for a in args) for i in range(len(query_x))
        ]
        if query_y is None or not (self.training and torch.is_grad_enabled()):
            return loop(function, tasks)
        target = {"query_y": query_y, "query_weight": query_weight}
        learned = [p for p in self.parameters() if p.requires_grad]
        before = partial(self._outputs_before, network)
        return loop_with_gradient(function, tasks, self.objective, target, learned, before)

    def adapt_task(self, support_x, support_y, support_weight, class_mask=None, *, n_steps, parts=ALL_ROWS):
        """Adapted parameters of one task: dict of str to Tensor.

        ``support_x`` is a tensor or ``Rows``; those of one of the ``parts``, slices, are in memory at a time.
        """
        network = self._network_of_one()
        support = [network.lone_rows(part) for part in (support_x, support_y, support_weight)]
        class_mask = network.lone(class_mask)
        start, features = self._start(network, *support, class_mask, parts)
        adapted = self._adapt(network, start, features, *support, class_mask, n_steps, parts)
        return {name: network.own(p) for name, p in adapted.items()}

    def answers(self, params, x, class_mask=None):
        """``outputs``, logits or predictions, of one task's rows, and the ``variance`` of a posterior.

        A dict of tensors of shape ``(n_rows, n_outputs)``.
        """
        network = self._network_of_one()
        params = {name: network.lone(p) for name, p in params.items()}
        found = answers(params, network.features(params, network.lone(x)), network.lone(class_mask))
        return {name: network.own(t) for name, t in found.items()}

    def for_this_thread(self):
        """A copy that shares the tensors: a module is lent other tensors while it runs, which no other
        thread must see. ``"batched"`` lends none."""
        return self if self.chosen_strategy() == "batched" else self.sharing_tensors()

    def sharing_tensors(self):
        """A copy of the modules alone."""
        tensors = [*self.parameters(), *self.buffers()]
        return copy.deepcopy(self, {id(t): t for t in tensors})

    def train(self, mode=True):
        """Training mode, except for batch normalisation with trained statistics, which keeps them."""
        super().train(mode)
        for layer in self.backbone.modules():
            if isinstance(layer, BATCH_NORMS):
                layer.eval()
        return self

    def start(self, support_x, support_y, support_weight, class_mask=None):
        """Parameters of one task before its inner loop: the backbone's, and the head's for it."""
        network = make_network(self, "loop")
        return self._start(network, support_x, support_y, support_weight, class_mask, ALL_ROWS)[0]

    def support_loss(self, start, support_x, support_y, support_weight, class_mask=None):
        """The function of the changing parameters that the inner loop of one task descends."""
        network = make_network(self, "loop")
        return network.support_loss(
            start, self.adapted, lambda: support_x, support_y, support_weight, class_mask
        )

    def _network_of_one(self):
        """A task alone needs no ``vmap``."""
        return make_network(self, "batched" if self.chosen_strategy() == "batched" else "loop")

    def _forward(
        self, network, n_steps, support_x, support_y, support_weight, class_mask, query_x, output_scale
    ):
        """Of one task, or of all if ``network`` takes them."""
        support = support_x, support_y, support_weight, class_mask
        start, features = self._start(network, *support, ALL_ROWS)
        adapted = self._adapt(network, start, features, *support, n_steps, ALL_ROWS)
        outcome = {}
        if self.training and self.meta_gradient == "reptile":
            outcome["reptile"] = sum(
                (start[name] * (start[name] - adapted[name]).detach())
                .flatten(support_weight.ndim - 1)
                .sum(-1)
                for name in self.adapted
            )
            adapted = {name: p.detach() for name, p in adapted.items()}
        if self.objective.task_regularizer is not None:
            before = self._asked(network, start, query_x, class_mask, output_scale)
            outcome["initial_outputs"] = before["outputs"]
        return outcome | self._asked(network, adapted, query_x, class_mask, output_scale)

    @staticmethod
    def _asked(network, params, query_x, class_mask, output_scale):
        """Answers for query rows, in units of their targets."""
        found = answers(params, network.features(params, query_x), class_mask)
        return in_units_of_query(found, output_scale)

    def _outputs_before(
        self, network, support_x, support_y, support_weight, class_mask, query_x, output_scale
    ):
        """Outputs of one task's query rows before adaptation."""
        start, _ = self._start(network, support_x, support_y, support_weight, class_mask, ALL_ROWS)
        return self._asked(network, start, query_x, class_mask, output_scale)["outputs"]

    def _start(self, network, support_x, support_y, support_weight, class_mask, parts):
        y, weight = mapped(itemgetter(slice(None)), support_y), support_weight[:]
        params = network.initial(len(y))
        if not self.head.reads_support:
            parts = ()
        head, features = self._head(network, params, support_x, y, weight, class_mask, parts)
        return params | _named(head), features if parts else None

    def _head(self, network, params, support_x, y, weight, class_mask, parts):
        """Tensors of the last layer, by the features of support rows, a part after another; and these."""
        features = None
        if parts:
            features = torch.cat([network.features(params, support_x[part]) for part in parts], -2)
        elif self.head.is_posterior:  # no row leaves the prior
            y, weight = (t.narrow(weight.ndim - 1, 0, 0) for t in (y, weight))
            features = weight.new_zeros(*weight.shape, self.head.n_features)
        n_way = None if class_mask is None else class_mask.shape[-1]
        head = network.head(self.head, features, y, weight, n_way, class_mask)
        if class_mask is not None and not self.head.is_posterior:
            # Rows of classes that the task lacks count nowhere.
            head = {name: p * _as_rows(class_mask, p) for name, p in head.items()}
        return head, features

    def _adapt(
        self, network, start, features, support_x, support_y, support_weight, class_mask, n_steps, parts
    ):
        support = features, support_x, support_y, support_weight, class_mask
        adapted = start
        if self.adapted and n_steps and (not self.head.is_posterior or self.head.is_open):
            adapted = start | self._descend(network, start, *support, n_steps, parts)
        if not self.head.is_posterior:
            return adapted
        y, weight = support_y[:], support_weight[:]
        head, _ = self._head(network, adapted, support_x, y, weight, class_mask, parts)
        return adapted | _named(self.head.calibrated(head))

    def _descend(
        self, network, start, features, support_x, support_y, support_weight, class_mask, n_steps, parts
    ):
        gradients = [
            network.gradient(
                start,
                self.adapted,
                partial(getitem, support_x, part),
                mapped(itemgetter(part), support_y),
                support_weight[part],
                class_mask,
                features if len(parts) == 1 else None,
            )
            for part in parts
        ]
        gradient = gradients[0]
        if len(parts) > 1:
            total = support_weight[:].sum()
            shares = [support_weight[part].sum() / total for part in parts]
            gradient = gradient_of_parts(list(zip(shares, gradients, strict=True)))
        n_axes = support_weight[:].ndim - 1
        if self.largest_gradient is not None:
            gradient = bounded(gradient, self.largest_gradient, n_axes)
        changing = {name: start[name] for name in self.adapted}
        first_order = self.meta_gradient != "second_order"
        rule = self._rule(changing, class_mask, n_axes)
        return inner_loop(gradient, changing, rule, n_steps, first_order=first_order)

    def _rule(self, params, class_mask, n_axes):
        inner_lr = dict(zip(self.adapted, self.log_inner_lr.exp().unbind(), strict=True))
        if self.meta_model is None:
            return GradientDescent(inner_lr)
        sizes = {name: p.new_tensor(p.shape[n_axes:].numel()) for name, p in params.items()}
        if class_mask is not None:
            n_way = class_mask.sum(-1)
            for name in "head.weight", "head.bias":
                if name in params:
                    sizes[name] = n_way * params[name].shape[n_axes + 1 :].numel()
        return LearnedUpdate(inner_lr, self.meta_model, self.meta_model_lr, self.inner_steps, sizes)

    def _n_steps(self):
        if not self.training:
            return self.adapt_steps
        return 0 if self.meta_gradient == "joint" else self.inner_steps

    def chosen_strategy(self):
        """``"batched"``, ``"vmap"`` or ``"loop"``: the one that is forced, or the fastest here."""
        forced = FORCED.get()
        if forced == "batched" and not can_be_batched(self):
            raise ValueError(
                "forced_strategy('batched') needs the default network or an MLP, all of which "
                "adapts, and a default meta_model. Use 'auto'."
            )
        return forced or self.fastest_strategy()

    def fastest_strategy(self):
        """The strategy that is not forced."""
        if can_be_batched(self):
            return "batched"
        # One weight for each task turns a convolution into a grouped one, slow on a CPU.
        convolves = any(isinstance(m, nn.Conv1d | nn.Conv2d | nn.Conv3d) for m in self.backbone.modules())
        slow = convolves and self.log_inner_lr.device.type == "cpu"
        return "vmap" if self.vmap_works and not slow else "loop"


def _named(head):
    return {f"head.{name}": p for name, p in head.items()}


def _as_rows(class_mask, p):
    return class_mask.to(p.dtype).reshape(*class_mask.shape, *[1] * (p.ndim - class_mask.ndim))
