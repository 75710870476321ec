"""`decouple`: a copy of a network that selects filters for every input."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from unweave.data.labelled import Data, LabelledImages
from unweave.decoupling.controlled import ControlledConvolution, Pass, Record
from unweave.decoupling.cost import MultiplyAccumulates, count
from unweave.decoupling.layers import Layer, layers_of
from unweave.decoupling.sameness import check_scores, check_sparse
from unweave.decoupling.sparse.network import SparseNetwork
from unweave.decoupling.sparse.plan import Method, Plan
from unweave.errors import CaptureError, SettingError
from unweave.network.capture import capture, evaluating_copy
from unweave.network.class_scores import pick_class_scores
from unweave.network.refusals import first_line
from unweave.network.shared_copy import unwrapped
from unweave.paths import Paths

_COMPARED = 4
"""Images by which a copy is compared with its original."""


class DecoupledNetwork(nn.Module):
    """A network whose controlled convolutions compute, for every input, the filters that their controlling modules
    select (ECCV 2020).

    `keep` is the share of filters that training aims at, None where the sparsity is to be found (the paper's R = 0);
    `controlled` the controlled convolutions by the path of the module that they replaced, in the order they run;
    `left_out` the other convolutions, with the reason; `image_shape` the shape of one image, where it is known.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: list[Layer],
        keep: float | None,
        logits: str | int | None = None,
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        self.keep, self.logits, self.layers, self.image_shape = keep, logits, layers, image_shape
        self._pass = Pass()
        self.network = network
        self.layer_names = tuple(layer.convolution for layer in layers if not layer.left_out)
        for layer in layers:
            if not layer.left_out:
                self._control(layer)

    def _control(self, layer: Layer) -> None:
        convolution = self.network.get_submodule(layer.convolution)
        assert isinstance(convolution, nn.Conv2d)
        norm = self.network.get_submodule(layer.norm) if layer.norm is not None else None
        if norm is not None:  # first, as the controlled convolution holds it too
            _replace(self.network, norm, nn.Identity())
        _replace(self.network, convolution, ControlledConvolution(convolution, norm, self._pass))

    @property
    def left_out(self) -> dict[str, str]:
        """Convolutions without a controlling module, and why."""
        return {layer.convolution: layer.left_out for layer in self.layers if layer.left_out}

    @property
    def controlled(self) -> dict[str, ControlledConvolution]:
        """The controlled convolutions by name, in the order they run."""
        found = {}
        for name in self.layer_names:
            module = self.network.get_submodule(name)
            assert isinstance(module, ControlledConvolution)
            found[name] = module
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Class scores. In training mode half of the samples, drawn anew, have binary gates, the others soft ones."""
        self._pass.binary = _coins(images) if self.training else None
        try:
            returned = self.network(images)
        finally:
            self._pass.binary = None
        return pick_class_scores(returned, self.logits)

    @contextmanager
    def recording(self, *, responses: bool = True) -> Iterator[Record]:
        """Within the block, gates (and mean responses, unless they are not wanted) of every layer of one pass are
        kept."""
        self._pass.record, self._pass.responses = Record(), responses
        try:
            yield self._pass.record
        finally:
            self._pass.record = None

    @contextmanager
    def all_open(self) -> Iterator[None]:
        """Within the block, every filter is selected: the network computes what the original computes."""
        self._pass.open = True
        try:
            yield
        finally:
            self._pass.open = False

    def gates(self, images: Tensor) -> dict[str, Tensor]:
        """The filters that each layer selects for `images`, in evaluation: `[batch, filters]` of zeros and ones."""
        record, _ = self._observed(images)
        return dict(zip(self.layer_names, record.gates, strict=True))

    def save(self, file: str | Path) -> Path:
        """Write weights, layers and `keep` as safetensors, whole or not at all; `load_decoupled` reads them."""
        from unweave.decoupling.format import save_decoupled

        return save_decoupled(self, file)

    def paths(
        self,
        images: Tensor | Data | LabelledImages,
        *,
        batch: int | None = None,
        limit: int | None = None,
        labels: Sequence[int] | Tensor | None = None,
        strict: bool = False,
        with_scores: bool = True,
        show_progress: bool | None = None,
    ) -> Paths:
        """The calculation path of every input: the filters that each layer selects for it (ECCV section 3.1).

        The network is not changed, and is used in evaluation mode. A layer that selects no filter for some input gives
        exactly zero there; such inputs are counted in `paths.manifest["inputs_without_filters"]` and warned of.

        Parameters
        ----------
        images
            `[inputs, channels, height, width]`, or a data set or `DataLoader` of (image, class index), whose labels the
            rows keep.
        batch
            Inputs that share one pass; default: as many as run fastest.
        limit
            At most so many inputs, evenly spread over all.
        labels
            The class of each image, where `images` do not tell.
        strict
            Refuse data with an image that cannot be read; default: such images are left out, counted and warned of.
        with_scores
            Keep what masks are made from: four bytes for every bit of them.
        show_progress
            Default: if standard error is a terminal.

        Returns
        -------
        Paths
            One row per input, named by its position, with labels (-1: unknown) and this network's predictions. Sites
            are the controlled convolutions' outputs, gates applied; masks the gates `z = 1(g > 0)` (Eq. 5); scores the
            controlling modules' outputs `g`.

        Raises
        ------
        DataError, SettingError
            If images or a setting cannot be used.
        NumericError
            If NaN or infinity appears, naming the layer.
        """
        from unweave.data.inputs import labelled_inputs
        from unweave.decoupling.input_paths import input_paths

        return input_paths(
            self,
            labelled_inputs(images, labels, strict=strict),
            batch=batch,
            limit=limit,
            with_scores=with_scores,
            show_progress=show_progress,
        )

    def plain(self) -> nn.Module:
        """A copy of the network without controlling modules, all filters selected."""
        copied = copy.deepcopy(self.network)
        for layer in self.layers:
            if layer.left_out:
                continue
            controlled = copied.get_submodule(layer.convolution)
            assert isinstance(controlled, ControlledConvolution)
            _replace(copied, controlled, controlled.convolution)
            if layer.norm is not None and controlled.norm is not None:
                _replace(copied, copied.get_submodule(layer.norm), controlled.norm)
        return copied.eval()

    def multiply_accumulates(self, images: Tensor) -> MultiplyAccumulates:
        """What each of `images` takes, layer by layer, controlling modules included."""
        captured = capture(self.plain(), images[:1].expand(2, *images.shape[1:]), self.logits)
        return count(captured, self.layers, self.gates(images), len(images))

    def sparse(self, example: Tensor, plan: Plan | Method | None = None) -> SparseNetwork:
        """A copy for inference that computes, for every input, only the selected filters on only the channels that can
        be non-zero. Its class scores equal this network's in evaluation mode to float tolerance.

        Parameters
        ----------
        example
            Images `[batch, channels, height, width]`, best as many as will be given at a time: what is fastest for each
            layer is measured on them, with as many threads as torch uses now.
        plan
            How each layer is computed: the `plan` of another sparse copy, or one method for all layers ("dense",
            "rows", "both", "groups"). Nothing is measured then.

        Raises
        ------
        SettingError
            If the plan has an unknown method or is for other layers.
        CaptureError
            If the copy would not select or compute on the first images of `example` what this network does.
        """
        captured = capture(self.plain(), example[:1].expand(2, *example.shape[1:]), self.logits)
        controllers = {name: layer.controller for name, layer in self.controlled.items()}
        sparse = SparseNetwork(captured, self.layers, controllers, example, plan)
        some = example[:_COMPARED].to(captured.device)
        record, scores = self._observed(some)
        check_sparse(sparse, some, self.layer_names, record, scores)
        return sparse

    def _observed(self, images: Tensor) -> tuple[Record, Tensor]:
        """What one pass in evaluation selects, and its class scores."""
        was = self.training
        self.eval()
        try:
            with torch.no_grad(), self.recording(responses=False) as record:
                return record, self(images)
        finally:
            self.train(was)


def decouple(
    network: nn.Module,
    example: Tensor,
    keep: float | None = None,
    *,
    logits: str | int | None = None,
    seed: int = 0,
) -> DecoupledNetwork:
    """A copy of `network` with a controlling module at every convolution except the first and the last (ECCV 2020).

    Shortcuts of residual blocks, grouped and depthwise convolutions are left as they are; `DecoupledNetwork.left_out`
    says which and why. In evaluation mode all gates are open at first, so that the copy computes what `network` does.

    Parameters
    ----------
    network
        Not changed; the copy has weights of its own.
    example
        Images `[batch, channels, height, width]` as the network takes them.
    keep
        The share of filters that training aims at, above 0 and at most 1; None lets it be found (the paper's R = 0).
    logits
        For networks that return a dict, tuple or dataclass: which part is the class scores.
    seed
        Of the controlling modules' first weights; the global random state is left as it was.

    Raises
    ------
    SettingError
        If `keep` is not a share.
    CaptureError
        If the network cannot be captured, has no convolution that can be controlled, or does something with a
        controlled convolution that the copy does not: with all gates open it must compute on the first images of
        `example` what `network` does.
    """
    if keep is not None and not (isinstance(keep, int | float) and not isinstance(keep, bool) and 0 < keep <= 1):
        raise SettingError(f"keep must be a share of filters above 0 and at most 1, or None, found {keep!r}")
    plain = unwrapped(network)
    layers = layers_of(capture(plain, example, logits), plain)
    # Parameters made in inference mode could not be trained.
    with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
        own = copy.deepcopy(plain)
        torch.manual_seed(seed)
        share = None if keep is None else float(keep)
        made = DecoupledNetwork(own, layers, share, logits, tuple(example.shape[1:])).eval()
        _check_copy(made, evaluating_copy(plain, logits), example[:_COMPARED])
    return made


def _check_copy(made: DecoupledNetwork, network: nn.Module, example: Tensor) -> None:
    """Refuse a copy that computes something else than `network`, or goes past a controlled convolution."""
    images = example.to(next(made.parameters()).device)
    what = "with all gates open, the decoupled copy does not compute what the network does"
    try:
        with torch.no_grad(), made.all_open(), made.recording(responses=False) as record:
            found, wanted = made(images), network(images)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        raise CaptureError(f"{what}: {first_line(error)}") from error
    filters = [layer.convolution.out_channels for layer in made.controlled.values()]
    if [gates.shape[1] for gates in record.gates] != filters:
        raise CaptureError(
            f"{len(filters)} convolutions are controlled, {len(record.gates)} ran: the network calls some of them "
            "other than as its submodules; call them as self.name(...)"
        )
    check_scores(found, wanted, what)


def _coins(images: Tensor) -> Tensor:
    """`[batch]` of zeros and ones, as many of each as can be, in random order."""
    count = len(images)
    coins = torch.zeros(count, device=images.device)
    coins[torch.randperm(count, device=images.device)[: count // 2]] = 1
    return coins


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put `new` in the place of `old` under all names that it has."""
    paths = [path for path, module in network.named_modules(remove_duplicate=False) if module is old]
    for path in paths:
        parent, _, name = path.rpartition(".")
        setattr(network.get_submodule(parent), name, new)
