"""Batches: how rows and labels of episodes become tensors."""

import numpy as np
import pytest
import torch
from scipy import sparse

from skmeta.tasks import limits
from skmeta.tasks.batch import OwnClasses, Rows, SharedClasses, Values, make_batch
from skmeta.tasks.episodes import Episodes, GivenEpisodes
from skmeta.tasks.preparation import Preparation
from skmeta.tasks.targets import TargetScaler, moments

CPU = torch.device("cpu")
AS_FLOATS = Preparation(torch.float32)


def rows_of(X, preparation=AS_FLOATS, **kwargs):
    return Rows(X, CPU, preparation, **kwargs)


# ---- rows


@pytest.mark.parametrize("index", [[2, 0, 2], [[1, 1, 0], [2, 0, 1]]], ids=["flat", "meta-batch"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_rows_are_the_same_dense_and_sparse(dtype, index):
    X = np.array([[0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 4, 5]], dtype=dtype)
    index = torch.tensor(index)
    expected = torch.from_numpy(X).float()[index]
    for kind in np.asarray, sparse.csr_matrix, sparse.coo_matrix, sparse.csc_array:
        rows = rows_of(kind(X))
        assert rows.shape == (4,)
        assert rows[index].dtype == torch.float32
        assert torch.equal(rows[index], expected)


def test_rows_may_have_more_axes():
    X = np.arange(48.0).reshape(2, 1, 4, 6)
    rows = rows_of(X)
    assert rows.shape == (1, 4, 6)
    assert rows[torch.tensor([[1], [0]])].tolist() == X[[[1], [0]]].tolist()


def test_rows_take_reversed_and_read_only_views():
    X = np.arange(6.0).reshape(3, 2)
    X.setflags(write=False)
    for view in X, X[::-1], X[:, ::-1]:
        rows = rows_of(view)
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
    rows = rows_of(Lazy(kind(X)))
    assert rows.shape == (4,)
    for index in [2, 0, 2], [[1, 1, 0], [2, 0, 1]]:
        assert rows[torch.tensor(index)].tolist() == X[index].tolist()
        assert rows[torch.tensor(index)].dtype == torch.float32


@pytest.mark.parametrize("part", [slice(None), slice(1, 3), slice(2, 9), slice(3, 3)], ids=str)
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.coo_array, sparse.csc_array])
def test_slices_of_rows(kind, part):
    X = np.array([[0.0, 1, 0, 2], [3, 0, 0, 0], [0, 0, 4, 5]])
    sliced = rows_of(kind(X))[part]
    assert sliced.dtype == torch.float32 and sliced.shape == X[part].shape
    assert sliced.tolist() == X[part].tolist()


@pytest.mark.parametrize(
    "kind", [np.asarray, sparse.csr_matrix, lambda X: Lazy(X)], ids=["dense", "sparse", "lazy"]
)
def test_rows_are_prepared_in_double_precision_whatever_holds_them(kind, monkeypatch):
    monkeypatch.setattr(limits, "ROWS_AT_ONCE", 2)
    X = 1.7e9 + np.arange(12.0).reshape(3, 4)
    preparation = Preparation(torch.float32, torch.full((4,), 1.7e9).double(), torch.full((4,), 2.0).double())
    expected = ((X - 1.7e9) / 2).clip(-10, 10)
    assert rows_of(kind(X), preparation)[torch.tensor([2, 0])].tolist() == expected[[2, 0]].tolist()


def test_integers_stay_integers_where_the_module_takes_them():
    X = np.array([[2**24, 2**24 + 1]])
    rows = rows_of(X, Preparation(torch.int64))
    assert rows[torch.tensor([0])].tolist() == X.tolist()
    with pytest.raises(ValueError, match="X has floats, but fit had integers"):
        rows_of(X + 0.5, Preparation(torch.int64))


def test_what_is_augmented_has_not_been_prepared_yet():
    """So that zero is still the background of an image, and noise is in the feature's own units."""
    seen = []

    def note(X, generator):
        seen.append(X)
        return X + 1

    X = np.array([[5.0, 7.0], [9.0, 11.0]])
    preparation = Preparation(
        torch.float32, torch.tensor([5.0, 7.0]).double(), torch.tensor([2.0, 4.0]).double()
    )
    for kind in np.asarray, sparse.csr_matrix:
        rows = rows_of(kind(X), preparation, augment=note)
        changed = rows.augmented(torch.tensor([[1, 0]]), torch.Generator())
        assert seen[-1].tolist() == [X[[1, 0]].tolist()]
        assert changed.tolist() == [[[2.5, 1.25], [0.5, 0.25]]]
        assert rows[torch.tensor([1])].tolist() == [[2.0, 1.0]]
    integers = rows_of(np.array([[5, 7]]), preparation, augment=note)
    assert integers.augmented(torch.tensor([[0]]), torch.Generator()).tolist() == [[[0.5, 0.25]]]


