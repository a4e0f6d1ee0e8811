"""Describe a fine-tuning on the card of a weights file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import tensorflow as tf

from stratonet import Card
from training.finetune_loop import History, Schedule, Task
from training.finetune_network import RATES, Start
from training.finetune_report import Comparison
from training.finetune_split import STOP, TRAIN


@dataclass(frozen=True)
class Outcome:
    """Everything about a fine-tuning that the card describes.

    Attributes
    ----------
    start : Start
        The network that was fine-tuned.
    tasks : sequence of Task
        One per assay.
    schedule : Schedule
        The requested schedule.
    history : History
        Course of the training.
    comparisons : sequence of Comparison
        What was gained, by assay.
    """

    start: Start
    tasks: Sequence[Task]
    schedule: Schedule
    history: History
    comparisons: Sequence[Comparison]


def describe_tuned(card: Card, outcome: Outcome) -> Card:
    """Complete the card of a tuned network: what it was trained on, and its scores.

    Parameters
    ----------
    card : Card
        Card as exported.
    outcome : Outcome
        Outcome of the training.

    Returns
    -------
    Card
        Card with the wells that were used for training or for early stopping.
    """
    versions = f"tensorflow {tf.__version__}, keras {keras.__version__}"
    schedule = outcome.schedule
    examples = ", ".join(
        f"{each.trained:,} examples of {each.classes} classes ({each.assay})"
        for each in outcome.comparisons
    )
    return replace(
        card,
        trained_on=(
            f"{_join_assays(outcome)} (fine-tuned on {examples}; layers"
            f" {', '.join(RATES)}; {outcome.history.best['step']} steps of"
            f" {schedule.batch}, seed {schedule.seed}; {versions})"
        ),
        trained_from=outcome.start.trained.origin.description,
        metrics=_list_metrics(outcome.comparisons),
        trained_wells=_list_trained_wells(outcome.tasks),
    )


def describe_untuned(card: Card, outcome: Outcome) -> Card:
    """Complete the card of the untuned network, where fine-tuning gained nothing.

    Parameters
    ----------
    card : Card
        Card as exported.
    outcome : Outcome
        Outcome of the training.

    Returns
    -------
    Card
        Card without wells, since this network has learnt from none.
    """
    return replace(
        card,
        trained_on=(
            f"{outcome.start.source.trained_on} Fine-tuning on {_join_assays(outcome)}"
            " gained nothing: the network is unchanged."
        ),
        trained_from=outcome.start.trained.origin.description,
        metrics=_list_metrics(outcome.comparisons),
    )


def _join_assays(outcome: Outcome) -> str:
    return "+".join(each.assay for each in outcome.comparisons)


def _list_metrics(comparisons: Sequence[Comparison]) -> dict[str, float]:
    metrics = {}
    for each in comparisons:
        values = {
            "untuned": each.untuned,
            "tuned": each.tuned,
            "gain_low": each.low,
            "gain_high": each.high,
        }
        for name, value in values.items():
            metrics[f"{each.assay}_{name}"] = round(value, 4)
    return metrics


def _list_trained_wells(tasks: Sequence[Task]) -> dict[str, tuple[str, ...]]:
    """List the wells used for training or for early stopping, by plate."""
    wells: dict[str, set[str]] = {}
    for task in tasks:
        rows = task.examples.rows.iloc[task.select(TRAIN, STOP)]
        for plate, names in rows.groupby("plate")["well"]:
            wells.setdefault(plate, set()).update(names)
    return {plate: tuple(sorted(wells[plate])) for plate in sorted(wells)}
