"""The one file that describes a training run."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

CHOICES = {
    "attention": ("eca", "none"),
    "classifier_on": ("taps", "end"),
    "optimizer": ("adam", "sgd"),
    "schedule": ("constant", "cosine", "step"),
    "precision": ("float32", "mixed_float16", "mixed_bfloat16"),
}
ABOVE_ZERO = (
    "classifier_depth",
    "image_size",
    "batch",
    "epochs",
    "learning_rate",
    "step_epochs",
)
NOT_NEGATIVE = ("warmup_epochs", "plateau_epochs", "weight_decay", "seed")
BELOW_ONE = ("momentum", "label_smoothing")
FACTORS = ("step_factor", "plateau_factor")
# Annotations are strings here; these are the types that TOML and JSON give.
TYPES = {"str": str, "int": int, "float": float, "bool": bool}


@dataclass(frozen=True)
class Config:
    """What a run is made of.

    Every field can stand in the configuration file, which may hold nothing else.

    Attributes
    ----------
    recipe : str
        In words: which published recipe this follows, and where it departs from it.
    architecture : str
        ``"resnet"`` (with attention ``"eca"``: StratoNet or ECANet), or the name of a
        Keras application (``"EfficientNetB0"``).
    depth : int
        18, 34, 50, 101 or 152. Not for Keras applications.
    attention : {"eca", "none"}
        Efficient channel attention, or a plain ResNet.
    taps : dict of str to str
        Alias to layer name. Empty: the thesis's three taps, see
        `architecture.default_taps`.
    classifier_on : {"taps", "end"}
        The classifier stands on the taps side by side, and the network ends with the
        last of them (the thesis); or on the pooled end of the whole network (ResNet,
        ECANet).
    classifier_depth : int
        Dense layers of the classifier. Those before the last are as wide as their
        input, with ReLU.
    image_size : int
        Pixels. Images are resized to 256/224 of it, then cropped.
    grey : bool
        Train on grey images scaled as microscopy planes are, by the 0.1 and 99.9
        percentiles.
    multiply, subtract : float, 3 floats
        From pixels in [0, 1] to the network's input. They go into the card.
    bgr : bool
        Planes in the order blue, green, red.
    batch : int
        Images per step, all devices together.
    epochs : int
        Passes over the training images.
    optimizer : {"adam", "sgd"}
        Keras's own.
    momentum : float
        Of SGD; Nesterov's is not used.
    learning_rate : float
        After the warm-up.
    schedule : {"constant", "cosine", "step"}
        By epoch. ``"step"`` multiplies by ``step_factor`` every ``step_epochs`` epochs.
    warmup_epochs : int
        Epochs in which the learning rate rises to its start.
    step_epochs, step_factor : int, float
        Of the schedule ``"step"``.
    plateau_epochs, plateau_factor : int, float
        The learning rate is multiplied by the factor when the validation loss has not
        fallen for so many epochs. 0 epochs: never.
    weight_decay : float
        Decoupled (each step takes off learning rate x weight decay x weight), of
        convolutions and dense kernels.
    label_smoothing : float
        Share of the label that goes to all classes alike.
    seed : int
        Of the start weights, the order of images and their augmentation.
    precision : {"float32", "mixed_float16", "mixed_bfloat16"}
        Keras's dtype policy. Weights are kept as float32.
    start : str
        Weights to start from: a weights file (``.onnx``) of this architecture, the
        folder of a run, ``"published"`` (ImageNet ResNet-50), ``"imagenet"`` (a Keras
        application's own), or empty for random.
    freeze : str
        Layer up to which, itself included, nothing is trained.
    train_only : tuple of str
        Patterns (``"*_eca"``) of the layers that are trained, beside the classifier.
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
            expected = _get_type(str(each.type))
            value = _convert(getattr(self, each.name), expected)
            # The class is frozen, but for this.
            object.__setattr__(self, each.name, value)
            _check_value(each.name, value, expected)
        self._check_numbers()
        if len(self.subtract) != 3:
            raise ValueError(
                "subtract holds one number for each of the three planes. Received:"
                f" {self.subtract!r}"
            )

    def _check_numbers(self) -> None:
        for name in ABOVE_ZERO:
            self._require(getattr(self, name) > 0, name, "above 0")
        for name in NOT_NEGATIVE:
            self._require(getattr(self, name) >= 0, name, "at least 0")
        for name in BELOW_ONE:
            value = getattr(self, name)
            self._require(0 <= value < 1, name, "at least 0 and below 1")
        for name in FACTORS:
            value = getattr(self, name)
            self._require(0 < value <= 1, name, "above 0 and at most 1")

    def _require(self, valid: bool, name: str, condition: str) -> None:
        if not valid:
            received = getattr(self, name)
            raise ValueError(f"{name} must be {condition}. Received: {received!r}")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Config:
        """Read a TOML file, or the JSON that a run kept.

        Parameters
        ----------
        path : str or path
            JSON where it ends in ``.json``.

        Returns
        -------
        Config

        Raises
        ------
        FileNotFoundError
            There is no such file.
        ValueError
            Not TOML, an unknown field, or a value that is not as it should be; the
            message names the file.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            # Runs keep JSON: Python's own libraries read TOML, but write none.
            values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
            return cls.from_values(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> Config:
        """Make a configuration of field names and values.

        Raises
        ------
        ValueError
            A field is unknown, or ``recipe`` is missing.
        """
        # A misspelt field would otherwise be a default, found out after days.
        known = {each.name for each in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(
                f"there is no field {', '.join(unknown)}. Fields:"
                f" {', '.join(sorted(known))}."
            )
        if "recipe" not in values:
            raise ValueError(
                "the field recipe is missing: say in words what this run follows."
            )
        return cls(**values)  # type: ignore[arg-type] # checked in __post_init__

    def refuse_other(self, earlier: Config, folder: Path, content: str) -> None:
        """Refuse to go on in a folder that belongs to another configuration.

        Parameters
        ----------
        earlier : Config
            That of the folder.
        folder : path
            For the message.
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
        """Write all fields as JSON, which `read` takes."""
        return json.dumps(dataclasses.asdict(self), indent=1)


def _get_type(annotation: str) -> type:
    if annotation in TYPES:
        return TYPES[annotation]
    return tuple if annotation.startswith("tuple") else dict


def _convert(value: object, expected: type) -> object:
    """Take a list for a tuple and a whole number for a float: TOML has neither."""
    if expected is tuple and isinstance(value, list):
        return tuple(value)
    # Not isinstance: True is an int.
    if expected is float and type(value) is int:
        return float(value)
    return value


def _check_value(name: str, value: object, expected: type) -> None:
    # Not isinstance: True would pass for a number.
    if type(value) is not expected:
        raise ValueError(f"{name} is of type {expected.__name__}. Received: {value!r}")
    # TOML can write nan and inf.
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite. Received: {value!r}")
    if name in CHOICES and value not in CHOICES[name]:
        choices = ", ".join(CHOICES[name])
        raise ValueError(f"{name} is one of {choices}. Received: {value!r}")
