"""Which units a run has to measure, and which plates are complete."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType

import pandas as pd
from tqdm.auto import tqdm

from stratonet.extraction.destination import Destination
from stratonet.extraction.engine import Engine, Shard
from stratonet.extraction.grey_limits import find_limits
from stratonet.extraction.job import ObjectsFromLabels
from stratonet.extraction.labelimages import name_regions
from stratonet.extraction.outcome import Outcome
from stratonet.extraction.preflight import (
    check_columns,
    check_reachable,
    probe_images,
    probe_labels,
)
from stratonet.extraction.sources.imagesets import ImageSets, ImageSource
from stratonet.extraction.sources.read import read_source
from stratonet.extraction.summary import Summary
from stratonet.extraction.units import Unit, leave_out_placed_objects, split_units
from stratonet.files.urls import drop_query, redact_url
from stratonet.limits import PlateLimits
from stratonet.messages import count_things
from stratonet.naming import URL, image_column, metadata_columns
from stratonet.recipe import OF_PLATE, Limits


class Plan:
    """The units that a run has to measure, source by source.

    It is a context manager that shows the progress of the run.

    Parameters
    ----------
    sources : list of ImageSource
        In the order in which they are measured.
    first_image_sets : ImageSets
        Image sets of the first source, which has been read already.
    channels : mapping of str to str, optional
        See `stratonet.extraction.sources.read.read_source`.
    destination : Destination
        Where features are written; it includes the job.
    centers : pandas.DataFrame, optional
        See `stratonet.extraction.units.read_centers`.
    shard : Shard
        Which of the units this run measures.
    engine : Engine
        Gathers plates while others are measured.
    progress : bool
        Show a progress bar; without it, one line per plate is printed.

    Attributes
    ----------
    summary : Summary
        What has been done so far.
    """

    def __init__(
        self,
        sources: Sequence[ImageSource],
        first_image_sets: ImageSets,
        channels: Mapping[str, str] | None,
        destination: Destination,
        centers: pd.DataFrame | None,
        shard: Shard,
        engine: Engine,
        progress: bool,
    ) -> None:
        self._sources = sources
        self._channels = channels
        self._destination = destination
        self._job = destination.job
        self._centers = centers
        # Objects that lie in no image set of the sources read so far.
        self._lost_centers = centers
        self._shard = shard
        self._engine = engine
        self._progress = progress
        self.summary = Summary(
            redact_url(destination.url), self._job.network.feature_set_id
        )
        # For each plate, the names of all its units, including those of other shards,
        # and the names of the units that this run still has to measure.
        self._names: dict[str, list[str]] = {}
        self._unmeasured: dict[str, set[str]] = {}
        # The location of the first image of each unit, by plate and unit.
        self._urls: dict[tuple[str, str], str] = {}
        self._limit_futures: dict[str, Future[Limits]] = {}
        self._table_futures: dict[str, Future[bool]] = {}
        self._n_units = 0
        self._n_planned = 0
        self._reached_servers: set[str] = set()
        # The threads of the engine count image sets.
        self._lock = threading.Lock()
        self._first_image_sets = first_image_sets
        self._check(first_image_sets.frame, sources[0])
        probe_images(first_image_sets.frame, self._job.channels[0], sources[0])

    def __enter__(self) -> Plan:
        self._bar = tqdm(
            unit=" image sets",
            disable=not self._progress,
            smoothing=0.05,
            dynamic_ncols=True,
        )
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # After an error, limits that are not being measured yet are not needed.
        for limits in self._limit_futures.values():
            limits.cancel()
        self._bar.close()

    def list_units(self) -> Iterator[Unit]:
        """Yield the units to measure.

        A source is read only after the units of the sources before it have been taken:
        a screen of thousands of plates is never in memory at once.
        """
        for number, source in enumerate(self._sources, start=1):
            # Reading a source also shows which of its wells are measured already.
            units = self._plan_source(source, is_first=number == 1)
            self._n_planned += sum(len(unit.rows) for unit in units)
            # The remaining sources are assumed to be as large as those before.
            self._bar.total = self._n_planned * len(self._sources) // number
            self._bar.refresh()
            for unit in units:
                yield replace(unit, limits=self._choose_limits(unit.plate))

    def advance(self, count: int) -> None:
        """Note that more image sets have been measured.

        Parameters
        ----------
        count : int
            How many since the last call.
        """
        with self._lock:
            self._bar.update(count)

    def finish_unit(self, unit: Unit, outcome: Outcome) -> None:
        """Note that a unit is at the destination.

        Parameters
        ----------
        unit : Unit
            One of `list_units`.
        outcome : Outcome
            How many of its image sets could not be measured completely, and why.
        """
        self.summary.image_sets += len(unit.rows)
        # Images that could not be read count, too: they also took time.
        self.summary.images += len(unit.rows) * len(self._job.channels)
        self._count_incomplete(outcome)
        unmeasured = self._unmeasured[unit.plate]
        unmeasured.discard(unit.name)
        if not unmeasured:
            self._gather_plate(unit.plate)

    def wait_for_tables(self) -> None:
        """Wait until the plates have their tables."""
        for plate, table_future in self._table_futures.items():
            if table_future.result():
                self.summary.complete_plates.append(plate)
            else:
                self.summary.waiting_plates.append(plate)

    def count_lost_objects(self) -> None:
        """Count the objects of the table of centres that lie in no image set."""
        if self._lost_centers is None or self._lost_centers.empty:
            return
        self.summary.lost_objects = len(self._lost_centers)
        names = self._lost_centers[metadata_columns(self._lost_centers)]
        self.summary.lost_object = " ".join(names.iloc[0].astype(str))

    def _check(self, frame: pd.DataFrame, source: ImageSource) -> None:
        check_columns(frame, source, self._job, self._destination.layout)
        check_reachable(frame, self._job, self._reached_servers)
        probe_labels(frame, self._job)

    def _plan_source(self, source: ImageSource, is_first: bool) -> list[Unit]:
        """Return the units of a source that this run has to measure."""
        image_sets = self._first_image_sets
        if not is_first:
            image_sets = read_source(source, self._channels)
            self._check(image_sets.frame, source)
        self.summary.skipped_files += image_sets.skipped
        frame = image_sets.frame
        if isinstance(self._job.objects, ObjectsFromLabels):
            frame = name_regions(frame, self._job.objects.label)
        plates: dict[str, list[Unit]] = {}
        shard_units = set()
        for unit in split_units(frame, self._centers):
            plates.setdefault(unit.plate, []).append(unit)
            # Counted over all sources, so that shards of many small plates are equally
            # large.
            if self._shard.holds(self._n_units):
                shard_units.add(unit)
            self._n_units += 1
        if self._lost_centers is not None:
            self._lost_centers = leave_out_placed_objects(self._lost_centers, frame)
        planned = []
        for plate, units in plates.items():
            planned += self._plan_plate(plate, units, shard_units)
        return planned

    def _plan_plate(
        self, plate: str, units: Sequence[Unit], shard_units: set[Unit]
    ) -> list[Unit]:
        """Return the units of a plate that this run has to measure."""
        # One listing per plate, not one request per well: each request to S3 is slow.
        existing_units = self._destination.read_held_units(plate)
        names = self._names.setdefault(plate, [])
        # The user may give a source twice.
        new_units = [unit for unit in units if unit.name not in names]
        self._check_folders(units)
        self._check_wells(new_units, [*existing_units, *names])
        names += [unit.name for unit in new_units]
        own_units = [unit for unit in new_units if unit in shard_units]
        measured_units = [unit for unit in own_units if unit.name in existing_units]
        to_measure = [unit for unit in own_units if unit.name not in existing_units]
        self.summary.wells_before += len(measured_units)
        for unit in measured_units:
            self._count_incomplete(existing_units[unit.name])
        unmeasured = self._unmeasured.setdefault(plate, set())
        unmeasured.update(unit.name for unit in to_measure)
        if to_measure:
            self._find_limits(plate, units)
        # All wells are measured, but an earlier run may have been killed before it
        # wrote the table.
        if not unmeasured:
            self._gather_plate(plate)
        return to_measure

    def _count_incomplete(self, outcome: Outcome) -> None:
        self.summary.incomplete += outcome.n_incomplete
        for reason_type, reason in outcome.reasons.items():
            self.summary.reasons.setdefault(reason_type, reason)

    def _find_limits(self, plate: str, units: Sequence[Unit]) -> None:
        """Let the engine find the limits of a plate, if planes are scaled by plate."""
        if self._job.recipe.grey_range != OF_PLATE or plate in self._limit_futures:
            return
        # From the whole plate, even if this run measures only part of it.
        frame = pd.concat([unit.rows for unit in units])
        # In the engine: while a plate is measured, the limits of the next are found.
        find: Callable[..., Limits] = find_limits
        self._limit_futures[plate] = self._engine.submit(
            find, self._destination, plate, frame
        )

    def _choose_limits(self, plate: str) -> Limits | None:
        """Return the limits between which the planes of a plate are scaled, if any."""
        if plate in self._limit_futures:
            return self._limit_futures[plate].result()
        limits = self._job.limits
        return None if isinstance(limits, PlateLimits) else limits

    def _check_folders(self, units: Sequence[Unit]) -> None:
        """Refuse wells whose files have the same names, but lie in two folders.

        Only one of these wells would be measured, because the names of files identify
        a well. A later run accepts them: then the screen may have been moved.
        """
        for unit in units:
            urls = unit.rows[image_column(URL, self._job.channels[0])].dropna()
            url = redact_url(drop_query(urls.iloc[0])) if len(urls) else "no file"
            known_url = self._urls.setdefault((unit.plate, unit.name), url)
            if known_url != url:
                raise ValueError(
                    f"{known_url} and {url} are named alike, and both are well"
                    f" {unit.well} of plate {unit.plate}. Give the plates different"
                    " names, or measure them into two destinations."
                )

    def _check_wells(self, units: Sequence[Unit], known_names: Sequence[str]) -> None:
        """Refuse a well that was measured from other images."""
        name_of_well = {_get_well(name): name for name in known_names}
        for unit in units:
            known_name = name_of_well.get(_get_well(unit.name), unit.name)
            if known_name != unit.name:
                raise ValueError(
                    f"{redact_url(self._destination.url)} holds well {unit.well} of"
                    f" plate {unit.plate} already, measured from other images, or with"
                    " other metadata. For other metadata alone, nothing needs to be"
                    " measured anew: stratonet evaluate --metadata joins them to these"
                    " features. Else choose another destination, or remove the plate's"
                    " folder there."
                )

    def _gather_plate(self, plate: str) -> None:
        # In the background, so that the network need not wait while files are joined.
        gather: Callable[..., bool] = self._destination.gather_plate
        names = self._names[plate]
        self._table_futures[plate] = self._engine.submit(gather, plate, names)
        if not self._progress:
            incomplete = count_things(self.summary.incomplete, "incomplete image set")
            wells = count_things(len(names), "well")
            print(f"{plate}: {wells}, {incomplete} so far", flush=True)


def _get_well(name: str) -> str:
    """Return the well in the name of a unit, without the digest."""
    return name.rpartition(".")[0]
