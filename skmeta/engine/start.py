"""The start of a posterior head: a simple model of the features, fitted before any outer step.

Targets of many tasks get the linear mixed model, unless features are many, and those of a single task
Bayesian ridge regression. Shared classes of a single task get the prior by which each row is answered best by
the others. Else the prior is what answers a fixed set of training episodes best. Classes of a single task,
classes of a task's own, and more than two shared ones have one precision for all features.

With a kernel, the mixed model of few features also finds its length scales, for classes as if these were
values of 0 and 1; of more than two shared classes, it also gives the means.
"""

import math

import torch
from sklearn.linear_model import BayesianRidge
from torch import nn
from torch.nn.utils import parametrize

from skmeta.core.backbones import InputAndMLP
from skmeta.core.kernel import matern, whitening
from skmeta.core.losses import of_query
from skmeta.core.mixed_model import LEAST_NOISE, bounded, fit_prior
from skmeta.core.posterior import GaussianHead, LeastSquaresHead
from skmeta.engine.networks import answers, in_units_of_query
from skmeta.engine.threads import threads_of_fit
from skmeta.tasks import limits

# Numbers of means that are learned; of more, the precision alone.
MOST_MEANS = 20_000
# Of features that a mixed model takes: its matrices are so wide. With few rows for each, means have a prior.
MOST_RANDOM, ROWS_FOR_A_FEATURE = 256, 5
# Log precisions of features and of the constant, to which those of shared classes are drawn, and how
# strongly; how strongly their means are drawn to zero. A few tasks cannot tell of many features.
FEATURES, CONSTANT, OF_PRECISIONS, OF_MEANS = 1.3, -0.7, 0.1, 0.25
# So weakly is the noise drawn to one: of targets that are all the same, its likelihood has no bound.
OF_NOISE = 1e-4
# More features than these share the variance of so many, before and where data tell little. With that of a
# few for each, 256 columns of embeddings gave ridge regression 20 times too much of it: of five new intents
# of BANKING77, five rows each, 93.8 % were right, with this 94.2 %.
FEW_FEATURES = 5
# How strongly all numbers of a single task's prior are drawn to what they are before: each row by the others
# alone, of 30, would want logits without bound.
OF_ONE_TASK = 0.5
# Logarithm of what each column is multiplied by, before a kernel is fitted, and the most it may become.
FIRST_LOG_SCALE, MOST_LOG_SCALE = -1.0, 5.0
# Log precision of the level of a task like the only one that was seen, whose deviation is the unit.
LEVEL_OF_ONE = -4.6
# Steps of L-BFGS.
N_STEPS = 40


def starts_from_whole_tasks(learner, n_tasks):
    """Whether ``fit_start`` takes whole tasks, not episodes."""
    if not isinstance(learner.head, GaussianHead):
        # Of a task's own classes, there is one pool for many episodes.
        return n_tasks == 1 and not learner.head.reads_support
    return learner.head.starts_from_whole_tasks and (n_tasks == 1 or _n_features(learner) <= MOST_RANDOM)


def starts_with_means(learner, n_tasks):
    """Whether ``fit_start`` fits means to episodes; without them there are no more than a few numbers."""
    if n_tasks == 1 or isinstance(learner.head, LeastSquaresHead):
        return False
    return len(learner.head.mean) * (_n_features(learner) + 1) <= MOST_MEANS


def fit_kernel(learner, tasks):
    """Fit the kernel of the backbone to whole tasks, of classes as if these were values of 0 and 1.

    Parameters
    ----------
    learner : MetaLearner
        Its backbone has a kernel, whose centers are set to rows, and whose scales to those of most
        likelihood: what tasks have in common, and what each adds to it, are Gaussian processes then.
    tasks : Batch
        Whose support sets hold some of the rows of a task.

    Returns
    -------
    dict of str to Tensor
        Prior of the targets, as ``GaussianHead`` has it; its means are those of ``LeastSquaresHead`` too.
    """
    kernel, x, y = learner.backbone.kernel, tasks.support_x.cpu().double(), tasks.support_y.cpu()
    weight = tasks.support_weight.cpu().double()
    if not y.is_floating_point():  # of two classes, a head has a mean of the second alone
        n_means = len(learner.head.mean)
        y = nn.functional.one_hot(y, max(n_means, 2))[..., -n_means:]
    centers = _some_rows(x[weight > 0], len(kernel.centers))
    log_scale = x.new_full(x.shape[-1:], FIRST_LOG_SCALE).requires_grad_()

    def scale():
        return bounded(log_scale, MOST_LOG_SCALE).exp()

    def features():
        return torch.cat([x, matern(x, centers, scale()) @ whitening(centers, scale())], -1)

    prior = fit_prior(features, y.double(), weight, n_tied=len(centers), learned=[log_scale])
    kernel.set(centers, scale())
    return prior


