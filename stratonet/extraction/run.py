"""A run: from sources to feature tables, whatever was measured before."""

import os
import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from tqdm.auto import tqdm

from stratonet import __version__
from stratonet.extraction.destination import OURS, Destination
from stratonet.extraction.illumination import METHODS
from stratonet.extraction.measure import Recipe
from stratonet.extraction.sources.imagesets import ImageSource, list_channels
from stratonet.extraction.sources.read import read_source
from stratonet.extraction.units import read_centres, split_units
from stratonet.files.storage import Storage
from stratonet.files.urls import is_url, redact_url
from stratonet.resources import format_resources_csv, summarize_resources

SIZE = 96


@dataclass
class Summary:
    """What a run has done.

    Attributes
    ----------
    image_sets, images : int
        Measured in this run.
    before : int
        Units that the destination held already.
    failed : int
        Image sets that could not be measured whole, those measured before included.
    ignored : int
        Images in folders, whose names the pattern does not match.
    complete, waiting : list of str
        Plates that have their feature tables, and those that still lack units of other
        shards.
    """

    destination: str
    feature_set_id: str
    image_sets: int = 0
    images: int = 0
    before: int = 0
    failed: int = 0
    ignored: int = 0
    complete: list = field(default_factory=list)
    waiting: list = field(default_factory=list)
    seconds: float = 0
    resources: str = ""

    def __str__(self):
        rate = (
            f"{self.image_sets / self.seconds:.2f} image sets/s,"
            f" {self.images / self.seconds:.1f} images/s"
        )
        lines = {
            "Plates": (
                f"{len(self.complete)} complete"
                + f", {len(self.waiting)} wait for other shards" * bool(self.waiting)
            ),
            "Image sets": (
                f"{self.image_sets:,} measured"
                + f"; {self.before:,} wells were there before" * bool(self.before)
            ),
            "Not whole": (
                f"{self.failed:,} image sets"
                + ": Metadata_Error says why" * bool(self.failed)
            ),
            **(
                {
                    "Left out": (
                        f"{self.ignored:,} files, whose names the pattern does not"
                        " match"
                    )
                }
                if self.ignored
                else {}
            ),
            "Time": f"{timedelta(seconds=round(self.seconds))}, {rate}",
            "Feature set": self.feature_set_id,
            "Features": self.destination,
        }
        return (
            "\n".join(f"{name:<13}{text}" for name, text in lines.items())
            + f"\n{self.resources}"
        )


