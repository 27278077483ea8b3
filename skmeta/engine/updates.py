"""What a meta-model did: the parts of each step of an adaptation, recorded by adapting once more."""

import numpy as np
import torch

from skmeta.core.inner_loop import kept_share, largest_update
from skmeta.core.meta_models import BasisMetaModel


def updates_of(learner, *support, **how):
    """Sizes of the gradient part and of the predicted part of each inner step, and what the latter is of.

    The arguments are those of ``learner.adapt_task``. Returns a dict of arrays: ``tensors``, the names of
    the parameters, shape ``(n_tensors,)``; ``gradient`` and ``predicted``, Euclidean norms of shape
    ``(n_steps, n_tensors)``; and of a ``BasisMetaModel`` ``weights``, ``(n_steps, n_tensors,
    n_directions)``, and the names ``directions``.
    """
    learner = learner.sharing_tensors()  # the hook is not for other threads
    g, steps, weights = learner.meta_model, [], []
    inner_lr = dict(zip(learner.adapted, learner.log_inner_lr.exp().tolist(), strict=True))

    def note(g, args, update):
        (step,) = args
        gradient = [lr * step.grads[name].norm().item() for name, lr in inner_lr.items()]
        lr = learner.meta_model_lr
        largest = largest_update(step.initial_params, step.evidence)
        share = kept_share(update, lr, largest, step.evidence)
        steps.append((gradient, [(lr * share * update[name].norm()).item() for name in inner_lr]))
        if isinstance(g, BasisMetaModel):
            of_tensors = g.direction_weights(step)
            weights.append([(share * of_tensors[name]).flatten().tolist() for name in inner_lr])

    g.register_forward_hook(note)
    with torch.no_grad():
        learner.adapt_task(*support, **how)
    gradient, predicted = np.array(steps).reshape(len(steps), 2, len(inner_lr)).swapaxes(0, 1)
    updates = {"tensors": np.array(learner.adapted), "gradient": gradient, "predicted": predicted}
    if isinstance(g, BasisMetaModel):
        weights = np.array(weights).reshape(len(steps), len(inner_lr), len(g.directions))
        updates |= {"directions": np.array(g.directions), "weights": weights}
    return updates
