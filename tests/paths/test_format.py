"""The `Paths` file: the same bytes for the same paths, and a clear refusal of everything that is not one."""

import json
import os
import struct

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch_file

from tests.paths.made import MANIFEST, animals, any_paths, make, masks_equal, sites_of
from tests.tiny import TinyPlain
from unweave.errors import MismatchError, PathsError
from unweave.network.sites import find_sites
from unweave.paths import Paths, Rows, format

_SETTINGS = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _parts(file):
    """The header that unweave wrote, and the tensors."""
    with safe_open(file, framework="numpy") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (not a dict)
        return json.loads(opened.metadata()["unweave"]), tensors


def _rewrite(file, change):
    """Change header and tensors of a file as another writer might, with a digest that fits."""
    header, tensors = _parts(file)
    change(header, tensors)
    header["digest"] = format.content_digest(header, tensors)
    save_file(tensors, file, metadata={"unweave": json.dumps(header)})


@pytest.fixture
def file(tmp_path):
    """A valid file: three classes, sites of 5 and 9 channels, with scores."""
    return animals().save(tmp_path / "animals.safetensors")


def _refused(file):
    """The message of the refusal; it begins with the file's name."""
    with pytest.raises(PathsError) as caught:
        Paths.load(file)
    assert str(caught.value).removeprefix("no file ").startswith(str(file))
    return str(caught.value)


@given(any_paths())
@_SETTINGS
def test_paths_survive_saving(tmp_path, paths):
    again = Paths.load(paths.save(tmp_path / "paths.safetensors"))
    assert again == paths
    assert masks_equal(again, paths)
    assert again.rows == paths.rows
    assert tuple(again.sites) == tuple(paths.sites)
    assert (again.sites.image_shape, again.sites.dtype, again.sites.logits) == ((3, 8, 8), "float32", None)
    assert again.manifest == paths.manifest
    assert (again.scores is None) is (paths.scores is None)
    assert all(torch.equal(again.scores[name], score) for name, score in (paths.scores or {}).items())


@pytest.mark.parametrize("names", [["", ""], ["猫", "собака"], ["x" * 300, "é" * 300], ["🐈", "\0\n\t"], ["a", ""]])
def test_odd_names_survive_saving(tmp_path, names):
    paths = make(Rows.of_inputs(2, names=names, sources=names[::-1]), sites_of(3))
    again = Paths.load(paths.save(tmp_path / "paths.safetensors"))
    assert (again.rows.names, again.rows.sources) == (tuple(names), tuple(names[::-1]))


def test_sources_that_are_undecodable_file_names_survive_saving(tmp_path):
    source = os.fsdecode(b"caf\xe9.png")
    paths = make(Rows.of_inputs(1, sources=[source]), sites_of(3))
    assert os.fsencode(Paths.load(paths.save(tmp_path / "paths.safetensors")).rows.sources[0]) == b"caf\xe9.png"


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_scores_keep_their_precision(tmp_path, dtype):
    scores = {"a/relu:0": torch.randn(2, 3, dtype=dtype)}
    masks = {"a/relu:0": scores["a/relu:0"] > 0}
    paths = Paths(masks, Rows.of_classes([0, 1]), sites_of(3), {}, scores)
    again = Paths.load(paths.save(tmp_path / "paths.safetensors")).scores["a/relu:0"]
    assert again.dtype == dtype
    assert torch.equal(again, scores["a/relu:0"])


@given(any_paths())
@_SETTINGS
def test_equal_paths_give_equal_bytes(tmp_path, paths):
    first = paths.save(tmp_path / "first.safetensors").read_bytes()
    assert paths.save(tmp_path / "second.safetensors").read_bytes() == first
    again = Paths.load(tmp_path / "first.safetensors").save(tmp_path / "again.safetensors")
    assert again.read_bytes() == first


def test_order_of_settings_does_not_change_the_bytes(tmp_path):
    rows, sites = Rows.of_classes([0]), sites_of(3)
    backwards = dict(reversed(MANIFEST.items()))
    files = [make(rows, sites, manifest=m).save(tmp_path / f"{len(m)}{i}") for i, m in enumerate((MANIFEST, backwards))]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_masks_take_one_bit_a_channel(tmp_path):
    rows = Rows.of_inputs(1000, names=[""] * 1000)
    narrow = make(rows, sites_of(8), scores=False).save(tmp_path / "narrow").stat().st_size
    wide = make(rows, sites_of(8008), scores=False).save(tmp_path / "wide").stat().st_size
    assert 0 <= wide - narrow - 1000 * 8000 // 8 < 200


def test_channel_k_is_bit_k(tmp_path):
    mask = torch.zeros(1, 11, dtype=torch.bool)
    mask[0, [0, 9]] = True
    file = Paths({"a/relu:0": mask}, Rows.of_classes([0]), sites_of(11), {}).save(tmp_path / "paths")
    assert _parts(file)[1]["mask.0000"].tolist() == [[0b10000000, 0b01000000]]


