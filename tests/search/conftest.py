"""What the tests of this folder share."""

import pytest

from unweave.network.capture import captured_once


@pytest.fixture(autouse=True)
def _captured_once():
    """A test that searches or measures one network several times captures it once: half of its time otherwise. That
    capturing again is the same is said by `tests/network/test_capture.py`."""
    with captured_once():
        yield
