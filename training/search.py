"""The search for hyperparameters of the thesis (section 5.2), with Optuna.

With its TPE sampler and its median pruner. The table ``[search]`` of a configuration
names fields of `Config` and what each may be::

    [search]
    learning_rate = {low = 1e-4, high = 1e-1, log = true}  # its logarithm is drawn
    classifier_depth = {low = 1, high = 3}  # whole numbers, as the field is
    batch = {choices = [64, 128, 256]}
    optimizer = {choices = ["adam", "sgd"]}

In the folder of a search, written anew after each trial: ``trials.csv``, best first;
``search.png``; ``best.json``, the configuration of the best trial, which ``python -m
training train`` takes. Besides, ``trial-0000/`` and so on, each the folder of a run
(see `runs`) with what it printed in ``output.txt``; and ``study.db``, Optuna's own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from stratonet.files.atomic import lock_folder, write_atomically
from training.config import Config
from training.identity import identify_images
from training.kept import refuse_output_in_data
from training.search_table import make_table, write_table
from training.search_worker import Message, Worker, list_environments

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from optuna.distributions import BaseDistribution
    from tqdm import tqdm


def search(
    config: Config,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    trials: int,
    workers: int | None = None,
) -> pd.DataFrame:
    """Train ``trials`` trials in all, several at a time.

    If interrupted, call it again with the same arguments; it resumes. Each trial is a
    process of its own. Only this process asks Optuna. It draws the parameters of a
    trial from ``config.seed``, the trial's number and the trials before, so that with
    one worker the same search gives the same trials, also when it was killed in
    between: what was running then is resumed in its folder. A trial whose validation
    top-1 is below the median of the earlier ones is pruned.

    Parameters
    ----------
    config : Config
        With ``search``; its other fields are those of every trial.
    data : str or path
        Images, as `trainer.train` takes them.
    output : str or path
        Folder of the search, made if missing.
    trials : int
        Complete, pruned and failed ones together.
    workers : int, optional
        Processes at a time, see `search_worker.list_environments`.

    Returns
    -------
    pandas.DataFrame
        What is in ``trials.csv``: number, state, value (best validation top-1; of a
        pruned trial the last), a column for each parameter, epochs_done, seconds,
        folder, and the reason why a trial failed.

    Raises
    ------
    ValueError
        The table ``[search]`` is not as above, or ``output`` lies within the images, or
        holds a search of another configuration or of other images.
    stratonet.files.atomic.FolderInUse
        Another search runs in ``output``.
    RuntimeError
        Training cannot go on whatever the parameters (the disk is full, the images
        cannot be read); all workers died; or no trial was completed. Where the loss
        became NaN, the parameters do not fit the data or the memory, or the process
        died, the trial fails and the search goes on.
    """
    ranges = make_ranges(config)
    if trials < 1:
        raise ValueError(f"trials must be at least 1. Received: {trials}")
    refuse_output_in_data(data, output)
    identity = identify_images(data)
    staff = [Worker(environment) for environment in list_environments(workers)]
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    with lock_folder(output), _explain_storage_errors(output):
        study = open_study(config, output)
        _refuse_other_images(study, identity, output)
        running = _Search(study, config, ranges, Path(data), output, staff)
        try:
            running.run(trials)
        finally:
            # Also of a search that failed or was interrupted.
            table = running.write_results()
            print(_format_table(table))
    if "complete" not in set(table["state"]):
        raise RuntimeError(
            f"No trial was completed. See {output / 'trials.csv'}, and output.txt of"
            " each trial."
        )
    return table


@contextlib.contextmanager
def _explain_storage_errors(output: Path) -> Iterator[None]:
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except (StorageInternalError, DBAPIError) as error:
        # Optuna's error wraps SQLAlchemy's, which wraps SQLite's: the last one says it.
        cause = error.__cause__
        reason = (cause and cause.__cause__) or cause
        raise RuntimeError(
            f"{output / 'study.db'} cannot be used: {reason}."
        ) from error


def make_ranges(config: Config) -> dict[str, BaseDistribution]:
    """Make what each searched field may be, as Optuna has it.

    Raises
    ------
    ValueError
        ``config.search`` is empty.
    """
    if not config.search:
        raise ValueError(
            "[search] must name fields and what each may be. Received: nothing"
        )
    return {
        name: _make_range(getattr(config, name), values)
        for name, values in config.search.items()
    }


def _make_range(default: object, values: Mapping) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if "choices" in values:
        return CategoricalDistribution(values["choices"])
    # Not isinstance: True is an int.
    whole = type(default) is int
    return (IntDistribution if whole else FloatDistribution)(**values)


def open_study(config: Config, output: Path) -> optuna.Study:
    """Open Optuna's study in a folder, or begin it.

    Raises
    ------
    ValueError
        It is of another configuration, or lost, though its trials are there.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{output / 'study.db'}",
        study_name="search",
        direction="maximize",
        load_if_exists=True,
        # While the learning rate rises, epochs say little of the end.
        pruner=optuna.pruners.MedianPruner(
            n_warmup_steps=max(config.warmup_epochs, config.epochs // 5)
        ),
    )
    if not study.trials and any(output.glob("trial-*/config.json")):
        raise ValueError(
            f"{output / 'study.db'} knows none of the trials that are in the folder: it"
            " was not written or copied whole. Copy the search again, or choose another"
            " output folder."
        )
    # Optuna keeps distributions, but not what is the same in all trials.
    if "config" not in study.user_attrs:
        study.set_user_attr("config", dataclasses.asdict(config))
    earlier = Config.from_values(study.user_attrs["config"])
    config.refuse_other(earlier, output, "a search")
    return study


