"""What ImageNet's size takes: lines of `benchmarks.thousand_rows` and `benchmarks.loading` for `docs/measured.md`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def rows(found: Sequence[dict[str, Any]], memory: Sequence[dict[str, Any]]) -> list[str]:
    """The search of 1,000 rows, and what is computed from it."""
    if not found:
        return ["Not measured yet."]
    search, large, job = (found[0][key] for key in ("search", "at_224", "published_job"))
    hours = job["hours_one_h200_computed"]
    lines = [
        "| what | how known | |",
        "|---|---|---|",
        f"| images a second, 64 x 64, one thread, {search['rows']} rows, {search['images']} images | measured | "
        f"{search['images_per_second']:.1f} ({search['images_per_processor_second']:.1f} a processor second) |",
        f"| seconds of that search: expected beforehand, taken | measured | {search['expected_seconds']:.0f}, "
        f"{search['seconds']:.0f} |",
        f"| rows that made a step (whose images were recognised) | measured | {search['rows_that_made_a_step']} |",
        f"| images a second, 224 x 224, one thread | measured on a few batches | {large['images_per_second']:.2f} |",
        f"| the published job: {job['visits'] / 1e6:.1f} million visits, one worker, one thread | computed from that | "
        f"{job['hours_one_worker_like_this_computed_from_batches_at_224']:.0f} hours |",
        f"| eight such workers | computed | {job['hours_eight_workers_like_this_computed']:.0f} hours |",
        f"| one H200, arithmetic alone, at {job['assumed_share_of_peak']:.0%} of its peak, float32 / bfloat16 | "
        f"computed, not measured | {hours['float32']:.1f} / {hours['bfloat16']:.1f} hours |",
        "| eight H200, the same | computed, not measured | "
        + " / ".join(f"{value:.1f}" for value in job["hours_eight_h200_computed"].values())
        + " hours |",
    ]
    searches = [search for one in memory for search in one["searches"]]
    return lines + [
        f"| memory of a search of {s['rows']} rows, `{s['objective']}` ({s['channels']} channels; score tables "
        f"{s['score_table_megabytes']:.0f} MB): before, peak | measured, {s['images']} images | "
        f"{s['megabytes_before']:.0f}, {s['peak_megabytes']:.0f} MB; {s['seconds']:.0f} s |"
        for s in searches
    ]


def scaling(found: Sequence[dict[str, Any]]) -> list[str]:
    """Two workers of Ray against one, and how shards of several sizes fill 100 workers."""
    if not found:
        return ["Not measured yet."]
    one = found[0]
    settings, tasks, schedule = one["settings"], one["task_seconds"], one["schedule"]
    lines = [
        f"ResNet-20, ten classes in shards of one, {settings['limit_per_class']} images a class, {settings['passes']} "
        f"passes, one thread a worker: {one['seconds']['1']:.0f} s with one worker, {one['seconds']['2']:.0f} s with "
        f"two (medians of {settings['repeats']}): **{one['speedup']:.2f} times** as fast. A class took "
        f"{tasks['least']:.1f} to {tasks['most']:.1f} s (median {tasks['median']:.1f}).",
        "",
        f"Simulated from these times: {schedule['classes']} classes on {schedule['workers']} workers, share of the "
        "workers' time that is work:",
        "",
        "| classes a shard | shards | in order | the longest first |",
        "|---|---|---|---|",
    ]
    return lines + [
        f"| {row['classes_per_shard']} | {row['shards']} | {100 * row['utilisation_in_order']:.1f} % | "
        f"{100 * row['utilisation_longest_first']:.1f} % |"
        for row in schedule["rows"]
    ]


def loading(found: Sequence[dict[str, Any]]) -> list[str]:
    """Listing and reading of files, and whether the network waits."""
    if not found:
        return ["Not measured yet."]
    one = found[0]
    listing, rates = one["listing"], one["images_per_second_by_loaders"]
    first, later = one["time_of_first_pass_against_memory"], one["time_of_a_later_pass_against_memory"]
    lines = [
        f"{listing['files']} files in 1,000 folders are listed in {listing['seconds']:.1f} s (peak memory grows by "
        f"{listing['peak_megabytes_grown']:.0f} MB, {listing['megabytes_kept']:.0f} MB stay).",
        "",
        "| read by | photos a second | search of one pass, against images in memory | a later pass |",
        "|---|---|---|---|",
    ]
    for workers, rate in rates.items():
        name = f"files, {workers} loaders"
        lines.append(f"| {_readers(workers)} | {rate:.0f} | {first[name]:.2f} | {later[name]:.2f} |")
    return lines


def _readers(workers: str) -> str:
    return {"0": "the search's own process", "1": "one process beside"}.get(workers, f"{workers} processes beside")
