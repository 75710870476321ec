"""Processes of their own that start fast: forked from one that has imported what is slow to import, and done nothing
else."""

import multiprocessing
import os

PRELOADED = multiprocessing.get_context("forkserver")
PRELOADED.set_forkserver_preload(
    [
        "unweave.cli.main",
        "unweave.search.search",
        "unweave.decoupling.training.training",
        "unweave.pipeline.measures",
        "unweave.pipeline.inputs",
        # What the first capture and the first digits would import:
        "torch.export._trace",
        "sklearn.datasets",
    ]
)


def output_to(out, err):
    """Let this process and what it starts print into files."""
    for number, file in ((1, out), (2, err)):
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        os.dup2(handle, number)
