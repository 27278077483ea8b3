"""Episodes: what a draw may hold, and that it is random and nothing else."""

import numpy as np
import pytest
import torch

from skmeta.tasks.episodes import BothDraws, Episodes, EpisodeSampler, GivenEpisodes, random_order

# Rows of each class, by task: even, ragged, with classes too small to fill both sets, with gaps in the codes.
TASKS = [
    {0: 9, 1: 9, 2: 9, 3: 9},
    {0: 2, 1: 1, 5: 7},
    {0: 1, 1: 2, 2: 4, 3: 5, 4: 6, 5: 30},
    {2: 3, 4: 20},
]
SHAPES = [(None, 5, 15), (2, 1, 1), (3, 2, 4), (5, 40, 3), (9, 3, 1)]


class Flat:
    """Rows of ``TASKS``, interleaved, and with numbers that are not their positions."""

    def __init__(self, tasks=TASKS, order=0):
        cells = [(t, c) for t, classes in enumerate(tasks) for c, n in classes.items() for _ in range(n)]
        self.order = torch.randperm(len(cells), generator=torch.Generator().manual_seed(order))
        self.task, self.label = torch.tensor(cells)[self.order].T
        self.rows = 100 + self.order
        self.cell = {100 + i: cell for i, cell in enumerate(cells)}

    def sampler(self, n_way, n_shot, n_query):
        return EpisodeSampler(self.task, self.label, self.rows, n_way=n_way, n_shot=n_shot, n_query=n_query)


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


ALL = range(len(TASKS))


def draw(shape, tasks=ALL, seed=0, flat=None):
    sampler = (flat or Flat()).sampler(*shape)
    return sampler.draw(torch.as_tensor(tasks), torch.Generator().manual_seed(seed))


def episodes(drawn):
    """``(support, query)`` sets of row numbers of each episode; no row twice in one."""
    parts = []
    for rows, weight in (drawn[:2], drawn[2:]):
        kept = [r[w > 0].tolist() for r, w in zip(rows, weight, strict=True)]
        assert all(len(set(rows)) == len(rows) for rows in kept)
        parts.append(list(map(set, kept)))
    return list(zip(*parts, strict=True))


def test_support_and_query_never_share_a_row(shape):
    for seed in range(20):
        assert all(not support & query for support, query in episodes(draw(shape, seed=seed)))


def test_rows_are_of_the_task(shape):
    cell, tasks = Flat().cell, [3, 1, 1, 2, 0]
    for task, (support, query) in zip(tasks, episodes(draw(shape, tasks)), strict=True):
        assert {cell[row][0] for row in support | query} == {task}


