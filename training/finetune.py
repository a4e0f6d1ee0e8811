"""Fine-tune a network, so that it learns a laboratory's own assay.

`finetune_table` reads the table of labels, `finetune_planes` reads the images,
`finetune_split` holds out plates or wells, `finetune_network` builds the network,
`finetune_loop` trains it on the views of `finetune_views`, and `finetune_report`
measures what was gained.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from stratonet.card_writer import write_card
from stratonet.files.atomic import lock_folder, remove_unfinished, write_atomically
from stratonet.messages import shorten_list
from stratonet.weights_file import find_weights, read_card, read_feature_set_id
from training.finetune_card import Outcome, describe_tuned, describe_untuned
from training.finetune_loop import Schedule, Task, tune
from training.finetune_network import load_start
from training.finetune_planes import list_lengths, prepare_planes
from training.finetune_report import (
    Comparison,
    compare,
    describe_comparisons,
    is_gain,
    write_comparisons,
)
from training.finetune_split import STOP, TEST, TRAIN, assign_roles, choose_groups
from training.finetune_table import Assay
from training.start import ADVICE
from training.stored_files import read_json

REQUEST, REPORT = "request.json", "report.csv"
UNTUNED, TUNED = "untuned.onnx", "tuned.onnx"
WORDS = {TRAIN: "train on", STOP: "stop by", TEST: "test on"}


@dataclass(frozen=True)
class Tuning:
    """The settings of a fine-tuning.

    Attributes
    ----------
    weights : str
        The weights file to start from, by name or path.
    input_size : int
        Side of the planes that the network takes, in pixels: about that of the crops.
    group : {"plate", "well"}, optional
        Whether plates or wells are held out. Default: see
        `finetune_split.choose_groups`.
    tested : tuple of str
        Plates, or wells as ``"plate well"``, to test on. Default: a fifth of them.
    schedule : Schedule
        How long to train.

    Examples
    --------
    >>> Tuning(schedule=Schedule(steps=100)).input_size
    96
    """

    weights: str = "stratonet50"
    input_size: int = 96
    group: str | None = None
    tested: tuple[str, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)


def finetune(
    assays: Sequence[Assay],
    output: str | os.PathLike[str],
    tuning: Tuning | None = None,
    name: str | None = None,
    licence: str | None = None,
) -> list[Comparison]:
    """Fine-tune a network on labelled images, and measure what it gains.

    If interrupted, the same call resumes and ends with the same weights.

    Parameters
    ----------
    assays : sequence of Assay
        From `finetune_table.read_assay`; each gets its own heads.
    output : str or path
        The ``.onnx`` weights file. If nothing is gained, it holds the untuned network.
        A folder next to it, with ``.run`` in place of ``.onnx``, holds everything else.
    tuning : Tuning, optional
        Default: ``Tuning()``.
    name : str, optional
        Name of the weights. Default: that of the file.
    licence : str, optional
        Licence of the weights. Default: that of the weights to start from.

    Returns
    -------
    list of Comparison
        One per assay.

    Raises
    ------
    FileNotFoundError, ValueError
        There are no such weights, or too few plates or wells, or the folder holds
        another run.
    stratonet.files.atomic.FolderInUse
        Another process works in the folder.
    """
    output = Path(output)
    tuning = tuning or Tuning()
    name = name or output.stem
    _check_names(assays, output, tuning, name)
    start = load_start(tuning.weights, tuning.input_size)
    folder = output.with_suffix(".run")
    folder.mkdir(parents=True, exist_ok=True)
    with lock_folder(folder):
        remove_unfinished(folder)
        _store_request(_describe_request(assays, tuning), folder)
        if not _is_weights_file(folder / UNTUNED):
            start.export(folder / UNTUNED, name)
        tasks, groups = _prepare_tasks(assays, tuning, folder)
        history = tune(start, tasks, tuning.schedule, folder)
        start.export(folder / TUNED, name)
        comparisons = [
            compare(task, group, folder / UNTUNED, folder / TUNED, tuning.schedule.seed)
            for task, group in zip(tasks, groups)
        ]
        write_comparisons(comparisons, folder / REPORT)
        tqdm.write(describe_comparisons(comparisons))
        outcome = Outcome(start, tasks, tuning.schedule, history, comparisons)
        tqdm.write(_write_output(outcome, folder, output, licence))
    return comparisons


def _is_weights_file(path: Path) -> bool:
    # An incomplete copy has no card, and can be rewritten.
    try:
        read_card(path)
    except (FileNotFoundError, ValueError):
        return False
    return True


def _check_names(
    assays: Sequence[Assay], output: Path, tuning: Tuning, name: str
) -> None:
    if output.suffix != ".onnx":
        raise ValueError(f"output must end in .onnx. Received: {output}")
    # The output would overwrite the weights to start from.
    if output.resolve() == find_weights(tuning.weights).path.resolve():
        raise ValueError(
            f"output must not be the weights file to start from. Received: {output}"
        )
    names = [assay.name for assay in assays]
    if len(set(names)) < len(names):
        raise ValueError(f"Tables need different names. Received: {', '.join(names)}")
    # Only a digest would tell apart the features of two networks of the same name.
    if name == read_card(tuning.weights).name:
        raise ValueError(
            f"name: {name} is the network to start from. Choose another name."
        )


def _describe_request(assays: Sequence[Assay], tuning: Tuning) -> dict[str, object]:
    tables = {}
    for assay in assays:
        digest = hashlib.sha256()
        for unit in assay.units:
            digest.update(f"{unit.plate} {unit.name}".encode())
            # A copy elsewhere has the same lengths; a changed image hardly ever has.
            digest.update(f"{list_lengths(unit.rows)}".encode())
        if assay.object_labels is not None:
            digest.update(assay.object_labels.to_csv().encode())
        objects = [assay.objects.label, assay.objects.size]
        tables[assay.name] = [
            *assay.channels,
            assay.label,
            *objects,
            digest.hexdigest(),
        ]
    # By its id, so that a file that was replaced is noticed.
    weights = read_feature_set_id(tuning.weights)
    return {"tables": tables, **asdict(tuning), "weights": weights}


def _store_request(request: Mapping[str, object], folder: Path) -> None:
    """Store the request; refuse a folder that holds another run."""
    # Compared as JSON, which has no tuples.
    text = json.dumps(request, indent=1)
    path = folder / REQUEST
    if path.exists():
        earlier = read_json(path, (), ADVICE)
        current = json.loads(text)
        differing = [key for key in current if earlier.get(key) != current[key]]
        if differing:
            raise ValueError(
                f"{folder} holds a run with other {', '.join(differing)}. Choose"
                " another output, or remove that folder."
            )
    with write_atomically(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def _prepare_tasks(
    assays: Sequence[Assay], tuning: Tuning, folder: Path
) -> tuple[list[Task], list[str]]:
    """Return the examples of all assays with their roles, and each one's group."""
    seed = tuning.schedule.seed
    tasks: list[Task] = []
    chosen_groups = []
    first_head = 0
    for assay in assays:
        card = read_card(folder / UNTUNED)
        examples = prepare_planes(assay, folder / assay.name, card, seed)
        group, groups = choose_groups(examples.rows, tuning.group)
        labels = examples.rows["label"]
        tested = _choose_tested(tuning.tested, groups)
        roles = assign_roles(labels, groups, tested, seed)
        tasks.append(Task(examples, roles.to_numpy(str), first_head))
        chosen_groups.append(group)
        first_head += len(examples.channels)
        tqdm.write(_describe_roles(assay.name, group, labels, groups, roles))
    return tasks, chosen_groups


