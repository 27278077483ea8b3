"""The outer loop: how a network can be trained is settled first, then skorch takes the steps."""

import warnings
from contextlib import nullcontext
from operator import itemgetter

import torch
from skorch.callbacks import BatchScoring, EpochScoring
from skorch.helper import predefined_split

from skmeta.engine.batches import STEPS_PER_EPOCH
from skmeta.engine.random_state import own_random_state
from skmeta.engine.strategy import FORCED
from skmeta.engine.threads import threads_of_fit
from skmeta.tasks.batch import mapped

# What the history holds only if tasks are held out.
OF_VALIDATION = "valid_loss", "valid_loss_best", "valid_score", "valid_score_best"
# Whose callbacks and optimizers draw no random numbers; those of the user may.
DRAW_NOTHING = "skmeta", "skorch", "torch"


@torch.enable_grad()
def meta_train(net, training, validation, seed):
    """Take the outer steps of ``training``, the way that suits the network.

    What draws from torch's global generators, such as dropout, is found by trying an outer step. They start
    at ``seed`` for it, and so it is trained one at a time; all else is trained in any number of threads.

    Parameters
    ----------
    net : NeuralNet
        As ``make_net`` made it, or trained before.
    training, validation : EpisodeSource
        ``validation`` may be None.
    seed : int
    """
    device, size = net.module_.log_inner_lr.device, net.batch_size
    n_rows = size * training.sampler.n_rows
    with own_random_state(seed, device) as has_drawn, threads_of_fit(net.module_, n_rows):
        settle(net, training.meta_batch(training.steps.start, size))
        alone = has_drawn() or not _is_known(net)
    generators = own_random_state(seed, device) if alone else nullcontext()
    with generators, threads_of_fit(net.module_, n_rows):  # settled, it may be run in another way
        train(net, training, validation)


def _is_known(net):
    parts = [net.optimizer_, *(callback for _, callback in net.callbacks_)]
    return all(type(part).__module__.partition(".")[0] in DRAW_NOTHING for part in parts)


def train(net, source, validation=None):
    """Run the outer steps of ``source``; Ctrl-C ends them early and keeps what was learned."""
    _check_callbacks(net, validation)
    net.set_params(train_split=None if validation is None else predefined_split(validation))
    steps_per_epoch = net.get_params_for("iterator_train").get("steps_per_epoch", STEPS_PER_EPOCH)
    try:
        net.partial_fit(source, y=None, epochs=-(-len(source.steps) // steps_per_epoch))
    except torch.linalg.LinAlgError as error:
        raise FloatingPointError(
            "A posterior head cannot be solved any more, since training has diverged: lower outer_lr or "
            f"inner_lr, or scale the features. {error}"
        ) from error
    finally:
        net.set_params(train_split=None)  # the validation rows need not live as long as the net


def _check_callbacks(net, validation):
    """Raise ValueError for a callback of skorch that needs what there is not."""
    for name, callback in net.callbacks_:
        monitor = getattr(callback, "monitor", None)
        if validation is None and monitor in OF_VALIDATION:
            raise ValueError(
                f"The callback {name!r} monitors {monitor!r}, which needs tasks for meta-validation. "
                "Set early_stopping=True to hold some out."
            )
        if type(callback) not in (EpochScoring, BatchScoring):
            continue
        if not callable(callback.scoring):
            raise ValueError(
                f"The callback {name!r} has scoring={callback.scoring!r}, but it must be a callable "
                "(net, X, y), since its data are episodes. With early_stopping=True the history has "
                "their mean score as 'valid_score'."
            )
        if validation is None and not callback.on_train:
            raise ValueError(
                f"The callback {name!r} scores tasks of meta-validation. Set early_stopping=True to hold "
                "some out, or its on_train=True."
            )


def settle(net, batch):
    """Try an outer step on two tasks, and take the next best way where torch cannot take this one.

    An operation without a second derivative needs ``meta_gradient="first_order"``, which is told, since
    results depend on it. One that ``vmap`` cannot batch is run in a loop over tasks.
    """
    learner = net.module_.train()  # after a fit it is not, and then drops nothing out
    two = itemgetter(slice(2))
    inputs, target = ({name: mapped(two, t) for name, t in part.items()} for part in batch)
    if learner.meta_gradient == "second_order" and learner.adapted:
        _settle_order(learner, inputs)
    _settle_strategy(net, inputs, target)
    learner.zero_grad(set_to_none=True)


def _settle_order(learner, inputs):
    # Plain autograd, since torch.func drops the second derivative of some operations silently.
    support = [
        mapped(itemgetter(0), inputs[name])
        for name in ("support_x", "support_y", "support_weight", "class_mask")
        if name in inputs
    ]
    start = {name: p.detach().requires_grad_() for name, p in learner.start(*support).items()}
    changing = {name: start[name] for name in learner.adapted}
    loss, _ = learner.support_loss(start, *support)(changing)
    try:
        grads = torch.autograd.grad(loss, list(changing.values()), create_graph=True, allow_unused=True)
        sum(g.square().sum() for g in grads if g is not None).backward()
    except RuntimeError as error:
        if "derivative for" not in str(error) and "once_differentiable" not in str(error):
            raise
        reason = str(error).strip().splitlines()[0].rstrip(".")
        warnings.warn(f"{reason}: falling back to meta_gradient='first_order'.", stacklevel=4)
        learner.meta_gradient = "first_order"


def _settle_strategy(net, inputs, target):
    learner = net.module_
    may_choose = FORCED.get() is None and learner.chosen_strategy() == "vmap"
    try:
        with warnings.catch_warnings():
            if may_choose:  # torch warns where vmap would loop itself
                warnings.filterwarnings("error", "There is a performance drop", UserWarning)
            net.criterion_(learner(**inputs), target).backward()
    except (RuntimeError, UserWarning):
        if not may_choose:
            raise
        learner.vmap_works = False
        net.criterion_(learner(**inputs), target).backward()  # raises what vmap was not to blame for
