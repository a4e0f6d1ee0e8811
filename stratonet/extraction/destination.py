"""The destination: which units it holds, and how they become feature tables.

Its files are::

    _stratonet.json                          what is measured and how; all runs into
                                             this destination must agree
    _units/<plate>/<well>.<digest>.parquet   wells of plates that are not complete
    _done/<plate>/<digest>.json              wells that the feature tables hold
    _grey_limits/<plate>.json                which grey values become black and white,
                                             if they are the same for a whole plate
    _crops/<plate>/<digest>.parquet          pictures of the rows of a feature table
    _runs/<start>.csv                        time and resources of a run
    <plate>/<digest>.parquet                 feature tables, written when a plate is
                                             complete, or those of another layout

Parquet readers skip names that begin with ``_``. The features of a well are stored as
one list column: a Parquet file of a few rows and 12,800 columns is several times the
size of its content.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from stratonet.extraction.croptables import (
    fit_to_schema,
    leave_out_crops,
    read_without_crops,
    write_crop_table,
)
from stratonet.extraction.job import Job
from stratonet.extraction.layouts import NUMBERS_PER_GROUP, Layout, PlateLayout
from stratonet.extraction.measure import MeasuredImageSet
from stratonet.extraction.outcome import Outcome
from stratonet.extraction.progress import DONE, UNITS
from stratonet.extraction.units import Unit
from stratonet.extraction.unittables import UnitTables
from stratonet.files.storage import Storage
from stratonet.files.urls import redact_url
from stratonet.limits import PlateLimits
from stratonet.parallel import map_ahead
from stratonet.recipe import Limits

MANIFEST, RUNS = "_stratonet.json", "_runs"
GREY_LIMITS, CROPS = "_grey_limits", "_crops"
# Keys in the footer of a unit's file: how many image sets could not be measured
# completely, and why.
N_INCOMPLETE, REASONS = b"stratonet failed", b"stratonet reasons"
# Small files read or removed at once, since each request to S3 is slow.
FILES_AT_ONCE = 16


@dataclass(frozen=True)
class _Footer:
    """Content of the footer of a unit's file."""

    outcome: Outcome
    schema: pa.Schema


