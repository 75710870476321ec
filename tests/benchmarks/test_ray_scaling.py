"""The simulated schedule, by hand."""

import pytest

from benchmarks.ray_scaling import makespan, simulated


def test_a_free_worker_takes_the_next_task():
    assert makespan([1, 1, 1, 3], 2, longest_first=False) == 4  # 1 + 1, then 1 + 3
    assert makespan([1, 1, 1, 3], 2, longest_first=True) == 3
    assert makespan([2, 2], 5, longest_first=False) == 2


def test_equal_classes_fill_a_hundred_workers_where_the_shards_divide_among_them():
    by_size = {row["classes_per_shard"]: row for row in simulated([2.0])}
    assert [by_size[size]["in_order"] for size in (1, 10, 20)] == [20.0, 20.0, 40.0]
    assert by_size[20]["utilisation_in_order"] == pytest.approx(0.5)
    assert by_size[1]["shards"] == 1000
