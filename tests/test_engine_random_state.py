"""torch's global generators: lent to one thread at a time, and as before afterwards."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch
from torch import nn

from skmeta.engine import own_random_state

CPU = torch.device("cpu")
N_THREADS = 4
devices = pytest.mark.parametrize("device", [CPU, *map(torch.device, ["cuda"] * torch.cuda.is_available())])


def drawn(seed, device=CPU):
    with own_random_state(seed, device):
        return torch.cat([nn.Linear(3, 2, device=device).weight.detach().cpu().flatten(), torch.randn(4)])


def states():
    cuda = [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []
    return torch.cat([torch.get_rng_state(), *cuda])


@devices
def test_the_seed_alone_decides_and_the_generators_are_as_before(device):
    before = states()
    first = drawn(3, device)
    torch.randn(5, device=device)
    torch.randn(5)
    moved = states()
    assert torch.equal(drawn(3, device), first) and not torch.equal(drawn(4, device), first)
    assert torch.equal(states(), moved) and not torch.equal(moved, before)


@devices
def test_it_tells_whether_anything_was_drawn(device):
    with own_random_state(3, device) as has_drawn:
        torch.randn(3, generator=torch.Generator(device).manual_seed(0), device=device)
        assert not has_drawn()
        nn.functional.dropout(torch.ones(3, device=device))
        assert has_drawn()


def test_generators_are_given_back_after_an_error():
    before = states()
    with pytest.raises(KeyError), own_random_state(3, CPU):
        torch.randn(3)
        raise KeyError
    assert torch.equal(states(), before)


def test_one_may_stand_inside_another():
    with own_random_state(3, CPU):
        plain = torch.randn(4), torch.randn(4)
    with own_random_state(3, CPU):
        first = torch.randn(4)
        drawn(5)
        second = torch.randn(4)
    assert torch.equal(first, plain[0]) and torch.equal(second, plain[1])


def test_threads_draw_what_they_draw_alone():
    before, alone = states(), [drawn(seed) for seed in range(N_THREADS)]
    together = Barrier(N_THREADS)

    def draw(seed):
        together.wait(60)
        return [drawn(seed) for _ in range(50)]

    with ThreadPoolExecutor(N_THREADS) as pool:
        for seed, values in enumerate(pool.map(draw, range(N_THREADS))):
            assert all(torch.equal(v, alone[seed]) for v in values)
    assert torch.equal(states(), before)
