"""The one file that describes a training run."""

import dataclasses
import json
import math
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


@dataclass(frozen=True)
class Config:
    """What a run is made of. Every field can stand in the configuration file; the file may not hold anything else.

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
        Images a step, all devices together.
    epochs : int
    optimizer : {"adam", "sgd"}
    momentum : float
        Of SGD; Nesterov's is not used.
    learning_rate : float
    schedule : {"constant", "cosine", "step"}
        By epoch. ``"step"`` multiplies by ``step_factor`` every ``step_epochs`` epochs.
    warmup_epochs : int
        Epochs in which the learning rate rises to its start.
    step_epochs, step_factor : int, float
    plateau_epochs, plateau_factor : int, float
        The learning rate is multiplied by the factor when the validation loss has not
        fallen for so many epochs. 0 epochs: never.
    weight_decay : float
        Decoupled (each step takes off learning rate x weight decay x weight), of
        convolutions and dense kernels.
    label_smoothing : float
    seed : int
    precision : {"float32", "mixed_float16", "mixed_bfloat16"}
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
    """

    recipe: str
    architecture: str = "resnet"
    depth: int = 50
    attention: str = "eca"
    taps: dict = field(default_factory=dict)
    classifier_on: str = "taps"
    classifier_depth: int = 1
    image_size: int = 224
    grey: bool = False
    multiply: float = 255.0
    subtract: tuple = (123.68, 116.779, 103.939)
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
    train_only: tuple = ()
    search: dict = field(default_factory=dict)

    def __post_init__(self):
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if each.type is tuple and isinstance(value, list):
                value = tuple(value)
                object.__setattr__(self, each.name, value)
            if each.type is float and type(value) is int:
                value = float(value)
                object.__setattr__(self, each.name, value)
            if type(value) is not each.type:
                raise ValueError(
                    f"{each.name} is of type {each.type.__name__}. Received: {value!r}"
                )
            if each.type is float and not math.isfinite(value):
                raise ValueError(f"{each.name} must be finite. Received: {value!r}")
            if each.name in CHOICES and value not in CHOICES[each.name]:
                raise ValueError(
                    f"{each.name} is one of {', '.join(CHOICES[each.name])}. Received:"
                    f" {value!r}"
                )
        for name in (
            "classifier_depth",
            "image_size",
            "batch",
            "epochs",
            "learning_rate",
            "step_epochs",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"{name} must be above 0. Received: {getattr(self, name)!r}"
                )
        for name in ("warmup_epochs", "plateau_epochs", "weight_decay", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name} must not be negative. Received: {getattr(self, name)!r}"
                )
        for name in ("momentum", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 0 and below 1. Received:"
                    f" {getattr(self, name)!r}"
                )
        for name in ("step_factor", "plateau_factor"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} must be above 0 and at most 1. Received:"
                    f" {getattr(self, name)!r}"
                )
        if len(self.subtract) != 3:
            raise ValueError(
                "subtract holds one number for each of the three planes. Received:"
                f" {self.subtract!r}"
            )

    @classmethod
    def read(cls, path):
        """The configuration in a TOML file, or that a run kept (JSON).

        Raises
        ------
        FileNotFoundError
        ValueError
            Not TOML, an unknown field, or a value that is not as it should be; the
            message names the file.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
            values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
            return cls.of(values)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    @classmethod
    def of(cls, values):
        """The configuration of a dict.

        ValueError for a field that there is not, or one that is missing.
        """
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
        return cls(**values)

    def refuse_other(self, earlier, folder, what):
        """Raise ValueError if ``folder`` holds ``what`` ("a run") of another configuration, ``earlier``."""
        before, now = dataclasses.asdict(earlier), dataclasses.asdict(self)
        other = [
            f"{name} {before[name]!r}, now {now[name]!r}"
            for name in now
            if before[name] != now[name]
        ]
        if other:
            raise ValueError(
                f"{folder} holds {what} with {'; '.join(other)}. Choose another"
                " --output."
            )

    def to_json(self):
        return json.dumps(dataclasses.asdict(self), indent=1)
