"""The backbone: built from the data, from a user's class, or copied from a user's network."""

import copy
import inspect

import torch
from torch import nn

from skmeta.core.backbones import BATCH_NORMS, MLP, InputAndMLP
from skmeta.tasks.pages import MULTIPLE

# Images have so many channels: grey, colours, or colours and opacity.
CHANNELS = 1, 3, 4
ALONE = "module must map each row alone; its features of a row depend on the rows beside it."


def make_backbone(module, input_shape, hidden_layer_sizes, kwargs, keeps_input=False, n_centers=0):
    """New ``nn.Module`` for rows of ``input_shape``; ``module`` as the estimators take it.

    The default one ``keeps_input`` beside what it makes of it, or not, and features of a kernel.

    A class or factory is called with those of ``in_features``, ``in_channels`` and ``input_shape``
    that its signature names, and with ``kwargs``.
    """
    if module is None:
        if len(input_shape) > 1:
            raise ValueError(_needs_a_module(tuple(input_shape)))
        if "n_centers" in kwargs:
            raise ValueError(
                f"module__n_centers={kwargs['n_centers']!r} cannot be set: whether the start has a kernel is "
                "chosen by folds of tasks. Leave it out."
            )
        module = InputAndMLP if keeps_input and len(hidden_layer_sizes) else MLP
        more = {"n_centers": n_centers} if module is InputAndMLP else {}
        kwargs = {"hidden_layer_sizes": tuple(hidden_layer_sizes)} | more | kwargs
    if not isinstance(module, nn.Module):
        return _uncompiled(_call(module, input_shape, kwargs))
    if kwargs:
        raise ValueError(f"module is an instance, so it takes no arguments; got {sorted(kwargs)}.")
    return _uncompiled(copy.deepcopy(module))


def count_features(backbone, rows):
    """Number of features of a row, found by passing a few of the data; they must not depend on each other.

    Lazy layers learn their shapes by it.
    """
    features, alone = (_passed(backbone, part).flatten(1) for part in (rows, rows[:1]))
    _check_no_batch_statistics(backbone)
    if not torch.allclose(features[:1], alone, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise ValueError(ALONE)
    return features.shape[1]


def look_at_map(module, pages):
    """Channels and stride of the feature map that a module makes of pages ``(n_pages, ...)``.

    A page must be mapped alone. Lazy layers learn their shapes by it.
    """
    seen, alone = _passed(module, pages), _passed(module, pages[:1])
    _check_no_batch_statistics(module)
    if seen.ndim != 4 or len(seen) != len(pages):
        raise ValueError(
            "module must map images to a feature map, (n_images, n_features, rows, columns); it mapped "
            f"{tuple(pages.shape)} to {tuple(seen.shape)}. Leave pooling and flattening layers out."
        )
    strides = {side / cells for side, cells in zip(pages.shape[2:], seen.shape[2:], strict=True)}
    stride = int(max(strides))
    if strides != {stride} or MULTIPLE % stride:
        raise ValueError(
            f"module must have one stride that divides {MULTIPLE}, as 4 does; it mapped images of "
            f"{tuple(pages.shape[2:])} pixels to {tuple(seen.shape[2:])} cells. Pad its convolutions."
        )
    if not torch.allclose(seen[:1], alone, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise ValueError(ALONE)
    return seen.shape[1], stride


def _call(module, input_shape, kwargs):
    shape = {"in_features": input_shape[0], "in_channels": input_shape[0], "input_shape": input_shape}
    try:
        known = inspect.signature(module).parameters
        backbone = module(**{name: size for name, size in shape.items() if name in known} | kwargs)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"module={module!r} could not be called with {kwargs}: {error}") from error
    if not isinstance(backbone, nn.Module):
        raise ValueError(f"module must return an nn.Module; got {type(backbone).__name__}.")
    return backbone


def _uncompiled(module):
    """The module without what torch.compile put around it, whose code has no second derivative."""
    module = getattr(module, "_orig_mod", module)  # no public way, but each state_dict shows the name
    for name, child in module.named_children():
        if (own := _uncompiled(child)) is not child:
            setattr(module, name, own)
    return module


def _passed(backbone, rows):
    """What the backbone makes of rows in eval mode; its layers are left in the modes that they were in."""
    modes = {layer: layer.training for layer in backbone.modules()}
    try:
        with torch.no_grad():
            made = backbone.eval()(rows)
            made.flatten(1)  # what is no tensor fails here
            return made
    except Exception as error:
        shape = tuple(rows.shape[1:])
        raise ValueError(
            f"module failed on rows of shape {shape}: {error}{_remedy(backbone, shape)}"
        ) from error
    finally:
        for layer, mode in modes.items():
            layer.training = mode


def _channels_first(shape):
    """What makes images with channels first of rows, and their shape then; None if they may be ones."""
    if len(shape) == 2:
        return "X[:, None]", (1, *shape)
    if len(shape) == 3 and shape[0] not in CHANNELS and shape[2] in CHANNELS:
        return "X.transpose(0, 3, 1, 2)", (shape[2], *shape[:2])
    return None


def _remedy(backbone, shape):
    remedy = _channels_first(shape)
    if remedy is None or not any(isinstance(layer, nn.Conv2d) for layer in backbone.modules()):
        return ""
    how, images = remedy
    name = type(backbone).__name__
    return f". X has rows of shape {shape}; {name} takes channels first, {images}: {how}."


def _needs_a_module(shape):
    how = "for images pass module=skmeta.Conv4"
    if (remedy := _channels_first(shape)) is not None:
        how += f", which takes channels first, {remedy[1]}: {remedy[0]}"
    if len(shape) == 2:
        how += f"; for windows of {shape[0]} steps a module of your own, with nn.Conv1d or nn.GRU"
    return (
        "Without a module, X must have 2 axes, (n_rows, n_features); got rows of shape "
        f"{shape}. Flatten them, X.reshape(len(X), -1), or {how}."
    )


def _check_no_batch_statistics(backbone):
    for name, layer in backbone.named_modules():
        if isinstance(layer, BATCH_NORMS) and (layer.training or not layer.track_running_stats):
            raise ValueError(
                f"module has the batch normalisation {name!r}, whose statistics would leak from one query "
                "row to another. Use GroupNorm or LayerNorm, or pass an instance with trained statistics, "
                "in eval mode."
            )
