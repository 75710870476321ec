"""What measures are told beforehand."""

import numpy as np
import pytest

from tests.analysis.by_hand import ReadOut, Torn, keeping, pictures
from unweave.analysis.class_rows import class_rows
from unweave.analysis.mosaics import draw_mosaics
from unweave.data.labelled import labelled
from unweave.pipeline.subject import Subject, others_asked, why_no_mosaics


@pytest.mark.parametrize(
    ("rows", "images", "asked"), [(10, 1000, None), (1000, 2000, None), (1000, 50_000, 2000), (100_000, 50_000, 100)]
)
def test_rows_are_asked_about_all_images_up_to_two_million_questions(rows, images, asked):
    assert others_asked(rows, images) == asked


def test_the_first_two_mosaics_that_can_be_read_are_shown_or_those_that_are_asked_for():
    network, data = ReadOut(), pictures([0, 1, 2, 3] * 3)
    paths, torn = keeping(network, [[0], [1], [2], [3]]), labelled(Torn(data, {0}))
    drawn = draw_mosaics(class_rows(paths, "a mosaic"), torn, 30, 5).images
    damaged, whole = np.flatnonzero((drawn == 0).any(1)).tolist(), np.flatnonzero((drawn != 0).all(1)).tolist()
    assert Subject(paths, network, torn, 5).mosaics_shown == whole[:2]
    asked = (whole[3], damaged[0], whole[1])
    assert Subject(paths, network, torn, 5, mosaics=asked).mosaics_shown == [whole[3], whole[1]]


def test_why_there_are_no_mosaics_is_said_in_words_or_not_at_all():
    paths = keeping(ReadOut(), [[0], [1], [2], [3]])
    assert why_no_mosaics(paths, None) == ""
    assert why_no_mosaics(paths, labelled(pictures([0, 1]))).startswith("a mosaic shows four classes, 2 of the 4 rows")