def test_classes_give_n_shot_rows_or_half_of_a_small_class_and_the_rest_up_to_n_query(shape):
    n_way, n_shot, n_query = shape
    cell = Flat().cell
    for task, (support, query) in enumerate(episodes(draw(shape))):
        drawn = {cell[row][1] for row in support}
        assert len(drawn) == min(n_way or 99, len(TASKS[task]))
        for label in drawn:
            size = TASKS[task][label]
            n_support = n_shot if size >= n_shot + 1 else -(-size // 2)
            assert sum(cell[row][1] == label for row in support) == n_support
            assert sum(cell[row][1] == label for row in query) == min(n_query, size - n_support)
        assert {cell[row][1] for row in query} == {c for c in drawn if TASKS[task][c] > 1}


def test_padding_has_weight_zero_and_repeats_a_row_of_the_same_task(shape):
    drawn, cell = draw(shape), Flat().cell
    assert set(torch.cat([drawn.support_weight, drawn.query_weight], 1).unique().tolist()) <= {0.0, 1.0}
    for task, (support, query) in enumerate(zip(drawn.support, drawn.query, strict=True)):
        assert {cell[row][0] for row in torch.cat([support, query]).tolist()} == {task}


@pytest.mark.parametrize("n_way", [None, 2])
def test_without_support_rows_all_rows_may_be_asked_for(n_way):
    for task, (support, query) in enumerate(episodes(draw((n_way, 0, 50)))):
        assert not support
        assert len(query) == sum(TASKS[task].values()) or n_way


@pytest.mark.parametrize("pair", [(0, 6), (1, 3), (2, 2), (0, 100)])
def test_of_a_pair_each_episode_has_its_own_number_of_support_rows(pair):
    """All numbers that leave a row to ask for come up, evenly by the logarithm, the same for each class."""
    least, most = pair
    flat = Flat([{0: 9, 1: 9}])
    drawn = episodes(draw((None, pair, 50), [0] * 4000, flat=flat))
    shots = [[sum(flat.cell[row][1] == label for row in s) for label in (0, 1)] for s, _ in drawn]
    assert all(a == b for a, b in shots) and all(len(s) + len(q) == 18 for s, q in drawn)
    expected = np.arange(least, min(most, 8) + 1)
    numbers, counts = np.unique([a for a, _ in shots], return_counts=True)
    np.testing.assert_array_equal(numbers, expected)
    steps = np.log(1 + np.arange(1, len(expected) + 1) ** 1.0)
    share = np.diff(steps, prepend=0.0) / steps[-1]
    assert np.abs(counts - 4000 * share).max() < 4 * np.sqrt(4000 / 4)


def test_natural_draws_are_of_the_task_whatever_the_class():
    """One label for all rows: each is as likely as any other, so classes come as often as they are."""
    n_rows = torch.arange(30)
    sampler = EpisodeSampler(n_rows * 0, n_rows * 0, n_rows, n_way=None, n_shot=4, n_query=6)
    drawn = sampler.draw(torch.zeros(3000, dtype=torch.long), torch.Generator().manual_seed(0))
    assert drawn.support.shape == (3000, 4) and drawn.query.shape == (3000, 6)
    assert_uniform(torch.bincount(drawn.support.flatten(), minlength=30).numpy(), 12_000, 30)


def test_a_task_of_single_rows_has_an_empty_query_set():
    ((support, query),) = episodes(draw((None, 5, 15), [0], flat=Flat([{0: 1, 1: 1}])))
    assert len(support) == 2 and not query


def test_the_generator_decides_and_the_global_state_is_left_alone(shape):
    before = torch.get_rng_state()
    first, again, other = draw(shape), draw(shape), draw(shape, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert episodes(first) != episodes(other)
    assert torch.equal(torch.get_rng_state(), before)


def test_shuffling_the_rows_changes_only_which_rows_are_drawn(shape):
    plain, shuffled = draw(shape), draw(shape, flat=Flat(order=1))
    for field, a, b in zip(plain._fields, plain, shuffled, strict=True):
        assert torch.equal(a, b) != (field in ("support", "query"))
    cell = Flat().cell
    for a, b in zip(plain.support.flatten().tolist(), shuffled.support.flatten().tolist(), strict=True):
        assert cell[a] == cell[b]


def assert_uniform(counts, n_draws, n_cells):
    """All ``n_cells`` outcomes came up, each within five standard deviations of its share."""
    p = 1 / n_cells
    assert len(counts) == n_cells
    assert np.abs(counts - n_draws * p).max() < 5 * np.sqrt(n_draws * p * (1 - p))


def test_rows_are_drawn_uniformly_also_from_sorted_data():
    n_draws = 6000
    n_rows = torch.arange(6)
    sampler = EpisodeSampler(n_rows * 0, n_rows * 0, n_rows, n_way=None, n_shot=1, n_query=1)
    drawn = sampler.draw(torch.zeros(n_draws, dtype=torch.long), torch.Generator().manual_seed(0))
    pairs = torch.cat([drawn.support, drawn.query], 1)
    assert_uniform(pairs.unique(dim=0, return_counts=True)[1].numpy(), n_draws, 30)


def test_classes_are_drawn_uniformly_whatever_their_size():
    n_draws = 6000
    flat = Flat([{0: 2, 1: 5, 2: 30, 3: 3}])
    drawn = draw((2, 1, 1), [0] * n_draws, flat=flat)
    labels = torch.tensor([[flat.cell[r][1] for r in rows] for rows in drawn.support.tolist()])
    assert_uniform(labels.unique(dim=0, return_counts=True)[1].numpy(), n_draws, 12)


def test_given_episodes_keep_their_rows_and_fill_up_the_shorter_ones():
    """A support set or a query set may be empty: it is filled with rows of the other."""
    given = GivenEpisodes(([7, 2, 0], [10, 4, 0]), ([20, 4, 0], [21, 7, 2]))
    assert given.n_tasks == 3 and given.n_rows == 6
    drawn = given.draw(np.array([0, 1, 2]))
    assert drawn.support.tolist() == [[7, 8, 9], [2, 3, 2], [0, 0, 0]]
    assert drawn.support_weight.tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    assert drawn.query.tolist() == [[20, 7, 7], [4, 5, 6], [0, 1, 0]]
    assert drawn.query_weight.tolist() == [[1, 0, 0], [1, 1, 1], [1, 1, 0]]
    again = given.draw(torch.tensor([1, 1]))
    assert again.support.tolist() == [[2, 3], [2, 3]]
    assert [(s.tolist(), q.tolist()) for s, q in drawn.rows()] == [
        ([7, 8, 9], [20]),
        ([2, 3], [4, 5, 6]),
        ([], [0, 1]),
    ]


def test_few_rows_of_large_classes_are_drawn_without_keys_for_all():
    """Different rows, each as likely as any other, at every place."""
    size = torch.tensor([1000, 7, 0]).expand(3000, -1)
    order = random_order(size, 4, torch.Generator().manual_seed(0))
    assert order.shape == (3000, 3, 4)
    large, small = order[:, 0], order[:, 1]
    assert (large.sort(-1).values.diff(dim=-1) > 0).all() and large.min() >= 0 and large.max() < 1000
    assert (small.sort(-1).values.diff(dim=-1) > 0).all() and small.max() < 7
    for place in range(4):
        counts = torch.bincount(large[:, place] // 100, minlength=10)
        assert ((counts - 300).abs() < 5 * 300**0.5).all()  # five standard deviations


def test_both_draws_take_turns():
    task, label = torch.arange(4).repeat_interleave(30), torch.arange(120) % 3
    natural, stratified = (
        EpisodeSampler(task, labels, torch.arange(120), n_way=None, n_shot=n_shot, n_query=2)
        for labels, n_shot in ((torch.zeros_like(label), 10), (label, 2))
    )
    both = BothDraws(natural, stratified)
    assert (both.n_tasks, both.n_units, both.n_rows) == (4, 4, 12)
    asked = torch.tensor([3, 1, 0, 2, 3])
    drawn = both.draw(asked, torch.Generator().manual_seed(0))
    for i, (support, query) in enumerate(drawn.rows()):
        assert (task[np.concatenate([support, query])] == asked[i]).all()
        assert len(set(support) & set(query)) == 0
        counts = np.bincount(label[support], minlength=3)
        assert counts.tolist() == [2, 2, 2] if i % 2 else counts.sum() == 10
    assert (task[drawn.support] == asked[:, None]).all()
    alone = both.draw(asked[:1], torch.Generator().manual_seed(0))
    assert alone.support_weight.sum() == 10


def test_narrowed_episodes_are_without_what_fills_up_all_of_them():
    weight = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    support, query = torch.arange(6).reshape(2, 3), torch.arange(4).reshape(2, 2)
    narrow = Episodes(support, weight, query, torch.ones(2, 2)).narrowed()
    assert narrow.support.tolist() == [[0, 1], [3, 4]] and narrow.query.tolist() == query.tolist()
    assert narrow.support_weight.tolist() == [[1, 0], [1, 1]]
