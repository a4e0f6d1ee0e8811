"""Section: whether the assay worked, by its controls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from stratonet.drawing import (
    WIDTH,
    add_color_scale,
    get_color,
    new_figure,
    shorten_name,
    shorten_names,
)
from stratonet.messages import count_things
from stratonet.tables.wells import choose_plate_format
from stratonet_sklearn.evaluation.controls import GOOD_Z_PRIME, Controls
from stratonet_sklearn.evaluation.screen import Screen
from stratonet_sklearn.report.axes import label_plate_axes
from stratonet_sklearn.report.data import ReportData
from stratonet_sklearn.report.section import (
    Block,
    Caution,
    Content,
    Numbers,
    Paragraph,
    Plot,
    Table,
    format_numbers,
)

TITLE = "Did the assay work?"
# More table rows and more maps would hide what matters.
MOST_PLATES = 12
MOST_MAPS = 3
# Compounds with a colour of their own.
MOST_COLORS = 5
# Colours of controls on the map of the layout; compounds get other colours.
ROLES = {"negative control": "#000000", "positive control": "#D55E00"}
NO_ROLE = "0.85"
# Ends of the colour scale: with a wider one, single wells would take all colours.
SHOWN_AXIS = (-0.5, 1.5)
# A corrected p below this shows a drift.
SIGNIFICANT = 0.05


def build_controls(data: ReportData) -> Content | None:
    """Show how far positive controls lie from negative ones, plate by plate.

    Parameters
    ----------
    data : ReportData
        With negative or positive controls.

    Returns
    -------
    Content or None
        None where no controls are known.
    """
    if data.controls is None and data.positive is None:
        return None
    screen = data.screen
    if screen is None:
        return None
    controls = screen.controls
    blocks: list[Block] = [
        Numbers("controls", controls.plates),
        Numbers("controls_wells", controls.wells),
        Paragraph(f"{controls.note} {' '.join(screen.wells.notes)}"),
    ]
    if controls.plates["z_prime"].notna().any():
        blocks.append(tabulate_plates(controls))
    if controls.wells["axis"].notna().any() and screen.wells.rows["row"].notna().all():
        blocks.append(_show_maps(screen))
    blocks += _show_drift(controls)
    return Content(TITLE, blocks)


def tabulate_plates(controls: Controls) -> Table:
    """Write the worst plates as texts.

    Parameters
    ----------
    controls : Controls
        With Z' of at least one plate.

    Returns
    -------
    Table
    """
    plates = controls.plates.sort_values("z_prime", na_position="first")
    shown = plates.head(MOST_PLATES)
    frame = pd.DataFrame(
        {
            "Plate": shown["plate"].astype(str),
            "Negative, positive wells": [
                f"{row.n_negative}, {row.n_positive}" for row in shown.itertuples()
            ],
            "Z' (95% interval)": [
                _word_z_prime(row) for row in shown.to_dict("records")
            ],
            "Robust Z'": format_numbers(shown["robust_z_prime"], ".2f"),
            "SSMD": format_numbers(shown["ssmd"], ".1f"),
            "Shift of the plate": format_numbers(shown["shift"], ".2f"),
            "Note": shown["note"],
        }
    )
    # Leave out empty columns.
    frame = frame.loc[:, (frame != "").any()]
    selection = "" if len(shown) == len(plates) else f"the {len(shown)} worst of "
    return Table(
        frame,
        f"Controls by plate ({selection}{count_things(len(plates), 'plate')}), along"
        f" the axis. A Z' of {GOOD_Z_PRIME} or more is called excellent (Zhang 1999)."
        " The robust Z' is computed from medians. Shift: how far the plate lies from"
        " the mean of all plates along the axis, in distances between the controls.",
    )


def _word_z_prime(row: dict[str, Any]) -> str:
    if np.isnan(row["z_prime"]):
        return ""
    text = f"{row['z_prime']:.2f}"
    if np.isfinite(row["low"]):
        text += f" ({row['low']:.2f} to {row['high']:.2f})"
    return text


def _show_maps(screen: Screen) -> Plot:
    plates = screen.controls.plates
    # The worst first, because they need attention.
    worst = plates.sort_values("z_prime", na_position="last")["plate"]
    shown = worst.head(MOST_MAPS).tolist()
    selection = "" if len(shown) == len(plates) else ", those with the lowest Z'"
    wells = screen.controls.wells[["plate", "well", "axis", "role"]]
    wells = wells.set_index("plate").loc[worst].reset_index()
    return Plot(
        "controls",
        draw_axis_maps(screen, shown),
        "Left: the response of each well along the axis, 0 at the mean of the negative"
        " controls of the plate and 1 at that of the positive ones; controls are"
        " measured along axes that were fitted without them. Right: the true layout,"
        " with the treatment of each well. Shown:"
        f" {len(shown)} of {count_things(len(plates), 'plate')}{selection}."
        " A pattern of rows, columns or edges that appears on the left but not on the"
        " right is an effect of the position.",
        wells=wells.rename(columns={"axis": "along the axis"}),
        scale=SHOWN_AXIS,
    )


def draw_axis_maps(screen: Screen, plates: list[str]) -> Figure:
    """Draw the axis beside the layout, a row of two maps per plate.

    Parameters
    ----------
    screen : Screen
        Its wells are named by row and column.
    plates : list of str
        The plates to draw.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = screen.wells.rows
    shape = choose_plate_format(int(rows["row"].max()), int(rows["column"].max()))
    height = (WIDTH - 1.6) / 2 * shape[0] / shape[1] + 0.45
    figure = new_figure(_word_maps(screen.controls), 1.2 + height * len(plates))
    panels = figure.subplots(len(plates), 2, squeeze=False)
    axis = screen.controls.wells["axis"].to_numpy()
    uses, colors = color_layout(screen)
    for (left, right), plate in zip(panels, plates):
        of_plate = (rows["plate"] == plate).to_numpy()
        positions = rows.loc[of_plate, ["row", "column"]].to_numpy(int).T
        values = np.full(shape, np.nan)
        values[tuple(positions)] = axis[of_plate]
        image = left.imshow(
            values, cmap="viridis", vmin=SHOWN_AXIS[0], vmax=SHOWN_AXIS[1]
        )
        _draw_layout(right, positions, uses[of_plate], colors, shape)
        left.set_title(f"{shorten_name(plate, 20)}: axis", fontsize=9)
        right.set_title(f"{shorten_name(plate, 20)}: layout", fontsize=9)
        for axes in (left, right):
            label_plate_axes(axes, *shape)
    add_color_scale(image, panels[:, 0], "along the axis", extend="both")
    keys = [Patch(color=color) for color in colors.values()]
    figure.legend(
        keys,
        shorten_names(colors, 22),
        loc="outside lower center",
        ncol=4,
        fontsize=8,
        frameon=False,
    )
    return figure