def extract(
    sources,
    output,
    *,
    channels=None,
    taps=None,
    weights="stratonet50",
    provider="CPUExecutionProvider",
    pattern=None,
    images=None,
    replace=(),
    illumination=None,
    labels=None,
    centres=None,
    size=None,
    gallery=False,
    endpoint=None,
    region=None,
    anonymous=False,
    shard=(1, 1),
    strict=False,
    engine="local",
    address=None,
    quiet=False,
):
    """Measure image sets and write their features; what the destination holds already is not measured again.

    Parameters
    ----------
    sources : str or list of str
        Tables, folders or plates of the cellpainting-gallery, see
        `stratonet.extraction.sources.read_source`.
    output : str
        Folder or S3 prefix, see `stratonet.extraction.destination`.
    channels : list of str or dict, optional
        Channels to measure, or a dict of their names in the features to their names in
        the source. Default: all.
    taps, weights, provider
        See `stratonet.StratoNet.load`.
    pattern, images, replace
        See `stratonet.extraction.sources.read_source`.
    illumination : {"divide", "subtract"}, optional
        Correct each image by the illumination function that the table names, as
        CellProfiler does.
    labels : str, optional
        Measure the objects of this label image, which the table names: one row an
        object.
    centres : str, optional
        Measure the objects of this table of centres, see
        `stratonet.extraction.units.read_centres`.
    size : int, optional
        Side of the square around each object, in pixels. Default: 96.
    gallery : bool
        Write the layout of the cellpainting-gallery's ``workspace_dl``.
    endpoint, region, anonymous
        See `stratonet.files.storage.Storage`.
    shard : (int, int)
        Measure only part k of n: every n-th well from the k-th on.
    strict : bool
        Stop at the first image that cannot be measured, instead of giving it NaN and
        the reason.
    engine : {"local", "ray"}
    address : str, optional
        Of a Ray cluster. Default: the one that this machine belongs to, or else a new
        one on this machine.
    quiet : bool
        One line a plate in place of a progress bar.

    Returns
    -------
    Summary

    Raises
    ------
    ValueError
        A source, an option or the destination is not what it should be; the message
        says what to do.
    Unreachable
        Images or destination cannot be reached. What was measured until then is kept,
        as after any other error.
    """
    sources = (
        [str(sources)]
        if isinstance(sources, (str, os.PathLike))
        else [str(source) for source in sources]
    )
    if not sources:
        raise ValueError(
            "There is no source: give a table, a folder or the name of a plate."
        )
    if channels is not None and not isinstance(channels, dict):
        channels = {name: name for name in channels}
    if labels and centres:
        raise ValueError(
            "Objects come from a label image or from a table of centres. Received both."
        )
    if size is not None and (not (labels or centres) or not 8 <= size <= 4096):
        raise ValueError(
            "The size of objects is 8 to 4096 pixels, and needs labels or centres."
            f" Received: {size}"
        )
    if address and engine != "ray":
        raise ValueError(
            "An address is that of a Ray cluster: choose the engine ray. Received:"
            f" {engine}"
        )
    if illumination not in (None, *METHODS):
        raise ValueError(
            f"An illumination function divides or subtracts. Received: {illumination!r}"
        )
    if not 1 <= shard[0] <= shard[1]:
        raise ValueError(
            f"A shard is K of N, K from 1 to N. Received: {shard[0]} of {shard[1]}"
        )
    storage = Storage(endpoint, region, anonymous)

    def read(source):
        image_source = ImageSource(
            source, pattern, images, tuple(replace), endpoint, region, anonymous
        )
        return read_source(image_source, channels)

    first = read(sources[0])
    recipe = Recipe(
        storage,
        tuple(channels or list_channels(first.frame)),
        str(weights),
        (taps,) if isinstance(taps, str) else taps and tuple(taps),
        provider,
        illumination,
        labels,
        (size or SIZE) if labels or centres else None,
        strict,
    )
    destination = Destination(
        _in_gallery(output, recipe) if gallery else str(output), recipe, gallery
    )
    centres = read_centres(centres, storage) if centres else None
    machines = _engine(engine)(address)
    work = _Work(
        sources, first, read, destination, centres, shard, quiet, machines.submit
    )
    destination.open()

    began = datetime.now(timezone.utc)
    with machines, work:
        for unit, failed in machines.measure(destination, work.units(), work.advance):
            work.finish(unit, failed)
        work.close()
        reports = machines.reports()
    destination.tidy()
    done = work.done
    done.seconds = (datetime.now(timezone.utc) - began).total_seconds()
    done.resources = summarize_resources(reports)
    run = {
        "started": began.isoformat(timespec="seconds"),
        "engine": engine,
        "shard": "/".join(map(str, shard)),
        "feature_set": done.feature_set_id,
        "version": __version__,
        "image_sets": done.image_sets,
        "images": done.images,
        "images_per_second": done.images / done.seconds,
    }
    name = f"{began:%Y%m%dT%H%M%S.%f}-{shard[0]}of{shard[1]}-{os.getpid()}.csv"
    destination.add_run(
        name, format_resources_csv([{**run, **report} for report in reports])
    )
    return done


def _engine(name):
    if name == "local":
        from stratonet.extraction.local_engine import Local as Engine
    elif name == "ray":
        try:
            from stratonet.extraction.ray_engine import Ray as Engine
        except ImportError as error:
            raise ImportError(
                f"--engine ray needs Ray ({error}): install stratonet[ray]."
            ) from None
    else:
        raise ValueError(f"Engines are local and ray. Received: {name!r}")
    return Engine


