import pytest
import torch
from torch import Tensor

from saint_cli.method import planes
from saint_cli.method.planes import Diagonal, Orthogonal, View

SHAPES = [(5, 7, 3), (7, 4, 5), (3, 3, 2), (6, 1, 2), (1, 6, 2), (9, 8, 4)]
BATCHES = [1, 2, 3, 16, 100]


def numbered(shape: tuple[int, int, int]) -> Tensor:
    """A volume whose voxels say where they are: 10^4 x + 10^2 y + z."""
    x, y, z = (torch.arange(n) for n in shape)
    return (10_000 * x[:, None, None] + 100 * y[:, None] + z).float()


def all_views(shape: tuple[int, ...]) -> list[View]:
    return planes.make_views((shape[0], shape[1]), (0.7, 0.9), 4)


def batches(view: View, shape: tuple[int, int], size: int) -> list[tuple[int, int]]:
    """(first, count) of the parts of a plane that is body all over."""
    body = torch.ones(shape, dtype=torch.bool)
    return [
        (part.first, part.count) for part in planes.cut_parts(view, body, planes.Tiling(lambda rows: size, 1000, 0))
    ]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("view", range(4), ids=["sagittal", "coronal", "rising", "falling"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gather_then_add_is_identity(shape: tuple[int, int, int], view: int, batch: int) -> None:
    volume, chosen = numbered(shape), all_views(shape)[view]
    total = torch.zeros(shape[2], shape[0], shape[1])
    for first, count in batches(chosen, shape[:2], batch):
        chosen.add(total, chosen.gather(volume, first, count)[:, 1].transpose(1, 2), first)  # (count, Z, H)
    torch.testing.assert_close(total.permute(1, 2, 0), volume, rtol=0, atol=0)


@pytest.mark.parametrize("size", BATCHES)
def test_batches_cover_every_plane_once(size: int) -> None:
    view = Orthogonal(17, 1.0, 0)
    covered = [k for first, count in batches(view, (17, 5), size) for k in range(first, first + count)]
    assert covered == list(range(17))


def test_a_sagittal_plane_has_fixed_x_and_its_neighbours_are_x_minus_and_plus_one() -> None:
    gathered = Orthogonal(5, 0.9, 0).gather(numbered((5, 7, 3)), 1, 3)
    assert gathered.shape == (3, 3, 7, 3)
    for b in range(3):
        for n in range(3):  # plane 1 + b, neighbour n - 1
            wanted = 10_000 * (1 + b + n - 1) + 100 * torch.arange(7)[:, None] + torch.arange(3)
            torch.testing.assert_close(gathered[b, n], wanted.float(), rtol=0, atol=0)


def test_a_coronal_plane_has_fixed_y_and_its_neighbours_are_y_minus_and_plus_one() -> None:
    gathered = Orthogonal(7, 0.7, 1).gather(numbered((5, 7, 3)), 1, 5)
    assert gathered.shape == (5, 3, 5, 3)
    for b in range(5):
        for n in range(3):
            wanted = 100 * (1 + b + n - 1) + 10_000 * torch.arange(5)[:, None] + torch.arange(3)
            torch.testing.assert_close(gathered[b, n], wanted.float(), rtol=0, atol=0)


@pytest.mark.parametrize("view", [Orthogonal(5, 1.0, 0), Orthogonal(7, 1.0, 1)], ids=["sagittal", "coronal"])
def test_at_the_sides_a_plane_is_its_own_neighbour(view: View) -> None:
    gathered = view.gather(numbered((5, 7, 3)), 0, view.planes)
    torch.testing.assert_close(gathered[0, 0], gathered[0, 1], rtol=0, atol=0)
    torch.testing.assert_close(gathered[-1, 2], gathered[-1, 1], rtol=0, atol=0)
    assert not torch.equal(gathered[0, 2], gathered[0, 1])


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (4, 4)])
def test_a_diagonal_plane_lies_between_its_adjacent_diagonals(shape: tuple[int, int], falling: bool) -> None:
    view, volume = Diagonal(shape, 1.0, falling), numbered((*shape, 2))
    assert view.planes == sum(shape) - 1
    for k in range(view.planes):
        middle = view.gather(volume, k, 1)[0, :, :, 0]  # (3, length)
        for n in range(3):
            number = max(0, min(view.planes - 1, k + n - 1))
            found = {(int(v) // 10_000, int(v) % 10_000 // 100) for v in middle[n]}
            on_it = {
                (x, y)
                for x in range(shape[0])
                for y in range(shape[1])
                if (x + y if falling else y - x + shape[0] - 1) == number
            }
            beside = {x for x, _ in on_it}
            assert {(x, y) for x, y in found if x in beside and 0 < y < shape[1] - 1} <= on_it
            if n == 1:
                assert on_it <= found  # beyond its diagonal, a plane repeats voxels at the volume's sides
                assert {y for _, y in found - on_it} <= {0, shape[1] - 1}


@pytest.mark.parametrize("falling", [False, True])
def test_steps_along_a_diagonal_are_one_voxel_in_x_and_in_y(falling: bool) -> None:
    plane = Diagonal((6, 6), 1.0, falling).gather(numbered((6, 6, 2)), 5, 1)[0, 1, :, 0]
    assert (plane.diff().abs() == (9_900 if falling else 10_100)).all()


def test_planes_know_the_spacing_that_they_show() -> None:
    sagittal, coronal, rising, falling = planes.make_views((5, 7), (0.3, 0.4), 4)
    assert (sagittal.planes, sagittal.in_plane_mm) == (5, 0.4)
    assert (coronal.planes, coronal.in_plane_mm) == (7, 0.3)
    assert rising.in_plane_mm == pytest.approx(0.5)
    assert falling.in_plane_mm == pytest.approx(0.5)
    assert len(planes.make_views((5, 7), (0.3, 0.4), 2)) == 2


@pytest.mark.parametrize(
    ("voxels", "margin", "box"),
    [
        ([(4, 5)], 0, (slice(4, 5), slice(5, 6))),
        ([(4, 5), (8, 6)], 0, (slice(4, 9), slice(5, 7))),
        ([(4, 5), (8, 6)], 2, (slice(2, 11), slice(3, 9))),
        ([(1, 0), (8, 11)], 3, (slice(0, 12), slice(0, 12))),
        ([], 2, (slice(0, 15), slice(0, 12))),
    ],
)
def test_body_box_holds_every_voxel_above_the_threshold_and_a_margin(
    voxels: list[tuple[int, int]], margin: int, box: tuple[slice, slice]
) -> None:
    brightest = torch.full((15, 12), 0.3)  # at the threshold is not above it
    for at in voxels:
        brightest[at] = 0.31
    assert planes.find_body_box(brightest, 0.3, margin) == box


@pytest.mark.parametrize("most_rows", [1, 5, 100])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("view", range(4), ids=["sagittal", "coronal", "rising", "falling"])
def test_parts_cover_the_body_once_and_leave_out_planes_of_air(view: int, batch: int, most_rows: int) -> None:
    body = torch.zeros(23, 19, dtype=torch.bool)
    body[4:15, 6:9] = body[20, 2] = True
    chosen = all_views((23, 19, 1))[view]
    total, seen = torch.zeros(1, 23, 19), 0
    tiling = planes.Tiling(lambda _: batch, most_rows, 2)
    for part in planes.cut_parts(chosen, body, tiling):
        size = part.rows.stop - part.rows.start
        assert 0 < size <= part.input_rows.stop - part.input_rows.start <= tiling.max_input_rows
        assert part.input_rows.start <= part.rows.start < part.rows.stop <= part.input_rows.stop
        chosen.add(total, torch.ones(part.count, 1, size), part.first, part.rows)
        seen += part.count * size
    assert (total[0][body] == 1).all()
    assert float(total.max()) == 1
    assert seen < 23 * 19


@pytest.mark.parametrize("view", range(4), ids=["sagittal", "coronal", "rising", "falling"])
def test_no_batch_is_larger_than_wanted_however_round_the_patient_is(view: int) -> None:
    x, y = torch.arange(-40, 41)[:, None] / 40, torch.arange(-30, 31) / 30
    body = x**2 + y**2 <= 1
    tiling = planes.Tiling(lambda rows: max(1, 200 // rows), 1000, 0)
    made = list(planes.cut_parts(all_views((81, 61, 1))[view], body, tiling))
    assert max(part.count for part in made) > 1
    assert all(part.count in range(1, tiling.batch_size(part.rows.stop - part.rows.start) + 1) for part in made)


@pytest.mark.parametrize("view", range(4), ids=["sagittal", "coronal", "rising", "falling"])
def test_two_bodies_beside_each_other_in_parts_are_covered_once_and_no_batch_is_larger_than_wanted(view: int) -> None:
    x, y = torch.arange(90)[:, None], torch.arange(70)
    body = ((x - 20) ** 2 + (y - 30) ** 2 <= 15**2) | ((x - 70) ** 2 + (y - 50) ** 2 <= 12**2)
    tiling, chosen = planes.Tiling(lambda rows: max(1, 60 // rows), 20, 2), all_views((90, 70, 1))[view]
    total = torch.zeros(1, 90, 70)
    for part in planes.cut_parts(chosen, body, tiling):
        size = part.rows.stop - part.rows.start
        assert part.count in range(1, max(1, 60 // size) + 1)
        assert part.input_rows.stop - part.input_rows.start <= tiling.max_input_rows
        chosen.add(total, torch.ones(part.count, 1, size), part.first, part.rows)
    assert (total[0][body] == 1).all()
    assert float(total.max()) == 1


def test_a_mask_of_the_body_holds_its_margin_and_all_where_there_is_no_body() -> None:
    brightest = torch.zeros(9, 8)
    assert planes.find_body_mask(brightest, 0.3, 2).all()
    brightest[4, 1] = 0.4
    mask = planes.find_body_mask(brightest, 0.3, 2)
    wanted = torch.zeros(9, 8, dtype=torch.bool)
    wanted[2:7, 0:4] = True
    assert torch.equal(mask, wanted)


def test_a_mask_of_the_body_holds_all_that_the_body_surrounds_but_not_what_opens_to_the_edge() -> None:
    ring = torch.zeros(60, 50)
    ring[5:55, 5:45] = 1
    ring[7:53, 7:43] = 0  # wider than any margin
    mask = planes.find_body_mask(ring, 0.3, 1)
    assert mask[4:56, 4:46].all()
    assert int(mask.sum()) == 52 * 42
    ring[30, 5:7] = 0  # a way out
    assert not planes.find_body_mask(ring, 0.3, 1)[20, 20]