def _word_maps(controls: Controls) -> str:
    z_primes = controls.plates["z_prime"].dropna()
    if z_primes.empty:
        return "No plate has enough negative and positive controls for a Z'."
    if len(z_primes) == 1:
        return f"Z' of the plate is {z_primes.iloc[0]:.2f}, on held-out controls."
    return (
        f"Z' ranges from {z_primes.min():.2f} to {z_primes.max():.2f} on"
        f" {len(z_primes):,} plates, on held-out controls."
    )


def color_layout(screen: Screen) -> tuple[np.ndarray, dict[str, str]]:
    """Name the use of each well, and choose colours for the names.

    Parameters
    ----------
    screen : Screen
        Any.

    Returns
    -------
    uses : numpy.ndarray (n wells,), str
        A role, one of the most frequent compounds, ``other compounds`` or ``other``.
    colors : dict of str to str
    """
    rows = screen.wells.rows
    uses = screen.controls.wells["role"].to_numpy(object)
    treated = screen.wells.treated
    frequent = rows.loc[treated, "compound"].value_counts().index[:MOST_COLORS]
    named = treated & rows["compound"].isin(frequent).to_numpy()
    uses = np.where(named, rows["compound"], np.where(treated, "other compounds", uses))
    colors = {name: color for name, color in ROLES.items() if name in uses}
    palette = [get_color(number) for number in range(8)]
    free_colors = [color for color in palette if color not in ROLES.values()]
    colors |= {str(name): color for name, color in zip(frequent, free_colors)}
    for name in ("other compounds", "other"):
        if name in uses:
            colors[name] = NO_ROLE if name == "other" else "0.6"
    return uses, colors


def _draw_layout(
    axes: Axes,
    positions: np.ndarray,
    uses: np.ndarray,
    colors: dict[str, str],
    shape: tuple[int, int],
) -> None:
    pixels = np.ones((*shape, 3))
    for (row, column), use in zip(positions.T, uses):
        pixels[row, column] = to_rgb(colors[str(use)])
    axes.imshow(pixels)


def _show_drift(controls: Controls) -> list[Block]:
    drift = controls.drift
    if drift.empty:
        return []
    blocks: list[Block] = [Numbers("drift", drift)]
    significant = drift[drift["corrected_p"] < SIGNIFICANT]
    for row in significant.itertuples():
        blocks.append(
            Caution(
                f"Negative controls differ by {row.factor} of the plate (medians up to"
                f" {row.range:.2f} apart, where 1 is the distance to the positive"
                f" controls; p {row.corrected_p:.2g}): what look like effects of"
                " treatments may be effects of the position."
            )
        )
    frame = pd.DataFrame(
        {
            "Negative controls by": drift["factor"],
            "Wells, groups": [
                f"{row.n_wells}, {row.n_groups}" for row in drift.itertuples()
            ],
            "Range of medians": format_numbers(drift["range"], ".2f"),
            "p, corrected": format_numbers(drift["corrected_p"], ".2g"),
        }
    )
    blocks.append(
        Table(
            frame,
            "Drift: whether negative controls differ between the rows, between the"
            " columns, and between edge and inside of the plates (Kruskal-Wallis test"
            " within plates).",
        )
    )
    return blocks
