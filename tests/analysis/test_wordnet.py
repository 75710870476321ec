"""Distances in a small hierarchy."""

import numpy as np
import pytest

from unweave.analysis.wordnet import wordnet_distances
from unweave.errors import DataError

TREE = """thing animal
thing vehicle
animal cat
animal dog
cat tabby
vehicle ship

pet tabby
pet dog
"""


@pytest.fixture
def tree(tmp_path):
    file = tmp_path / "is_a.txt"
    file.write_text(TREE)
    return file


def test_distances_are_the_shortest_ways_over_common_ancestors(tree):
    found = wordnet_distances(tree, ["tabby", "dog", "ship"])
    # tabby and dog meet at pet; both meet ship at thing.
    assert found.tolist() == [[0, 2, 5], [2, 0, 4], [5, 4, 0]]


def test_classes_without_id_or_common_ancestor_have_no_distance(tree):
    found = wordnet_distances(tree, ["cat", "", "stone"])
    assert np.isnan(found[0, 1:]).all()
    assert np.isnan(found[1]).all()
    assert found[0, 0] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b c", "line 1: a parent's and a child's WordNet id are needed, found 'a b c'"),
        ("cat dog\ndog cat", r"goes in circles: cat is above itself \(cat, dog, cat: each a parent of the next\)"),
        ("cat cat", r"goes in circles: cat is above itself \(cat, cat: "),
        ("pet animal\nanimal pet\nanimal cat\nanimal dog", r"circles: animal is above itself \(animal, pet, animal: "),
        ("a b\nb c\nc a\nc d\nd cat\nthing cat", r"circles: a is above itself \(a, b, c, a: "),
        ("a b", "has none of the classes' WordNet ids"),
    ],
)
def test_files_that_are_no_hierarchy_of_the_classes_are_refused(tmp_path, text, message):
    file = tmp_path / "is_a.txt"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        wordnet_distances(file, ["cat", "dog"])


def test_a_circle_matters_where_it_is_above_a_class_alone(tree):
    tree.write_text(TREE + "tabby kitten\nkitten tabby\nleft right\nright left\n")
    assert wordnet_distances(tree, ["cat", "dog", "ship"]).tolist() == [[0, 2, 4], [2, 0, 4], [4, 4, 0]]
    with pytest.raises(DataError, match="goes in circles: tabby is above itself"):
        wordnet_distances(tree, ["tabby", "dog"])


def test_a_hierarchy_deeper_than_python_s_recursion_is_climbed(tmp_path):
    file = tmp_path / "is_a.txt"
    file.write_text("".join(f"{number} {number + 1}\n" for number in range(5000)))
    assert wordnet_distances(file, ["4000", "5000"]).tolist() == [[0, 1000], [1000, 0]]


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        wordnet_distances(tmp_path / "gone", ["cat"])
