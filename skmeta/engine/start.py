"""The start of a posterior head: a simple model of the features, fitted before any outer step.

Targets of many tasks get the linear mixed model, unless features are many, and those of a single task
Bayesian ridge regression. Else the prior is what answers a fixed set of training episodes best: that of such
targets and of two shared classes, whole; that of more classes, of one task alone, or of classes of a task's
own, up to one precision for all features.
"""

import torch
from sklearn.linear_model import BayesianRidge
from torch.func import functional_call

from skmeta.core.backbones import InputAndMLP
from skmeta.core.losses import of_query
from skmeta.core.mixed_model import LEAST_NOISE, fit_prior
from skmeta.core.posterior import GaussianHead, LeastSquaresHead
from skmeta.engine.networks import answers, in_units_of_query
from skmeta.tasks import limits

# Numbers of means that are learned; of more, the precision alone.
MOST_MEANS = 20_000
# Of features that a mixed model takes: its matrices are so wide. With few rows for each, means have a prior.
MOST_RANDOM, ROWS_FOR_A_FEATURE = 256, 5
# Log precisions of features and of the constant, to which those of shared classes are drawn, and how
# strongly; how strongly their means are drawn to zero. A few tasks cannot tell of many features.
FEATURES, CONSTANT, OF_PRECISIONS, OF_MEANS = 1.3, -0.7, 0.1, 0.25
# Log precision of the level of a task like the only one that was seen, whose deviation is the unit.
LEVEL_OF_ONE = -4.6
# Steps of L-BFGS.
N_STEPS = 40


def starts_from_whole_tasks(learner, n_tasks):
    """Whether ``fit_start`` takes whole tasks, not episodes."""
    values = isinstance(learner.head, GaussianHead)
    return values and (n_tasks == 1 or _n_features(learner) <= MOST_RANDOM)


def starts_with_means(learner, n_tasks):
    """Whether ``fit_start`` fits means to episodes; without them there are no more than a few numbers."""
    if n_tasks == 1 or isinstance(learner.head, LeastSquaresHead):
        return False
    return len(learner.head.mean) * (_n_features(learner) + 1) <= MOST_MEANS


@torch.enable_grad()
def fit_start(learner, tasks, episodes, n_tasks):
    """Fit the head of a ``MetaLearner`` to training tasks; what a network adds to the input is left out.

    Parameters
    ----------
    learner : MetaLearner
        Its head is a posterior one.
    tasks : Batch or None
        Whose support sets hold all rows of a task, if the learner ``starts_from_whole_tasks``.
    episodes : Batch or None
        Else episodes of tasks.
    n_tasks : int
        What these are of.

    Returns
    -------
    float or None
        Loss of the episodes, and what the priors of the prior add to it.
    """
    # On the CPU, since not all devices know doubles.
    head = learner.head.narrowed(_n_features(learner)).cpu().double()
    loss = None
    if tasks is not None:
        features = _features_of_input(learner, tasks.support_x)
        y, weight = tasks.support_y.cpu().double(), tasks.support_weight.cpu().double()
        if n_tasks == 1:
            prior = _prior_of_one(features[0], y[0])
        else:
            many = features.shape[-1] * ROWS_FOR_A_FEATURE > weight.sum()
            prior = fit_prior(features, y, weight, many=bool(many))
        head.load_state_dict(prior, strict=False)
    else:
        means = starts_with_means(learner, n_tasks)
        loss = _fit_to_episodes(learner, head, episodes, n_tasks, means)
    learner.head.take(head)
    return loss


def _prior_of_one(features, y):
    """Prior of tasks like the only one: weights around zero, by Bayesian ridge regression."""
    fits = [BayesianRidge().fit(features.numpy(), column) for column in y.T.numpy()]
    precision, noise = torch.tensor([[fit.lambda_, 1 / fit.alpha_] for fit in fits]).double().T
    log_precision = precision.log()[:, None].repeat(1, features.shape[-1] + 1)
    log_precision[:, -1] = LEVEL_OF_ONE
    log_noise = noise.clamp_min(LEAST_NOISE).log()
    return {"mean": torch.zeros_like(log_precision), "log_precision": log_precision, "log_noise": log_noise}


def _n_features(learner):
    """How many the head sees before the backbone has learned anything."""
    backbone = learner.backbone
    return backbone.in_features if isinstance(backbone, InputAndMLP) else learner.head.n_features


@torch.no_grad()
def _features_of_input(learner, x):
    """These features of rows, in double precision."""
    if isinstance(learner.backbone, InputAndMLP):
        return x.cpu().double()
    learner.backbone.eval()
    rows = x.flatten(0, 1)
    parts = [learner.backbone(rows[part]).flatten(1) for part in limits.parts(len(rows), rows.shape[1:])]
    return torch.cat(parts).cpu().double().unflatten(0, x.shape[:2])


def _fit_to_episodes(learner, head, episodes, n_tasks, means):
    """Change the head so that the query rows of the episodes are answered well, by L-BFGS."""
    parts = _with_features(learner, episodes.inputs(), episodes.target())
    n_query = sum(target["query_weight"].sum() for _, target in parts).clamp_min(1)
    with torch.no_grad():
        head.log_precision.fill_(FEATURES)
        head.log_precision[..., -1] = CONSTANT
    start = dict(head.named_parameters())
    # Episodes of classes of a task's own differ, if they have one task.
    n_told = n_tasks if means else len(episodes.support_x)
    # Of means that stay zero, one precision for all features, and one for the constant.
    q = head.log_precision.shape[-1]
    free = start["log_precision"].new_zeros(q if means else 2).requires_grad_()
    others = [p for name, p in start.items() if name not in ("log_precision", *([] if means else ["mean"]))]

    def params():
        shift = free if means else torch.cat([free[:1].expand(q - 1), free[1:]])
        return start | {"log_precision": start["log_precision"].detach() + shift}

    def prior():
        value = OF_PRECISIONS / n_told * free.square().sum()
        return value + OF_MEANS / n_tasks * head.mean[..., :-1].square().sum() if means else value

    def criterion():
        optimizer.zero_grad()
        value = prior()
        value.backward()
        for part in parts:
            loss = _loss(learner, head, params(), *part) / n_query
            loss.backward()
            value = value.detach() + loss.detach()
        return value

    optimizer = torch.optim.LBFGS(
        [free, *others],
        max_iter=N_STEPS,
        tolerance_grad=1e-6,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )
    optimizer.step(criterion)
    value = criterion().item()
    with torch.no_grad():
        head.log_precision.copy_(params()["log_precision"])
    return value


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


def _loss(learner, head, params, inputs, target):
    """Sum over query rows: a few of a task must not count as much as many."""
    mask = inputs.get("class_mask")
    n_way = None if mask is None else mask.shape[-1]
    support = inputs["support"], inputs["support_y"], inputs["support_weight"]
    layer = functional_call(head, params, (*support, n_way, mask))
    outcome = answers({f"head.{name}": p for name, p in layer.items()}, inputs["query"], mask)
    outcome = in_units_of_query(outcome, inputs.get("output_scale"))
    return (of_query(learner.objective.loss, outcome, target) * target["query_weight"].sum(-1)).sum()
