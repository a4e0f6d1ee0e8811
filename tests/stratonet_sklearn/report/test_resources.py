"""Time and memory of the extraction."""

import pandas as pd
import pytest
from drawings import LONG_NAMES, assert_readable, tick_labels

from stratonet_sklearn.report.resources import draw_resources


def runs(features, hours, image_sets, hosts=1):
    """Lines of `stratonet extract`: one for each host of each run."""
    return pd.DataFrame(
        {
            "features": features,
            "started": f"2026-01-01T00:{run:02d}",
            "shard": "1/1",
            "image_sets": image_sets,
            "cpu_percent_mean": 50.0 + host,
            "cpu_percent_max": 90.0 + host,
            "memory_percent_mean": 20.0,
            "memory_percent_max": 30.0 + host,
            "process_memory_max_mb": 2048.0,
            "hours": one,
        }
        for run, one in enumerate(hours)
        for host in range(hosts)
    )


def test_resources_of_runs():
    frame = pd.concat(
        [
            runs(LONG_NAMES[0], [0.5, 1.0, 2.0], 900),
            runs(LONG_NAMES[1], [1.0], 1800, hosts=2),
            runs("c", [1.0], 0),
        ]
    )
    figure = draw_resources(frame)
    assert_readable(figure)
    time, processor, memory, process = figure.axes
    points = [
        line
        for axes in figure.axes
        for line in axes.get_lines()
        if line.get_linestyle() == "None"
    ]
    assert sorted(points[0].get_xdata()) == [
        2.0,
        4.0,
        4.0,
        8.0,
    ]  # two machines for an hour: 7,200 s for 1,800 sets
    boxes = [
        line.get_xdata() for line in time.get_lines() if len(line.get_xdata()) == 5
    ]
    assert [(min(box), max(box)) for box in boxes] == [
        (3.0, 6.0),
        (4.0, 4.0),
    ]  # quartiles
    assert points[1].get_xdata().tolist() == [50.0, 50.0, 50.0, 50.5]
    assert points[2].get_xdata().tolist() == [90.0, 90.0, 90.0, 91.0]
    assert points[4].get_xdata().tolist() == [30.0, 30.0, 30.0, 31.0]
    assert points[5].get_xdata().tolist() == [2.0] * 4
    assert len(tick_labels(time.yaxis)) == 2
    assert (
        "2 to 8 seconds of machine time, in 4 runs. Not shown: 1 run that measured none"
        in figure._suptitle.get_text()
    )
    with pytest.raises(ValueError, match="None of 1 runs measured an image set"):
        draw_resources(runs("c", [1.0], 0))


def test_resources_as_extract_writes_them(tmp_path):
    from screen_images import TAP, screen, write

    from stratonet.extraction.run import extract

    files, table = screen(plates=("P1",), wells=("A01",), sites=2, root=f"{tmp_path}/")
    write(tmp_path, files)
    table.to_csv(tmp_path / "load_data.csv", index=False)
    extract([tmp_path / "load_data.csv"], tmp_path / "out", taps=[TAP], progress=False)
    frame = pd.concat(
        map(pd.read_csv, (tmp_path / "out" / "_runs").glob("*.csv"))
    ).assign(features="StratoNet")
    figure = draw_resources(frame)
    assert_readable(figure)
    assert figure.axes[0].get_lines()[-1].get_xdata()[0] == pytest.approx(
        frame.hours.iloc[0] * 1800
    )