class _Work:
    """The units that a run has to measure, source by source, and what becomes of their plates."""

    def __init__(
        self, sources, first, read, destination, centres, shard, quiet, submit
    ):
        self.sources, self.read = sources, read
        self.destination, self.recipe = destination, destination.recipe
        self.centres, self.shard = centres, shard
        self.done = Summary(redact_url(destination.url), self.recipe.net.feature_set_id)
        self._names = {}  # plate: names of all its units
        self._left = {}  # plate: names of those that this run has still to measure
        self._planned = 0
        self._reached = set()
        self._lock = threading.Lock()
        self._gathered = {}
        self._quiet, self._submit = quiet, submit
        self._first = first
        _probe(self._checked(first.frame, sources[0]), self.recipe)

    def __enter__(self):
        self._bar = tqdm(
            unit=" image sets", disable=self._quiet, smoothing=0.05, dynamic_ncols=True
        )
        return self

    def __exit__(self, *failure):
        self._bar.close()

    def close(self):
        """Wait until the plates have their tables."""
        complete = {plate: made.result() for plate, made in self._gathered.items()}
        self.done.complete = [plate for plate, made in complete.items() if made]
        self.done.waiting = [plate for plate, made in complete.items() if not made]

    def units(self):
        """Yield the units to measure.

        A source is read when those before it have been handed out.
        """
        number = 0
        for index, source in enumerate(self.sources):
            image_sets = self.read(source) if index else self._first
            frame = self._checked(image_sets.frame, source)
            self.done.ignored += image_sets.n_skipped
            units = {}
            for unit in split_units(frame, self.centres):
                units.setdefault(unit.plate, []).append((number, unit))
                number += 1
            todo = []
            for plate, numbered in units.items():
                todo += self._plan(plate, numbered)
            self._planned += sum(len(unit.rows) for unit in todo)
            self._bar.total = self._planned * len(self.sources) // (index + 1)
            self._bar.refresh()
            yield from todo

    def _plan(self, plate, numbered):
        """The units of a plate which this run has to measure."""
        held = self.destination.held(plate)
        seen = self._names.setdefault(plate, [])
        new = [(number, unit) for number, unit in numbered if unit.name not in seen]
        of_wells = {name.rpartition(".")[0]: name for name in (*held, *seen)}
        for _, unit in new:
            if of_wells.get(unit.name.rpartition(".")[0], unit.name) != unit.name:
                raise ValueError(
                    f"{redact_url(self.destination.url)} holds well {unit.well} of"
                    f" plate {plate} already, measured from other images, or with other"
                    " metadata. Choose another destination, or remove the plate's"
                    " folder there to measure it anew."
                )
        seen += [unit.name for _, unit in new]
        mine = [
            unit for number, unit in new if number % self.shard[1] == self.shard[0] - 1
        ]
        before = [unit for unit in mine if unit.name in held]
        todo = [unit for unit in mine if unit.name not in held]
        self.done.before += len(before)
        self.done.failed += sum(held[unit.name] for unit in before)
        left = self._left.setdefault(plate, set())
        left.update(unit.name for unit in todo)
        if not left:
            self._gather(plate)
        return todo

    def advance(self, count=1):
        """Note that image sets have been measured."""
        with self._lock:
            self._bar.update(count)

    def finish(self, unit, failed):
        """Note that a unit is at the destination."""
        self.done.image_sets += len(unit.rows)
        self.done.images += len(unit.rows) * len(self.recipe.channels)
        self.done.failed += failed
        self._left[unit.plate].discard(unit.name)
        if not self._left[unit.plate]:
            self._gather(unit.plate)

    def _gather(self, plate):
        self._gathered[plate] = self._submit(
            self.destination.gather, plate, self._names[plate]
        )
        if self._quiet:
            print(
                f"{plate}: {len(self._names[plate])} wells, {self.done.failed} image"
                " sets not whole so far",
                flush=True,
            )

    def _checked(self, frame, source):
        """The image sets of a source, if they are what the recipe needs."""
        recipe = self.recipe
        needed = [f"URL_{channel}" for channel in recipe.channels]
        needed += [
            f"Illumination_{channel}"
            for channel in recipe.channels
            if recipe.illumination
        ]
        needed += [f"Labels_{recipe.labels}"] if recipe.labels else []
        needed += (
            ["Metadata_Batch", "Metadata_Site"] if self.destination.gallery else []
        )
        lacking = [name for name in needed if name not in frame]
        if lacking:
            raise ValueError(
                f"{redact_url(source)} lacks {', '.join(lacking)}. It has:"
                f" {', '.join(frame)}"
            )
        if set(list_channels(frame)) != set(recipe.channels):
            raise ValueError(
                f"{redact_url(source)} has the channels"
                f" {', '.join(list_channels(frame))}, and {', '.join(recipe.channels)}"
                " are measured. Name the channels to measure."
            )
        taken = [name for name in OURS if name in frame]
        if taken:
            raise ValueError(
                f"{redact_url(source)} has {', '.join(taken)}, which StratoNet writes."
                " Rename the column."
            )
        for url in frame[needed[0]].dropna():
            place = "/".join(url.split("/")[:3])
            if is_url(url) and place not in self._reached:
                recipe.storage.check(url)
                self._reached.add(place)
        return frame


def _probe(frame, recipe):
    """Refuse a screen none of whose images is where the table says, before thousands of rows without a number."""
    rows = frame.iloc[:: max(1, len(frame) // 10)]
    urls = [url for url in rows[f"URL_{recipe.channels[0]}"] if url is not None]
    if not any(recipe.storage.exists(url) for url in urls):
        raise FileNotFoundError(
            f"None of {len(urls)} images that were looked for is there, the first:"
            f" {redact_url(urls[0]) if urls else 'no name'}. Say where they are with"
            " --images (where relative paths start) or --replace-path OLD=NEW."
        )


def _in_gallery(output, recipe):
    """The folder of these features under a ``workspace_dl``.

    ``embeddings/<network>_<training images>_<hash>``.
    """
    name, _, digest = recipe.net.feature_set_id.rpartition("-")
    images = re.split(r"[ (]", recipe.card.trained_on)[0]
    return "/".join(
        [str(output).rstrip("/"), "embeddings", f"{name}_{images}_{digest[:7]}".lower()]
    )
