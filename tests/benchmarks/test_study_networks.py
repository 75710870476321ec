"""Networks studied at different times stand in one comparison."""

import json

from benchmarks.study_networks import put_together
from unweave.tables import Table


def table(**score):
    return Table(
        "t",
        {"network": tuple(score), "top1": tuple(s / 10 for s in score.values()), "score": tuple(score.values())},
        {},
        {"rank_correlation": None},
    )


def saved(found):
    """As a result file holds it."""
    return json.loads(json.dumps(found))


def test_networks_of_another_time_stay_and_those_measured_again_are_replaced():
    before = saved(put_together({}, {"released": table(resnet56=1.0, resnet20=2.0), "random": table(resnet20=5.0)}))
    after = put_together(before, {"released": table(resnet20=3.0, squeezenet=4.0)})
    assert after["released"]["columns"]["network"] == ["resnet20", "resnet56", "squeezenet"]
    assert after["released"]["columns"]["score"] == [3.0, 1.0, 4.0]
    assert saved(after["random"]) == before["random"]


def test_the_rank_correlation_is_that_of_all_networks_and_there_is_none_of_two():
    two = put_together({}, {"released": table(resnet20=1.0, resnet56=2.0)})
    assert two["released"]["summary"] == {"rank_correlation": None}
    three = put_together(saved(two), {"released": table(densenet40=3.0)})
    assert three["released"]["summary"]["rank_correlation"] == 1.0
    assert "3 networks" in three["released"]["title"]


def test_without_run_folders_everything_stays():
    before = saved(put_together({}, {"released": table(resnet20=1.0)}))
    assert saved(put_together(before, {})) == before
