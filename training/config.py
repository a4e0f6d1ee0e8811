"""Read and check the configuration file that describes a training run."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

from stratonet.messages import suggest_name
from training.blocks import list_blocks
from training.config_checks import (
    check_range,
    check_taps,
    check_value,
    convert_value,
    describe_range,
    list_ends,
)


@dataclass(frozen=True)
class Config:
    """The configuration of a run.

    These fields, and no others, may appear in the configuration file.

    Attributes
    ----------
    recipe : str
        In words: which published recipe the run follows, and where it differs from it.
    architecture : str
        ``"resnet"`` (with attention ``"eca"``: StratoNet or ECANet), or the name of a
        Keras application (``"EfficientNetB0"``).
    depth : int
        18, 34, 50, 101 or 152. Not used for Keras applications.
    attention : {"eca", "none"}
        Efficient channel attention, or a plain ResNet.
    taps : dict of str to str
        Alias to layer name. Empty: the thesis's three taps, see
        `blocks.get_default_taps`.
    classifier_on : {"taps", "end"}
        The classifier takes the concatenated taps, and the network ends with the last
        of them (the thesis); or it takes the pooled end of the whole network (ResNet,
        ECANet).
    classifier_depth : int
        Number of dense layers of the classifier. Those before the last are as wide as
        their input, with ReLU.
    image_size : int
        In pixels. Images are resized to 256/224 of this, then cropped to it.
    grey : bool
        Train on grey images scaled as microscopy planes are, by the 0.1 and 99.9
        percentiles.
    multiply, subtract : float, 3 floats
        Turn pixels in [0, 1] into the network's input. They go into the card.
    bgr : bool
        Order the planes blue, green, red.
    batch : int
        Images per step, over all devices together.
    epochs : int
        Passes over the training images.
    optimizer : {"adam", "sgd"}
        Keras's optimiser.
    momentum : float
        Momentum of SGD, without Nesterov.
    learning_rate : float
        Learning rate after the warm-up.
    schedule : {"constant", "cosine", "step"}
        How the learning rate changes by epoch. ``"step"`` multiplies it by
        ``step_factor`` every ``step_epochs`` epochs.
    warmup_epochs : int
        Epochs during which the learning rate rises to ``learning_rate``.
    step_epochs, step_factor : int, float
        For the schedule ``"step"``.
    plateau_epochs, plateau_factor : int, float
        The learning rate is multiplied by the factor when the validation loss has
        not fallen for this many epochs. 0 epochs: never.
    weight_decay : float
        Decoupled weight decay (each step subtracts learning rate x weight decay x
        weight) of the kernels of convolutions and dense layers.
    label_smoothing : float
        Share of each label that is spread evenly over all classes.
    seed : int
        Seed of the start weights, the order of images and their augmentation.
    precision : {"float32", "mixed_float16", "mixed_bfloat16"}
        Keras's dtype policy. Weights are stored as float32.
    start : str
        Weights to start from: a weights file (``.onnx``) of this architecture, the
        folder of a run, ``"published"`` (ImageNet ResNet-50), ``"imagenet"`` (a Keras
        application's own), or empty for random.
    freeze : str
        Layers up to and including this one are not trained.
    train_only : tuple of str
        Name patterns (``"*_eca"``) of the layers to train besides the classifier.
        Empty: all.
    search : dict
        For ``python -m training search``: field to its range, see `search`.

    Examples
    --------
    >>> config = Config("a short run", depth=18, epochs=2)
    >>> config.optimizer, config.batch
    ('adam', 128)
    >>> Config("too much momentum", momentum=1.0)
    Traceback (most recent call last):
        ...
    ValueError: momentum must be at least 0 and below 1. Received: 1.0
    """

    recipe: str
    architecture: str = "resnet"
    depth: int = 50
    attention: str = "eca"
    taps: dict[str, str] = field(default_factory=dict)
    classifier_on: str = "taps"
    classifier_depth: int = 1
    image_size: int = 224
    grey: bool = False
    multiply: float = 255.0
    subtract: tuple[float, float, float] = (123.68, 116.779, 103.939)
    bgr: bool = False
    batch: int = 128
    epochs: int = 100
    optimizer: str = "adam"
    momentum: float = 0.99
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    warmup_epochs: int = 5
    step_epochs: int = 30
    step_factor: float = 0.1
    plateau_epochs: int = 0
    plateau_factor: float = 0.5
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    seed: int = 0
    precision: str = "float32"
    start: str = ""
    freeze: str = ""
    train_only: tuple[str, ...] = ()
    search: dict[str, dict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in dataclasses.fields(self):
            value = convert_value(getattr(self, each.name), str(each.type))
            # Frozen dataclasses can be changed in this way only.
            object.__setattr__(self, each.name, value)
            check_value(each.name, value, str(each.type))
        if len(self.subtract) != 3:
            raise ValueError(
                "subtract must hold one number for each of the three planes. Received:"
                f" {self.subtract!r}"
            )
        fields = [each.name for each in dataclasses.fields(self)]
        blocks = list_blocks(self.depth) if self.architecture == "resnet" else None
        check_taps(self.taps, fields, blocks)
        for name, values in self.search.items():
            self._check_range(name, values, fields)

    def _check_range(self, name: str, values: object, fields: Sequence[str]) -> None:
        ends = list_ends(name, values, fields)
        try:
            check_range(getattr(self, name), values)
            for end in ends:
                # A value that a field refuses cannot be searched for either.
                dataclasses.replace(self, search={}, **{name: end})
        except ValueError as error:
            raise describe_range(name, values, str(error)) from None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Config:
        """Read a TOML file, or the JSON file that a run has written.

        Parameters
        ----------
        path : str or path
            Read as JSON if it ends in ``.json``.

        Returns
        -------
        Config

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            The file is not TOML, a field is unknown, or a value is not valid; the
            message names the file.
        """
        path = Path(path)
        try:
            # Windows editors put a byte order mark first, which TOML does not allow.
            text = path.read_text(encoding="utf-8-sig")
            # Runs write JSON: Python's standard library cannot write TOML.
            is_json = path.suffix.lower() == ".json"
            return cls.from_values(
                _parse_json(text) if is_json else tomllib.loads(text)
            )
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> Config:
        """Make a configuration from field names and values.

        Raises
        ------
        ValueError
            A field is unknown, or ``recipe`` is missing.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"expected fields and their values. Received: {values!r}")
        # A misspelt field would otherwise take its default, noticed after days.
        fields = {each.name for each in dataclasses.fields(cls)}
        unknown = sorted(set(values) - fields)
        if unknown:
            raise ValueError(
                f"there is no field {', '.join(unknown)}. Fields:"
                f" {', '.join(sorted(fields))}.{suggest_name(unknown[0], fields)}"
            )
        if "recipe" not in values:
            raise ValueError(
                "the field recipe is missing: say in words what this run follows."
            )
        return cls(**values)  # type: ignore[arg-type] # checked in __post_init__

    def refuse_other(self, earlier: Config, folder: Path, content: str) -> None:
        """Refuse to continue in a folder that belongs to another configuration.

        Parameters
        ----------
        earlier : Config
            The configuration of the folder.
        folder : path
            The folder, for the message.
        content : str
            What the folder holds, for the message: ``"a run"``, ``"a search"``.

        Raises
        ------
        ValueError
            The two differ; the message names the fields.
        """
        before = dataclasses.asdict(earlier)
        differences = [
            f"{name} {before[name]!r}, now {value!r}"
            for name, value in dataclasses.asdict(self).items()
            if value != before[name]
        ]
        if differences:
            raise ValueError(
                f"{folder} holds {content} with {'; '.join(differences)}. Choose"
                " another output folder."
            )

    def to_json(self) -> str:
        """Return all fields as JSON, which `read` accepts."""
        return json.dumps(dataclasses.asdict(self), indent=1)


def _parse_json(text: str) -> Any:
    # Python's reader silently takes the last value of a field that appears twice.
    def refuse_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} appears twice.")
        return dict(pairs)

    return json.loads(text, object_pairs_hook=refuse_twice)
