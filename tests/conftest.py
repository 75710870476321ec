"""Fixtures that all tests share. Seeds come from here."""

import os
from pathlib import Path

import pytest
import torch

from tests.tiny import TinyDense, TinyPlain, TinyResidual, labelled_noise


@pytest.fixture(autouse=True)
def seed():
    """Every test starts from the same random state."""
    torch.manual_seed(0)
    return 0


@pytest.fixture(params=[TinyPlain, TinyResidual, TinyDense], ids=lambda kind: kind.__name__)
def network(request):
    """One tiny network of each connection type."""
    return request.param().randomised()


@pytest.fixture
def plain():
    return TinyPlain().randomised()


@pytest.fixture
def noise():
    """24 labelled images of three classes, for the tiny networks."""
    return labelled_noise(24)


@pytest.fixture
def real_data():
    """A folder with real networks and images, named by UNWEAVE_REAL_DATA."""
    folder = os.environ.get("UNWEAVE_REAL_DATA")
    if not folder:
        pytest.skip("needs real networks and images: UNWEAVE_REAL_DATA names no folder")
    return Path(folder)


@pytest.fixture
def undrawn(monkeypatch):
    """Reports whose figures are made but not drawn, for tests that are about words: drawing takes seconds."""
    monkeypatch.setattr("unweave.views.report.render.figure_address", lambda figure: "data:image/png;base64,AA")
