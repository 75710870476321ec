"""What tests of engines share."""

import pytest


@pytest.fixture(scope="session")
def compiled_once(tmp_path_factory):
    """Ray starts a dozen processes of Python, and gives up where they take too long: they share what they compile, also
    where the environment forbids to keep that beside the sources."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        patch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.mktemp("compiled")))
        yield