# ---- labels


def all_of(support, query, support_weight=None, query_weight=None):
    """Episodes of the labels as they stand in the rows: support rows first."""
    n_support, n_query = len(support[0]), len(query[0])
    rows = torch.arange(len(support) * (n_support + n_query)).reshape(len(support), -1)
    codes = torch.cat([torch.tensor(support), torch.tensor(query)], 1)
    weights = [
        torch.ones(part.shape) if weight is None else torch.tensor(weight)
        for part, weight in ((rows[:, :n_support], support_weight), (rows[:, n_support:], query_weight))
    ]
    return Episodes(rows[:, :n_support], weights[0], rows[:, n_support:], weights[1]), codes.flatten()


def test_own_classes_are_numbered_in_order_within_the_support_set():
    episodes, codes = all_of(
        [[30, 10, 30, 20], [7, 5, 5, 30]],
        [[10, 20, 30], [5, 7, 30]],
        support_weight=[[1.0, 1, 1, 1], [1, 1, 1, 0]],
        query_weight=[[1.0, 1, 1], [1, 1, 0]],
    )
    read = OwnClasses().read(episodes, codes)
    assert read["support_y"].tolist() == [[2, 0, 2, 1], [1, 0, 0, 0]]
    assert read["query_y"].tolist() == [[0, 1, 2], [0, 1, 0]]
    assert read["class_mask"].tolist() == [[True, True, True], [True, True, False]]
    assert read["query_weight"].tolist() == [[1, 1, 1], [1, 1, 0]]


def test_a_query_row_of_a_class_that_the_support_set_has_not_counts_nowhere():
    episodes, codes = all_of([[4, 4, 2]], [[2, 3, 4, 9]])
    read = OwnClasses().read(episodes, codes)
    assert read["query_weight"].tolist() == [[1, 0, 1, 0]]
    assert read["query_y"][0, [0, 2]].tolist() == [0, 1]


def test_the_order_of_own_classes_is_that_of_their_codes_alone():
    """So relabelling the classes permutes their numbers, and any number of them works."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(50, (6, 12), generator=generator)
    episodes, flat = all_of(codes[:, :9].tolist(), codes[:, 9:].tolist())
    read = OwnClasses().read(episodes, flat)
    for row, own, mask in zip(codes[:, :9], read["support_y"], read["class_mask"], strict=True):
        classes, expected = np.unique(row.numpy(), return_inverse=True)
        np.testing.assert_array_equal(own, expected)
        assert mask.sum() == len(classes) and mask[: len(classes)].all()


def test_shared_classes_are_as_they_are():
    episodes, codes = all_of([[3, 0]], [[2]])
    read = SharedClasses().read(episodes, codes)
    assert read["support_y"].tolist() == [[3, 0]] and read["query_y"].tolist() == [[2]]
    assert "class_mask" not in read


def test_labels_of_no_rows():
    """An empty support set has no labels; neither have query rows that are not asked for."""
    episodes = GivenEpisodes(([0, 0], [0, 0]), ([0, 2], [2, 3])).draw([0, 1])
    for labels in SharedClasses(), OwnClasses():
        read = labels.read(episodes, torch.zeros(0, dtype=torch.long), asked=False)
        assert "query_y" not in read and read["support_y"].shape == (2, 1)
    scaler = TargetScaler(*(m[None] for m in moments(torch.tensor([[1.0], [3.0]]).double(), torch.ones(2))))
    read = Values(scaler).read(episodes, torch.zeros(0, 1).double(), asked=False)
    assert read["support_y"].isfinite().all()


def test_a_batch_without_query_labels_has_none():
    X = np.arange(8.0).reshape(4, 2)
    episodes = GivenEpisodes(([0], [2]), ([2], [4])).draw([0])
    batch = make_batch(
        episodes, rows_of(X), OwnClasses(), torch.tensor([0, 1]), dtype=torch.float64, asked=False
    )
    assert batch.query_y is None and "query_y" not in batch.inputs()
    assert batch.support_x.tolist() == [X[:2].tolist()] and batch.query_x.tolist() == [X[2:].tolist()]
    assert batch.support_weight.dtype == torch.float64