def test_row_names_are_tensors_not_header(tmp_path):
    names = [f"picture {i} of a long series of pictures" for i in range(1000)]
    file = make(Rows.of_inputs(1000, names=names), sites_of(3)).save(tmp_path / "paths")
    (length,) = struct.unpack("<Q", file.read_bytes()[:8])
    assert length < 3000


def test_saving_overwrites_and_makes_folders(tmp_path):
    target = tmp_path / "new" / "folder" / "paths.safetensors"
    animals(seed=1).save(target)
    animals(seed=2).save(str(target))
    assert Paths.load(target) == animals(seed=2)


@pytest.mark.parametrize(("accident", "seen"), [(KeyboardInterrupt, KeyboardInterrupt), (OSError, PathsError)])
def test_interrupted_save_leaves_the_old_file_and_no_draft(file, monkeypatch, accident, seen):
    before = file.read_bytes()

    def half(tensors, draft, metadata):
        draft.write_bytes(before[: len(before) // 2])
        raise accident("no space left")

    monkeypatch.setattr(format, "save_file", half)
    with pytest.raises(seen, match="no space left"):
        animals(seed=9).save(file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_missing_file_and_folder_are_refused(tmp_path):
    assert _refused(tmp_path / "none.safetensors").startswith("no file ")
    assert _refused(tmp_path).startswith("no file ")


def test_file_truncated_anywhere_is_refused(file):
    content = file.read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    regions = {0, 1, 7, 8, 9, 8 + header // 2, 8 + header - 1, 8 + header, 8 + header + 1, len(content) - 1}
    for length in sorted(regions | set(range(0, len(content), 97))):
        file.write_bytes(content[:length])
        assert "is not a whole safetensors file" in _refused(file)


def test_file_with_something_appended_is_refused(file):
    file.write_bytes(file.read_bytes() + b"\0")
    assert "is not a whole safetensors file" in _refused(file)


@given(st.binary(max_size=400))
@_SETTINGS
def test_random_bytes_are_refused(tmp_path, content):
    file = tmp_path / "random.safetensors"
    file.write_bytes(content)
    assert "is not a whole safetensors file" in _refused(file)


@given(st.data())
@settings(_SETTINGS, max_examples=300)
def test_file_with_flipped_bits_loads_equal_or_is_refused(tmp_path, data):
    file, paths = tmp_path / "animals.safetensors", animals()
    content = bytearray(paths.save(file).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    again, refusal = _tried(file)
    if again is None:
        assert refusal.startswith(str(file))
    else:
        assert again == paths
        assert again.manifest == paths.manifest
        assert all(torch.equal(again.scores[name], score) for name, score in paths.scores.items())


def _tried(file):
    try:
        return Paths.load(file), ""
    except PathsError as error:
        return None, str(error)


def test_every_flipped_bit_of_the_tensors_is_noticed(file):
    content = file.read_bytes()
    (header,) = struct.unpack("<Q", content[:8])
    for position in range(8 + header, len(content), 7):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        file.write_bytes(damaged)
        assert "is damaged" in _refused(file)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_foreign_safetensors_file_is_refused(tmp_path, dtype):
    file = tmp_path / "weights.safetensors"
    save_torch_file({"weight": torch.zeros(3, 3, dtype=dtype)}, file, metadata={"format": "pt"})
    assert "is a safetensors file, but holds no paths" in _refused(file)


def test_tensors_of_another_element_type_are_refused(file):
    header, tensors = _parts(file)
    odd = {name: torch.from_numpy(tensor) for name, tensor in tensors.items()}
    odd["score.0000"] = odd["score.0000"].to(torch.bfloat16)
    save_torch_file(odd, file, metadata={"unweave": json.dumps(header)})
    assert file.name in _refused(file)


@pytest.mark.parametrize("version", [0, 2, "1.0", None])
def test_other_schema_version_is_refused(file, version):
    _rewrite(file, lambda header, tensors: header.update(schema_version=version))
    assert f"schema version {version}, this version of unweave reads 1" in _refused(file)


@pytest.mark.parametrize("row", [0, 2])
def test_bits_past_the_last_channel_are_refused(file, row):
    def change(header, tensors):
        tensors["mask.0001"][row, -1] |= 1

    _rewrite(file, change)
    assert "mask of site 'b/relu:0' has bits set past its last channel" in _refused(file)


def test_all_tensors_are_needed(file):
    content = file.read_bytes()
    names = sorted(_parts(file)[1])
    assert len(names) == 15
    for name in names:
        file.write_bytes(content)
        _rewrite(file, lambda header, tensors, name=name: tensors.pop(name))
        assert name in _refused(file)


@pytest.mark.parametrize("key", ["schema_version", "kind", "sites", "example", "has_scores", "manifest", "digest"])
def test_all_header_keys_are_needed(file, key):
    header, tensors = _parts(file)
    del header[key]
    if key != "digest":
        header["digest"] = format.content_digest(header, tensors)
    save_file(tensors, file, metadata={"unweave": json.dumps(header)})
    assert key in _refused(file)


def _set(name, value):
    def change(header, tensors):
        tensors[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("mask.0000", np.zeros((3, 2), np.uint8)), r"has shape (3, 2), (3, 1) is needed"),
        (_set("mask.0000", np.zeros((2, 1), np.uint8)), r"has shape (2, 1), (3, 1) is needed"),
        (_set("mask.0000", np.zeros(3, np.uint8)), r"has shape (3,), (3, 1) is needed"),
        (_set("mask.0000", np.zeros((3, 1), np.int8)), "mask of site 'a/relu:0'"),
        (_set("score.0001", np.zeros((3, 8), np.float32)), r"have shape (3, 8), (3, 9) is needed"),
        (_set("score.0001", np.zeros((3, 9), np.int32)), "floating point is needed"),
        (_set("row.members", np.array([0, 7, 3])), "must ascend by class index"),
        (_set("row.classes", np.array([0, 3, 4])), "class 4 does not fit a row of classes (7,)"),
        (_set("row.against", np.array([5])), "texts do not add up"),
        (_set("row.classes", np.array([0, 3])), "differ in length"),
        (_set("row.classes", np.array(5)), "damaged"),
        (_set("row.names.ends", np.array([3, 6, 10])), "texts do not add up"),
        (_set("row.names.ends", np.array([6, 3, 9])), "texts do not add up"),
        (_set("row.names", np.full(9, 255, np.uint8)), "UnicodeDecodeError"),
        (lambda header, tensors: header.update(kind="image"), "kind 'class', 'input' or 'combined'"),
        (lambda header, tensors: header.update(sites=[["a", 1, 5]]), "damaged"),
        (lambda header, tensors: header.update(sites="all"), "damaged"),
        (lambda header, tensors: header["sites"][0].__setitem__(2, -5), "is needed"),
        (lambda header, tensors: header["sites"][0].__setitem__(2, 1e300), "is needed"),
        (lambda header, tensors: header["sites"][1].__setitem__(0, "a/relu:0"), "a/relu:0"),
        (lambda header, tensors: header.update(example=[]), "damaged"),
        (lambda header, tensors: header.update(manifest=[1, 2]), "damaged"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(file, change, message):
    _rewrite(file, change)
    assert message in _refused(file)


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "3", "{", '{"schema_version": 1}', '{"schema_version": Infinity}', "[" * 200_000],
    ids=lambda text: text[:30],
)
def test_headers_that_are_nothing_of_ours_are_refused(file, text):
    save_file(_parts(file)[1], file, metadata={"unweave": text})
    assert "is damaged" in _refused(file)


@pytest.mark.parametrize("channels", ["Infinity", "NaN", "1e999", "9" * 400, "9" * 10_000])
def test_channel_counts_beyond_all_bounds_are_refused(file, channels):
    header, tensors = _parts(file)
    header["sites"][0][2] = "CHANNELS"
    save_file(tensors, file, metadata={"unweave": json.dumps(header).replace('"CHANNELS"', channels)})
    assert "is damaged" in _refused(file)


def test_loading_with_the_same_network_gives_the_paths(tmp_path, plain):
    example = torch.zeros(2, 3, 8, 8)
    masks = {site.name: torch.ones(1, site.channels, dtype=torch.bool) for site in find_sites(plain, example)}
    paths = Paths.from_masks(masks, plain, example, classes=[1])
    file = paths.save(tmp_path / "paths.safetensors")
    assert Paths.load(file, plain) == paths


def test_loading_with_another_network_names_the_first_tensor_that_differs(tmp_path, plain):
    example = torch.zeros(2, 3, 8, 8)
    (name, *_) = find_sites(plain, example).names
    file = Paths.from_masks({name: torch.ones(1, 4, dtype=torch.bool)}, plain, example).save(tmp_path / "paths")
    with pytest.raises(MismatchError, match=r"first difference at 'features.0.0.weight', recorded 4 x 3 x 3 x 3 float"):
        Paths.load(file, TinyPlain())
    with pytest.raises(MismatchError, match=r"'weight', recorded no such tensor, here 2 x 2 float32"):
        Paths.load(file, torch.nn.Linear(2, 2))


def test_a_file_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "animals.safetensors").mkdir()
    with pytest.raises(PathsError, match=r"animals.safetensors cannot be written \(.*Is a directory.*make room"):
        animals().save(tmp_path / "animals.safetensors")
    assert list(tmp_path.rglob("*.part")) == []


def test_a_name_that_is_too_long_names_no_file(tmp_path):
    with pytest.raises(PathsError, match="no file"):
        Paths.load(tmp_path / ("x" * 300))
