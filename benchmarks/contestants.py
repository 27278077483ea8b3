"""Other ways to compute an outer step: each leaves the meta-gradient in the model's ``grad``."""

from importlib import import_module

import torch
from torch.func import functional_call


def tutorial_loop(model, batch, case):
    """Plain PyTorch, task after task, as tutorials write it."""
    torch.stack([_query_loss(model, task, case) for task in batch.tasks()]).mean().backward()


def task_by_task(model, batch, case):
    """The same with a backward pass for each task, which frees the memory of the one before."""
    for task in batch.tasks():
        (_query_loss(model, task, case) / case.n_tasks).backward()


def _query_loss(model, task, case):
    support_x, support_y, query_x, query_y = task
    params = {name: p.clone() for name, p in model.named_parameters()}
    for _ in range(case.inner_steps):
        loss = case.loss(functional_call(model, params, support_x), support_y)
        grads = torch.autograd.grad(loss, list(params.values()), create_graph=case.second_order)
        params = {name: p - case.inner_lr * g for (name, p), g in zip(params.items(), grads, strict=True)}
    return case.loss(functional_call(model, params, query_x), query_y)


def with_higher(model, batch, case):
    """As in higher's example of MAML; its way to first order is a query gradient of the adapted copy."""
    higher = import_module("higher")
    inner = torch.optim.SGD(model.parameters(), lr=case.inner_lr)
    options = {"copy_initial_weights": False, "track_higher_grads": case.second_order}
    for support_x, support_y, query_x, query_y in batch.tasks():
        with higher.innerloop_ctx(model, inner, **options) as (adapted, optimizer):
            for _ in range(case.inner_steps):
                optimizer.step(case.loss(adapted(support_x), support_y))
            loss = case.loss(adapted(query_x), query_y) / case.n_tasks
            if case.second_order:
                loss.backward()
            else:
                _add_grads(model, torch.autograd.grad(loss, list(adapted.parameters())))


def _add_grads(model, grads):
    for p, g in zip(model.parameters(), grads, strict=True):
        p.grad = g.clone() if p.grad is None else p.grad + g


def with_torchopt(model, batch, case):
    """TorchOpt's functional optimizer, which leaves the order of the gradient to the caller."""
    torchopt = import_module("torchopt")
    optimizer = torchopt.sgd(lr=case.inner_lr)
    losses = []
    for support_x, support_y, query_x, query_y in batch.tasks():
        names, params = zip(*model.named_parameters(), strict=True)
        state = optimizer.init(params)
        for _ in range(case.inner_steps):
            output = functional_call(model, dict(zip(names, params, strict=True)), support_x)
            grads = torch.autograd.grad(case.loss(output, support_y), params, create_graph=case.second_order)
            updates, state = optimizer.update(grads, state, inplace=False)
            params = torchopt.apply_updates(params, updates, inplace=False)
        output = functional_call(model, dict(zip(names, params, strict=True)), query_x)
        losses.append(case.loss(output, query_y))
    torch.stack(losses).mean().backward()


def with_learn2learn(model, batch, case):
    """As in learn2learn's examples of MAML."""
    learn2learn = import_module("learn2learn")
    maml = learn2learn.algorithms.MAML(model, lr=case.inner_lr, first_order=not case.second_order)
    for support_x, support_y, query_x, query_y in batch.tasks():
        learner = maml.clone()
        for _ in range(case.inner_steps):
            learner.adapt(case.loss(learner(support_x), support_y))
        (case.loss(learner(query_x), query_y) / case.n_tasks).backward()


PEERS = {"higher": with_higher, "torchopt": with_torchopt, "learn2learn": with_learn2learn}


def missing_peers():
    """Peers that cannot be imported, with the reason."""
    reasons = {}
    for name in PEERS:
        try:
            import_module(name)
        except ImportError as error:
            reasons[name] = str(error)
    return reasons


def loops():
    """Contestants that go from task to task: the tutorial's loop and the peers that are installed."""
    missing = missing_peers()
    return {"loop": tutorial_loop} | {name: f for name, f in PEERS.items() if name not in missing}
