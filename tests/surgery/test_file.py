import copy

import pytest
import torch
from torch import nn

from tests.surgery.cutting import Head, cut, images, kept
from tests.tiny import TinyResidual
from unweave.decoupling.tensor_file import read_tensors, write_tensors
from unweave.errors import ExtractionError, MissingExtraError, RunError, SettingError
from unweave.surgery import onnx_file
from unweave.surgery.file import load_extracted


@pytest.fixture(scope="module")
def small():
    """With a sum of other channels, so that there are positions among its tensors."""
    torch.manual_seed(0)
    masks = {"stem.2/relu:0": kept(4, 0, 1), "relu:0": kept(4, 1, 2, 3)}
    return cut(TinyResidual().randomised(), images(3, 8, 8), masks)


@pytest.fixture
def file(small, tmp_path):
    return small.save(tmp_path / "small.safetensors")


def test_it_is_loaded_without_the_network(small, file):
    loaded = load_extracted(file)
    assert torch.equal(loaded(images(3, 8, 8)), small(images(3, 8, 8)))
    assert loaded.description == small.description
    assert [name for name, _ in loaded.named_parameters()] == [name for name, _ in small.named_parameters()]
    assert loaded.code == small.code


def test_equal_networks_give_equal_bytes(small, file, tmp_path):
    assert load_extracted(file).save(tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("target", ["aten.relu_.default", "aten.from_file.default", "os.system", "aten.conv2d", "relu"])
def test_operations_with_side_effects_are_not_taken_from_a_file(file, target):
    header, tensors = read_tensors(file, "extracted network")
    del header["kind"], header["schema_version"]
    node = next(one for one in header["graph"] if one["target"] == "aten.relu.default")
    node["target"] = target
    write_tensors(file, "extracted network", header, tensors)
    with pytest.raises(RunError, match="damaged"):
        load_extracted(file)


def _hostile(file, change):
    header, tensors = read_tensors(file, "extracted network")
    del header["kind"], header["schema_version"]
    change(header["graph"])
    write_tensors(file, "extracted network", header, tensors)


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: next(n for n in graph if n["op"] == "placeholder").update(target="images=open('harm','w')"),
        lambda graph: graph[-2].update(kwargs={"a=open('harm','w'),b": 1}),
        lambda graph: next(n for n in graph if n["op"] == "get_attr").update(target='x"); open("harm", "w"); ("'),
        lambda graph: next(n for n in graph if n["op"] == "call_function").update(name="x=open('harm','w')"),
    ],
    ids=["placeholder", "keyword", "parameter", "name"],
)
def test_names_that_would_be_run_as_code_are_not_taken_from_a_file(file, change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _hostile(file, change)
    with pytest.raises(RunError, match="damaged"):
        load_extracted(file)
    assert not (tmp_path / "harm").exists()


def test_a_graph_with_an_end_missing_is_damaged(file):
    header, tensors = read_tensors(file, "extracted network")
    del header["kind"], header["schema_version"]
    write_tensors(file, "extracted network", {**header, "graph": header["graph"][:-1]}, tensors)
    with pytest.raises(RunError, match="damaged"):
        load_extracted(file)


def test_a_damaged_file_is_refused(file):
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    with pytest.raises(RunError, match="damaged"):
        load_extracted(file)


def test_other_endings_are_refused(small, tmp_path):
    with pytest.raises(SettingError, match=r"\.safetensors or \.onnx"):
        small.save(tmp_path / "small.pt")
    with pytest.raises(RunError, match="read by onnxruntime"):
        load_extracted(tmp_path / "small.onnx")


def test_onnx_without_its_packages_says_what_to_install(small, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "_NEEDED", ("no_such_package",))
    with pytest.raises(MissingExtraError, match=r"no_such_package.*pip install 'unweave\[onnx\]'"):
        small.save(tmp_path / "small.onnx")


@torch.library.custom_op("tests::halved", mutates_args=())
def halved(values: torch.Tensor) -> torch.Tensor:
    return values / 2


@halved.register_fake
def _(values):
    return torch.empty_like(values)


class Halving(nn.Module):
    def forward(self, values):
        return halved(values)


def test_no_form_of_file_is_recommended_where_none_can_hold_the_network(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "_NEEDED", ())
    network = Head(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), Halving()), 4)
    small = cut(network, images(3, 4, 4), {"body.1/relu:0": kept(4, 0, 2)})
    for suffix in (".safetensors", ".onnx"):
        with pytest.raises(ExtractionError, match=r"^tests.halved is .*: neither .*\(small.state_dict") as found:
            small.save(tmp_path / f"small{suffix}")
        assert str(found.value).isprintable()
    assert not list(tmp_path.iterdir())
    torch.save(small.state_dict(), tmp_path / "weights.pt")  # what the message says to do
    again = copy.deepcopy(small)
    nn.init.zeros_(again.state_dict()["body.0.weight"])
    again.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(again(images(3, 4, 4)), small(images(3, 4, 4)))


def test_what_onnx_cannot_express_is_said_without_colours_and_can_be_a_safetensors_file(small, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise torch.onnx.OnnxExporterError("\x1b[31mFailed\x1b[0m to convert") from RuntimeError(
            "\n\x1b[96mNo ONNX function found for aten.i1\x1b[0m.\nmore"
        )

    monkeypatch.setattr(onnx_file, "_NEEDED", ())
    monkeypatch.setattr(torch.onnx, "export", fails)
    message = r"exported to ONNX: No ONNX function found for aten.i1; write a .safetensors file$"
    with pytest.raises(ExtractionError, match=message):
        small.save(tmp_path / "small.onnx")
    assert small.save(tmp_path / "small.safetensors").exists()
    monkeypatch.setattr(onnx_file, "operations_of_others", lambda graph: ["torchvision.deform_conv2d"])
    with pytest.raises(ExtractionError, match=r"aten.i1; of torchvision.deform_conv2d: write it with PyTorch's own"):
        small.save(tmp_path / "small.onnx")


def test_it_can_be_exported_for_any_batch_size(small):
    program = torch.export.export(small, (images(3, 8, 8),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert torch.allclose(program.module()(images(3, 8, 8, count=5)), small(images(3, 8, 8, count=5)), atol=1e-6)


def test_an_onnx_file_computes_the_same_for_any_batch_size(small, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(small.save(tmp_path / "small.onnx")))
    (scores,) = session.run(None, {"images": images(3, 8, 8, count=5).numpy()})
    assert torch.allclose(torch.from_numpy(scores), small(images(3, 8, 8, count=5)), atol=1e-5)