def _choose_tested(tested: Collection[str], groups: pd.Series) -> list[str]:
    """Return the tested groups of an assay; all if it has none, to refuse typos."""
    own_groups = [name for name in tested if name in set(groups)]
    return own_groups or list(tested)


def _describe_roles(
    name: str, group: str, labels: pd.Series, groups: pd.Series, roles: pd.Series
) -> str:
    counts = groups.groupby(roles).nunique()
    parts = [f"{counts[role]} to {word}" for role, word in WORDS.items()]
    text = f"{name}: {group}s: {', '.join(parts)}."
    text += f" {_describe_classes(labels, roles)}"
    left_out = sorted(set(labels[roles == ""]))
    if left_out:
        text += f" In too few {group}s, left out: {', '.join(left_out)}."
    return text


def _describe_classes(labels: pd.Series, roles: pd.Series) -> str:
    counts = pd.crosstab(labels, roles).reindex(columns=list(WORDS), fill_value=0)
    rows = counts[counts.sum(axis=1) > 0].itertuples(name=None)
    each = [f"{label} {' + '.join(map(str, numbers))}" for label, *numbers in rows]
    return f"Examples of each class ({' + '.join(WORDS)}): {shorten_list(each, 30)}."


def _write_output(
    outcome: Outcome, folder: Path, output: Path, licence: str | None
) -> str:
    """Write the weights file, and return a sentence that describes it."""
    gained = is_gain(outcome.comparisons)
    source = folder / (TUNED if gained else UNTUNED)
    describe = describe_tuned if gained else describe_untuned
    card = describe(read_card(source), outcome)
    if licence:
        card = replace(card, licence=licence)
    write_card(source, card, output)
    if gained:
        return f"{output} is the tuned network, {read_feature_set_id(output)}."
    return (
        f"Nothing was gained beyond chance: {output} is {outcome.start.source.name}"
        f" unchanged, for planes of {card.input_size} pixels. The tuned network is in"
        f" {folder / TUNED}."
    )
