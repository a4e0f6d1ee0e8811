"""Features of image sets, measured one by one in any process, gathered into one Parquet file a kind.

Each image set is first kept as a small file of its own, so that a run that stops keeps
what it has measured. A Parquet file of one row and 12,800 columns is 85 times the size
of its content, hence ``.npz``.
"""

import shutil
from pathlib import Path

import numpy as np

from stratonet.files.atomic import write_atomically

ROWS = 4096


def write_part(folder, kind, number, keys, features):
    """Keep the features of one image set.

    Parameters
    ----------
    folder : path
        Of this run; made if missing.
    kind : str
        ``Image`` or the name of the objects.
    number : int
        ImageNumber.
    keys : dict of str to str, int, float or array of n values
        What the rows are keyed by.
    features : numpy.ndarray (n, n features), float32
    """
    path = Path(folder) / kind / f"{number:08d}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = {name: np.broadcast_to(value, len(features)) for name, value in keys.items()}
    with write_atomically(path) as unfinished, open(unfinished, "wb") as file:
        np.savez(file, features=features, **keys)


def gather(folder, kind, names, ids, path):
    """Write all parts of ``kind`` to one Parquet file, in the order of ImageNumber, and remove them.

    Parameters
    ----------
    folder, kind
        See `write_part`.
    names : list of str
        Of the features.
    ids : dict of str to str
        Columns with the same value in each row, such as ``Metadata_StratoFeatures``
        with the feature set id.
    path : path
        Written atomically, over an older one. The parts stay where it cannot be
        written.

    Returns
    -------
    int
        Number of rows.
    """
    import pyarrow as pa
    from pyarrow import parquet

    parts = sorted((Path(folder) / kind).glob("*.npz"))
    if not parts:
        return 0
    keys = _keys(parts)
    keys.update(
        {name: [value] * len(keys["ImageNumber"]) for name, value in ids.items()}
    )
    keys = pa.table(keys)
    start, pending = 0, []
    schema = pa.unify_schemas(
        [keys.schema, pa.schema([(name, pa.float32()) for name in names])]
    )
    with write_atomically(Path(path)) as unfinished:
        with parquet.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            for part in parts:
                with np.load(part) as content:
                    pending.append(content["features"])
                if part is parts[-1] or sum(map(len, pending)) >= ROWS:
                    features = np.concatenate(pending)
                    columns = [
                        *keys.slice(start, len(features)).columns,
                        *(pa.array(column) for column in features.T),
                    ]
                    writer.write_table(pa.table(columns, schema=schema))
                    start, pending = start + len(features), []
    shutil.rmtree(Path(folder) / kind)
    return keys.num_rows


def _keys(parts):
    """What the rows are keyed by, a list a column.

    None where an image set has no such key.
    """
    keys, count = {}, 0
    for part in parts:
        with np.load(part) as content:
            here = {
                name: content[name].tolist()
                for name in content.files
                if name != "features"
            }
        rows = len(here["ImageNumber"])
        for name in {**keys, **here}:
            keys.setdefault(name, [None] * count).extend(here.get(name, [None] * rows))
        count += rows
    for name, values in keys.items():
        if len({type(value) for value in values if value is not None}) > 1:
            keys[name] = [None if value is None else str(value) for value in values]
    return keys
