"""Augmentation: random changes of the rows of a meta-batch, for meta-training alone.

Each is a function of rows ``X``, shape ``(n_tasks, n_support + n_query, ...)``, and of a
``torch.Generator``, to rows of the same shape. Support and query rows come together, so that what changes
a task can change both alike.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from skmeta.parameter_rules import COUNT, NONE, POSITIVE, Kind, check_value


@dataclass(frozen=True)
class GaussianNoise:
    """Adds normal noise to each number of each row.

    Parameters
    ----------
    scale : float
        Standard deviation of the noise, in units of the feature's own: its standard deviation over all
        rows of the meta-batch, of all tasks, since one task has too few rows to tell. Rows that fill up
        smaller tasks count too. A constant feature stays as it is.

    Examples
    --------
    >>> import torch
    >>> X = torch.arange(6.0).reshape(1, 6, 1)
    >>> GaussianNoise(0.5)(X, torch.Generator().manual_seed(0)).shape
    torch.Size([1, 6, 1])
    """

    scale: float

    def __post_init__(self):
        _check(self, "scale", [POSITIVE])

    def __call__(self, X, generator):
        noise = torch.randn(X.shape, generator=generator, device=X.device, dtype=X.dtype)
        return X + self.scale * _deviation(X) * noise


def _deviation(X):
    """Of the values of each feature that are not missing; it lets one that is all missing be so."""
    centred = X - X.nanmean((0, 1))
    return centred.square().nanmean((0, 1)).sqrt().nan_to_num(nan=0.0)


@dataclass(frozen=True)
class Rotations:
    """Turns all images of a task by 0, 90, 180 or 270 degrees, which makes a new task of it.

    Images are square, in the last two axes. On Omniglot the literature takes each rotation of a character
    for a class of its own (Santoro et al., Meta-Learning with Memory-Augmented Neural Networks, 2016), so
    that an episode mixes rotations. Here they are the same for a task, whose classes keep their labels.

    Examples
    --------
    >>> import torch
    >>> X = torch.zeros(4, 6, 1, 28, 28)
    >>> Rotations()(X, torch.Generator().manual_seed(0)).shape
    torch.Size([4, 6, 1, 28, 28])
    """

    def __call__(self, X, generator):
        if X.ndim < 4 or X.shape[-1] != X.shape[-2]:
            raise ValueError(f"Rotations needs square images; got rows of shape {tuple(X.shape[2:])}.")
        turns = torch.randint(4, (len(X),), generator=generator, device=X.device)
        return torch.stack([task.rot90(k, (-2, -1)) for task, k in zip(X, turns.tolist(), strict=True)])


@dataclass(frozen=True)
class Shifts:
    """Moves each image by itself, up or down and left or right.

    What comes in at an edge is zero, so zero should be the background: paper, not ink.

    Parameters
    ----------
    n_pixels : int
        The largest move, less than the image's height and width. All moves up to it are equally likely,
        none included.
    shape : tuple of two ints, default=None
        Height and width of images of one channel that are flat rows of pixels. None: they are the last two
        axes, after that of channels.

    Examples
    --------
    >>> import torch
    >>> generator = torch.Generator().manual_seed(0)
    >>> Shifts(2)(torch.zeros(4, 6, 1, 28, 28), generator).shape
    torch.Size([4, 6, 1, 28, 28])
    >>> Shifts(1, shape=(8, 8))(torch.zeros(4, 6, 64), generator).shape
    torch.Size([4, 6, 64])
    """

    n_pixels: int
    shape: tuple | None = None

    def __post_init__(self):
        _check(self, "n_pixels", [COUNT])
        _check(self, "shape", [NONE, Kind(_is_shape, "a tuple of two ints in [1, inf)")])

    def __call__(self, X, generator):
        height, width = self._check_size(X)
        images = X.reshape(X.shape[0] * X.shape[1], -1, height, width)
        top, left = torch.randint(
            2 * self.n_pixels + 1, (2, len(images)), generator=generator, device=X.device
        )
        # All windows on each padded image: views of it, of which one is copied.
        windows = pad(images, (self.n_pixels,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        return windows[torch.arange(len(images), device=X.device), :, top, left].reshape(X.shape)

    def _check_size(self, X):
        got = f"got rows of shape {tuple(X.shape[2:])}."
        if self.shape is None and X.ndim < 4:
            raise ValueError(f"Shifts needs images, or shape=(height, width) of those in flat rows; {got}")
        if self.shape is not None and tuple(X.shape[2:]) != (self.shape[0] * self.shape[1],):
            raise ValueError(f"Shifts needs flat rows of images of shape={self.shape!r}; {got}")
        height, width = self.shape or X.shape[-2:]
        if self.n_pixels >= min(height, width):
            raise ValueError(
                "The 'n_pixels' parameter of Shifts must be less than the height and width of the images, "
                f"here {height} and {width}. Got {self.n_pixels!r} instead."
            )
        return height, width


def _check(augmentation, name, allowed):
    """Keep what ``check_value`` makes of a field, though the dataclass is frozen for all others."""
    value = check_value(type(augmentation).__name__, name, getattr(augmentation, name), allowed)
    object.__setattr__(augmentation, name, value)


def _is_shape(value):
    return isinstance(value, tuple) and len(value) == 2 and all(map(COUNT.allows, value))
