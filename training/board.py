"""The TensorBoard files of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    from training.runs import Row

FOLDER = "tensorboard"


def open_board(run: Path) -> tf.summary.SummaryWriter:
    """Start a TensorBoard file in the folder of a run.

    Raises
    ------
    OSError
        The disk is full.
    """
    with _name_folder(run):
        return tf.summary.create_file_writer(str(run / FOLDER))


def write_row(board: tf.summary.SummaryWriter, run: Path, row: Row) -> None:
    """Write the scores of one epoch.

    Parameters
    ----------
    board : tf.summary.SummaryWriter
        From `open_board`.
    run : pathlib.Path
        Folder of the run, for messages.
    row : Row
        The epoch's row of the log.

    Raises
    ------
    OSError
        The disk is full.
    """
    with _name_folder(run), board.as_default():
        for name, value in row.items():
            if name != "epoch":
                tf.summary.scalar(name, value, step=int(row["epoch"]))
        board.flush()


@contextlib.contextmanager
def _name_folder(run: Path) -> Iterator[None]:
    """Report a full disk as such; TensorFlow reports it as a lack of memory."""
    try:
        yield
    except tf.errors.OpError as error:
        reason = error.message.splitlines()[0].rpartition("; ")[2]
        raise OSError(f"{run / FOLDER} cannot be written: {reason}") from None
