"""The result of a run, printed as a few lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from stratonet.messages import count_things, shorten_list

# At most this many names of files, and reasons, are shown.
N_SHOWN = 5
# Width of the column of names in front of the texts.
INDENT = 13


@dataclass
class Summary:
    """The result of a run. `str` makes a few lines of it.

    Attributes
    ----------
    destination : str
        Folder or S3 prefix of the features.
    feature_set_id : str
        See `stratonet.StratoNet`.
    image_sets, images : int
        How many were measured in this run.
    wells_before : int
        How many wells were already measured before.
    incomplete : int
        How many image sets could not be measured completely, in this run or before.
    reasons : dict of str to str
        Why image sets are incomplete: one example of each type of reason, by its type.
    skipped_files : list of str
        Images in folders whose names do not match the pattern, or whose format is not
        read.
    lost_objects : int
        How many objects of the table of centres lie in no image set.
    lost_object : str
        The image set that the table names for the first of these objects.
    complete_plates, waiting_plates : list of str
        Plates that have their feature tables, and plates that still lack wells of other
        shards.
    seconds : float
        Duration of the run.
    resources : str
        CPU and memory, see `stratonet.resources.summarize_resources`.
    """

    destination: str
    feature_set_id: str
    image_sets: int = 0
    images: int = 0
    wells_before: int = 0
    incomplete: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    skipped_files: list[str] = field(default_factory=list)
    lost_objects: int = 0
    lost_object: str = ""
    complete_plates: list[str] = field(default_factory=list)
    waiting_plates: list[str] = field(default_factory=list)
    seconds: float = 0
    resources: str = ""

    def __str__(self) -> str:
        lines = {"Plates": self._describe_plates()}
        lines["Image sets"] = f"{self.image_sets:,} measured"
        if self.wells_before:
            wells = count_things(self.wells_before, "well")
            lines["Image sets"] += f"; {wells} already measured"
        lines["Incomplete"] = count_things(self.incomplete, "image set")
        if self.incomplete:
            lines["Incomplete"] += " (see Metadata_Error)"
        if self.reasons:
            lines["Reasons"] = self._describe_reasons()
        if self.skipped_files:
            lines["Skipped"] = self._describe_skipped_files()
        if self.lost_objects:
            objects = count_things(self.lost_objects, "object")
            lines["Left out"] = f"{objects} in no image set, such as {self.lost_object}"
        lines["Time"] = self._describe_time()
        lines["Feature set"] = self.feature_set_id
        lines["Features"] = self.destination
        # Names in a column of their own, as in a table.
        texts = [f"{name:<{INDENT}}{text}" for name, text in lines.items()]
        return "\n".join([*texts, self.resources])

    def _describe_plates(self) -> str:
        text = f"{len(self.complete_plates):,} complete"
        if self.waiting_plates:
            text += f", {len(self.waiting_plates):,} waiting for other shards"
        return text

    def _describe_reasons(self) -> str:
        reasons = list(self.reasons.values())
        lines = reasons[:N_SHOWN]
        if len(reasons) > N_SHOWN:
            lines.append(f"and {len(reasons) - N_SHOWN} other reasons")
        return f"\n{'':<{INDENT}}".join(lines)

    def _describe_skipped_files(self) -> str:
        files = count_things(len(self.skipped_files), "image file")
        names = shorten_list(self.skipped_files, most=N_SHOWN)
        return f"{files}, by name or format: {names}"

    def _describe_time(self) -> str:
        # Only of this run: wells measured before took no time.
        image_sets_rate = self.image_sets / self.seconds
        images_rate = self.images / self.seconds
        return (
            f"{timedelta(seconds=round(self.seconds))},"
            f" {image_sets_rate:.2f} image sets/s, {images_rate:.1f} images/s"
        )
