"""The search for hyperparameters of the thesis (section 5.2), with Optuna: its TPE sampler and its median pruner.

The table ``[search]`` of a configuration names fields of `Config` and what each may
be::

    [search]
    learning_rate = {low = 1e-4, high = 1e-1, log = true}  # log: its logarithm is drawn
    classifier_depth = {low = 1, high = 3}                 # whole numbers, as the field is
    batch = {choices = [64, 128, 256]}
    optimizer = {choices = ["adam", "sgd"]}

In the folder of a search, written anew after each trial: ``trials.csv``, best first;
``search.png``; ``best.json``, the configuration of the best trial, which ``python -m
training train`` takes. Besides, ``trial-0000/`` and so on, each the folder of a run
(see `trainer`) with what it printed in ``output.txt``; and ``study.db``, Optuna's own.
"""

import contextlib
import dataclasses
import math
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from multiprocessing.connection import wait
from pathlib import Path

from training.config import Config
from training.files import alone, replacing


def search(config, data, output, trials, workers=None):
    """Train ``trials`` trials in all, several at a time; the same call again goes on.

    Each trial is a process of its own, which sees one GPU and finds it, and Keras,
    fresh. Only this process asks Optuna. It draws the parameters of a trial from
    ``config.seed``, the trial's number and the trials before, so that with one worker
    the same search gives the same trials, also when it was killed in between: what was
    running then goes on in its folder. A trial whose validation top-1 is below the
    median of the earlier ones is pruned.

    Parameters
    ----------
    config : Config
        With ``search``; its other fields are those of every trial.
    data : path
        Images, as `trainer.train` takes them.
    output : path
        Folder of the search, made if missing.
    trials : int
        Complete, pruned and failed ones together.
    workers : int, optional
        Processes at a time. Default: one for each GPU, or one. More share the GPUs, or
        without any the cores.

    Returns
    -------
    pandas.DataFrame
        What is in ``trials.csv``: number, state, value (best validation top-1; of a
        pruned trial the last), a column for each parameter, epochs_done, seconds,
        folder, and the reason why a trial failed.

    Raises
    ------
    ValueError
        The table ``[search]`` is not as above, holds what `Config` refuses, or is not
        that of the search in ``output``.
    RuntimeError
        Another search runs in ``output``; training cannot go on whatever the parameters
        (the disk is full, the images cannot be read); all workers died; or no trial was
        completed. Where the loss became NaN, the parameters do not fit the data or the
        memory, or the process died, the trial fails and the search goes on.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DBAPIError

    ranges = _ranges(config)
    if trials < 1:
        raise ValueError(f"trials must be at least 1. Received: {trials}")
    workers = [_Worker(environment) for environment in _environments(workers)]
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    try:
        with alone(output, RuntimeError(f"Another search runs in {output}.")):
            study = _study(config, output)
            try:
                _run(study, config, ranges, Path(data), output, trials, workers)
            finally:
                table = _report(study, config, output)
                print(
                    table.to_string(
                        index=False,
                        na_rep="",
                        float_format="{:.4g}".format,
                        max_colwidth=60,
                    )
                )
    except (StorageInternalError, DBAPIError) as error:
        cause = error.__cause__
        raise RuntimeError(
            f"{output / 'study.db'} cannot be used: {cause.__cause__ or cause}."
        ) from error
    if "complete" not in set(table["state"]):
        raise RuntimeError(
            f"No trial was completed. See {output / 'trials.csv'}, and output.txt of"
            " each trial."
        )
    return table


def _ranges(config):
    """What each field may be, as Optuna has it."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if not config.search:
        raise ValueError(
            "[search] must name fields and what each may be. Received: nothing"
        )
    ranges = {}
    for name, values in config.search.items():
        if not hasattr(config, name):
            fields = ", ".join(sorted(dataclasses.asdict(config)))
            raise ValueError(f"[search]: there is no field {name}. Fields: {fields}.")
        number = (
            IntDistribution if type(getattr(config, name)) is int else FloatDistribution
        )
        try:
            ranges[name] = (CategoricalDistribution if "choices" in values else number)(
                **values
            )
            ends = (
                values["choices"]
                if "choices" in values
                else (values["low"], values["high"])
            )
            for end in ends:
                dataclasses.replace(config, **{name: end})
            if "low" in values and not math.isfinite(sum(ends)):
                raise ValueError("low and high must be finite.")
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"[search]: {name} must be {{low = NUMBER, high = NUMBER}}, with log ="
                " true where its logarithm is to be drawn, or {choices = [VALUE,"
                f" VALUE]}}. Received: {values!r} ({error})"
            ) from None
    return ranges


