"""Pretraining: the backbone learns from all rows together, before it is trained to adapt."""

import torch

from skmeta.core.heads import LinearHead
from skmeta.engine.threads import chosen_threads

# Adam's own default: there is no inner loop yet that a larger step could upset, or that needs a smaller.
LEARNING_RATE = 1e-3


def pretrain(learner, source, size):
    """Train the backbone and a plain last layer by Adam, on the rows of meta-batches of ``size`` tasks.

    Meta-batches, and not any rows, so that tasks count alike and few of them are in memory at a time. A
    head that is a plain layer is trained itself; for another there is one that is thrown away.

    Parameters
    ----------
    learner : MetaLearner
    source : EpisodeSource
        Its targets are class numbers or values of all rows together; its ``steps`` are the steps.
    size : int

    Returns
    -------
    bool
        Whether Ctrl-C ended it early; what was learned is kept.
    """
    learner.train()
    layer = learner.head
    if not isinstance(layer, LinearHead):
        layer = _new_layer(learner, source, size)
    learned = [p for part in (learner.backbone, layer) for p in part.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learned, LEARNING_RATE)
    with chosen_threads(learner, size * source.sampler.n_rows):
        try:
            for step in source.steps:
                x, y, weight = _rows(*source.meta_batch(step, size))
                features = learner.backbone(x).flatten(1)
                outputs = torch.nn.functional.linear(features, layer.weight, layer.bias)
                optimizer.zero_grad()
                learner.loss(outputs, y, weight).backward()
                optimizer.step()
        except KeyboardInterrupt:
            return True
        finally:
            optimizer.zero_grad()
    return False


def _new_layer(learner, source, size):
    x, _, _ = _rows(*source.meta_batch(0, size))
    with torch.no_grad():
        n_features = learner.backbone(x[:1]).flatten(1).shape[1]
    n_classes = int(source.targets.max()) + 1  # a regression's head is plain
    return LinearHead(n_features, n_classes).to(x.device)


def _rows(inputs, target):
    """Rows of a meta-batch, their targets and weights, those of all tasks one after another."""
    parts = inputs | target
    return (
        torch.cat([parts[f"support_{name}"], parts[f"query_{name}"]], 1).flatten(0, 1)
        for name in ("x", "y", "weight")
    )
