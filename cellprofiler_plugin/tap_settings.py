"""Which taps MeasureStratoFeatures measures: a choice in words, and a list of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellprofiler_core.setting.choice import Choice
from cellprofiler_core.setting.multichoice import MultiChoice

from cellprofiler_plugin.recipes import CUSTOM
from cellprofiler_plugin.settings import read_or_empty
from stratonet.tap import INTENSITY

if TYPE_CHECKING:
    from cellprofiler_plugin.plugins.measurestratofeatures import MeasureStratoFeatures

ALL = ("low", "medium", "high")
# Saved pipelines contain these words: if they change, older pipelines need an upgrade.
RECOMMENDED = "Low, medium and high (recommended)"
TAPS = {
    RECOMMENDED: ALL,
    "Low, medium, high and brightness": (*ALL, INTENSITY),
    "Low: edges and textures": ("low",),
    "Medium: parts of cells": ("medium",),
    "High: whole cells and their arrangement": ("high",),
}


class TapChoice(MultiChoice):
    """The taps of the module's current weights file.

    Parameters
    ----------
    text : str
        The setting's name, as CellProfiler shows it.
    module : MeasureStratoFeatures
        The module, whose card is read each time CellProfiler asks for the choices.
    value : list of str
        The taps selected at first.
    **options : object
        See ``cellprofiler_core.setting.multichoice.MultiChoice``.
    """

    def __init__(
        self,
        text: str,
        module: MeasureStratoFeatures,
        value: list[str],
        **options: Any,
    ) -> None:
        self.module = module
        super().__init__(text, [], value, **options)

    def get_choices(self) -> list[str]:
        """List all taps by alias, or by layer if they have none.

        Returns
        -------
        list of str
            If the card cannot be read, the taps selected so far, because CellProfiler
            would otherwise drop the selection.
        """
        taps = read_or_empty(lambda: self.module.get_card().taps)
        names = [tap.alias or tap.layer for tap in taps]
        return [*names, INTENSITY] if names else list(self.get_selections())


def make_tap_words() -> Choice:
    """Make the setting of the taps in words."""
    recommended, bright, low, medium, high = TAPS
    return Choice(
        "Which taps?",
        [*TAPS, CUSTOM],
        # Which tap tells treatments apart best differs between assays.
        value=RECOMMENDED,
        doc=f"""\
A tap is a depth in the network from which features are taken.

-  *{recommended}:* 2,560 features per image. Let the classifier choose.
-  *{bright}:* 10 more, for the brightness of the image in the units of its file. Choose
   it if brightness matters.
-  *{low}* (512 features): granules, fibers, the location of a stain in a cell. The
   fastest, with the fewest columns.
-  *{medium}* (1,024 features).
-  *{high}* (1,024 features).
-  *{CUSTOM}* shows the list of all taps, block by block.

*Mean and standard deviation* gives twice as many features.""",
    )


def make_tap_list(module: MeasureStratoFeatures) -> TapChoice:
    """Make the list of all taps, which follows the module's network.

    Parameters
    ----------
    module : MeasureStratoFeatures
        The module whose network has the taps.
    """
    return TapChoice(
        "Select taps",
        module,
        list(ALL),
        doc=f"""\
*(Used only for {CUSTOM})* Every block of the network, from shallow to deep. Hold Ctrl
(Command on a Mac) to select several: a click alone drops all others. *intensity* is not
a tap of the network, but the brightness of the image (10 numbers).""",
    )


def find_tap_words(selected: str) -> str:
    """Find the words for taps that a saved pipeline has selected in the list.

    Parameters
    ----------
    selected : str
        Taps, separated by commas.

    Returns
    -------
    str
        The words; ``CUSTOM`` if no words mean the same.

    Examples
    --------
    >>> find_tap_words("high,low,medium"), find_tap_words("low,high")
    ('Low, medium and high (recommended)', 'Custom...')
    """
    taps = sorted(selected.split(","))
    for words, tap_names in TAPS.items():
        if sorted(tap_names) == taps:
            return words
    return CUSTOM
