"""`unweave disentangle --engine`: what is refused. What engines do is in tests/engine."""

import os
import sys
from types import SimpleNamespace

FOUND_NO_RAY = """
def init(**_):
    raise ConnectionError("Could not find any running Ray instance.\\nGive one.")
"""


def test_an_automatic_address_without_a_cluster_is_one_line_and_writes_nothing(
    unweave, user_file, tmp_path, monkeypatch
):
    # Not Ray itself, which would find the cluster of a test that runs beside this one.
    (tmp_path / "ray.py").write_text(FOUND_NO_RAY)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    inputs = (f"{user_file}:network", f"{user_file}:images", "--out", tmp_path / "run")
    ran = unweave("disentangle", *inputs, "--engine", "ray", "--address", "auto")
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "Ray at auto cannot be joined (Could not find any running Ray instance. Give one.); start it with" in ran.err
    assert not (tmp_path / "run").exists()
