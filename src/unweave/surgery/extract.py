"""`extract`: from one row of paths to a network that is really smaller."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from unweave.errors import DataError, ExtractionError, PathsError, SettingError
from unweave.network.capture import capture
from unweave.network.folding import fold_batch_norms
from unweave.network.graph import NetworkGraph
from unweave.network.shared_copy import unwrapped
from unweave.paths.paths import Paths
from unweave.paths.restrict import restricted
from unweave.surgery.checking import check_equal
from unweave.surgery.extracted import Description, ExtractedNetwork, name_tensors, relu_in_place
from unweave.surgery.flow import Flow
from unweave.surgery.marking import mark
from unweave.surgery.writer import Writer


def extract(
    network: nn.Module,
    paths: Paths,
    example: Tensor,
    *,
    classes: Sequence[int] | None = None,
    round_to: int | None = None,
) -> ExtractedNetwork:
    """The network with the masks of one row applied, as a module that is really smaller.

    The masks are followed through the captured graph: forward, which channels they make constant; backward, which are
    needed. Only what is needed and not constant is computed; constants go into biases. The result is compared with
    `restrict(network, paths)` on `example` and on noise, and refused if it differs.

    Parameters
    ----------
    network
        The network that the paths were found in; it is not changed, and shares nothing with the result.
    paths
        One row: a class (`paths["cat"]`), or a union (`paths["cat"] | paths["dog"]`, `paths.any()`).
    example
        Images `[batch, ...]` as the network takes them, on which both are compared.
    classes
        The class scores that are wanted, by index, in this order. Default: all.
    round_to
        Round the widths of convolutions (but for those in groups) and linear layers up to multiples of this, at most to
        the layer's own width, with channels whose weights are zero; class scores are left as they are.

    Returns
    -------
    ExtractedNetwork
        On the network's device, in its dtype, in evaluation mode, for any batch size. `small.classes` says which class
        each output stands for.

    Raises
    ------
    PathsError
        If there are several rows, or the row is an input's.
    MismatchError
        If the paths were found in another network.
    ExtractionError
        If the masks leave nothing that depends on the images (naming the site that keeps no channel), or the result
        is not equal to the restricted network to float tolerance.
    DataError
        If `example` is of another shape than the paths' sites.
    SettingError
        If a class does not exist, is given twice, or `round_to` is no positive number.
    CaptureError
        If the network cannot be captured.
    """
    check_row(paths)
    _check_example(paths, example)
    multiple = _checked_multiple(round_to)
    paths.check(network)
    with torch.inference_mode(False), torch.no_grad():
        captured = capture(network, example, paths.sites.logits)
        chosen = _checked_classes(classes, captured.classes)
        small, description = _cut(
            captured, paths, chosen, multiple, {name for name, _ in unwrapped(network).named_parameters()}
        )
        difference = check_equal(small, restricted(captured, paths), example.to(captured.device), chosen)
    return _described(small, description, difference)


def _cut(
    captured: NetworkGraph, paths: Paths, classes: Sequence[int], round_to: int, parameters: set[str]
) -> tuple[ExtractedNetwork, Description]:
    flow = Flow(mark(captured, paths.sites, [mask[0] for mask in paths.masks.values()]), classes)
    if not bool(flow.wanted(flow.marked.output).any()):
        _refuse_constant(paths)
    writer = Writer(flow, round_to)
    writer.write(classes)
    writer.graph.eliminate_dead_code()
    written = NetworkGraph(writer.graph, writer.tensors, writer.origins, captured.image_shape, captured.dtype, "")
    folded = fold_batch_norms(written)
    trained = {name: source for name, source in writer.sources.items() if source in parameters}
    tensors = name_tensors(folded.graph, folded.tensors, writer.origins, trained)
    relu_in_place(folded.graph)
    folded.graph.lint()
    channels = {name: (int(mask.sum()), mask.shape[1]) for name, mask in paths.masks.items()}
    description = Description(
        captured.network_name,
        paths.rows.names[0],
        tuple(classes),
        captured.image_shape,
        str(captured.dtype).removeprefix("torch."),
        channels,
        round_to,
        float("nan"),
    )
    return ExtractedNetwork.made_of(folded.graph, tensors, description), description


def _described(small: ExtractedNetwork, description: Description, difference: float) -> ExtractedNetwork:
    small.meta["unweave"] = replace(description, difference=difference)
    return small


def _refuse_constant(paths: Paths) -> None:
    empty = [name for name, mask in paths.masks.items() if not bool(mask.any())]
    where = f"no channel is kept at {', '.join(map(repr, empty))}" if empty else "nothing that is kept reaches them"
    raise ExtractionError(
        f"{where}, so the class scores of row {paths.rows.names[0]!r} are the same for every image: there is no "
        "network to extract; keep more channels (a smaller beta, a larger keep), or give a union of rows"
    )


def check_row(paths: Paths) -> None:
    """Refuse paths that are not one row of a class, or of several together.

    Raises
    ------
    PathsError
        With what to give instead.
    """
    names = paths.rows.names
    if len(paths) != 1:
        example = f"paths[{names[0]!r}] | paths[{names[1]!r}]" if len(paths) > 1 else "paths[0]"
        raise PathsError(
            f"a network is extracted of one row, found {len(paths)}; give one (paths[0]), the union of some "
            f"({example}), or that of all (paths.any())"
        )
    if paths.rows.kind == "input":
        raise PathsError(
            f"row {names[0]!r} is the path of one input, not of a class; give a class's row, the union of several "
            "inputs (paths.any()), or masks made with Paths.from_masks(..., classes=[...])"
        )


def _check_example(paths: Paths, example: Tensor) -> None:
    expected = tuple(paths.sites.image_shape)
    if not isinstance(example, Tensor) or tuple(example.shape[1:]) != expected or len(example) == 0:
        found = f"shape {tuple(example.shape)}" if isinstance(example, Tensor) else type(example).__name__
        raise DataError(f"`example` must be images [batch, {', '.join(map(str, expected))}], found {found}")
    if str(example.dtype).removeprefix("torch.") != paths.sites.dtype:
        raise DataError(f"`example` is {example.dtype}, the paths were found with {paths.sites.dtype}; convert it")


def _checked_multiple(round_to: int | None) -> int:
    if round_to is None:
        return 1
    if not isinstance(round_to, int) or isinstance(round_to, bool) or round_to < 1:
        raise SettingError(f"round_to must be a positive whole number, found {round_to!r}")
    return round_to


def _is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _checked_classes(classes: Sequence[int] | None, count: int) -> list[int]:
    if classes is None:
        return list(range(count))
    if not isinstance(classes, Iterable) or not all(_is_whole(one) for one in classes):
        raise SettingError(f"classes are indices of class scores, such as classes=[3, 5]; found {classes!r}")
    chosen = [int(one) for one in classes]
    wrong = [one for one in chosen if not 0 <= one < count]
    if not chosen or wrong or len(set(chosen)) < len(chosen):
        what = f"no class {wrong[0]}" if wrong else "none given" if not chosen else "one given twice"
        raise SettingError(f"classes: {what}; the network has class scores 0 to {count - 1}, each once: classes=[0, 1]")
    return chosen
