"""The pages on which a run is set up: images, preview, controls, start."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from stratonet.extraction.sources.filenames import READY_PATTERNS
from stratonet.files.atomic import FolderInUse
from stratonet.messages import shorten_list
from stratonet.recipe import OF_PLANE, OF_PLATE
from stratonet_app.answers import Values, make_route
from stratonet_app.apart import TookTooLong
from stratonet_app.choices import (
    Choices,
    write_evaluate_arguments,
    write_extract_arguments,
)
from stratonet_app.controls import PlateMap, check_controls, read_plate_map
from stratonet_app.desk import Desk, Draft, propose_output
from stratonet_app.plates import make_grid
from stratonet_app.preview import draw_preview, list_recipes
from stratonet_app.reach import TABLES, Listing, list_names, read_chosen_path
from stratonet_app.recognition import Refused, SourceContent
from stratonet_app.runs import find_run, list_runs, prepare_run, start_run

GREY_RANGES = {
    OF_PLANE: "the extremes of each image: all become equally bright",
    OF_PLATE: "the extremes of the plate: dim images stay dim",
}
# The pages of a draft, in their order.
STEPS = {
    "images": "Images",
    "preview": "Preview",
    "controls": "Controls",
    "start": "Start",
}
# Status of the answer to a form with mistakes in it.
UNPROCESSABLE = 422


def list_routes(desk: Desk) -> list[Route]:
    """List the routes of these pages."""
    return [
        make_route(desk, "/", show_choice),
        make_route(desk, "/choose", show_choice, choose_source),
        make_route(desk, "/draft/{draft}/images", show_images, change_images),
        make_route(desk, "/draft/{draft}/preview", show_preview, change_preview),
        make_route(desk, "/draft/{draft}/controls", show_controls, change_controls),
        make_route(desk, "/draft/{draft}/start", show_start, start_draft),
    ]


def show_choice(
    desk: Desk, values: Values, alert: str = "", status: int = 200
) -> Response:
    """Show the first page: where the images are."""
    listing = None
    try:
        listing = list_names(desk.root, values.get("folder", ""))
    except (OSError, ValueError) as error:
        alert, status = alert or str(error), 404
    return desk.render(
        "choice.html",
        status,
        title="From images to a report",
        alert=alert,
        path=values.get("path", ""),
        root=desk.root,
        listing=listing,
        runs=_list_runs(listing),
    )


def _list_runs(listing: Listing | None) -> list[tuple[str, str]]:
    """List the runs in a folder: where each is, and what it measures."""
    if listing is None:
        return []
    runs = list_runs(listing.folder)
    return [(str(run.folder), run.choices.source) for run in runs]


def choose_source(desk: Desk, values: Values) -> Response:
    """Begin a run with the chosen source, or open the chosen run."""
    try:
        path = read_chosen_path(values.get("path", ""), desk.root)
        run = find_run(path)
        if run is not None:
            return desk.go_to(f"/run/{desk.add_run(run.folder)}")
        if path.is_file() and not path.name.lower().endswith(TABLES):
            raise ValueError(
                f"{path} is not a table: names of tables end in {', '.join(TABLES)}."
                " For images, choose their folder."
            )
    except (OSError, ValueError) as error:
        return show_choice(desk, values, str(error), UNPROCESSABLE)
    # If the folder is a link, take the folder that it leads to.
    source = path.resolve() if path.is_dir() else path
    draft = desk.add_draft(Choices(str(source)), propose_output(source))
    return desk.go_to(f"/draft/{draft}/images")


def show_images(desk: Desk, values: Values) -> Response:
    """Show what was recognised."""
    draft = desk.get_draft(values["draft"])
    source_content = desk.read_source(draft)
    return _render_step(
        desk,
        values,
        "images",
        title="What was recognised",
        source_content=source_content
        if isinstance(source_content, SourceContent)
        else None,
        alert=source_content.reason if isinstance(source_content, Refused) else "",
        patterns=list(READY_PATTERNS),
        shorten=shorten_list,
    )


def change_images(desk: Desk, values: Values) -> Response:
    """Store how images are found."""
    draft = desk.get_draft(values["draft"])
    names = ("pattern", "base", "replace")
    changed = {name: values.get(name, "").strip() for name in names}
    draft.choices = replace(draft.choices, **changed)
    draft.source_content = None
    return desk.go_to(f"/draft/{values['draft']}/images")


def show_preview(desk: Desk, values: Values) -> Response:
    """Show an image set as the network sees it."""
    draft = desk.get_draft(values["draft"])
    source_content = desk.get_source_content(draft)
    if isinstance(source_content, Refused):
        return desk.go_to(f"/draft/{values['draft']}/images")
    try:
        preview = desk.helper.call(draw_preview, draft.choices, draft.number)
    except TookTooLong as error:
        preview = Refused(str(error))
    return _render_step(
        desk,
        values,
        "preview",
        title="As the network sees it",
        source_content=source_content,
        preview=None if isinstance(preview, Refused) else preview,
        alert=preview.reason if isinstance(preview, Refused) else "",
        recipes=list_recipes(),
        grey_ranges=GREY_RANGES,
    )


def change_preview(desk: Desk, values: Values) -> Response:
    """Store how images are shown to the network, and which one the preview shows."""
    draft = desk.get_draft(values["draft"])
    recipe, grey_range = values.get("recipe", ""), values.get("grey_range", "")
    recipes = list(list_recipes())
    # The first one is the default.
    recipe = recipe if recipe in recipes[1:] else ""
    grey_range = grey_range if grey_range in GREY_RANGES else OF_PLANE
    draft.choices = replace(draft.choices, recipe=recipe, grey_range=grey_range)
    number = values.get("number", "")
    source_content = desk.get_source_content(draft)
    if number.isdecimal() and isinstance(source_content, SourceContent):
        draft.number = min(max(1, int(number[:9])), source_content.n_image_sets)
    return desk.go_to(f"/draft/{values['draft']}/preview")


def show_controls(
    desk: Desk, values: Values, alert: str = "", status: int = 200
) -> Response:
    """Show the plate, for choosing its controls."""
    draft = desk.get_draft(values["draft"])
    source_content = desk.get_source_content(draft)
    if isinstance(source_content, Refused):
        return desk.go_to(f"/draft/{values['draft']}/images")
    plate_map = _read_plate_map(desk, draft.choices, draft.choices.metadata)
    if isinstance(plate_map, Refused):
        alert, plate_map = alert or plate_map.reason, None
    columns = [*(plate_map.columns if plate_map else []), *source_content.metadata]
    return _render_step(
        desk,
        values,
        "controls",
        status,
        title="Which wells are controls?",
        source_content=source_content,
        alert=alert,
        form={**draft.choices.to_json(), **values},
        grid=make_grid(source_content.wells),
        plate_map=plate_map,
        columns=list(dict.fromkeys(columns)),
    )


def _read_plate_map(
    desk: Desk, choices: Choices, path: str
) -> PlateMap | Refused | None:
    if not path:
        return None
    try:
        return desk.helper.call(read_plate_map, choices, path)
    except TookTooLong as error:
        return Refused(str(error))


def change_controls(desk: Desk, values: Values) -> Response:
    """Store which wells are controls, and what is known about the others."""
    draft = desk.get_draft(values["draft"])
    source_content = desk.get_source_content(draft)
    if isinstance(source_content, Refused):
        return desk.go_to(f"/draft/{values['draft']}/images")
    negative, positive = values.get("negative", ""), values.get("positive", "")
    checked = desk.helper.call(check_controls, source_content.wells, negative, positive)
    if isinstance(checked, Refused):
        return show_controls(desk, values, checked.reason, UNPROCESSABLE)
    try:
        metadata = _read_map_path(desk, values.get("metadata", ""))
        plate_map = _read_plate_map(desk, draft.choices, metadata)
        if isinstance(plate_map, Refused):
            raise ValueError(plate_map.reason)
    except (OSError, ValueError) as error:
        return show_controls(desk, values, str(error), UNPROCESSABLE)
    is_new = metadata != draft.choices.metadata
    known_columns = {
        *(plate_map.columns if plate_map else []),
        *source_content.metadata,
    }
    columns = {
        name: values.get(name, "") if values.get(name, "") in known_columns else ""
        for name in ("compound", "dose", "label")
    }
    draft.choices = replace(
        draft.choices,
        negative=checked.negative,
        positive=checked.positive,
        metadata=metadata,
        **columns,
    )
    # After a new map is given, its columns are chosen next.
    step = "controls" if is_new and metadata else "start"
    return desk.go_to(f"/draft/{values['draft']}/{step}")


def _read_map_path(desk: Desk, text: str) -> str:
    if not text.strip():
        return ""
    path = read_chosen_path(text, desk.root)
    if path.is_dir():
        raise ValueError(f"{path} is a folder. A plate map is a CSV or XLSX file.")
    return str(path)


def show_start(
    desk: Desk, values: Values, alert: str = "", status: int = 200
) -> Response:
    """Show what will be run."""
    draft = desk.get_draft(values["draft"])
    source_content = desk.get_source_content(draft)
    if isinstance(source_content, Refused):
        return desk.go_to(f"/draft/{values['draft']}/images")
    output = values.get("output", draft.output)
    return _render_step(
        desk,
        values,
        "start",
        status,
        title="Start",
        source_content=source_content,
        alert=alert,
        output=output,
        commands=write_commands(draft.choices, _locate_output(desk, output)),
    )


def start_draft(desk: Desk, values: Values) -> Response:
    """Start the run."""
    draft = desk.get_draft(values["draft"])
    source_content = desk.get_source_content(draft)
    if isinstance(source_content, Refused):
        return desk.go_to(f"/draft/{values['draft']}/images")
    text = values.get("output", "").strip()
    draft.output = text or draft.output
    # A form that is sent while it is filled in starts nothing.
    if values.get("press") != "start":
        return desk.go_to(f"/draft/{values['draft']}/start")
    folder = _locate_output(desk, draft.output)
    try:
        run = prepare_run(folder, draft.choices, source_content.n_wells)
        start_run(run)
    except FolderInUse:
        # Started twice: the first one is at work.
        return desk.go_to(f"/run/{desk.add_run(folder)}")
    except (OSError, ValueError, RuntimeError) as error:
        return show_start(desk, values, str(error), UNPROCESSABLE)
    return desk.go_to(f"/run/{desk.add_run(run.folder)}")


def _locate_output(desk: Desk, text: str) -> Path:
    return Path(os.path.abspath(desk.root / Path(text).expanduser()))


def write_commands(choices: Choices, folder: Path) -> list[str]:
    """Write the command lines of a run, as they can be typed.

    Examples
    --------
    >>> write_commands(Choices("/data/plate 1"), Path("/out"))[0]
    "stratonet extract '/data/plate 1' --output /out/features"
    """
    argument_lists = [
        write_extract_arguments(choices, folder),
        write_evaluate_arguments(choices, folder),
    ]
    return [shlex.join(["stratonet", *arguments]) for arguments in argument_lists]


def _render_step(
    desk: Desk, values: Values, step: str, status: int = 200, **more: Any
) -> Response:
    """Render a page of a draft."""
    draft: Draft = desk.get_draft(values["draft"])
    base = f"{desk.home}/draft/{values['draft']}"
    steps = [(f"{base}/{name}", title) for name, title in STEPS.items()]
    return desk.render(
        f"{step}.html",
        status,
        page_address=f"{base}/{step}",
        base=base,
        steps=steps,
        draft=draft,
        choices=draft.choices,
        **more,
    )
