"""The evidence on the changes of a mask, beside a version that looks at every pixel and every pair of neighbours."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.refinement.evidence import EVIDENCE, ChangedMask
from tests.inference.engines import blob, picture

SIZE = (26, 30)
REPLICATED = "edge"


def flooded(plane: np.ndarray) -> list[set[tuple[int, int]]]:
    """Groups of pixels that touch at sides, in raster order of their first pixels."""
    left = {(int(y), int(x)) for y, x in np.argwhere(plane)}
    groups = []
    for start in sorted(left):
        if start not in left:
            continue
        group, border = set(), [start]
        while border:
            y, x = border.pop()
            if (y, x) in left:
                left.discard((y, x))
                group.add((y, x))
                border += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
        groups.append(group)
    return groups


def square(plane: np.ndarray, y: int, x: int, reach: int) -> np.ndarray:
    """The pixels around one; pixels outside are left out."""
    return plane[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]


def mapped(plane: np.ndarray, reach: int, of) -> np.ndarray:
    height, width = plane.shape
    return np.array([[of(square(plane, y, x, reach)) for x in range(width)] for y in range(height)])


def edge_of(mask: np.ndarray) -> np.ndarray:
    return mapped(mask, 1, np.any) & ~mapped(mask, 1, np.all)


def crossings(mask: np.ndarray) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Pairs of neighbours on different sides of a contour."""
    height, width = mask.shape
    pairs = [((y, x), (y, x + 1)) for y in range(height) for x in range(width - 1)]
    pairs += [((y, x), (y + 1, x)) for y in range(height - 1) for x in range(width)]
    return [(one, other) for one, other in pairs if mask[one] != mask[other]]


def contrast(image: np.ndarray, pair) -> int:
    return max(abs(int(image[pair[0]][c]) - int(image[pair[1]][c])) for c in range(3))


def mean(values: list[float]) -> float:
    return sum(values) / max(1, len(values))


def majority(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 3, mode=REPLICATED)
    height, width = mask.shape
    return np.array([[padded[y : y + 7, x : x + 7].sum() > 24 for x in range(width)] for y in range(height)])


def of_mask(case: ChangedMask) -> list[float]:
    coarse, refined, scale = case.coarse, case.refined, case.scale
    before, after = edge_of(coarse), edge_of(refined)
    length, length_after = max(1, before.sum()), max(1, after.sum())

    def far(one: np.ndarray, other: np.ndarray, distance: int) -> int:
        return sum(not square(other, y, x, distance).any() for y, x in np.argwhere(one))

    sure = np.abs(2 * case.probability.astype(float) - 255) / 255
    found = [2 * (coarse != refined).sum() / length / scale]
    found += [far(before, after, distance) / length for distance in (1, 2, 4, 8)]
    found += [far(after, before, distance) / length_after for distance in (2, 8)]
    found += [sure[after].sum() / length_after, sure[before].sum() / length]
    levels = []
    for mask in (coarse, refined):
        shifted = [mask, mapped(mask, 3, np.all), mapped(mask, 3, np.any)]
        levels.append([mean([contrast(case.image, pair) for pair in crossings(each)]) for each in shifted])
    found += [math.log((on + 1) / ((inside + outside) / 2 + 1)) for on, inside, outside in levels]
    found += [math.log(on + 1) for on, _, _ in levels]
    found += [
        2 * (majority(mask) != mask).sum() / pixels / scale
        for mask, pixels in ((coarse, length), (refined, length_after))
    ]
    return [*found, math.log(coarse.sum()), length_after / length, math.log(scale)]


def of_change(case: ChangedMask, group: set[tuple[int, int]], joins: bool) -> list[float]:
    sure = np.mean([abs(2 * int(case.probability[each]) - 255) / 255 for each in group])
    lengths, contrasts = [], []
    for mask in (case.coarse, case.refined):
        beside = [pair for pair in crossings(mask) for side in pair if side in group]
        lengths.append(len(beside))
        contrasts.append(math.log(mean([contrast(case.image, pair) for pair in beside]) + 1))
    both = max(1, sum(lengths))
    area = len(group)
    return [
        math.log(area / case.scale**2),
        2 * area / both / case.scale,
        sure,
        joins,
        *contrasts,
        lengths[0] / both,
    ]