@torch.enable_grad()
def fit_start(learner, tasks, episodes, n_tasks):
    """Fit the head of a ``MetaLearner`` to training tasks; what a network adds to the input is left out.

    Parameters
    ----------
    learner : MetaLearner
        Its head is a posterior one.
    tasks : Batch or None
        Whose support sets hold the rows of a task, or many of them, if the learner
        ``starts_from_whole_tasks`` or ``has_kernel``.
    episodes : Batch or None
        Of tasks, unless it ``starts_from_whole_tasks``.
    n_tasks : int
        What these are of.

    Returns
    -------
    float or None
        Loss of the episodes, and what the priors of the prior add to it.
    """
    seen = episodes if tasks is None else tasks
    with threads_of_fit(learner, seen.support_x.shape[:2].numel()):
        return _fit_start(learner, tasks, episodes, n_tasks)


def _fit_start(learner, tasks, episodes, n_tasks):
    # On the CPU, since not all devices know doubles.
    head = learner.head.narrowed(_n_features(learner)).cpu().double()
    loss = None
    if has_kernel(learner):
        prior = fit_kernel(learner, tasks)
        if isinstance(head, GaussianHead):
            head.load_state_dict(prior, strict=False)
        elif isinstance(head, LeastSquaresHead):
            head.load_state_dict({"mean": prior["mean"]}, strict=False)
    elif tasks is not None:
        _fit_to_tasks(learner, head, tasks, n_tasks)
    if episodes is not None:
        means = starts_with_means(learner, n_tasks)
        loss = _fit_to_episodes(learner, head, episodes, n_tasks, means)
    learner.head.take(head)
    return loss


def _fit_to_tasks(learner, head, tasks, n_tasks):
    """Change the head to the prior of whole tasks, in closed form or nearly."""
    features = _features_of_input(learner, tasks.support_x)
    y, weight = tasks.support_y.cpu(), tasks.support_weight.cpu().double()
    if not y.is_floating_point():
        _fit_to_rows(learner, head, features[0], y[0], weight[0])
    elif n_tasks == 1:
        head.load_state_dict(_prior_of_one(features[0], y[0].double(), weight[0]), strict=False)
    else:
        n_tied = features.shape[-1] if features.shape[-1] * ROWS_FOR_A_FEATURE > weight.sum() else 0
        head.load_state_dict(fit_prior(features, y.double(), weight, n_tied=n_tied), strict=False)


