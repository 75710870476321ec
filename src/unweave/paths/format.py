"""The `Paths` file: safetensors with bit-packed masks and one metadata key of canonical JSON. Never pickle."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from unweave.errors import PathsError, UnweaveError
from unweave.files import canonical_json, digest, replacing
from unweave.network.sites import Site, Sites
from unweave.paths.paths import Paths
from unweave.paths.rows import Rows
from unweave.places import is_file, local_copy, place

SCHEMA_VERSION = 1
_KEY = "unweave"
_UNDECODABLE = "surrogatepass"  # a file name that is not UTF-8 holds lone surrogates in Python


def save(paths: Paths, file: str | Path) -> Path:
    """Write `paths`; equal paths give equal bytes (no times, no host names).

    Raises
    ------
    PathsError
        If the file cannot be written; one that was there stays.
    """
    tensors: dict[str, np.ndarray] = {}
    for position, mask in enumerate(paths.masks.values()):
        tensors[f"mask.{position:04d}"] = np.packbits(mask.numpy(), axis=1)
    for position, score in enumerate((paths.scores or {}).values()):
        tensors[f"score.{position:04d}"] = np.ascontiguousarray(score.numpy())
    rows = paths.rows
    for name, texts in (("names", rows.names), ("sources", rows.sources)):
        tensors[f"row.{name}"], tensors[f"row.{name}.ends"] = _pack_texts(texts)
    for name, numbers in (("classes", rows.classes), ("labels", rows.labels), ("predictions", rows.predictions)):
        tensors[f"row.{name}"] = np.asarray(numbers, dtype=np.int64)
    for name, lists in (("members", rows.members), ("against", rows.against)):
        tensors[f"row.{name}"] = np.asarray([c for listed in lists for c in listed], dtype=np.int64)
        tensors[f"row.{name}.ends"] = np.cumsum([len(listed) for listed in lists], dtype=np.int64)
    sites = paths.sites
    header = {
        "schema_version": SCHEMA_VERSION,
        "kind": rows.kind,
        "sites": [[site.name, site.dim, site.channels, list(site.shape)] for site in sites],
        "example": {"shape": list(sites.image_shape), "dtype": sites.dtype, "logits": sites.logits},
        "has_scores": paths.scores is not None,
        "manifest": _plain(paths.manifest),
    }
    header["digest"] = content_digest(header, tensors)
    target = place(file)
    try:
        with replacing(target) as draft:
            save_file(tensors, draft, metadata={_KEY: canonical_json(header)})
    except (SafetensorError, OSError) as error:
        raise PathsError(f"{target} cannot be written ({error}); make room, or give another place") from error
    return target


def load(file: str | Path) -> Paths:
    """Read a `Paths` file, checking every part of it.

    Raises
    ------
    PathsError
        Naming the file and what is wrong with it.
    """
    file = place(file)
    if not is_file(file):
        raise PathsError(f"no file {file}")
    try:
        with local_copy(file) as copy, safe_open(copy, framework="numpy") as opened:
            metadata = opened.metadata() or {}
            names = list(opened.keys()) if _KEY in metadata else []  # a foreign file may be large
            tensors = {name: opened.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise PathsError(f"{file} is not a whole safetensors file ({error})") from error
    if _KEY not in metadata:
        raise PathsError(f"{file} is a safetensors file, but holds no paths")
    try:
        return _read(json.loads(metadata[_KEY]), tensors)
    except UnweaveError as error:
        raise PathsError(f"{file} is damaged: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise PathsError(f"{file} is damaged: {type(error).__name__} {error}") from error


def _read(header: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Paths:
    if header["schema_version"] != SCHEMA_VERSION:
        raise PathsError(f"schema version {header['schema_version']}, this version of unweave reads {SCHEMA_VERSION}")
    if header["digest"] != content_digest(header, tensors):
        raise PathsError("its content is not what was written (the digests differ)")
    found = [Site(str(name), int(dim), int(channels), tuple(shape)) for name, dim, channels, shape in header["sites"]]
    example = header["example"]
    sites = Sites(found, tuple(example["shape"]), str(example["dtype"]), example["logits"])
    rows = Rows(
        header["kind"],
        _unpack_texts(tensors["row.names"], tensors["row.names.ends"]),
        tuple(tensors["row.classes"].tolist()),
        _unpack_texts(tensors["row.sources"], tensors["row.sources.ends"]),
        tuple(tensors["row.labels"].tolist()),
        tuple(tensors["row.predictions"].tolist()),
        _unpack_lists(tensors["row.members"], tensors["row.members.ends"]),
        _unpack_lists(tensors["row.against"], tensors["row.against.ends"]),
    )
    masks = {
        site.name: _unpack_mask(tensors[f"mask.{position:04d}"], len(rows), site) for position, site in enumerate(sites)
    }
    scores = None
    if header["has_scores"]:
        scores = {site.name: torch.from_numpy(tensors[f"score.{p:04d}"].copy()) for p, site in enumerate(sites)}
    return Paths(masks, rows, sites, header["manifest"], scores)


def content_digest(header: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    """Digest of everything in a file but the digest itself, so that one changed bit of a mask is noticed."""
    described = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    rest = {key: value for key, value in header.items() if key != "digest"}
    contents = (tensors[name].tobytes() for name in sorted(tensors))
    return digest(canonical_json(rest), canonical_json(described), *contents)


def _unpack_mask(packed: np.ndarray, rows: int, site: Site) -> torch.Tensor:
    expected = (rows, -(-site.channels // 8))
    if packed.dtype != np.uint8 or packed.shape != expected:
        raise PathsError(f"mask of site {site.name!r} has shape {packed.shape}, {expected} is needed")
    bits = np.unpackbits(packed, axis=1)
    if bits[:, site.channels :].any():
        raise PathsError(f"mask of site {site.name!r} has bits set past its last channel")
    return torch.from_numpy(bits[:, : site.channels].astype(bool))


def _pack_texts(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    encoded = [text.encode(errors=_UNDECODABLE) for text in texts]
    ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), ends


def _unpack_texts(packed: np.ndarray, ends: np.ndarray) -> tuple[str, ...]:
    raw = packed.tobytes()
    return tuple(raw[start:end].decode(errors=_UNDECODABLE) for start, end in _bounds(ends, len(raw)))


def _unpack_lists(packed: np.ndarray, ends: np.ndarray) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(packed[start:end].tolist()) for start, end in _bounds(ends, len(packed)))


def _bounds(ends: np.ndarray, length: int) -> Iterator[tuple[int, int]]:
    bounds = [0, *ends.tolist()]
    if bounds != sorted(bounds) or bounds[-1] != length:
        raise PathsError("the rows' texts do not add up")
    return itertools.pairwise(bounds)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