@dataclass(frozen=True)
class Destination:
    """A folder or S3 prefix with the features of plates.

    Like a `Job`, it is small and holds no credentials, so that it can be sent to other
    machines.

    Attributes
    ----------
    url : str
    job : Job
    layout : PlateLayout or GalleryLayout
    """

    url: str
    job: Job
    layout: Layout = field(default_factory=PlateLayout)

    @property
    def storage(self) -> Storage:
        """What reads and writes files here."""
        return self.job.storage

    def join_url(self, *names: str) -> str:
        """Return the path or URL of a file or folder in the destination."""
        return "/".join([self.url.rstrip("/"), *names])

    def open(self) -> None:
        """Create the destination, or check that it was made with the same options.

        Raises
        ------
        ValueError
            It holds features that were measured with other options.
        Unreachable
            It cannot be written to.
        """
        self.storage.check(self.url, writing=True)
        path = self.join_url(MANIFEST)
        manifest = {**self.job.manifest, "gallery": self.layout.in_gallery}
        try:
            existing_manifest = json.loads(self.storage.read(path))
        except FileNotFoundError:
            self.storage.write(path, json.dumps(manifest, indent=1).encode())
            return
        except ValueError:
            # Runs write this file completely or not at all. Somebody else has damaged
            # it, so it is not replaced.
            raise ValueError(
                f"{redact_url(path)} is damaged: it is not JSON. Choose another"
                " destination."
            ) from None
        differences = _list_differences(existing_manifest, manifest)
        if differences:
            raise ValueError(
                f"{redact_url(self.url)} holds features that were measured in another"
                f" way ({'; '.join(differences)}). Use the same options, or choose"
                " another destination."
            )

    def read_held_units(self, plate: str) -> dict[str, Outcome]:
        """Read which units of a plate are measured already.

        Parameters
        ----------
        plate : str
            Folder of the plate.

        Returns
        -------
        dict of str to Outcome
            The outcome of each unit, by its name.
        """
        try:
            footers = self._read_footers(self._list_units(plate))
        except FileNotFoundError:  # another run has gathered them meanwhile
            return self.read_held_units(plate)
        # A unit may be in both for a moment: already gathered, but not yet removed.
        units = {name: footer.outcome for name, footer in footers.items()}
        return {**units, **self._read_done(plate)}

    def read_limits(self, plate: str) -> Limits | None:
        """Read the stored limits of grey values of a plate.

        Parameters
        ----------
        plate : str
            Folder of the plate.

        Returns
        -------
        mapping of str to (float, float), or None
            By channel; None if no limits are stored.

        Raises
        ------
        ValueError
            The file is damaged; the message names it.
        """
        url = self._locate_limits(plate)
        try:
            content = self.storage.read(url)
        except FileNotFoundError:
            return None
        try:
            return PlateLimits.from_json(content.decode()).choose()
        except ValueError as error:
            raise ValueError(f"{redact_url(url)}: {error}") from None

    def keep_limits(self, plate: str, limits: PlateLimits) -> Limits:
        """Store the limits of a plate, unless limits are stored already.

        Parameters
        ----------
        plate : str
            Folder of the plate.
        limits : PlateLimits
            Of this plate only.

        Returns
        -------
        mapping of str to (float, float)
            The limits that are stored now: runs that start at the same time all get the
            same.
        """
        self.storage.create(self._locate_limits(plate), limits.to_json().encode())
        stored_limits = self.read_limits(plate)
        # Somebody may remove files at any moment.
        return limits.choose() if stored_limits is None else stored_limits

    def _locate_limits(self, plate: str) -> str:
        return self.join_url(GREY_LIMITS, f"{plate}.json")

    def write_unit(self, unit: Unit, measured: Iterable[MeasuredImageSet]) -> Outcome:
        """Write the features of a unit.

        Parameters
        ----------
        unit : Unit
            The image sets that were measured.
        measured : iterable of MeasuredImageSet
            One per image set, taken one at a time while writing.

        Returns
        -------
        Outcome
            How many image sets could not be measured completely, and why.
        """
        tables = UnitTables(unit, self.job)
        image_sets = unit.records
        outcome = Outcome()
        n_numbers = 0
        pending: list[pa.Table] = []
        # A local file first, which is then uploaded completely or not at all.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "unit.parquet")
            with tables.open_writer(path) as writer:
                for index, image_set in enumerate(measured):
                    pending.append(tables.make_table(index, image_set))
                    outcome.add(image_sets[index], image_set)
                    n_numbers += image_set.count_numbers()
                    is_last = index + 1 == len(unit.rows)
                    # Wells of many objects are written in pieces.
                    if n_numbers > NUMBERS_PER_GROUP or is_last:
                        writer.write_table(pa.concat_tables(pending))
                        pending, n_numbers = [], 0
                count = str(outcome.n_incomplete)
                reasons = json.dumps(outcome.reasons)
                writer.add_key_value_metadata({N_INCOMPLETE: count, REASONS: reasons})
            self._keep_file(path, UNITS, unit.plate, f"{unit.name}.parquet")
        return outcome

    def gather_plate(self, plate: str, names: Sequence[str]) -> bool:
        """Make the feature tables of a plate from its units, once all are measured.

        Parameters
        ----------
        plate : str
            Folder of the plate.
        names : list of str
            Names of all units of the plate, in the order of the rows to write.

        Returns
        -------
        bool
            Whether the plate is complete.
        """
        # In this order, so that a unit that another run gathers in between is found
        # twice rather than not at all.
        files = self._list_units(plate)
        done = self._read_done(plate)
        if not set(names) <= files.keys() | done.keys():
            return False
        new_units = {name: files[name] for name in names if name not in done}
        if new_units:
            try:
                self._write_tables(plate, new_units)
            except FileNotFoundError:  # another run was faster
                if not self._read_done(plate).keys() >= new_units.keys():
                    raise
        # Only now, so that nothing is lost if the run is killed earlier.
        gathered = [files[name] for name in names if name in files]
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            list(pool.map(self.storage.remove, gathered))
        return True

    def tidy(self) -> None:
        """Remove unfinished files of killed runs, and empty folders of units."""
        self.storage.tidy(self.url)
        self.storage.prune(self.join_url(UNITS))

    def add_run(self, name: str, content: bytes) -> None:
        """Write a file about a run beside the features.

        Parameters
        ----------
        name : str
            Name of the file.
        content : bytes
            A CSV table.
        """
        self.storage.write(self.join_url(RUNS, name), content)

    def _read_done(self, plate: str) -> dict[str, Outcome]:
        """Read which units the feature tables of a plate hold, and their outcomes.

        Tables that somebody has removed do not count.
        """
        done: dict[str, Outcome] = {}
        for url in self.storage.list(self.join_url(DONE, plate)):
            record = json.loads(self.storage.read(url))
            folder = record["folder"]
            # Users remove a plate's folder to have it measured anew.
            present = set(self.storage.list(self.join_url(folder)))
            tables = [self.join_url(folder, file) for file in record["files"]]
            if self.job.crops:
                present.update(self.storage.list(self.join_url(CROPS, plate)))
                file = url.rsplit("/", 1)[1].replace(".json", ".parquet")
                tables.append(self.join_url(CROPS, plate, file))
            if present.issuperset(tables):
                # Destinations of earlier versions have no reasons.
                reasons = record.get("reasons", {})
                for name, count in record["units"].items():
                    done[name] = Outcome(count, reasons.get(name, {}))
        return done

    def _list_units(self, plate: str) -> dict[str, str]:
        """List the URLs of the units of an incomplete plate, by name."""
        files = {}
        for url in self.storage.list(self.join_url(UNITS, plate)):
            if url.endswith(".parquet"):
                file = url.rsplit("/", 1)[1]
                files[file.removesuffix(".parquet")] = url
        return files

    def _read_footers(self, files: Mapping[str, str]) -> dict[str, _Footer]:
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            footers = pool.map(self._read_footer, files.values())
            return dict(zip(files, footers))

    def _read_footer(self, url: str) -> _Footer:
        with self.storage.open(url) as file:
            unit_file = parquet.ParquetFile(file)
            metadata = unit_file.metadata.metadata
            reasons = json.loads(metadata.get(REASONS, b"{}"))
            outcome = Outcome(int(metadata[N_INCOMPLETE]), reasons)
            return _Footer(outcome, unit_file.schema_arrow)

    def _write_tables(self, plate: str, files: Mapping[str, str]) -> None:
        """Write the feature tables of units, and a list of the units in them."""
        digest = hashlib.sha256("\n".join(files).encode()).hexdigest()[:12]
        footers = self._read_footers(files)
        # A column that is empty in one well has no type there.
        schemas = [footer.schema for footer in footers.values()]
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        units = self._read_units(leave_out_crops(schema), files.values())
        tables = self.layout.write_tables(
            self.job, plate, digest, units, self._keep_file
        )
        if self.job.crops:
            self._write_crops(plate, digest, schema, files.values())
        outcomes = {name: footer.outcome for name, footer in footers.items()}
        record = {
            "folder": tables.folder,
            "files": tables.files,
            "units": {name: outcome.n_incomplete for name, outcome in outcomes.items()},
            "reasons": {
                name: outcome.reasons
                for name, outcome in outcomes.items()
                if outcome.reasons
            },
        }
        # Written last, when all files that it names exist.
        url = self.join_url(DONE, plate, f"{digest}.json")
        self.storage.write(url, json.dumps(record, indent=1).encode())

    def _write_crops(
        self, plate: str, digest: str, schema: pa.Schema, urls: Iterable[str]
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "crops.parquet")
            write_crop_table(path, schema, urls, self.storage)
            self._keep_file(path, CROPS, plate, f"{digest}.parquet")

    def _keep_file(self, path: Path, *names: str) -> None:
        self.storage.write_file(self.join_url(*names), path)

    def _read_units(self, schema: pa.Schema, urls: Iterable[str]) -> Iterator[pa.Table]:
        """Yield the rows of units, read ahead, all with the same columns."""

        def read(url: str) -> pa.Table:
            with self.storage.open(url) as file:
                return fit_to_schema(read_without_crops(file), schema)

        # Units of objects are large, so only one is read while another is written.
        n_ahead = 1 if self.job.objects.size else FILES_AT_ONCE
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            yield from map_ahead(pool, read, urls, n_ahead)


def _list_differences(
    existing_manifest: Mapping[str, object], manifest: Mapping[str, object]
) -> list[str]:
    differences = []
    # The entries of both, since an earlier or later version may have more.
    for name in {**existing_manifest, **manifest}:
        if existing_manifest.get(name) != manifest.get(name):
            differences.append(
                f"{name}: {existing_manifest.get(name)!r} there,"
                f" {manifest.get(name)!r} now"
            )
    return differences