def in_order(rows: np.ndarray) -> np.ndarray:
    """The rows, sorted; changes may be numbered in any order."""
    return rows[np.lexsort(np.round(rows, 6).T)]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([0.5, 1.0]), speckled=st.booleans())
def test_evidence_by_hand(seed, scale, speckled):
    random = np.random.default_rng(seed)
    coarse, refined = blob(SIZE, seed % 5), blob(SIZE, seed % 7 + 1)
    if speckled:
        refined = refined ^ (random.random(SIZE) < 0.05)
        refined[0, 0] = True
    case = ChangedMask(picture(SIZE, seed % 11), coarse, refined, random.integers(0, 256, SIZE).astype(np.uint8), scale)
    shared = of_mask(case)
    joining, leaving = flooded(refined & ~coarse), flooded(coarse & ~refined)
    wanted = [shared + of_change(case, group, True) for group in joining]
    wanted += [shared + of_change(case, group, False) for group in leaving]
    found = case.evidence()
    assert found.shape == (len(wanted), EVIDENCE)
    assert np.allclose(in_order(found), in_order(np.reshape(wanted, found.shape)), atol=1e-6)
    assert case.areas.tolist() == [np.count_nonzero(case.changes == number) for number in range(1, len(wanted) + 1)]
    assert sorted(case.areas.tolist()) == sorted(map(len, joining + leaving))


def test_masks_that_fill_the_window_have_no_contour():
    full = np.ones(SIZE, bool)
    hole = full.copy()
    hole[5:8, 5:9] = False
    certain = np.full(SIZE, 255, np.uint8)
    found = ChangedMask(picture(SIZE), hole, full, certain, 1.0).evidence()
    assert found.shape == (1, EVIDENCE)
    assert np.isfinite(found).all()


@settings(max_examples=5, deadline=None)
@given(size=st.sampled_from([(1, 30), (33, 1), (1, 2)]), seed=st.integers(0, 10**6))
def test_images_of_a_single_row_or_column(size, seed):
    coarse = np.random.default_rng(seed).random(size) < 0.5
    refined = ~coarse
    coarse.flat[0] = refined.flat[0] = True
    case = ChangedMask(picture(size), coarse, refined, np.full(size, 99, np.uint8), 1.0)
    shared = of_mask(case)
    groups = [(each, True) for each in flooded(refined & ~coarse)] + [
        (each, False) for each in flooded(coarse & ~refined)
    ]
    wanted = [shared + of_change(case, *group) for group in groups]
    found = case.evidence()
    assert np.allclose(in_order(found), in_order(np.reshape(wanted, found.shape)), atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(size=st.tuples(st.integers(4, 20), st.integers(4, 20)), factor=st.integers(2, 5), seed=st.integers(0, 10**6))
def test_a_smaller_picture_has_the_means_of_squares(size, factor, seed):
    random = np.random.default_rng(seed)
    coarse, refined = random.random((2, *size)) < 0.5
    image, probability = picture(size, seed % 11), random.integers(0, 256, size).astype(np.uint8)
    small = ChangedMask(image, coarse, refined, probability, 0.5).reduced(factor)
    assert (small.scale, small.factor) == (0.5, factor)
    rows, columns = (np.arange(-(-side // factor) * factor).clip(max=side - 1) for side in size)

    def square(plane: np.ndarray, y: int, x: int) -> np.ndarray:
        own = np.s_[y * factor : (y + 1) * factor], np.s_[x * factor : (x + 1) * factor]
        return plane[rows[own[0]]][:, columns[own[1]]]

    for y, x in np.ndindex(*small.coarse.shape):
        assert small.probability[y, x] == int(square(probability, y, x).mean())
        assert (small.image[y, x] == square(image, y, x).mean(axis=(0, 1)).astype(int)).all()
        for mask, found in ((coarse, small.coarse), (refined, small.refined)):
            assert found[y, x] == (square(mask, y, x).mean() > 0.5)
    assert small.coarse.shape == (len(rows) // factor, len(columns) // factor)
