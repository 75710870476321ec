"""`Run`: what every method of finding `Paths` does with a run folder, each rule written once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from unweave.data.labelled import LabelledImages
from unweave.errors import RunError
from unweave.network.fingerprint import fingerprint
from unweave.network.sites import Level, Sites
from unweave.paths import Paths
from unweave.runs.folder import RunFolder
from unweave.runs.identity import check_identity, check_parts, check_same
from unweave.search.preparation import Prepared, prepare
from unweave.versions import versions

_UNNAMED = "disentangle"
"""The method of a record that names none."""

PlanT = TypeVar("PlanT")


class Run(ABC, Generic[PlanT]):
    """One call of a method, in steps that can be looked at before they are taken.

    `folder`: where it is kept, if anywhere; a run that was begun there is gone on with, by the plan that it began with.
    `notes` go into the manifest.
    """

    method: ClassVar[str]
    planned: ClassVar[tuple[str, ...]] = ("plan",)
    """Properties that are known once the plan is: forgotten where another process turns out to have begun the run."""

    def __init__(
        self,
        network: nn.Module,
        images: LabelledImages,
        sites: Sites | Level | None,
        *,
        device: str | torch.device | None,
        logits: str | int | None,
        folder: RunFolder | None,
        notes: dict[str, Any] | None,
        show_progress: bool | None,
    ) -> None:
        self.network, self.images, self.sites = network, images, sites
        self.device, self.logits, self.notes = device, logits, notes or {}
        self.folder, self.show_progress = folder, show_progress
        self._begun = folder.read_record() if folder is not None else None

    @abstractmethod
    def _new_plan(self) -> PlanT:
        """What the bytes of a result depend on besides what was asked for."""

    @abstractmethod
    def _recorded_plan(self, recorded: Any) -> PlanT:
        """The plan from what `_plan_record` made; any of the usual errors where it is not that."""

    @abstractmethod
    def _plan_record(self) -> dict[str, Any]:
        """The plan as plain values. Refuses what cannot be done, because nothing is written yet."""

    @abstractmethod
    def _asked(self) -> dict[str, Any]:
        """Settings of the method itself, as plain values."""

    @abstractmethod
    def _fingerprints(self) -> dict[str, Any]:
        """What identifies the images, by what they are for."""

    @abstractmethod
    def _find(self, folder: RunFolder | None) -> Paths:
        """The work; what `folder` has of it is not done again."""

    def _refuse_another_plan(self) -> None:
        """Refuse what was asked for, where the plan of the run that was begun contradicts it."""

    @property
    def begun(self) -> bool:
        """Whether the folder holds a run that was begun before."""
        return self._begun is not None

    @property
    def finished(self) -> bool:
        """Whether the folder holds this run's result.

        Raises
        ------
        RunError
            If the folder holds another run.
        """
        self._refuse_another()
        return self.folder is not None and self.folder.finished

    @cached_property
    def prepared(self) -> Prepared:
        """The network made ready."""
        return prepare(self.network, self.images, self._wanted_sites(), self.device, self.logits)

    def _wanted_sites(self) -> Sites | Level:
        assert self.sites is not None
        return self.sites

    @cached_property
    def plan(self) -> PlanT:
        """The plan that the run folder's run was begun with, or a new one."""
        if self._begun is None:
            return self._new_plan()
        try:
            return self._recorded_plan(self._begun["plan"])
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            assert self.folder is not None
            raise RunError(f"{self.folder.record_file} is damaged ({error}); give another folder") from error

    @cached_property
    def _network(self) -> dict[str, Any]:
        return fingerprint(self.network)

    @cached_property
    def _data(self) -> dict[str, Any]:
        return self._fingerprints()

    def run(self) -> Paths:
        """Do the work, or go on with what was begun; a finished run's paths are read."""
        with torch.inference_mode(False), torch.enable_grad():
            if self.folder is None:
                return self._find(None)
            self._refuse_another()
            if self.folder.finished:
                self.folder.remove_shards()  # of a process that was killed after its last write
                return Paths.load(self.folder.paths_file)
            record = {**self._identity(), **self._machinery(), "plan": self._plan_record()}
            with self.folder.opened():
                return self._in_folder(self.folder, record)

    def _in_folder(self, folder: RunFolder, record: dict[str, Any]) -> Paths:
        if self._begun is None and (other := folder.read_record()) is not None:
            self._begun = other  # begun by another process since
            for name in self.planned:
                self.__dict__.pop(name, None)
            self._refuse_another()
        if self._begun is None:
            folder.begin(record)
        folder.journal.append("resumed" if self._begun is not None else "begun")
        found = self._find(folder)
        found.save(folder.paths_file)
        folder.finish()
        return found

    def _keep_plan(self) -> None:
        """Keep the plan, which has changed, instead of the one that the run was begun with."""
        if self.folder is not None and (record := self.folder.read_record()) is not None:
            self.folder.begin({**record, "plan": self._plan_record()})

    def _identity(self) -> dict[str, Any]:
        """What was asked for, of which network and images."""
        sites = self.sites if isinstance(self.sites, str) else list(self.prepared.sites.names)
        asked = {**self._asked(), "sites": sites, "logits": self.logits, "notes": self.notes}
        return {"asked": asked, "network": self._network, "data": self._data}

    def _machinery(self) -> dict[str, Any]:
        """What else bytes depend on while a run goes on."""
        return {"device": self.prepared.device.type, "versions": versions()}

    def _refuse_another(self) -> None:
        """Refuse a folder that was begun with another method, network, other images or other settings."""
        if self._begun is None or self.folder is None:
            return
        record, where = self._begun, self.folder.root
        check_parts(self.folder.record_file, record, ("asked", "network", "data", "plan"))
        # First, because no setting, and no plan, of another method compares with one of this.
        check_same(where, {"method": record["asked"].get("method", _UNNAMED)}, {"method": self.method})
        check_identity(where, record, self._identity(), f"the run in {where} was begun with")
        self._refuse_another_plan()
        if not self.folder.finished:  # a finished one is read, without a look at the network
            machinery = self._machinery()
            check_same(where, {name: record.get(name) for name in machinery}, machinery)
