"""The destination: which units it holds, and how they become feature tables.

    _stratonet.json                          what is measured and how; another run must agree
    _units/<plate>/<well>.<digest>.parquet   wells of plates that are not complete
    _done/<plate>/<digest>.json              wells that the feature tables hold
    _runs/<start>.csv                        time and resources of a run
    <plate>/<digest>.parquet                 feature tables, written when a plate is complete
    <batch>/<plate>/<well>-<site>/embedding.parquet   or these, in the layout of the cellpainting-gallery

Parquet readers pass over names that begin with ``_``. The features of a well are kept
as one list column: a Parquet file of a few rows and 12,800 columns is several times the
size of its content.
"""

import hashlib
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from stratonet import __version__
from stratonet.extraction.measure import Recipe
from stratonet.files.urls import quote_name, redact_url
from stratonet.naming import PREFIX
from stratonet.parallel import map_ahead
from stratonet.tables.columns import ERROR, FEATURE_SET, OBJECT, VERSION
from stratonet.tables.writing import write_wide_table

MANIFEST, UNITS, DONE, RUNS = "_stratonet.json", "_units", "_done", "_runs"
OURS = (OBJECT, FEATURE_SET, VERSION, ERROR)
FEATURES, FAILED = "features", b"stratonet failed"
# Numbers in a row group: 64 MB of float32.
GROUP = 2**24
# Small files read or removed at once: S3 takes its time for each.
AT_ONCE = 16


