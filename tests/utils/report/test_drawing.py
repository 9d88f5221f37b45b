"""Boxes and names on pictures: where they are, that they stay legible."""

import numpy as np
import numpy.typing as npt
import pytest

from utils.report.drawing import (
    PALETTE,
    Picture,
    Style,
    color_of,
    draw_boxes,
    enlarge_to,
    shrink_to,
)

BLACK = np.zeros((400, 600, 3), np.uint8)


def draw(
    boxes: list[list[float]], scores: list[float], canvas: Picture = BLACK, name: str = "cat"
) -> Picture:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    labels = np.arange(len(rows), dtype=np.int64)
    names = [name] * max(1, len(rows))
    return draw_boxes(canvas, rows, labels, names, np.array(scores, np.float32))


def patch_of(picture: Picture, label: int) -> npt.NDArray[np.bool_]:
    """Return where `picture` has the colour of a class."""
    return (picture == np.array(PALETTE[label])).all(axis=2)


def test_nothing_found_changes_nothing_and_the_picture_given_stays() -> None:
    assert (draw([], []) == BLACK).all()
    draw([[10, 10, 200, 200]], [0.9])
    assert not BLACK.any()


def test_the_box_is_drawn_at_its_corners_in_the_colour_of_its_class() -> None:
    picture = draw([[100, 150, 300, 350]], [0.9])
    drawn = patch_of(picture, 0)
    assert drawn[150, 250]
    assert drawn[350, 250]
    assert drawn[250, 100]
    assert drawn[250, 300]
    assert not drawn[250, 200]
    assert drawn[:149].any(), "the name stands above the box"


@pytest.mark.parametrize(
    "box", [[-50, -50, 900, 900], [590, 390, 600, 400], [0, 0, 1, 1], [300, 0, 300, 0]]
)
def test_names_stay_inside_the_picture(box: list[float]) -> None:
    free = draw([[100, 150, 300, 350]], [0.9])
    inside = draw([box], [0.9])
    # The ink of the name is white in both: as much of it must be seen.
    assert (inside == 255).all(axis=2).sum() == (free == 255).all(axis=2).sum()


def test_names_of_neighbours_do_not_hide_each_other() -> None:
    boxes = [[100, 150, 150, 250], [105, 152, 155, 252]]
    both = draw(boxes, [0.9, 0.8])
    ink = (both == 255).all(axis=2).sum()
    alone = sum(
        (draw([box], [score]) == 255).all(axis=2).sum()
        for box, score in zip(boxes, [0.9, 0.8], strict=True)
    )
    assert ink == pytest.approx(alone, rel=0.02)


def test_the_best_name_lies_on_top_where_there_is_no_room() -> None:
    canvas = np.zeros((18, 60, 3), np.uint8)
    boxes = [[0.0, 0, 60, 18]] * 5
    best_first = draw(boxes, [0.9, 0.8, 0.7, 0.6, 0.5], canvas)
    best_last = draw(boxes, [0.5, 0.6, 0.7, 0.8, 0.9], canvas)
    assert patch_of(best_first, 0).sum() > patch_of(best_first, 4).sum()
    assert patch_of(best_last, 4).sum() > patch_of(best_last, 0).sum()


def test_a_name_too_wide_for_the_picture_loses_its_score() -> None:
    canvas = np.zeros((60, 60, 3), np.uint8)
    with_score = draw([[5, 30, 50, 55]], [0.9], canvas, name="dog")
    short = draw([[5, 30, 50, 55]], [0.9], canvas, name="refrigerator")
    plain = draw_boxes(
        canvas, np.array([[5, 30, 50, 55]], np.float32), np.zeros(1, np.int64), ["refrigerator"]
    )
    assert (short == plain).all()
    assert not (with_score == plain).all()


@pytest.mark.slow
def test_text_and_lines_grow_with_the_picture() -> None:
    large = draw([[1000, 1500, 3000, 3500]], [0.9], np.zeros((4000, 6000, 3), np.uint8))
    small = draw([[100, 150, 300, 350]], [0.9])
    assert patch_of(large, 0).sum() > 50 * patch_of(small, 0).sum()


def test_colours_repeat_after_the_palette() -> None:
    assert color_of(3) == color_of(3 + len(PALETTE)) == PALETTE[3]


@pytest.mark.parametrize(
    ("size", "factor"), [((50, 60), 8), ((480, 10), 1), ((241, 9), 2), ((1, 1), 480)]
)
def test_small_pictures_are_enlarged_by_a_whole_factor(size: tuple[int, int], factor: int) -> None:
    picture, used = enlarge_to(np.full((*size, 3), 7, np.uint8), 480)
    assert used == factor
    assert picture.shape == (size[0] * factor, size[1] * factor, 3)
    assert (picture == 7).all()


def test_large_pictures_are_shrunk_and_others_left() -> None:
    picture, scale = shrink_to(np.full((100, 400, 3), 7, np.uint8), 200)
    assert (picture.shape, scale) == ((50, 200, 3), 0.5)
    assert shrink_to(BLACK, 900)[1] == 1.0


def styled(style: Style, boxes: list[list[float]], scores: list[float]) -> Picture:
    labels = np.arange(len(boxes)) % 2
    return draw_boxes(
        BLACK,
        np.array(boxes, np.float32).reshape(-1, 4),
        labels.astype(np.int64),
        ["cat", "dog"],
        np.array(scores, np.float32),
        style,
    )


def test_lines_of_a_stated_width() -> None:
    box = [100.0, 150, 300, 350]
    seen = []
    for width in (1, 5, 9):
        drawn = styled(Style(line_width=width, has_names=False), [box], [0.9])
        seen.append(int(patch_of(drawn, 0)[250, :200].sum()))
        assert seen[-1] == pytest.approx(width, abs=2)  # OpenCV rounds the ends of a thick line
    assert seen == sorted(set(seen))


def test_names_and_scores_can_be_left_out() -> None:
    box = [100.0, 150, 300, 350]
    # Letters are white on a tag of a strong colour; OpenCV 4 smooths thin ones to nearly white.
    ink = {
        name: int((styled(style, [box], [0.9]) > 170).all(axis=2).sum())
        for name, style in (
            ("all", Style()),
            ("names", Style(has_scores=False)),
            ("none", Style(has_names=False)),
        )
    }
    assert ink["all"] > ink["names"] > ink["none"] == 0
    assert patch_of(styled(Style(has_names=False), [box], [0.9]), 0).any()


def test_a_name_goes_where_it_covers_no_other_object() -> None:
    below = [100.0, 200, 160, 300]
    above = [100.0, 120, 160, 198]  # where the name of the other would stand
    picture = styled(Style(), [above, below], [0.9, 0.8])
    inside = picture[125:195, 105:155]
    assert not patch_of(inside, 1).any()
    assert patch_of(styled(Style(), [below], [0.8]), 0)[150:199].any()
