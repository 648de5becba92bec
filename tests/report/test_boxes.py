"""Boxes drawn on images, and objects cut out."""

import numpy as np

from trainer.report.boxes import CROWD, TRUE, WRONG, Outline, cut_out, outlined, true_outlines


def test_an_outline_lies_on_the_edges_of_its_box() -> None:
    """A grey image of 10 x 20, drawn at ten times its size."""
    image = np.full((1, 10, 20), 100, np.uint8)
    drawn = outlined(image, [Outline([2, 3, 8, 9], WRONG)], side=200)
    assert drawn.shape == (3, 100, 200)
    changed = (drawn != 100).any(0)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 89, 20, 79)
    assert not changed[35:85, 25:75].any()
    assert drawn[:, 30, 50].tolist() == list(WRONG)


def test_a_word_stays_inside_the_image() -> None:
    image = np.zeros((3, 20, 20), np.uint8)
    for place in ([0, 0, 5, 5], [15, 15, 20, 20]):
        plain = outlined(image, [Outline(place, TRUE)], side=200)
        named = outlined(image, [Outline(place, TRUE, "a long name of a class")], side=200)
        assert named.shape == plain.shape
        assert (named != plain).any()


def test_true_boxes_have_names_and_crowds_are_grey() -> None:
    rows = [[2.0, 0, 0, 5, 5], [-1.0, 1, 1, 9, 9], [0.0] * 5]
    first, second = true_outlines(rows, ("cat", "dog"))
    assert (first.text, first.colour, first.edges) == ("dog", TRUE, [0, 0, 5, 5])
    assert (second.text, second.colour) == ("cat", CROWD)


def test_an_object_is_in_the_middle_of_its_cut() -> None:
    """A box of 8 x 4 with a quarter of its longer side around it: 12 x 12 pixels."""
    image = np.zeros((1, 20, 20), np.uint8)
    image[0, 8:12, 6:14] = 255
    cut = cut_out(image, [6, 8, 14, 12], side=12)
    assert cut.shape == (3, 12, 12)
    rows, columns = np.nonzero(cut[0] > 127)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (4, 7, 2, 9)


def test_what_is_outside_the_image_is_grey() -> None:
    cut = cut_out(np.zeros((1, 20, 20), np.uint8), [0, 0, 4, 4], side=6)
    assert cut[:, 0, 0].tolist() == list(CROWD)
    assert cut[:, 5, 5].tolist() == [0, 0, 0]