@dataclass(frozen=True)
class Destination:
    """A folder or S3 prefix with the features of plates. Small and without credentials, as a `Recipe`.

    Attributes
    ----------
    url : str
    recipe : Recipe
    gallery : bool
        Write one table a site, as the cellpainting-gallery lays out embeddings.
    """

    url: str
    recipe: Recipe
    gallery: bool = False

    @property
    def storage(self):
        return self.recipe.storage

    def open(self):
        """Make the destination, or see that what it holds was measured in the same way.

        Raises
        ------
        ValueError
            It holds features that were measured in another way.
        Unreachable
            It cannot be written to.
        """
        self.storage.check(self.url, writing=True)
        path = self._path(MANIFEST)
        manifest = {**self.recipe.manifest, "gallery": self.gallery}
        try:
            held = json.loads(self.storage.read(path))
        except FileNotFoundError:
            self.storage.write(path, json.dumps(manifest, indent=1).encode())
            return
        except ValueError:
            raise ValueError(
                f"{redact_url(path)} is damaged: it is not JSON. Choose another"
                " destination."
            ) from None
        differing = [
            f"{name}: {held.get(name)!r} there, {manifest.get(name)!r} asked for"
            for name in {**held, **manifest}
            if held.get(name) != manifest.get(name)
        ]
        if differing:
            raise ValueError(
                f"{redact_url(self.url)} holds features that were measured in another"
                f" way ({'; '.join(differing)}). Ask for the same, or choose another"
                " destination."
            )

    def held(self, plate):
        """What is measured of a plate.

        For the name of each unit, how many image sets could not be measured whole.
        """
        try:
            footers = self._footers(self._parts(plate))
        except FileNotFoundError:  # another run has gathered them meanwhile
            return self.held(plate)
        return {
            **{name: failed for name, (failed, _) in footers.items()},
            **self._done(plate),
        }

    def write(self, unit, measured):
        """Keep the features of a unit.

        Parameters
        ----------
        unit : Unit
        measured : iterable of Measured
            Drawn as it is written.

        Returns
        -------
        int
            Number of image sets that could not be measured whole.
        """
        metadata = _make_metadata_table(unit.rows)
        schema = self._schema(metadata.schema)
        count = failed = size = 0
        tables = []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "unit.parquet")
            with parquet.ParquetWriter(
                path, schema, compression="zstd", use_dictionary=False
            ) as writer:
                for one in measured:
                    tables.append(self._table(metadata.slice(count, 1), one, schema))
                    count += 1
                    failed += any(one.errors)
                    size += one.features.size
                    if size > GROUP or count == len(metadata):
                        writer.write_table(pa.concat_tables(tables))
                        tables, size = [], 0
                writer.add_key_value_metadata({FAILED: str(failed)})
            self.storage.write_file(
                self._path(UNITS, unit.plate, f"{unit.name}.parquet"), path
            )
        return failed

    def gather(self, plate, names):
        """Make the feature tables of a plate from its units, once they are all there.

        Parameters
        ----------
        plate : str
        names : list of str
            Of all units of the plate, in the order of the rows to be.

        Returns
        -------
        bool
            Whether the plate is complete.
        """
        # In this order: a unit that another run gathers in between is then in both, not in neither.
        parts, done = self._parts(plate), self._done(plate)
        if not set(names) <= parts.keys() | done.keys():
            return False
        new = {name: parts[name] for name in names if name not in done}
        if new:
            try:
                self._gather(plate, new)
            except FileNotFoundError:  # another run was faster
                if not self._done(plate).keys() >= new.keys():
                    raise
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(
                pool.map(
                    self.storage.remove,
                    (parts[name] for name in names if name in parts),
                )
            )
        return True

    def tidy(self):
        """Remove what killed runs had begun to write, and the folders of units in which there is nothing any more."""
        self.storage.tidy(self.url)
        self.storage.prune(self._path(UNITS))

    def add_run(self, name, content):
        """Keep a file about a run beside the features."""
        self.storage.write(self._path(RUNS, name), content)

    def _path(self, *parts):
        return "/".join([self.url.rstrip("/"), *parts])

    def _done(self, plate):
        """What the feature tables of a plate hold, as `held`.

        A table that somebody has removed does not count.
        """
        done = {}
        for path in self.storage.list(self._path(DONE, plate)):
            record = json.loads(self.storage.read(path))
            there = set(self.storage.list(self._path(record["folder"])))
            if there.issuperset(
                self._path(record["folder"], file) for file in record["files"]
            ):
                done.update(record["units"])
        return done

    def _parts(self, plate):
        """The URLs of the units of a plate that is not complete, by name."""
        urls = self.storage.list(self._path(UNITS, plate))
        return {
            url.rsplit("/", 1)[1][: -len(".parquet")]: url
            for url in urls
            if url.endswith(".parquet")
        }

    def _footers(self, parts):
        """For each unit, how many image sets could not be measured whole, and its schema."""

        def footer(url):
            with self.storage.open(url) as file:
                read = parquet.ParquetFile(file)
                return int(read.metadata.metadata[FAILED]), read.schema_arrow

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return dict(zip(parts, pool.map(footer, parts.values())))

    def _schema(self, metadata):
        numbers = [pa.field(OBJECT, pa.int64())] if self.recipe.size else []
        ours = [pa.field(name, pa.string()) for name in (FEATURE_SET, VERSION, ERROR)]
        features = pa.field(
            FEATURES, pa.list_(pa.float32(), len(self.recipe.feature_names))
        )
        return pa.schema([*metadata, *numbers, *ours, features])

    def _table(self, metadata, measured, schema):
        """The rows of one image set, with its features as a list."""
        count = len(measured.errors)
        columns = [column.take(np.zeros(count, int)) for column in metadata.columns]
        if self.recipe.size:
            columns.append(
                pa.array(
                    [None] * count if measured.numbers is None else measured.numbers,
                    pa.int64(),
                )
            )
        columns += [
            pa.array([text] * count, pa.string())
            for text in (self.recipe.net.feature_set_id, __version__)
        ]
        columns.append(
            pa.array([_join_reasons(errors) for errors in measured.errors], pa.string())
        )
        columns.append(
            pa.FixedSizeListArray.from_arrays(
                measured.features.ravel(), type=schema.field(FEATURES).type
            )
        )
        return pa.table(columns, schema=schema)

    def _wide(self, table):
        """The table with a column for each feature."""
        columns = np.ascontiguousarray(_get_feature_matrix(table).T)
        metadata = table.drop_columns(FEATURES)
        fields = [pa.field(name, pa.float32()) for name in self.recipe.feature_names]
        return pa.table(
            [*metadata.columns, *map(pa.array, columns)],
            schema=pa.schema([*metadata.schema, *fields]),
        )

    def _nested(self, table):
        """The table with a list column for each tap and channel, ``StratoFeatures_High_DNA``."""
        columns, start = (
            {name: table[name] for name in table.column_names if name != FEATURES},
            0,
        )
        features = _get_feature_matrix(table)
        for channel in self.recipe.channels:
            for tap in self.recipe.card.choose_taps(self.recipe.taps):
                values = pa.array(
                    np.ascontiguousarray(features[:, start : start + tap.width]).ravel()
                )
                columns[f"{PREFIX}_{tap.label}_{channel}"] = (
                    pa.FixedSizeListArray.from_arrays(values, tap.width)
                )
                start += tap.width
        return pa.table(columns)

    def _gather(self, plate, parts):
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
        footers = self._footers(parts)
        schema = pa.unify_schemas(
            [schema for _, schema in footers.values()], promote_options="permissive"
        )

        def read(url):
            with self.storage.open(url) as file:
                return pa.concat_tables(
                    [schema.empty_table(), parquet.read_table(file)],
                    promote_options="permissive",
                )

        with ThreadPoolExecutor(AT_ONCE) as pool:
            units = map_ahead(
                pool, read, parts.values(), 1 if self.recipe.size else AT_ONCE
            )  # those of objects are large
            folder, files = (
                self._write_sites(plate, units)
                if self.gallery
                else self._write_plate(plate, digest, units)
            )
        record = {
            "folder": folder,
            "files": files,
            "units": {name: failed for name, (failed, _) in footers.items()},
        }
        self.storage.write(
            self._path(DONE, plate, f"{digest}.json"),
            json.dumps(record, indent=1).encode(),
        )

    def _write_plate(self, plate, digest, units):
        """Write one feature table; its folder, and a list with its name."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "plate.parquet")
            write_wide_table(
                path,
                map(
                    self._wide,
                    _regroup_rows(
                        units, max(1, GROUP // len(self.recipe.feature_names))
                    ),
                ),
            )
            self.storage.write_file(self._path(plate, f"{digest}.parquet"), path)
        return plate, [f"{digest}.parquet"]

    def _write_sites(self, plate, units):
        """Write a feature table for each site; the folder of the plate, and their names in it.

        Features are list columns, one a tap and channel: a Parquet file of one row and
        12,800 columns is 30 times as large.
        """
        target, files = "/".join(plate.split("/")[-2:]), []
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "embedding.parquet")
            for table in units:
                for site in pc.unique(table["Metadata_Site"]).to_pylist():
                    rows = table.filter(pc.equal(table["Metadata_Site"], site))
                    well = rows["Metadata_Well"][0].as_py()
                    files.append(f"{quote_name(f'{well}-{site}')}/embedding.parquet")
                    write_wide_table(path, [self._nested(rows)])
                    self.storage.write_file(self._path(target, files[-1]), path)
        return target, files


def _make_metadata_table(rows):
    """The ``Metadata_*`` of image sets as a table whose types do not depend on which rows these are."""
    columns = {}
    for name in rows:
        if name.startswith("Metadata_"):
            values = rows[name]
            if values.dtype == object:
                values = values.map(str, na_action="ignore").where(values.notna(), None)
                columns[name] = pa.array(values, pa.string())
            else:
                columns[name] = pa.array(values, from_pandas=True)
    return pa.table(columns)


def _join_reasons(errors):
    return "; ".join(reason for _, reason in sorted(errors)) or None


def _get_feature_matrix(table):
    """The features, (n rows, n features), float32."""
    return table[FEATURES].combine_chunks().flatten().to_numpy().reshape(len(table), -1)


def _regroup_rows(tables, rows):
    """Yield the rows of tables in tables of ``rows`` rows, the last one shorter."""
    pending = []
    for table in tables:
        pending.append(table)
        while sum(map(len, pending)) >= rows:
            joined = pa.concat_tables(pending)
            yield joined.slice(0, rows)
            pending = [joined.slice(rows)]
    yield pa.concat_tables(pending)
