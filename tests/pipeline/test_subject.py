"""What measures are told beforehand."""

import pytest

from unweave.pipeline.subject import others_asked


@pytest.mark.parametrize(
    ("rows", "images", "asked"), [(10, 1000, None), (1000, 2000, None), (1000, 50_000, 2000), (100_000, 50_000, 100)]
)
def test_rows_are_asked_about_all_images_up_to_two_million_questions(rows, images, asked):
    assert others_asked(rows, images) == asked
