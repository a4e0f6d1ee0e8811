import warnings
from dataclasses import replace

import pytest

from stratonet import StratoNet, network, providers
from stratonet.card_writer import write_card
from stratonet.processor import read_instructions, read_processor_name
from stratonet.weights_file import WEIGHTS, read_card

pytestmark = pytest.mark.stock_cellprofiler

INTEL = "processor\t: 0\nmodel name\t: Xeon 8488C\nflags\t\t: fpu avx2 avx512_vnni\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd asimddp\n"


def test_instructions_are_those_that_linux_lists(tmp_path):
    for name, text in {"intel": INTEL, "arm": ARM, "other": "cpu : 1\n\nx"}.items():
        (tmp_path / name).write_text(text)
    assert "avx512_vnni" in read_instructions(tmp_path / "intel")
    assert read_instructions(tmp_path / "arm") == {"fp", "asimd", "asimddp"}
    assert read_instructions(tmp_path / "other") == frozenset()
    assert read_instructions(tmp_path / "nowhere") == frozenset()
    assert read_processor_name(tmp_path / "intel") == "Xeon 8488C"
    assert read_processor_name(tmp_path / "nowhere")


def test_a_processor_without_integers_is_told_of_once(tmp_path, monkeypatch):
    """Weights that are fast on some processors only say so on others."""
    path = tmp_path / "int8.onnx"
    card = replace(read_card(), name="mine-int8", fast_on=("avx512_vnni", "asimddp"))
    write_card(WEIGHTS / "stratonet50.onnx", card, path)
    monkeypatch.setattr(network, "read_instructions", lambda: frozenset({"avx2"}))
    with pytest.warns(UserWarning, match="mine-int8 is made for .*avx512_vnni") as told:
        net = StratoNet.load(path, "conv2_block1_out")
        assert StratoNet.load(path, "conv2_block1_out") is net
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        StratoNet.load(WEIGHTS / "stratonet50.onnx", "conv2_block2_out")
        # Nothing is said where the system does not tell, nor where there are some.
        for there in (frozenset(), frozenset({"avx2", "avx512_vnni"})):
            monkeypatch.setattr(network, "read_instructions", lambda there=there: there)
            StratoNet.load(path, "conv2_block1_out", batch=len(there) + 2)


@pytest.mark.parametrize(
    ("there", "is_asked_for"),
    [
        (frozenset({"avx2", "avx512_vnni"}), False),
        (frozenset({"avx2", "avx_vnni"}), False),
        (frozenset({"avx2"}), True),
        (frozenset(), True),  # Windows does not tell
    ],
)
def test_slow_exact_products_only_where_fast_ones_overflow(
    monkeypatch, there, is_asked_for
):
    monkeypatch.setattr(providers, "read_instructions", lambda: there)
    options = providers._make_options(providers.CPU)
    entry = "session.x64quantprecision"
    if is_asked_for:
        assert options.get_session_config_entry(entry) == "1"
    else:
        with pytest.raises(RuntimeError):
            options.get_session_config_entry(entry)