def _environments(workers):
    """The variables of each worker.

    Which GPU it sees, or how many of the cores it takes.
    """
    gpus = _gpus()
    workers = max(1, len(gpus)) if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers must be at least 1. Received: {workers}")
    if gpus:
        shared = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"} if workers > len(gpus) else {}
        return [
            {"CUDA_VISIBLE_DEVICES": gpus[place % len(gpus)], **shared}
            for place in range(workers)
        ]
    threads = str(max(1, len(os.sched_getaffinity(0)) // workers))
    return [{"OMP_NUM_THREADS": threads, "TF_NUM_INTRAOP_THREADS": threads}] * workers


def _gpus():
    """The GPUs as CUDA_VISIBLE_DEVICES names them.

    TensorFlow is not asked: it would take memory of theirs.
    """
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [
            name
            for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",")
            if name not in ("", "-1")
        ]
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError):
        return []


def _study(config, output):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{output / 'study.db'}",
        study_name="search",
        direction="maximize",
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(
            n_warmup_steps=max(config.warmup_epochs, config.epochs // 5)
        ),
    )
    if "config" not in study.user_attrs:
        study.set_user_attr("config", dataclasses.asdict(config))
    config.refuse_other(Config.of(study.user_attrs["config"]), output, "a search")
    return study


def _run(study, config, ranges, data, output, trials, workers):
    from optuna.trial import TrialState
    from tqdm import tqdm

    finished = [trial.state.is_finished() for trial in study.trials]
    todo = [
        number
        for number in range(trials)
        if number >= len(finished) or not finished[number]
    ]
    bar = tqdm(total=trials, initial=trials - len(todo), unit=" trials")
    try:
        while True:
            for worker in workers:
                if todo and not worker.trial and not worker.died:
                    trial = _trial(study, config, ranges, todo.pop(0))
                    tqdm.write(f"trial {trial.number}: {_words(trial.params)}")
                    worker.begin(
                        trial,
                        _of(config, trial.params),
                        data,
                        output / trial.user_attrs["folder"],
                    )
            busy = {worker.connection: worker for worker in workers if worker.trial}
            if not busy:
                break
            for worker in map(busy.get, wait(list(busy))):
                trial, (what, found) = worker.trial, worker.hear()
                if what == "epoch":
                    trial.report(found["val_top1"], found["epoch"])
                    trial.set_user_attr("epochs_done", found["epoch"])
                    bar.set_postfix_str(
                        f"trial {trial.number}, epoch {found['epoch']}:"
                        f" {found['val_top1']:.4f}"
                    )
                    worker.answer(trial.should_prune())
                    continue
                worker.end()
                if what == "end":
                    raise RuntimeError(f"trial {trial.number}: {found}")
                said = f"validation top-1 {found:.4f}" if what == "complete" else found
                tqdm.write(f"trial {trial.number}: {what}, {said}")
                if what == "fail":
                    trial.set_user_attr("reason", found)
                study.tell(
                    trial,
                    found if what == "complete" else None,
                    TrialState[what.upper()],
                )
                _report(study, config, output)
                bar.update()
    finally:
        bar.close()
        for worker in workers:
            if worker.trial:
                worker.process.terminate()
                worker.end()
    if todo:
        raise RuntimeError(
            f"All workers died; {len(todo)} trials were not begun. The same command"
            " goes on."
        )


def _trial(study, config, ranges, number):
    """Trial ``number``.

    A new one, or one that was running when the search was killed.
    """
    import optuna

    seed = random.Random(f"{config.seed} {number}").getrandbits(32)
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    earlier = study.trials
    trial = (
        optuna.Trial(study, earlier[number]._trial_id)
        if number < len(earlier)
        else study.ask()
    )
    for name, values in ranges.items():
        trial._suggest(name, values)  # what it has already, it keeps
    trial.set_user_attr("folder", f"trial-{number:04}")
    return trial


def _of(config, parameters):
    return dataclasses.replace(config, search={}, **parameters)


def _words(values):
    shown = [
        f"{name} {value:.4g}" if type(value) is float else f"{name} {value}"
        for name, value in values.items()
    ]
    return ", ".join(shown)


class _Worker:
    """A place for one trial at a time, which is trained in a process of its own."""

    def __init__(self, environment):
        self.environment, self.trial, self.died = environment, None, False

    def begin(self, trial, *work):
        context = multiprocessing.get_context("spawn")
        self.connection, end = context.Pipe()
        self.process = context.Process(
            target=_train, args=(end, self.environment, *work), daemon=True
        )
        self.process.start()
        end.close()
        self.trial, self.began = (
            trial,
            time.monotonic() - trial.user_attrs.get("seconds", 0),
        )

    def hear(self):
        """What `_train` sends, or that it died."""
        try:
            what, found = self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            self.died = True
            what, found = (
                "fail",
                f"the process died with exit code {self.process.exitcode}",
            )
        self.trial.set_user_attr("seconds", round(time.monotonic() - self.began, 1))
        return what, found

    def answer(self, prune):
        with contextlib.suppress(OSError):  # it died since, which is heard next
            self.connection.send(prune)

    def end(self):
        self.process.join()
        self.trial = None


