"""The engine: the module that runs the inner loop, and the unmodified skorch net around it."""

from skmeta.engine.average import average_iterates
from skmeta.engine.batches import EpisodeSource
from skmeta.engine.held_out import HeldOutScores, is_surely_better
from skmeta.engine.learner import MetaLearner
from skmeta.engine.net import (
    OPTIMIZERS,
    StepProgress,
    best_epoch,
    clip_gradient,
    cosine_decay,
    early_stopping,
    make_net,
    open_features,
)
from skmeta.engine.outer_loop import meta_train, settle, train
from skmeta.engine.pickles import can_resume, packed, unpack
from skmeta.engine.random_state import own_random_state
from skmeta.engine.start import fit_start, starts_from_whole_tasks, starts_with_means
from skmeta.engine.strategy import forced_strategy
from skmeta.engine.threads import threads_of_answer
from skmeta.engine.updates import updates_of

__all__ = [
    "OPTIMIZERS",
    "EpisodeSource",
    "HeldOutScores",
    "MetaLearner",
    "StepProgress",
    "average_iterates",
    "best_epoch",
    "can_resume",
    "clip_gradient",
    "cosine_decay",
    "early_stopping",
    "fit_start",
    "forced_strategy",
    "is_surely_better",
    "make_net",
    "meta_train",
    "open_features",
    "own_random_state",
    "packed",
    "settle",
    "starts_from_whole_tasks",
    "starts_with_means",
    "threads_of_answer",
    "train",
    "unpack",
    "updates_of",
]
