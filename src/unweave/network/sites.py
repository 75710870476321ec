"""Sites: the values of a captured graph whose channels can be switched, and how they are found."""

from __future__ import annotations

import difflib
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from torch import Tensor, fx, nn

from unweave.errors import SiteError
from unweave.network.capture import capture
from unweave.network.graph import NetworkGraph, gives_tensor, operation_name
from unweave.network.layouts import Layout
from unweave.network.operations import Effect, computed_from_images, data_inputs, operation_of, unknown_operations
from unweave.network.published import PUBLISHED_SITES
from unweave.network.views import Views

Level = str | Sequence[str]

_REARRANGING = (Effect.MOVE, Effect.SELECT, Effect.PAD)
"""Effects that compute nothing: a site is named after the last operation that does."""


@dataclass(frozen=True)
class Site:
    """One value of the graph whose channels can be switched.

    `name` is module path / operation : ordinal; `dim` the dimension that holds the channels (0 is the batch);
    `channels` their number; `shape` the value's shape for one image, at the size of the example. A value that has
    windows or heads merged with the batch is seen without: as `[batch, *shape]`.
    """

    name: str
    dim: int
    channels: int
    shape: tuple[int, ...]


class Sites(Sequence[Site]):
    """The sites of one network, in forward order. Knows the shape and dtype of the example they were found with.

    `unknown`: the names of values made by operations that the table does not know, where channels are lost track of.
    """

    def __init__(
        self,
        sites: Sequence[Site],
        image_shape: tuple[int, ...],
        dtype: str,
        logits: str | int | None,
        unknown: Sequence[str] = (),
    ) -> None:
        self._sites = tuple(sites)
        self.unknown = tuple(unknown)
        self.image_shape = image_shape
        self.dtype = dtype
        self.logits = logits

    @overload
    def __getitem__(self, position: int) -> Site: ...
    @overload
    def __getitem__(self, position: slice) -> Sites: ...
    def __getitem__(self, position: int | slice) -> Site | Sites:
        if isinstance(position, slice):
            return Sites(self._sites[position], self.image_shape, self.dtype, self.logits, self.unknown)
        return self._sites[position]

    def __len__(self) -> int:
        return len(self._sites)

    def __iter__(self) -> Iterator[Site]:
        return iter(self._sites)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in forward order."""
        return tuple(site.name for site in self._sites)

    @property
    def channels(self) -> int:
        """Channels of all sites together."""
        return sum(site.channels for site in self._sites)

    def __repr__(self) -> str:
        width = max((len(site.name) for site in self._sites), default=0)
        lines = [f"  {site.name:<{width}}  {site.channels:>5} channels  {site.shape}" for site in self._sites]
        lost = [without_channels(self.unknown)] if self.unknown else []
        return "\n".join([f"{len(self)} sites, {self.channels} channels", *lines, *lost])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(site.name)}</td><td>{site.channels}</td><td>{site.shape}</td></tr>"
            for site in self._sites
        )
        head = "<tr><th>site</th><th>channels</th><th>shape</th></tr>"
        lost = f"<p>{html.escape(without_channels(self.unknown))}</p>" if self.unknown else ""
        return f"<table><caption>{len(self)} sites, {self.channels} channels</caption>{head}{rows}</table>{lost}"


def without_channels(unknown: Sequence[str]) -> str:
    """What to do about values where channels are lost track of, the first three by name."""
    more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
    return (
        f"channels are lost track of at {', '.join(unknown[:3])}{more}: operations that the table does not know; see "
        "unweave.teach_operation and docs/sites.md"
    )


def find_sites(
    network: nn.Module, example: Tensor, level: Level = "block", *, logits: str | int | None = None
) -> Sites:
    """Find the sites of any network from one example input.

    Parameters
    ----------
    network
        Maps images to class scores; it is not changed.
    example
        A batch of images `[batch, ...]` as the network takes them.
    level
        `"block"`: cut points of the graph, values through which everything flows, one for each run of operations that
        keep channels (norm, activation, pool), at its end; none after positions or tokens are averaged away.
        `"filter"`: every convolution's and linear layer's output, after its norm and activation, before a pool.
        `"heads"`: the heads of every attention that has several. `"neurons"`: the hidden neurons of every multi-layer
        perceptron, an activation between two linear layers. Several levels at once: `"heads+neurons"`.
        `"iccv2021:vgg16"`, `"iccv2021:resnet50"`, `"iccv2021:densenet121"`, `"iccv2021:darts"`: the exact positions of
        the ICCV paper's program, for torchvision's networks and `zoo:darts_imagenet`. Or a list of names.
    logits
        For networks that return a dict, tuple or dataclass: which part is the class scores.

    Returns
    -------
    Sites
        In forward order. The class scores are never a site.

    Raises
    ------
    CaptureError
        If the network cannot be captured.
    SiteError
        If a level or name is unknown (with the closest names), or no site was found.
    """
    return sites_of(capture(network, example, logits), level, logits)


def sites_of(captured: NetworkGraph, level: Level, logits: str | int | None = None) -> Sites:
    """As `find_sites`, of a network that was captured already."""
    views = Views(captured)
    nodes = _nodes_at_level(captured, level, views)
    unknown = _unknown(captured)
    if not nodes:
        raise SiteError(
            f"no site was found in {captured.network_name} at level {level!r}; give a list of value names instead"
            + _and_why(unknown)
        )
    found = [_site(views, node) for node in nodes]
    return Sites(found, captured.image_shape, str(captured.dtype).removeprefix("torch."), logits, unknown)


def _unknown(captured: NetworkGraph) -> list[str]:
    return [captured.names.get(node.name, operation_name(node)) for node in unknown_operations(captured.graph)]


def _and_why(unknown: Sequence[str]) -> str:
    return f" ({without_channels(unknown)})" if unknown else ""


def nodes_of_sites(captured: NetworkGraph, sites: Sequence[Site]) -> list[fx.Node]:
    """The graph's nodes for `sites`, which may have been found in another capture of the same network.

    Raises
    ------
    SiteError
        Naming what differs, if the network has no such value or it has other channels.
    """
    views = Views(captured)
    nodes = _named_nodes(captured, [site.name for site in sites], views, ordered=False)
    for site, node in zip(sites, nodes, strict=True):
        here = _site(views, node)
        if (here.dim, here.channels) != (site.dim, site.channels):
            raise SiteError(
                f"site {site.name!r} has {here.channels} channels in dimension {here.dim} in this network, "
                f"{site.channels} in dimension {site.dim} were expected"
            )
        if here.shape != site.shape and node.meta["val"].ndim <= len(site.shape):  # windows differ, not positions
            raise SiteError(
                f"site {site.name!r} is {here.shape} for an image in this network, {site.shape} was expected; give "
                "images of the size that the sites were found with"
            )
    return nodes


def _nodes_at_level(captured: NetworkGraph, level: Level, views: Views) -> list[fx.Node]:
    if not isinstance(level, str):
        return _named_nodes(captured, level, views)
    if level in PUBLISHED_SITES:
        return _named_nodes(captured, PUBLISHED_SITES[level], views)
    found = {node for part in level.split("+") for node in _found_at(captured, part.strip(), views)}
    return [node for node in captured.graph.nodes if node in found]


def _found_at(captured: NetworkGraph, level: str, views: Views) -> list[fx.Node]:
    if level == "block":
        return _block_nodes(captured, views.layouts)
    if level == "filter":
        return _filter_nodes(captured, views.layouts)
    if level in ("heads", "neurons"):
        scores = class_score_nodes(captured, views.layouts)
        found = views.heads if level == "heads" else views.neurons()
        if not found:
            what = "attention with several heads" if level == "heads" else "activation between two linear layers"
            why = _and_why(_unknown(captured))
            raise SiteError(f"level {level!r}: {captured.network_name} has no {what} that could be followed{why}")
        return [node for node in found if node not in scores]
    known = ", ".join(repr(name) for name in ("block", "filter", "heads", "neurons", *PUBLISHED_SITES))
    raise SiteError(f"no level {level!r}; there are {known}, several as 'heads+neurons', or give a list of names")


def _named_nodes(captured: NetworkGraph, names: Sequence[str], views: Views, *, ordered: bool = True) -> list[fx.Node]:
    where = views.layouts
    by_name = {captured.names[node.name]: node for node in captured.graph.nodes if node.name in captured.names}
    chosen: list[fx.Node] = []
    for name in names:
        node = by_name.get(name)
        if node is None:
            near = ", ".join(difflib.get_close_matches(name, by_name, 3, 0.3)) or "none"
            raise SiteError(
                f"no site {name!r} in {captured.network_name}; closest: {near}. `unweave sites` and `find_sites` "
                "list them, at block level or, with level filter, all"
            )
        if node not in where or (where[node].dim is None and node not in views.heads):
            why = _and_why(_unknown(captured))
            raise SiteError(f"{name!r} in {captured.network_name} has no channel dimension that could be followed{why}")
        if views.of(node) is None:
            raise SiteError(
                f"{name!r} in {captured.network_name} does not keep the images apart in its first dimension"
            )
        if node in class_score_nodes(captured, where):
            raise SiteError(f"{name!r} is the class scores, which are never a site")
        if node in chosen:
            raise SiteError(f"site {name!r} is named twice")
        chosen.append(node)
    if ordered:
        position = {node: index for index, node in enumerate(captured.graph.nodes)}
        chosen.sort(key=position.__getitem__)
    return chosen


def _site(views: Views, node: fx.Node) -> Site:
    view = views.of(node)
    assert view is not None
    return Site(views.captured.names[node.name], view.dim, view.count, view.shape)


def _block_nodes(captured: NetworkGraph, where: Mapping[fx.Node, Layout]) -> list[fx.Node]:
    """The last value with channels of every run, but the one that begins with the images and the one that ends in
    the class scores."""
    runs = _runs(captured, where)[1:-1]
    kept = [[node for node in run if _can_be_site(node, where)] for run in runs]
    # A network that mixes channels only after its positions are gone never had any (a multi-layer perceptron).
    with_positions = any(where[run[0]].spatial for run in kept if run)
    ends = []
    for run in kept:
        allowed = [node for node in run if where[node].spatial or not with_positions]
        working = [node for node in allowed if operation_of(node).effect not in _REARRANGING]
        end = (working or allowed)[-1] if allowed else None
        if end is not None and not _carried_into_concatenation(end):
            ends.append(end)
    return ends


def _can_be_site(node: fx.Node, where: Mapping[fx.Node, Layout]) -> bool:
    channels = gives_tensor(node) and where[node].dim is not None and where[node].batch_first
    return channels and bool(node.meta["val"].is_floating_point())


def _carried_into_concatenation(node: fx.Node) -> bool:
    """A concatenation that a later one repeats whole is a step of building that one (dense blocks)."""
    is_concatenation = operation_of(node).effect is Effect.CONCATENATE
    return is_concatenation and any(operation_of(user).effect is Effect.CONCATENATE for user in node.users)


def _runs(captured: NetworkGraph, where: Mapping[fx.Node, Layout]) -> list[list[fx.Node]]:
    """Cut points grouped into runs within which the channels stay the same ones."""
    computed = computed_from_images(captured.graph)
    nodes = [node for node in captured.graph.nodes if node in computed and node in where]
    nodes = _reaching(nodes, captured.output)
    position = {node: index for index, node in enumerate(nodes)}
    runs: list[list[fx.Node]] = []
    reach = 0  # the furthest user of any value before the current one
    previous: fx.Node | None = None
    for index, node in enumerate(nodes):
        if reach <= index:
            between = nodes[position[previous] + 1 : index + 1] if previous is not None else []
            if previous is not None and _channels_stay(previous, between, where, computed):
                runs[-1].append(node)
                # Channels that are taken apart may be put together again (shuffled): what came before counts.
                previous = node if where[node].dim is not None else previous
            else:
                runs.append([node])
                previous = node
        reach = max([reach, *(position[user] for user in node.users if user in position)])
    return runs


def _reaching(nodes: list[fx.Node], output: fx.Node) -> list[fx.Node]:
    needed = {output}
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    return [node for node in nodes if node in needed]


def _channels_stay(
    previous: fx.Node, between: list[fx.Node], where: Mapping[fx.Node, Layout], computed: set[fx.Node]
) -> bool:
    """Whether the last value of `between` has the channels of `previous`, each scaled or reshaped at most."""
    last = between[-1]
    if where[last].dim is not None and where[last].count != where[previous].count:
        return False
    # A product with something made from the value itself (squeeze and excitation) scales its channels.
    if operation_of(last).multiplies and previous in last.all_input_nodes:
        return True
    return all(_keeps(node, where, computed) for node in between)


def _keeps(node: fx.Node, where: Mapping[fx.Node, Layout], computed: set[fx.Node]) -> bool:
    effect = operation_of(node).effect
    if effect in (Effect.KEEP, Effect.NORM, Effect.POOL, Effect.MOVE, Effect.REDUCE):
        return True
    inputs = data_inputs(node, computed)
    if effect is Effect.COMBINE:
        return len(inputs) == 1
    if effect in (Effect.SELECT, Effect.PAD):
        return where[node].count == where[inputs[0]].count
    if effect is Effect.CONCATENATE:  # along positions or tokens
        return all(where[source].count == where[node].count for source in inputs if source in where)
    return False


def class_score_nodes(captured: NetworkGraph, where: Mapping[fx.Node, Layout]) -> set[fx.Node]:
    """The output and the values that are the class scores already, before pooling or reshaping."""
    return set(_runs(captured, where)[-1])


def _filter_nodes(captured: NetworkGraph, where: Mapping[fx.Node, Layout]) -> list[fx.Node]:
    scores = class_score_nodes(captured, where)
    ends: list[fx.Node] = []
    for node in captured.graph.nodes:
        if operation_of(node).effect is not Effect.MIX or node not in where or node in scores:
            continue
        end = _end_of_filter(node, where)
        if end not in scores and end not in ends and _can_be_site(end, where):
            ends.append(end)
    position = {node: index for index, node in enumerate(captured.graph.nodes)}
    return sorted(ends, key=position.__getitem__)


def _end_of_filter(node: fx.Node, where: Mapping[fx.Node, Layout]) -> fx.Node:
    """The last norm or activation that belongs to the layer at `node` alone."""
    end = current = node
    while len(current.users) == 1:
        (current,) = current.users
        effect = operation_of(current).effect
        if not _same_channels(current, node, where):
            break
        # A move counts where it brings the batch to the front again (attention's output projection).
        if effect in (Effect.KEEP, Effect.NORM) or (effect is Effect.MOVE and not where[end].batch_first):
            end = current
        elif effect is not Effect.MOVE:
            break
    return end


def _same_channels(node: fx.Node, first: fx.Node, where: Mapping[fx.Node, Layout]) -> bool:
    return node in where and where[node].dim is not None and where[node].count == where[first].count
