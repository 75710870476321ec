"""Damages that only one format can have: what it declares is not what it holds. Signature as in `tests/damages.py`."""

import json
import os
import struct
import zlib

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.damages import changed, json_text
from unweave.decoupling.tensor_file import SCHEMA_VERSION, write_tensors
from unweave.files import canonical_json
from unweave.paths.format import content_digest


def header_changed(file, numbers):
    """Of a safetensors file: its header declares something else than the file holds."""
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = changed(json.loads(content[8 : 8 + length]), numbers)
    text = json_text(header).encode("utf-8", "surrogatepass")
    declared = numbers.choice([len(text), len(text), len(text), 2**63, 2**40, len(text) - 1, 0])
    file.write_bytes(declared.to_bytes(8, "little") + text + content[8 + length :])


def sealed(file, numbers):
    """A Paths file with changed content and the digest that belongs to it: only the checks behind that are left."""
    with safe_open(file, framework="numpy") as opened:
        header = json.loads(opened.metadata()["unweave"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    if numbers.random() < 0.5:
        header = changed(header, numbers)
    else:
        name = numbers.choice(sorted(tensors))
        empty = np.zeros((0, 3), np.float32)
        other = [tensors[name][:-1], tensors[name].astype(np.float64), tensors[name] - 1, -tensors[name], empty]
        tensors[name] = np.ascontiguousarray(numbers.choice(other))
    try:
        header["digest"] = content_digest(header, tensors)
        text = canonical_json(header)
        save_file(tensors, file, metadata={"unweave": text})
    except (TypeError, ValueError):  # what cannot be spelled canonically has no digest
        file.write_bytes(json_text(header).encode())


def tensors_sealed(file, numbers):
    """A file of a decoupled network or of its training, changed, with the digest that belongs to it."""
    with safe_open(file, framework="pt") as opened:
        header = json.loads(opened.metadata()["unweave"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a mapping
    kind, version = header.pop("kind"), header.pop("schema_version")
    del header["digest"]
    name = numbers.choice(sorted(tensors))
    if numbers.random() < 0.5:
        header = changed(header, numbers)
    elif numbers.random() < 0.5:
        del tensors[name]
    else:
        tensors[name] = tensors[name].new_zeros(numbers.choice([(0,), (3, 1), ()]))
    try:
        assert version == SCHEMA_VERSION
        write_tensors(file, kind, header, tensors)
    except (TypeError, ValueError):  # what cannot be spelled canonically has no digest
        file.write_bytes(json_text(header).encode("utf-8", "surrogatepass"))


def size_declared(file, numbers):
    """A small picture that says it is a huge one."""
    width, height = numbers.choice([(10_000, 10_000), (65_535, 65_535), (2**31 - 1, 1), (1, 2**31 - 1), (0, 5)])
    kinds = [
        _png(width, height),
        b"P6 %d %d 255\n\x00\x00" % (width, height),
        b"P6\n" + b"9" * 40 + b" 1 255\n",
        _gif(width, height),
    ]
    file.write_bytes(numbers.choice(kinds))


def _png(width, height):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    text = chunk(b"zTXt", b"bomb\x00\x00" + zlib.compress(b"x" * 10_000_000))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + text
        + chunk(b"IDAT", zlib.compress(b"\x00" * 50))
        + chunk(b"IEND", b"")
    )


def _gif(width, height):
    return b"GIF89a" + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF) + b"\x80\x00\x00" + b"\x00" * 20


def another_kind(file, numbers):
    scripts = [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7\n",
    ]
    file.write_bytes(numbers.choice(scripts) + numbers.randbytes(50))


def renamed(file, numbers):
    """Names that no terminal, and some no encoding, can show."""
    odd = [
        b"a\nb",
        b"\xff\xfe",
        b"\x1b[31m",
        b"\r",
        b" ",
        b"\xe2\x80\xa8",
        b"x" * 240,
        b"-rf",
        b"'; rm",
        b"\xed\xa0\x80",
    ]
    home = os.fsencode(file.parent)
    if numbers.random() < 0.5:
        os.rename(home, os.path.join(os.path.dirname(home), numbers.choice(odd)))
    else:
        os.rename(os.fsencode(file), os.path.join(home, numbers.choice(odd) + b".png"))


def looped(file, numbers):
    """Folders that lead to themselves or to what is above them."""
    place = numbers.choice([file.parent / "again", file.parent.parent / "class 3", file.parent.parent / "class 0x"])
    place.symlink_to(numbers.choice([".", "..", "../..", "/proc/self/fd", "again", "class 3", "../class 1"]))


def nested(file, numbers):
    deep = file.parent.joinpath(*["d"] * numbers.choice([50, 400]))
    deep.mkdir(parents=True)
    file.rename(deep / file.name)


def folder_emptied(file, numbers):
    for one in list(file.parent.iterdir() if numbers.random() < 0.5 else file.parent.parent.rglob("*.*")):
        one.unlink()


def labels_replaced(file, numbers):
    shapes = [
        np.arange(6.0),
        np.full(6, 10),
        np.full(6, -1),
        np.arange(6).reshape(2, 3),
        np.array(["a"] * 6),
        np.zeros(0, int),
    ]
    special = [
        np.array(3),
        np.zeros(6, "datetime64[s]"),
        np.zeros(6, [("a", int)]),
        np.full(6, 2**63, np.uint64),
        np.ones(6, bool),
    ]
    np.save(file, numbers.choice([*shapes, *special]))


def npy_header(file, numbers):
    """An array that declares more than it holds."""
    shape = numbers.choice(["(6000000000000,)", "(-1,)", "(6, 10**9)", "()", "(" * 300, "(2**70,)", "None", "(6.0,)"])
    descr = numbers.choice(["'<i8'", "'<i8'", "'V0'", "'<U99999999'", "[('a', '<i8')]", "'|O'", "'<q9'"])
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    file.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(48))


SAFETENSORS = {"header changed": header_changed}
TENSORS = {"header changed": header_changed, "sealed": tensors_sealed}
PATHS = {"header changed": header_changed, "sealed": sealed}
PICTURES = {"size declared": size_declared, "another kind": another_kind}
FOLDERS = {"renamed": renamed, "looped": looped, "nested": nested, "folder emptied": folder_emptied}
ARRAYS = {"labels replaced": labels_replaced, "array header": npy_header}