def _refuse_other_images(study: optuna.Study, identity: str, output: Path) -> None:
    """Refuse to compare trials on some images with trials on others."""
    known = study.user_attrs.get("images", identity)
    if known != identity:
        raise ValueError(
            f"{output} holds a search on other images: their names, lengths or classes"
            " differ from those now. Give it the same images (a copy will do), or"
            " choose another output folder."
        )
    study.set_user_attr("images", identity)


def open_trial(
    study: optuna.Study,
    config: Config,
    ranges: Mapping[str, BaseDistribution],
    number: int,
) -> optuna.Trial:
    """Draw trial ``number``, or take up one that ran when the search was killed."""
    import optuna

    # Of seed and number, not of what was drawn before: that differs after a kill.
    seed = random.Random(f"{config.seed} {number}").getrandbits(32)
    # constant_liar: trials side by side do not all try the same.
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    earlier = study.trials
    if number < len(earlier):
        trial = optuna.Trial(study, earlier[number]._trial_id)
    else:
        trial = study.ask()
    for name, distribution in ranges.items():
        trial._suggest(name, distribution)  # what it has already, it keeps
    # Named by its number, so that it is found again.
    trial.set_user_attr("folder", f"trial-{number:04}")
    return trial


def _set_parameters(config: Config, parameters: Mapping) -> Config:
    return dataclasses.replace(config, search={}, **parameters)


@dataclass(frozen=True)
class _Search:
    """A search in progress.

    Attributes
    ----------
    study : optuna.Study
        Knows all trials, also those of earlier calls.
    config : Config
        With ``search``.
    ranges : dict of str to BaseDistribution
        From `make_ranges`.
    data, output : pathlib.Path
        Images, and the folder of the search.
    workers : list of Worker
        All without a trial at first.
    """

    study: optuna.Study
    config: Config
    ranges: Mapping[str, BaseDistribution]
    data: Path
    output: Path
    workers: list[Worker]

    def run(self, trials: int) -> None:
        """Train what is missing of ``trials`` trials."""
        from tqdm import tqdm

        finished = {
            number
            for number, trial in enumerate(self.study.trials)
            if trial.state.is_finished()
        }
        # Those that ran when the search was killed go first: they have lower numbers.
        waiting = [number for number in range(trials) if number not in finished]
        bar = tqdm(total=trials, initial=trials - len(waiting), unit=" trials")
        try:
            self._train_all(waiting, bar)
        finally:
            bar.close()
            for worker in self.workers:
                if worker.trial:
                    worker.stop()
        if waiting:
            raise RuntimeError(
                f"All workers died; {len(waiting)} trials were not begun. Run the same"
                " command again; it resumes."
            )

    def _train_all(self, waiting: list[int], bar: tqdm) -> None:
        while True:
            for worker in self.workers:
                if waiting and not worker.trial and not worker.died:
                    self._begin(worker, waiting.pop(0))
            busy = {
                worker.connection: worker for worker in self.workers if worker.trial
            }
            if not busy:
                return
            # Whichever worker is first; none is asked in turn.
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index] # one of those it got
                self._handle(worker, worker.receive(), bar)

    def _begin(self, worker: Worker, number: int) -> None:
        from tqdm import tqdm

        trial = open_trial(self.study, self.config, self.ranges, number)
        tqdm.write(f"trial {trial.number}: {_format_parameters(trial.params)}")
        folder = self.output / trial.user_attrs["folder"]
        config = _set_parameters(self.config, trial.params)
        worker.begin(trial, config, self.data, folder)

    def _handle(self, worker: Worker, message: Message, bar: tqdm) -> None:
        trial = worker.trial
        assert trial is not None
        if message.row is not None:
            epoch, top1 = message.row["epoch"], message.row["val_top1"]
            trial.report(top1, int(epoch))
            trial.set_user_attr("epochs_done", epoch)
            bar.set_postfix_str(f"trial {trial.number}, epoch {epoch}: {top1:.4f}")
            # The process waits for the answer before its next epoch.
            worker.answer(trial.should_prune())
            return
        worker.end()
        if message.event == "end":
            raise RuntimeError(f"trial {trial.number}: {message.reason}")
        self._finish(trial, message)
        self.write_results()
        bar.update()

    def _finish(self, trial: optuna.Trial, message: Message) -> None:
        from optuna.trial import TrialState
        from tqdm import tqdm

        outcome = message.reason
        if message.value is not None:
            outcome = f"validation top-1 {message.value:.4f}"
        tqdm.write(f"trial {trial.number}: {message.event}, {outcome}")
        if message.event == "fail":
            trial.set_user_attr("reason", message.reason)
        self.study.tell(trial, message.value, TrialState[message.event.upper()])

    def write_results(self) -> pd.DataFrame:
        """Write what is known of the trials; their table, best first."""
        table = make_table(self.study, self.config.search)
        write_table(table, self.config.search, self.output)
        if "complete" in set(table["state"]):
            best = _set_parameters(self.config, self.study.best_params)
            with write_atomically(self.output / "best.json") as unfinished:
                unfinished.write_text(best.to_json(), encoding="utf-8")
        return table


def _format_parameters(values: Mapping[str, object]) -> str:
    words = []
    for name, value in values.items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        words.append(f"{name} {shown}")
    return ", ".join(words)


def _format_table(table: pd.DataFrame) -> str:
    return table.to_string(
        index=False, na_rep="", float_format="{:.4g}".format, max_colwidth=60
    )
