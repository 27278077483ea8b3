"""An outer step inside ``fit``, beside the other ways to compute it."""

from dataclasses import replace
from itertools import cycle

import torch

from benchmarks.cases import CONV4, SINUSOID, STRIDED, TABULAR
from benchmarks.contestants import loops
from benchmarks.gradients import check_gradients
from benchmarks.limits import batched_mlp, count_flops, product_block
from benchmarks.timing import StepClock, alternate, mean_block, wait, with_threads
from skmeta.engine import forced_strategy

CASES = [
    SINUSOID,
    TABULAR,
    replace(TABULAR, name="tabular_first", title="tabular MLP, first order", second_order=False),
    CONV4,
    replace(CONV4, name="conv4_first", title="Conv4-64, first order", second_order=False),
    STRIDED,
    replace(STRIDED, name="strided_first", title="own convolutions, first order", second_order=False),
]
# Settings of ``fit`` beside the case's own.
VARIANTS = {
    "skmeta": {},
    "skmeta, vmap": {"strategy": "vmap"},
    "skmeta, loop": {"strategy": "loop"},
    "skmeta, learned rates": {"learn_inner_lr": True},
    "skmeta, TAML": {"algorithm": "TAML"},
}
# A step of Conv4 takes seconds: it does without what no goal asks for.
NOT_OF_CONV4 = "skmeta, learned rates", "skmeta, TAML"
# What also runs with two threads. Loops of tiny operations gain nothing by them, and lose much where
# another program runs.
TWO_THREADS = "skmeta", "skmeta, vmap", "loop", "limit"
TWO_THREADS_OF_CONV4 = "skmeta", "loop", "limit"
# Meta-batches that the contestants other than fit take in turn.
N_BATCHES = 4


def measure(seconds, device="cpu", n_threads=(1, 2), **sizes):
    """Seconds of a step of each case, contestant and number of threads.

    Each case takes about ``seconds`` with one thread, half with two. ``sizes`` replace what the Conv4 cases
    have, whose step takes seconds on a CPU and a blink elsewhere.
    """
    cases = [replace(case, **sizes) if case.convolves else case for case in CASES]
    return {case.name: measure_case(case, seconds, device, n_threads) for case in cases}


def measure_case(case, seconds, device="cpu", n_threads=(1, 2)):
    """Errors of the meta-gradients, and seconds of a step, of one case."""
    others = loops() | ({} if case.convolves else {"limit": batched_mlp})
    errors = check_gradients(case, others, device)
    blocks = make_blocks(case, others, device)
    times = alternate({name: with_threads(1, block) for name, block in blocks.items()}, seconds)
    result = {
        "title": f"{case.title}, {case.n_tasks} tasks",
        "gradient_errors": errors,
        "seconds": {name: {"1": values} for name, values in times.items()},
    }
    if 2 in n_threads:
        measure_two_threads(case, blocks, seconds / 2, result)
    return result


def measure_two_threads(case, blocks, seconds, result):
    """Add the seconds with two threads to a case's result, and those of one thread in turn with them."""
    names = TWO_THREADS_OF_CONV4 if case.convolves else TWO_THREADS
    in_turn = {name: with_threads(2, blocks[name]) for name in names}
    times = alternate(in_turn | {"one core": with_threads(1, blocks["skmeta"])}, seconds)
    result["two_cores"] = {"1": times.pop("one core"), "2": times["skmeta"]}
    for name, values in times.items():
        result["seconds"][name]["2"] = values


def make_blocks(case, others, device):
    """Functions that measure a step of each contestant."""
    left_out = NOT_OF_CONV4 if case.convolves else ()
    variants = {name: variant for name, variant in VARIANTS.items() if name not in left_out}
    blocks = {name: fit_block(case, device, **variant) for name, variant in variants.items()}
    blocks |= {name: mean_block(outer_step(f, case, device)) for name, f in others.items()}
    if case.convolves:
        n_flops = count_flops(case.tutorial_model().to(device), case.batch(device=device), case)
        blocks["limit"] = product_block(n_flops, device)
    return blocks


def fit_block(case, device="cpu", algorithm="TMAML", strategy="auto", **params):
    """A function that measures the seconds of an outer step inside ``fit``, after an epoch of warm-up.

    A case of one step an epoch has steps so long that they warm themselves.
    """
    n = max(1, case.steps // 10) if strategy == "loop" else case.steps
    clock = StepClock()
    estimator = case.estimator(
        algorithm,
        max_iter=n if case.steps == 1 else 2 * n,
        iterator_train__steps_per_epoch=n,
        callbacks=[clock],
        device=device,
        **params,
    )
    tasks = case.tasks(2 * case.n_tasks)

    def block():
        with forced_strategy(strategy):
            estimator.fit(tasks)
        return clock.seconds_[-1]

    return block


def outer_step(fill_gradient, case, device="cpu"):
    """A function that takes an outer step on episodes drawn beforehand."""
    model = case.tutorial_model().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    batches = cycle([case.batch(seed, device) for seed in range(N_BATCHES)])

    def step():
        optimizer.zero_grad()
        fill_gradient(model, next(batches), case)
        optimizer.step()
        wait(device)

    return step
