"""Search for hyperparameters as in the thesis (section 5.2), with Optuna.

It uses Optuna's TPE sampler and median pruner. The table ``[search]`` of a
configuration names fields of `Config` and the range or choices of each::

    [search]
    learning_rate = {low = 1e-4, high = 1e-1, log = true}  # its logarithm is drawn
    classifier_depth = {low = 1, high = 3}  # integers, like the field
    batch = {choices = [64, 128, 256]}
    optimizer = {choices = ["adam", "sgd"]}

The folder of a search holds files that are rewritten after each trial: ``trials.csv``,
best first; ``search.png``; ``best.json``, the configuration of the best trial, which
``python -m training train`` takes. It also holds ``trial-0000/`` and so on, each the
folder of a run (see `runs`) with its printed output in ``output.txt``; and
``study.db``, Optuna's database.
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
from training.search_table import make_table, write_table
from training.search_worker import Message, Worker, list_environments
from training.stored_files import refuse_output_in_data

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
    """Train ``trials`` trials in total, several at a time.

    If interrupted, call it again with the same arguments; it resumes. Each trial runs
    in a process of its own, but only this process talks to Optuna. It draws the
    parameters of a trial from ``config.seed``, the trial's number and the earlier
    trials. With one worker, the same search therefore gives the same trials, even if it
    was killed in between: trials that were running then are resumed in their folders. A
    trial whose validation top-1 is below the median of the earlier ones is pruned.

    Parameters
    ----------
    config : Config
        Configuration with ``search``; its other fields apply to every trial.
    data : str or path
        Images, as `trainer.train` takes them.
    output : str or path
        Folder of the search, made if missing.
    trials : int
        Number of complete, pruned and failed trials together.
    workers : int, optional
        Number of processes at a time, see `search_worker.list_environments`.

    Returns
    -------
    pandas.DataFrame
        The content of ``trials.csv``: number, state, value (best validation top-1; for
        a pruned trial the last), a column for each parameter, epochs_done, seconds,
        folder, and the reason why a trial failed.

    Raises
    ------
    ValueError
        The table ``[search]`` is not as described above, or ``output`` lies within the
        folder of images, or holds a search of another configuration or other images.
    stratonet.files.atomic.FolderInUse
        Another search runs in ``output``.
    RuntimeError
        Training cannot continue whatever the parameters (the disk is full, the images
        cannot be read); all workers died; or no trial was completed. If the loss
        becomes NaN, the parameters do not fit the data or the memory, or the process
        dies, only the trial fails and the search continues.
    """
    ranges = make_ranges(config)
    if trials < 1:
        raise ValueError(f"trials must be at least 1. Received: {trials}")
    refuse_output_in_data(data, output)
    identity = identify_images(data)
    worker_pool = [Worker(environment) for environment in list_environments(workers)]
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    with lock_folder(output), _explain_storage_errors(output):
        study = open_study(config, output)
        _refuse_other_images(study, identity, output)
        progress = _Search(study, config, ranges, Path(data), output, worker_pool)
        try:
            progress.run(trials)
        finally:
            # Also after a search that failed or was interrupted.
            table = progress.write_results()
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
        # Optuna's error wraps SQLAlchemy's, which wraps SQLite's, which has the reason.
        cause = error.__cause__
        reason = (cause and cause.__cause__) or cause
        raise RuntimeError(
            f"{output / 'study.db'} cannot be used: {reason}."
        ) from error


def make_ranges(config: Config) -> dict[str, BaseDistribution]:
    """Return the range of each searched field, as Optuna represents it.

    Raises
    ------
    ValueError
        ``config.search`` is empty.
    """
    if not config.search:
        raise ValueError(
            "[search] must name fields and their ranges. Received: nothing"
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
    # Not isinstance, because True is an int.
    is_integer = type(default) is int
    return (IntDistribution if is_integer else FloatDistribution)(**values)


def open_study(config: Config, output: Path) -> optuna.Study:
    """Open Optuna's study in a folder, or create it.

    Raises
    ------
    ValueError
        It belongs to another configuration, or is lost although its trials exist.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{output / 'study.db'}",
        study_name="search",
        direction="maximize",
        load_if_exists=True,
        # While the learning rate rises, epochs say little about the final result.
        pruner=optuna.pruners.MedianPruner(
            n_warmup_steps=max(config.warmup_epochs, config.epochs // 5)
        ),
    )
    if not study.trials and any(output.glob("trial-*/config.json")):
        raise ValueError(
            f"{output / 'study.db'} lists none of the trials in the folder: it was not"
            " completely written or copied. Copy the search again, or choose another"
            " output folder."
        )
    # Optuna stores distributions, but not the fields shared by all trials.
    if "config" not in study.user_attrs:
        study.set_user_attr("config", dataclasses.asdict(config))
    earlier = Config.from_values(study.user_attrs["config"])
    config.refuse_other(earlier, output, "a search")
    return study


def _refuse_other_images(study: optuna.Study, identity: str, output: Path) -> None:
    """Refuse to compare trials on some images with trials on others."""
    earlier = study.user_attrs.get("images", identity)
    if earlier != identity:
        raise ValueError(
            f"{output} holds a search on other images: names, lengths or classes differ"
            " from those of the given images. Give it the same images (a copy will do),"
            " or choose another output folder."
        )
    study.set_user_attr("images", identity)


def open_trial(
    study: optuna.Study,
    config: Config,
    ranges: Mapping[str, BaseDistribution],
    number: int,
) -> optuna.Trial:
    """Draw trial ``number``, or resume it if it ran when the search was killed."""
    import optuna

    # From seed and number, not from earlier draws, which differ after a kill.
    seed = random.Random(f"{config.seed} {number}").getrandbits(32)
    # constant_liar keeps simultaneous trials from trying the same parameters.
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    earlier = study.trials
    if number < len(earlier):
        trial = optuna.Trial(study, earlier[number]._trial_id)
    else:
        trial = study.ask()
    for name, distribution in ranges.items():
        trial._suggest(name, distribution)  # existing values stay
    # Named by its number, so that a resumed trial finds it again.
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
        Holds all trials, including those of earlier calls.
    config : Config
        Configuration with ``search``.
    ranges : dict of str to BaseDistribution
        From `make_ranges`.
    data, output : pathlib.Path
        Images, and the folder of the search.
    workers : list of Worker
        Workers, at first without trials.
    """

    study: optuna.Study
    config: Config
    ranges: Mapping[str, BaseDistribution]
    data: Path
    output: Path
    workers: list[Worker]

    def run(self, trials: int) -> None:
        """Train the trials that are missing from a total of ``trials``."""
        from tqdm import tqdm

        finished = {
            number
            for number, trial in enumerate(self.study.trials)
            if trial.state.is_finished()
        }
        # Trials that ran when the search was killed have lower numbers, so go first.
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
                f"All workers died; {len(waiting)} trials were not started. Run the"
                " same command again; it resumes."
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
            # Handle whichever workers have sent a message.
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index] # one of those passed in
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
        """Write the results of the trials so far; return their table, best first."""
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
