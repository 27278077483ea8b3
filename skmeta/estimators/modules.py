"""The backbone: built from the data, from a user's class, or copied from a user's network."""

import copy
import inspect

import torch
from torch import nn

from skmeta.core.backbones import BATCH_NORMS, MLP


def make_backbone(module, input_shape, hidden_layer_sizes, kwargs):
    """New ``nn.Module`` for rows of ``input_shape``; ``module`` as the estimators take it.

    A class or factory is called with those of ``in_features``, ``in_channels`` and ``input_shape``
    that its signature names, and with ``kwargs``.
    """
    if module is None:
        if len(input_shape) > 1:
            raise ValueError(
                "Without a module, X must have 2 axes, (n_rows, n_features); got rows of shape "
                f"{tuple(input_shape)}. Pass module=skmeta.Conv4 for images."
            )
        module = MLP
        kwargs = {"hidden_layer_sizes": tuple(hidden_layer_sizes)} | kwargs
    if isinstance(module, nn.Module):
        if kwargs:
            raise ValueError(f"module is an instance, so it takes no arguments; got {sorted(kwargs)}.")
        backbone = copy.deepcopy(module)
    else:
        shape = {"in_features": input_shape[0], "in_channels": input_shape[0], "input_shape": input_shape}
        try:
            known = inspect.signature(module).parameters
            backbone = module(**{name: size for name, size in shape.items() if name in known} | kwargs)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"module={module!r} could not be called with {kwargs}: {error}") from error
        if not isinstance(backbone, nn.Module):
            raise ValueError(f"module must return an nn.Module; got {type(backbone).__name__}.")
    _check_no_batch_statistics(backbone)
    return backbone


def count_features(backbone, rows):
    """Number of features of a row, found by passing one or two; they must not depend on each other."""
    input_shape = rows.shape[1:]
    try:
        # A copy, since going back from eval would also wake batch normalisation that came in eval mode.
        evaluating = copy.deepcopy(backbone).eval()
        with torch.no_grad():
            features, alone = evaluating(rows).flatten(1), evaluating(rows[:1]).flatten(1)
    except Exception as error:
        raise ValueError(f"module failed on rows of shape {tuple(input_shape)}: {error}") from error
    if not torch.allclose(features[:1], alone, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise ValueError(
            "module must map each row alone; its features of a row depend on the rows beside it."
        )
    return features.shape[1]


def _check_no_batch_statistics(backbone):
    for name, layer in backbone.named_modules():
        if isinstance(layer, BATCH_NORMS) and (layer.training or not layer.track_running_stats):
            raise ValueError(
                f"module has the batch normalisation {name!r}, whose statistics would leak from one query "
                "row to another. Use GroupNorm or LayerNorm, or pass an instance with trained statistics, "
                "in eval mode."
            )
