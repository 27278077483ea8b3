"""Episodes: what a draw may hold, that it is random and nothing else, and how rows become tensors."""

import numpy as np
import pytest
import torch
from scipy import sparse

from skmeta.tasks.episodes import EpisodeSampler, Rows, fixed_draw, random_order

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
    """For each episode, ``{row: way}`` of its support and of its query set; no row twice in one."""
    parts = []
    for rows, weight, way in (drawn[:3], drawn[3:6]):
        kept = [(r[w > 0].tolist(), v[w > 0].tolist()) for r, w, v in zip(rows, weight, way, strict=True)]
        parts.append([dict(zip(*pair, strict=True)) for pair in kept])
        assert all(len(pairs) == len(rows) for pairs, (rows, _) in zip(parts[-1], kept, strict=True))
    return list(zip(*parts, strict=True))


def test_support_and_query_never_share_a_row(shape):
    for seed in range(20):
        assert all(not set(support) & set(query) for support, query in episodes(draw(shape, seed=seed)))


def test_rows_are_of_the_task_and_a_way_is_a_class(shape):
    cell, tasks = Flat().cell, [3, 1, 1, 2, 0]
    for task, (support, query) in zip(tasks, episodes(draw(shape, tasks)), strict=True):
        assert {cell[row][0] for row in [*support, *query]} == {task}
        pairs = {(cell[row][1], way) for row, way in [*support.items(), *query.items()]}
        assert len({c for c, _ in pairs}) == len({w for _, w in pairs}) == len(pairs)


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


def test_class_mask_tells_the_ways_in_use(shape):
    drawn = draw(shape)
    for used, (support, _) in zip(drawn.class_mask, episodes(drawn), strict=True):
        assert torch.nonzero(used).flatten().tolist() == sorted(set(support.values()))


def test_padding_has_weight_zero_and_repeats_a_row_of_the_own_support_set(shape):
    drawn = draw(shape)
    assert set(torch.cat([drawn.support_weight, drawn.query_weight], 1).unique().tolist()) <= {0.0, 1.0}
    for i, (support, _) in enumerate(episodes(drawn)):
        rows = torch.cat([drawn.support[i], drawn.query[i]])
        ways = torch.cat([drawn.support_way[i], drawn.query_way[i]])
        padding = torch.cat([drawn.support_weight[i], drawn.query_weight[i]]) == 0
        padded = zip(rows[padding].tolist(), ways[padding].tolist(), strict=True)
        assert all(support[row] == way for row, way in padded)


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


def test_fixed_draw_keeps_given_rows_and_pads_the_shorter_episodes():
    given = [
        ([7, 8, 9], [0, 1, 2], [1], [2]),
        ([4, 5], [1, 0], [2, 3, 6], [0, 1, 0]),
        ([0, 10], [0, 0], [], []),
    ]
    drawn = fixed_draw([[torch.tensor(part, dtype=torch.long) for part in episode] for episode in given])
    assert drawn.support.tolist() == [[7, 8, 9], [4, 5, 4], [0, 10, 0]]
    assert drawn.support_way.tolist() == [[0, 1, 2], [1, 0, 1], [0, 0, 0]]
    assert drawn.support_weight.tolist() == [[1, 1, 1], [1, 1, 0], [1, 1, 0]]
    assert drawn.query.tolist() == [[1, 7, 7], [2, 3, 6], [0, 0, 0]]
    assert drawn.query_way.tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert drawn.query_weight.tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert drawn.class_mask.tolist() == [[True] * 3, [True, True, False], [True, False, False]]


@pytest.mark.parametrize("index", [[2, 0, 2], [[1, 1, 0], [2, 0, 1]]], ids=["flat", "meta-batch"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_rows_are_the_same_dense_and_sparse(dtype, index):
    X = np.array([[0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 4, 5]], dtype=dtype)
    index = torch.tensor(index)
    expected = torch.from_numpy(X).float()[index]
    for kind in np.asarray, sparse.csr_matrix, sparse.coo_matrix, sparse.csc_array:
        rows = Rows(kind(X), torch.device("cpu"))
        assert rows.shape == (4,)
        assert rows[index].dtype == torch.float32
        assert torch.equal(rows[index], expected)


def test_rows_may_have_more_axes():
    X = np.arange(48.0).reshape(2, 1, 4, 6)
    rows = Rows(X, torch.device("cpu"))
    assert rows.shape == (1, 4, 6)
    assert rows[torch.tensor([[1], [0]])].tolist() == X[[[1], [0]]].tolist()


def test_rows_take_reversed_and_read_only_views():
    X = np.arange(6.0).reshape(3, 2)
    X.setflags(write=False)
    for view in X, X[::-1], X[:, ::-1]:
        rows = Rows(view, torch.device("cpu"))
        assert rows[torch.tensor([0, 2])].tolist() == view[[0, 2]].tolist()


class Lazy:
    """Rows that an array of ints indexes, and nothing else does."""

    def __init__(self, X):
        self.X, self.shape = X, X.shape

    def __getitem__(self, index):
        assert isinstance(index, np.ndarray) and index.ndim == 1
        return self.X[index]


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
def test_rows_are_asked_for_as_they_are_drawn(kind):
    X = np.array([[0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 4, 5]])
    rows = Rows(Lazy(kind(X)), torch.device("cpu"))
    assert rows.shape == (4,)
    for index in [2, 0, 2], [[1, 1, 0], [2, 0, 1]]:
        assert rows[torch.tensor(index)].tolist() == X[index].tolist()
        assert rows[torch.tensor(index)].dtype == torch.float32


@pytest.mark.parametrize("part", [slice(None), slice(1, 3), slice(2, 9), slice(3, 3)], ids=str)
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.coo_array, sparse.csc_array])
def test_slices_of_rows(kind, part):
    X = np.array([[0.0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 4, 5]])
    sliced = Rows(kind(X), torch.device("cpu"))[part]
    assert sliced.dtype == torch.float32 and sliced.shape == X[part].shape
    assert sliced.tolist() == X[part].tolist()


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
