"""The pages of a run that was started: how far it is, and its report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from stratonet_app.answers import Values, make_route
from stratonet_app.choices import REPORT
from stratonet_app.desk import Desk
from stratonet_app.pages import write_commands
from stratonet_app.progress import read_progress
from stratonet_app.reach import OutOfReach, resolve_within
from stratonet_app.runs import WORKING, ask_to_stop, start_run

if TYPE_CHECKING:
    from starlette.requests import Request

# A report is a file that may have been changed: as a page of another origin, it cannot
# reach the app. It may load nothing, as its own policy says, too.
REPORT_HEADERS = {
    "Content-Security-Policy": (
        "sandbox allow-scripts allow-popups allow-downloads; default-src 'none';"
        " img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "unsafe-none",
}


def list_routes(desk: Desk) -> list[Route]:
    """List the routes of these pages."""
    run = "/run/{run}"
    return [
        make_route(desk, run, show_run),
        make_route(desk, f"{run}/stop", show_run, stop_run),
        make_route(desk, f"{run}/resume", show_run, resume_run),
        make_route(desk, f"{run}/change", show_run, change_run),
        Route(f"{desk.reports}/{{run}}/{{path:path}}", _make_report_answer(desk)),
    ]


def show_run(
    desk: Desk, values: Values, alert: str = "", status: int = 200
) -> Response:
    """Show how far a run is."""
    run = desk.get_run(values["run"])
    return desk.render(
        "run.html",
        status,
        title=run.folder.name,
        alert=alert,
        page_address=f"{desk.home}/run/{values['run']}",
        report=f"{desk.reports}/{values['run']}/report.html",
        run=run,
        progress=read_progress(run),
        commands=write_commands(run.choices, run.folder),
    )


def stop_run(desk: Desk, values: Values) -> Response:
    """Ask a run to stop."""
    run = desk.get_run(values["run"])
    if run.read_state().step in WORKING:
        ask_to_stop(run)
    return desk.go_to(f"/run/{values['run']}")


def resume_run(desk: Desk, values: Values) -> Response:
    """Resume a run where it stopped."""
    try:
        start_run(desk.get_run(values["run"]))
    except (OSError, RuntimeError) as error:
        return show_run(desk, values, str(error), 500)
    return desk.go_to(f"/run/{values['run']}")


def change_run(desk: Desk, values: Values) -> Response:
    """Choose other controls for a run: what was measured is kept."""
    run = desk.get_run(values["run"])
    draft = desk.add_draft(run.choices, str(run.folder))
    return desk.go_to(f"/draft/{draft}/controls")


def _make_report_answer(desk: Desk) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        run = desk.get_run(request.path_params["run"])
        if not run.report.is_file():
            raise HTTPException(404, "There is no report yet.")
        try:
            # Refuses paths that lead out of a folder, by dots or links.
            folder = resolve_within(run.folder, REPORT)
            path = resolve_within(folder, request.path_params["path"])
        except OutOfReach:
            raise HTTPException(404, "This is not a file of the report.") from None
        shown = StaticFiles(directory=folder)
        name = path.relative_to(folder).as_posix()
        response = await shown.get_response(name, request.scope)
        response.headers.update(REPORT_HEADERS)
        return response

    return answer