def _train(connection, environment, config, data, folder):
    """Train a trial in a process of its own, and say how it goes.

    Sends ``"epoch"`` with a row of the log, upon which it hears whether to prune; at
    last ``"complete"`` with the validation top-1, ``"pruned"``, ``"fail"`` with the
    reason, or ``"end"`` with the reason why the search must end.
    """
    os.environ.update(environment, TQDM_MININTERVAL="30")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    folder.mkdir(exist_ok=True)
    with open(folder / "output.txt", "a") as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)
    checked = next(folder.parent.glob("trial-*/images.json"), None)
    if (
        checked and not (folder / checked.name).exists()
    ):  # to read all images once is enough
        with replacing(folder / checked.name) as part:
            shutil.copyfile(checked, part)
    import optuna
    from tensorflow.errors import ResourceExhaustedError
    from tqdm import tqdm

    from training.trainer import TrainingStopped, train

    tqdm.set_lock(
        threading.RLock()
    )  # its own is a semaphore that stays behind when this process is killed

    def on_epoch(row):
        connection.send(("epoch", row))
        if connection.recv():
            raise optuna.TrialPruned

    try:
        end = "complete", train(config, data, folder, on_epoch=on_epoch)["val_top1"]
    except optuna.TrialPruned:
        end = "pruned", "below the median of the earlier trials"
    except ResourceExhaustedError:
        traceback.print_exc()
        end = "fail", "out of memory, see output.txt"
    except (TrainingStopped, ValueError) as error:
        traceback.print_exc()
        fatal = isinstance(error.__cause__, OSError)
        end = ("end", str(error)) if fatal else ("fail", str(error).partition("\n")[0])
    connection.send(end)


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _report(study, config, output):
    """Write what is known of the trials; their table, best first."""
    table = study.trials_dataframe(("number", "state", "value", "params", "user_attrs"))
    table = table.rename(
        columns=lambda name: re.sub("^(params|user_attrs)_", "", name)
    ).reindex(
        columns=[
            "number",
            "state",
            "value",
            *config.search,
            "epochs_done",
            "seconds",
            "folder",
            "reason",
        ]
    )
    table["state"] = table["state"].astype(str).str.lower()
    table["epochs_done"] = table["epochs_done"].fillna(0).astype(int)
    table["value"] = table["value"].astype(float)
    table = table.sort_values(
        "value", ascending=False, kind="stable", ignore_index=True
    )
    with replacing(output / "trials.csv") as part:
        table.to_csv(part, index=False)
    if "complete" in set(table["state"]):
        with replacing(output / "best.json") as part:
            part.write_text(_of(config, study.best_params).to_json(), encoding="utf-8")
        with replacing(output / "search.png") as part:
            _draw(table, config.search, part)
    return table


def _draw(table, ranges, path):
    """On the left the trials in order and the best so far.

    Beside it their value against each parameter.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(4.5 + 2.2 * len(ranges), 3.6), layout="constrained")
    panels = figure.subplots(
        1, 1 + len(ranges), sharey=True, width_ratios=[2] + [1] * len(ranges)
    )
    for axes, name in zip(panels, ["number", *ranges]):
        values = ranges.get(name, {})
        choices = values.get("choices")
        for state, fill, edge in (
            ("complete", "#0072b2", "#0072b2"),
            ("pruned", "none", "#999999"),
        ):
            shown = table[table["state"] == state]
            x = shown[name].map(choices.index) if choices else shown[name]
            axes.scatter(
                x, shown["value"], 24, fill, edgecolors=edge, alpha=0.7, label=state
            )
        if choices:
            axes.set_xticks(range(len(choices)), choices)
            axes.set_xlim(-0.5, len(choices) - 0.5)
        elif values.get("log"):
            axes.set_xscale("log")
        elif table[name].dtype.kind == "i":
            axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.set_xlabel("trial" if axes is panels[0] else name)
        axes.spines[["top", "right"]].set_visible(False)
    complete = table[table["state"] == "complete"].sort_values("number")
    panels[0].step(
        complete["number"],
        complete["value"].cummax(),
        "#0072b2",
        where="post",
        lw=1,
        label="best so far",
    )
    panels[0].set_ylabel("Validation top-1")
    panels[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, format="png", dpi=120)
