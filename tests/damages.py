"""Ways to damage a file. Each is `(file, numbers) -> None`, where `numbers` is a seeded `random.Random`."""

import io
import json
import os
import pickle
import zipfile

CANARY = "canary"
"""A file of this name beside the damaged one proves that code from the damaged one was run."""

_DEEP, _TWICE, _LONG, _HUGE = "@deep@", "@twice@", "@long@", "@huge@"
_RAW = {
    _DEEP: "[" * 50_000 + "]" * 50_000,
    _TWICE: '{"index": 1, "index": 2}',
    _LONG: "9" * 6_000,
    _HUGE: "1e999",
}
_VALUES = [
    *(None, True, -1, 0, 3, 2**31, 2**63, 2**64, -(10**300), 0.5, 1e308, float("nan"), float("inf"), -0.0),
    *("", "x", "\ud800", "a\nb\tc\r\x1b[31m", "\x00", "../../../etc/passwd", "\u2028", "é" * 300, "x" * 100_000),
    *([], {}, [[]], [None], {"": None}, ["\udfff"], [2**70], [1, 2, 3], {"a": {"b": [1]}}),
    *_RAW,
]


def truncated(file, numbers):
    content = file.read_bytes()
    file.write_bytes(content[: numbers.randrange(len(content))])


def bits_flipped(file, numbers):
    content = bytearray(file.read_bytes())
    reach = numbers.choice([64, len(content)])  # headers are short, and most of what can go wrong is in them
    for _ in range(numbers.choice([1, 1, 2, 8, 100])):
        content[numbers.randrange(min(reach, len(content)))] ^= 1 << numbers.randrange(8)
    file.write_bytes(content)


def random_bytes(file, numbers):
    kept = numbers.choice([0, 4, 16, 64])  # what a format is told by may stay
    file.write_bytes(file.read_bytes()[:kept] + numbers.randbytes(numbers.choice([1, 7, 100, 5_000])))


def emptied(file, numbers):
    file.write_bytes(numbers.choice([b"", b"\x00", b"\n", b"\xef\xbb\xbf", b"\xff\xfe"]))


def zeroed(file, numbers):
    content = bytearray(file.read_bytes())
    start = numbers.randrange(len(content))
    end = min(len(content), start + numbers.choice([1, 8, 512]))
    content[start:end] = numbers.choice([b"\x00", b"\xff"]) * (end - start)
    file.write_bytes(content)


def grown(file, numbers):
    content = file.read_bytes()
    position = numbers.randrange(len(content) + 1)
    added = numbers.choice([content, b"\x00" * 4_096, numbers.randbytes(9)])
    file.write_bytes(content[:position] + added + content[position:])


BYTES = {
    "truncated": truncated,
    "bits flipped": bits_flipped,
    "random bytes": random_bytes,
    "empty": emptied,
    "zeroed": zeroed,
    "grown": grown,
}


def a_folder(file, numbers):
    file.unlink()
    file.mkdir()
    if numbers.random() < 0.5:
        (file / "inner").write_text("x")


def a_fifo(file, numbers):
    file.unlink()
    os.mkfifo(file)


def a_loop(file, numbers):
    file.unlink()
    file.symlink_to(file.name)


def a_link_to_nothing(file, numbers):
    file.unlink()
    file.symlink_to(numbers.choice(["absent", "absent/absent", "x" * 300, "."]))


def a_device(file, numbers):
    file.unlink()
    file.symlink_to(numbers.choice(["/dev/zero", "/dev/null"]))


def missing(file, numbers):
    file.unlink()


PLACES = {
    "a folder": a_folder,
    "a FIFO": a_fifo,
    "a link to itself": a_loop,
    "a link to nothing": a_link_to_nothing,
    "a device": a_device,
    "missing": missing,
}


def json_text(value):
    """`value` as JSON that Python's own writer would not write: far too deep, a key twice, numbers without end."""
    text = json.dumps(value)
    for mark, raw in _RAW.items():
        text = text.replace(f'"{mark}"', raw)
    return text


def _nodes(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _nodes(item, (*path, key))


def changed(value, numbers, hostile=_VALUES):
    """A copy of a JSON value with a part of it replaced by something hostile, removed, doubled or renamed."""
    value = json.loads(json.dumps(value))
    for _ in range(numbers.choice([1, 1, 2])):
        *way, last = numbers.choice(list(_nodes(value))) or (None,)
        if last is None:
            return numbers.choice(hostile)
        parent = value
        for key in way:
            parent = parent[key]
        kind = numbers.choice(["replaced", "replaced", "replaced", "removed", "doubled"])
        if kind == "replaced":
            parent[last] = numbers.choice(hostile)
        elif kind == "removed":
            del parent[last]
        elif isinstance(parent, list):
            parent.append(parent[last])
        else:
            parent[numbers.choice(["", "x", "\ud800", "a\nb", "k" * 9_000])] = parent.pop(last)
    return value


def json_changed(file, numbers):
    first, *others = file.read_text().splitlines(keepends=True)  # a journal has a value a line
    file.write_text("".join([json_text(changed(json.loads(first), numbers)), *others]))


def json_respelled(file, numbers):
    text = file.read_text()
    encoding = numbers.choice(["utf-16", "utf-32", "latin-1", "utf-7"])
    kinds = [text.replace('"', "'"), text + text, text + "]", "[" * 200_000, '{"a":' * 50_000, text.replace(",", ",,")]
    file.write_bytes(numbers.choice([*(kind.encode() for kind in kinds), text.encode(encoding, "replace")]))


JSON = {"JSON changed": json_changed, "JSON respelled": json_respelled}


class _Touch:
    """Unpickled, it makes the canary."""

    def __init__(self, canary, numbers):
        call = numbers.choice(["open", "system", "exec"])
        self.called = {
            "open": (open, (str(canary), "w")),
            "system": (os.system, (f"touch '{canary}'",)),
            "exec": (exec, (f"open({str(canary)!r}, 'w').close()",)),
        }[call]

    def __reduce__(self):
        return self.called


def _calling(file, numbers):
    touch = _Touch(file.parent / CANARY, numbers)
    wrapped = numbers.choice([touch, [touch], {"state_dict": touch}, {b"data": touch, b"labels": [0]}])
    return pickle.dumps(wrapped, protocol=numbers.randrange(6))


def a_pickle_that_calls(file, numbers):
    file.write_bytes(_calling(file, numbers))


def a_zip_that_calls(file, numbers):
    """As `torch.save` and NumPy archives are laid out; or a zip behind what the file held."""
    code, made = _calling(file, numbers), io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in numbers.sample(["archive/data.pkl", "data.pkl", "constants.pkl", "arr.npy", "../../out.pkl"], 3):
            archive.writestr(name, code)
        archive.writestr("archive/version", "3\n")
    before = numbers.choice([b"", file.read_bytes()])
    file.write_bytes(before + made.getvalue())


def an_object_array(file, numbers):
    """As `numpy.save` keeps objects: a header, then a pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n"
    file.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + _calling(file, numbers))


CODE = {
    "a pickle that calls": a_pickle_that_calls,
    "a zip that calls": a_zip_that_calls,
    "an object array": an_object_array,
}