def _some_rows(rows, n):
    """Of different rows, ``n`` at random; the same again where there are fewer."""
    different = rows.unique(dim=0)
    order = torch.randperm(len(different), generator=torch.Generator().manual_seed(0))
    return different[order.repeat(-(-n // len(order)))[:n]]


def _prior_of_one(features, y, weight):
    """Prior of tasks like the only one: weights around zero, by Bayesian ridge regression."""
    fits = [BayesianRidge().fit(features.numpy(), column, weight.numpy()) for column in y.T.numpy()]
    precision, noise = torch.tensor([[fit.lambda_, 1 / fit.alpha_] for fit in fits]).double().T
    # Rows that count less than one in all leave its estimates negative.
    precision, noise = (torch.where(p > 0, p, 1.0) for p in (precision, noise))
    log_precision = precision.log()[:, None].repeat(1, features.shape[-1] + 1)
    log_precision[:, -1] = LEVEL_OF_ONE
    log_noise = noise.clamp_min(LEAST_NOISE).log()
    return {"mean": torch.zeros_like(log_precision), "log_precision": log_precision, "log_noise": log_noise}


def has_kernel(learner):
    """Whether the start has a kernel."""
    return isinstance(learner.backbone, InputAndMLP) and learner.backbone.kernel is not None


def _n_features(learner):
    """How many the head sees before the backbone has learned anything."""
    backbone = learner.backbone
    return backbone.n_kept if isinstance(backbone, InputAndMLP) else learner.head.n_features


@torch.no_grad()
def _features_of_input(learner, x):
    """These features of rows, in double precision."""
    if isinstance(learner.backbone, InputAndMLP):
        return learner.backbone.kept(x).cpu().double()
    learner.backbone.eval()
    rows = x.flatten(0, 1)
    parts = [learner.backbone(rows[part]).flatten(1) for part in limits.parts(len(rows), rows.shape[1:])]
    return torch.cat(parts).cpu().double().unflatten(0, x.shape[:2])


def _fit_to_rows(learner, head, features, y, weight):
    """Change the head so that each row of a single task is answered well by the others."""

    def loss_of(rows):
        return learner.objective.loss(head.left_out(*rows), *rows[1:])

    strengths = dict.fromkeys(("log_precision", "log_scale", "bias"), OF_ONE_TASK / weight.sum())
    _minimize(head, loss_of, [(features, y, weight)], strengths, head.n_features)


def _fit_to_episodes(learner, head, episodes, n_tasks, means):
    """Change the head so that the query rows of the episodes are answered well; their loss."""
    parts = _with_features(learner, episodes.inputs(), episodes.target())
    n_query = sum(target["query_weight"].sum() for _, target in parts).clamp_min(1)
    # Episodes of classes of a task's own differ, if they have one task.
    n_told = n_tasks if means else len(episodes.support_x)
    strengths = {"log_precision": OF_PRECISIONS / n_told, "log_noise": OF_NOISE}
    strengths |= {"mean": OF_MEANS / n_told} if means else {}
    # Shared classes want more variance. Of WISDM, 43 columns, one seed, 27.9 and 20.5 % were wrong with that
    # of a few for each column, 29.1 and 21.4 % if they share it; log losses of males were .94 and .97 of the
    # best rival's.
    n_features = head.n_features if head.reads_support else FEW_FEATURES
    return _minimize(head, lambda part: _loss(learner, head, *part) / n_query, parts, strengths, n_features)


def _minimize(head, loss_of, parts, strengths, n_features):
    """Change the head so that the sum of ``loss_of`` each of the ``parts`` is small, by L-BFGS; that sum.

    ``strengths`` tells how strongly parameters are drawn to what they are before; ``n_features`` share the
    variance of a few. If the means have no strength, they stay, and all features have one precision.
    """
    with torch.no_grad():
        head.log_precision.fill_(FEATURES + math.log(max(1.0, n_features / FEW_FEATURES)))
        head.log_precision[..., -1] = CONSTANT
    are_tied = "mean" not in strengths
    if are_tied:
        parametrize.register_parametrization(
            head, "log_precision", OnePrecision(head.log_precision.shape[-1])
        )
    usual = {name: getattr(head, name).detach().clone() for name in strengths if hasattr(head, name)}

    def shift(name):
        p = getattr(head, name) - usual[name]
        if name == "mean":
            return p[..., :-1]
        return p[..., [0, -1]] if name == "log_precision" and are_tied else p

    def criterion():
        optimizer.zero_grad()
        value = sum(strengths[name] * shift(name).square().sum() for name in usual)
        value.backward()
        for part in parts:
            loss = loss_of(part)
            loss.backward()
            value = value.detach() + loss.detach()
        return value

    optimizer = torch.optim.LBFGS(
        [p for name, p in head.named_parameters() if name != "mean" or not are_tied],
        max_iter=N_STEPS,
        tolerance_grad=1e-6,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )
    optimizer.step(criterion)
    value = criterion().item()
    if are_tied:
        parametrize.remove_parametrizations(head, "log_precision")
    return value


class OnePrecision(nn.Module):
    """The log precisions of a head, where all features have one, and the constant, the last, its own."""

    def __init__(self, q):
        super().__init__()
        self.q = q

    def forward(self, two):
        return torch.cat([two[..., :1].expand(*two.shape[:-1], self.q - 1), two[..., 1:]], -1)

    def right_inverse(self, log_precision):
        return log_precision[..., [0, -1]]


def _with_features(learner, inputs, target):
    """Pairs of inputs and target, each of so many episodes as are solved at once."""
    support, query = (_features_of_input(learner, inputs[f"{part}_x"]) for part in ("support", "query"))
    inputs, target = (
        {n: t.cpu().double() if t.is_floating_point() else t.cpu() for n, t in part.items() if n[-2:] != "_x"}
        for part in (inputs, target)
    )
    inputs |= {"support": support, "query": query}
    n_numbers = (support.numel() + query.numel()) // len(support)
    at_once = max(1, limits.NUMBERS_SOLVED_AT_ONCE // n_numbers)
    of_each = [{n: t.split(at_once) for n, t in part.items()} for part in (inputs, target)]
    return [
        tuple({n: parts[i] for n, parts in part.items()} for part in of_each)
        for i in range(-(-len(support) // at_once))
    ]


def _loss(learner, head, inputs, target):
    """Sum over query rows: a few of a task must not count as much as many."""
    mask = inputs.get("class_mask")
    n_way = None if mask is None else mask.shape[-1]
    support = inputs["support"], inputs["support_y"], inputs["support_weight"]
    layer = head(*support, n_way, mask)
    outcome = answers({f"head.{name}": p for name, p in layer.items()}, inputs["query"], mask)
    outcome = in_units_of_query(outcome, inputs.get("output_scale"))
    return (of_query(learner.objective.loss, outcome, target) * target["query_weight"].sum(-1)).sum()
