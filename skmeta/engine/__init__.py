"""The engine: the module that runs the inner loop, and the unmodified skorch net around it."""

from skmeta.engine.average import average_iterates
from skmeta.engine.batches import EpisodeSource
from skmeta.engine.learner import MetaLearner
from skmeta.engine.net import OPTIMIZERS, StepProgress, clip_gradient, early_stopping, make_net, settle, train
from skmeta.engine.strategy import forced_strategy
from skmeta.engine.threads import choose_threads, restored_threads
from skmeta.engine.updates import updates_of

__all__ = [
    "OPTIMIZERS",
    "EpisodeSource",
    "MetaLearner",
    "StepProgress",
    "average_iterates",
    "choose_threads",
    "clip_gradient",
    "early_stopping",
    "forced_strategy",
    "make_net",
    "restored_threads",
    "settle",
    "train",
    "updates_of",
]
