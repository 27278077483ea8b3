"""Boxes to cells and back, and what the core makes of cells: loss, head, backbone."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from skmeta import FeaturePyramid
from skmeta.core.cells import CellBackbone, CellHead, CellLoss
from skmeta.detection import box_iou
from skmeta.detection.cells import N_BOX, SIDE, decode, encode
from skmeta.tasks.cells import CellLabels
from skmeta.tasks.episodes import Episodes
from skmeta.tasks.pages import Objects

KEEP = {"least_score": 0.5, "most_overlap": 0.5, "most_found": 100}


def apart(rng, n, size, stride):
    """Boxes of which no two have centres in neighbouring cells."""
    boxes = []
    while len(boxes) < n:
        first = rng.uniform(0, [size[1] - 8, size[0] - 8])
        box = np.append(first, np.minimum(first + rng.uniform(6, 30, 2), size[::-1]))
        centers = [(b[:2] + b[2:]) / 2 for b in (box, *boxes)]
        if all(np.abs(centers[0] - c).max() > 3 * stride for c in centers[1:]):
            boxes.append(box)
    return np.array(boxes)


def perfect_outputs(target):
    """What a network that knows the answer says of each cell."""
    heat = np.where(target.heat >= 1, 9.0, -9.0)
    return np.hstack([target.box, heat])


@pytest.mark.parametrize("stride", [2, 4, 8])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_encoded_is_decoded(seed, stride):
    rng = np.random.default_rng(seed)
    size = 96, 128
    boxes, codes = apart(rng, 4, size, stride), rng.integers(0, 3, 4)
    shape = size[0] // stride, size[1] // stride
    target = encode(boxes, codes, 3, shape, stride)
    found, found_codes, scores = decode(perfect_outputs(target), shape, stride, size, **KEEP)
    assert len(found) == 4 and (scores > 0.99).all()
    nearest = box_iou(boxes, found).argmax(1)
    np.testing.assert_allclose(found[nearest], boxes, atol=1e-3)
    assert (found_codes[nearest] == codes).all()


def test_an_object_at_the_border_has_a_centre_inside():
    boxes = np.array([[0, 0, 5, 7], [120, 90, 128, 96], [0, 40, 1, 41]], float)
    target = encode(boxes, np.zeros(3, int), 1, (24, 32), 4)
    assert (target.heat == 1).sum() == 3
    found, *_ = decode(perfect_outputs(target), (24, 32), 4, (96, 128), **KEEP)
    assert sorted(map(tuple, np.round(found).tolist())) == sorted(map(tuple, boxes.tolist()))


def test_boxes_are_cut_off_at_the_edges_and_what_is_outside_is_dropped():
    outputs = np.full((24 * 32, N_BOX + 1), -9.0)
    outputs[:, :N_BOX] = 0
    outputs[[0, -1], N_BOX] = 9
    outputs[0, 2:N_BOX] = np.log(10)
    outputs[-1, 0] = 50
    found, *_ = decode(outputs, (24, 32), 4, (96, 128), **KEEP)
    half = 2 + SIDE * 4 * 10 / 2
    np.testing.assert_allclose(found, [[0, 0, half, half]])


def test_an_image_without_objects():
    target = encode(np.zeros((0, 4)), np.zeros(0, int), 2, (4, 4), 4)
    assert target.heat.shape == (16, 2) and not target.heat.any() and not target.near.any()
    assert target.asked.all()


def test_where_an_object_is_of_no_class_nothing_is_asked():
    boxes = np.array([[8, 8, 24, 24], [60, 60, 76, 76]], float)
    target = encode(boxes, np.array([-1, 0]), 1, (24, 24), 4)
    asked = target.asked.reshape(24, 24)
    assert asked[4, 4] == 0 and asked[17, 17] == 1 and target.heat.reshape(24, 24)[4, 4] < 0.01
    assert 1 <= (asked == 0).sum() < 12


# ---- labels of episodes


def objects_of(*pages, size=(32, 32)):
    """``Objects`` of pages, each a list of pairs of a class number and the left top corner of a box."""
    return [
        Objects(
            np.array([[x, y, x + 8, y + 8] for _, (x, y) in page], float).reshape(-1, 4),
            np.array([code for code, _ in page], int),
            size,
        )
        for page in pages
    ]


def episode(support, query, support_weight=None):
    support, query = torch.tensor([support]), torch.tensor([query])
    weight = torch.ones(support.shape) if support_weight is None else torch.tensor([support_weight])
    return Episodes(support, weight, query, torch.ones(query.shape))


def test_classes_are_those_of_the_support_set():
    objects = objects_of([(5, (4, 4)), (2, (20, 20))], [(5, (0, 0)), (7, (20, 4))])
    read = CellLabels(4).read(episode([0], [1]), objects)
    assert read["class_mask"].tolist() == [[True] * 6]
    centers = [(read[f"{part}_y"]["heat"][0] == 1).sum(0).tolist() for part in ("support", "query")]
    assert centers == [[1, 1], [0, 1]]  # 2 and 5, in order; 7 is not asked for
    assert (read["query_weight"] == 0).any() and read["support_weight"].all()


def test_support_pages_of_weight_zero_and_what_fills_up_a_page_count_nowhere():
    objects = objects_of([(0, (4, 4))], [(1, (4, 4))], size=(20, 30))
    read = CellLabels(4).read(episode([0, 1], [0], [1.0, 0.0]), objects, asked=False)
    assert read["class_mask"].shape == (1, 5) and "query_y" not in read
    weight = read["support_weight"].reshape(2, 8, 8)
    assert weight[0, :5].all() and not weight[0, 5:].any() and not weight[1].any()


def test_a_support_set_without_objects_has_no_class():
    read = CellLabels(4).read(episode([0], [1]), objects_of([], [(0, (4, 4))]))
    assert read["class_mask"].tolist() == [[True] * 4 + [False]]


# ---- loss


def loss_inputs(n_cells=6, n_way=2):
    y = {
        "heat": torch.zeros(n_cells, n_way),
        "box": torch.zeros(n_cells, N_BOX),
        "near": torch.zeros(n_cells),
    }
    return torch.zeros(n_cells, N_BOX + n_way), y, torch.ones(n_cells)


def test_the_loss_by_hand():
    outputs, y, weight = loss_inputs()
    y["heat"][0, 0], y["heat"][1, 0], y["near"][0] = 1, 0.5, 1
    outputs[0, :N_BOX] = torch.tensor([1.0, -1.0, 0.0, 2.0])
    log2 = np.log(2) / 4
    assert CellLoss()(outputs, y, weight).item() == pytest.approx(log2 * (1 + 0.5**4 + 10) + 4)
    weight[2:] = 0
    assert CellLoss()(outputs, y, weight).item() == pytest.approx(log2 * (2 + 0.5**4 + 1) + 4)


def test_the_loss_is_over_the_number_of_objects():
    outputs, y, weight = loss_inputs(n_way=1)
    y["heat"][:2] = 1
    one = {name: torch.cat([t, t]) for name, t in y.items()}
    twice = CellLoss()(torch.cat([outputs, outputs]), one, torch.cat([weight, weight]))
    assert twice.item() == pytest.approx(CellLoss()(outputs, y, weight).item())


def test_an_absent_class_adds_nothing_to_the_loss():
    outputs, y, weight = loss_inputs(n_way=2)
    y["heat"][0, 0] = 1
    outputs[:, -1] = -1e9
    outputs.requires_grad_()
    loss = CellLoss()(outputs, y, weight)
    without = CellLoss()(outputs[:, :-1], y | {"heat": y["heat"][:, :1]}, weight)
    assert loss.item() == pytest.approx(without.item())
    loss.backward()
    assert outputs.grad.isfinite().all() and not outputs.grad[:, -1].any()


def test_the_gradient_of_the_loss():
    rng = torch.Generator().manual_seed(0)
    outputs, y, weight = loss_inputs()
    y = {name: torch.rand(t.shape, generator=rng).double() for name, t in y.items()}
    y["heat"][0, 0] = 1
    outputs = torch.randn(outputs.shape, generator=rng).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda o: CellLoss()(o, y, weight.double()), outputs)


# ---- head


def head_inputs(n_cells=40, n_features=3, n_way=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n_cells, n_features + N_BOX, generator=generator, dtype=torch.float64)
    heat = torch.rand(n_cells, n_way, generator=generator, dtype=torch.float64)
    return features, {"heat": heat}, torch.ones(n_cells, dtype=torch.float64)


def test_the_classes_of_the_head_are_a_ridge_regression_of_the_heat():
    features, y, weight = head_inputs()
    head = CellHead(3).double()
    layer = head(features, y, weight, N_BOX + 2)
    own = y["heat"].amax(1)
    weights = (np.exp(2) * own**2 + np.exp(-2) * (1 - own)).numpy()
    rows = np.column_stack([features[:, :3].numpy(), np.ones(40)])
    ridge = Ridge(alpha=1.0, fit_intercept=False).fit(rows, y["heat"].numpy(), weights)
    scale = np.exp(2)
    np.testing.assert_allclose(layer["weight"][N_BOX:, :3].detach(), scale * ridge.coef_[:, :3], rtol=1e-6)
    np.testing.assert_allclose(layer["bias"][N_BOX:].detach(), scale * ridge.coef_[:, 3] - 4, rtol=1e-6)


def test_the_box_passes_through_the_head():
    features, y, weight = head_inputs()
    layer = CellHead(3).double()(features, y, weight, N_BOX + 2)
    outputs = features @ layer["weight"].mT + layer["bias"]
    torch.testing.assert_close(outputs[:, :N_BOX], features[:, -N_BOX:])
    assert not layer["weight"][N_BOX:, 3:].any()


def test_other_numbers_of_classes_permute_the_head():
    features, y, weight = head_inputs()
    head = CellHead(3).double()
    layer = head(features, y, weight, N_BOX + 2)
    flipped = head(features, {"heat": y["heat"].flip(1)}, weight, N_BOX + 2)
    torch.testing.assert_close(flipped["weight"][N_BOX:], layer["weight"][N_BOX:].flip(0))


def test_cells_of_weight_zero_are_not_looked_at():
    features, y, weight = head_inputs()
    head = CellHead(3).double()
    few = head(features[:30], {"heat": y["heat"][:30]}, weight[:30], N_BOX + 2)
    weight[30:] = 0
    padded = head(features, y, weight, N_BOX + 2)
    torch.testing.assert_close(padded["weight"], few["weight"])


def test_the_gradient_of_the_head():
    features, y, weight = head_inputs(n_cells=6)
    head = CellHead(3).double()
    features.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: head(f, y, weight, N_BOX + 2)["weight"], features)


def test_cells_of_pages_stand_row_by_row_page_by_page():
    module = torch.nn.Conv2d(1, 2, 4, stride=4)
    backbone = CellBackbone(module, 2, 8, torch.tensor([0.5]), torch.tensor([2.0]))
    x = torch.rand(3, 1, 8, 12)
    cells = backbone(x)
    assert cells.shape == (3 * 2 * 3, 8 + N_BOX)
    mapped = module((x - 0.5) / 2)
    torch.testing.assert_close(cells[6 + 1 * 3 + 2, :8], backbone.classes(mapped)[1, :, 1, 2])
    torch.testing.assert_close(cells[6 + 1 * 3 + 2, 8:], backbone.box(mapped)[1, :, 1, 2])


def test_the_default_network_has_a_stride_of_four_and_maps_each_image_alone():
    network, x = FeaturePyramid(3, 8, 16), torch.rand(2, 3, 32, 48)
    features = network(x)
    assert features.shape == (2, 16, 8, 12)
    torch.testing.assert_close(network(x[1:]), features[1:])
