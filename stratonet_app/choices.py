"""What the user of the page has chosen, and the commands that follow from it."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from stratonet.arguments import parse_replacement
from stratonet.extraction.sources.imagesets import ImageSource
from stratonet.recipe import OF_PLANE

# Names of the folders in the folder of a run.
FEATURES, REPORT = "features", "report"
# The choices that change features. If others change, nothing is measured again.
MEASURED = ("source", "pattern", "base", "replace", "recipe", "grey_range")


@dataclass(frozen=True)
class Choices:
    """What the user has chosen. An empty text stands for the default.

    Attributes
    ----------
    source : str
        Folder of images or LoadData table, an absolute path.
    pattern, base, replace : str
        ``--pattern``, ``--images`` and ``--replace-path`` of ``stratonet extract``.
    recipe, grey_range : str
        ``--recipe`` and ``--grey-range``.
    negative, positive : str
        Wells of the controls, as ``--negcon-wells`` takes them.
    metadata, compound, dose, label : str
        Plate map, and columns, of ``stratonet evaluate``.

    Examples
    --------
    >>> Choices("/data/P1", pattern="phenix").image_source.pattern
    'phenix'
    """

    source: str
    pattern: str = ""
    base: str = ""
    replace: str = ""
    recipe: str = ""
    grey_range: str = OF_PLANE
    negative: str = ""
    positive: str = ""
    metadata: str = ""
    compound: str = ""
    dose: str = ""
    label: str = ""

    @classmethod
    def from_json(cls, values: Mapping[str, str]) -> Choices:
        """Return the choices stored in the file of a run.

        Raises
        ------
        TypeError, ValueError
            The values are not choices.
        """
        if not all(isinstance(value, str) for value in values.values()):
            raise ValueError("Choices are texts.")
        return cls(**values)

    def to_json(self) -> dict[str, str]:
        """Return the choices as they are stored in JSON."""
        return asdict(self)

    @property
    def is_table(self) -> bool:
        """Whether images are listed in a table, not found in a folder."""
        return not Path(self.source).is_dir()

    @property
    def image_source(self) -> ImageSource:
        """Where the images are.

        Raises
        ------
        ValueError
            The replacement is not written as ``OLD=NEW``.
        """
        try:
            replace = (parse_replacement(self.replace),) if self.replace else ()
        except ArgumentTypeError as error:
            raise ValueError(f"--replace-path: {error}") from None
        return ImageSource(
            self.source, self.pattern or None, self.base or None, replace
        )

    def list_differences(self, other: Choices) -> list[str]:
        """List the choices that make features differ from those of other choices.

        Examples
        --------
        >>> Choices("/a", negative="A01").list_differences(Choices("/b"))
        ['source']
        """
        return [
            name for name in MEASURED if getattr(self, name) != getattr(other, name)
        ]


def write_extract_arguments(choices: Choices, folder: Path) -> list[str]:
    """Write the arguments of ``stratonet`` that measure the images.

    Parameters
    ----------
    choices : Choices
        What is measured.
    folder : pathlib.Path
        Of the run.

    Examples
    --------
    >>> write_extract_arguments(Choices("/data/P1"), Path("/out"))
    ['extract', '/data/P1', '--output', '/out/features']
    """
    output = str(folder / FEATURES)
    grey_range = "" if choices.grey_range == OF_PLANE else choices.grey_range
    return [
        "extract",
        choices.source,
        *_write_file_flags(choices),
        *_write_flag("--images", choices.base),
        *_write_flag("--recipe", choices.recipe),
        *_write_flag("--grey-range", grey_range),
        "--output",
        output,
    ]


def write_evaluate_arguments(choices: Choices, folder: Path) -> list[str]:
    """Write the arguments of ``stratonet`` that make the report.

    Parameters
    ----------
    choices : Choices
        Which wells are controls, and what is known about the others.
    folder : pathlib.Path
        Of the run.

    Examples
    --------
    >>> arguments = write_evaluate_arguments(Choices("/data/P1"), Path("/out"))
    >>> arguments[:4]
    ['evaluate', 'StratoNet=/out/features', '--images', '/data/P1']
    """
    # For pictures of wells. With relative paths there are none: the command has no flag
    # for the folder where they start.
    pictures = [] if choices.base else ["--images", choices.source]
    if pictures:
        pictures += _write_file_flags(choices)
    return [
        "evaluate",
        f"StratoNet={folder / FEATURES}",
        *pictures,
        *_write_flag("--metadata", choices.metadata),
        *_write_flag("--compound", choices.compound),
        *_write_flag("--dose", choices.dose),
        *_write_flag("--label", choices.label),
        *_write_flag("--negcon-wells", choices.negative),
        *_write_flag("--poscon-wells", choices.positive),
        "--output",
        str(folder / REPORT),
    ]


def _write_file_flags(choices: Choices) -> list[str]:
    return [
        *_write_flag("--pattern", choices.pattern),
        *_write_flag("--replace-path", choices.replace),
    ]


def _write_flag(flag: str, value: str) -> list[str]:
    """Write a flag with its value, if there is one."""
    if not value:
        return []
    # A value that begins like a flag would be taken for one.
    return [f"{flag}={value}"] if value.startswith("-") else [flag, value]


# What a form may set: never the source, which is chosen on a page of its own.
FIELDS = tuple(field.name for field in fields(Choices) if field.name != "source")
