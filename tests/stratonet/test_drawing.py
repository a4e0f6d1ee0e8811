"""Names and marks of the report's figures."""

from drawings import assert_readable

from stratonet.drawing import (
    COLORS,
    MARKERS,
    get_color,
    get_marker,
    new_figure,
    shorten_name,
    shorten_names,
)


def test_long_names_keep_their_ends():
    assert shorten_name("DMSO") == "DMSO"
    assert shorten_name("x" * 24) == "x" * 24
    assert shorten_name("StratoFeatures_High0001_DNA", 11) == "Strat…1_DNA"
    assert {
        len(shorten_name("abcdefghijklmnopqrstuvwxyz", most)) for most in (10, 11)
    } == {10, 11}


def test_names_that_become_the_same_are_told_apart():
    names = ["a" * 20 + "1" + "a" * 20, "a" * 20 + "2" + "a" * 20, "b"]
    shown = shorten_names(names, 20)
    assert (
        len(set(shown)) == 3
        and shown[2] == "b"
        and all(len(name) <= 20 for name in shown)
    )
    assert [name[-3:] for name in shown[:2]] == ["(1)", "(2)"]


def test_names_are_no_mathematics_and_not_left_out_of_legends():
    figure = new_figure(shorten_name("5$ and 10$"), 3)
    axes = figure.subplots()
    axes.plot([0, 1], label=shorten_name("_class"))
    figure.legend()
    assert_readable(figure)
    assert figure._suptitle.get_text() == r"5\$ and 10\$"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [" _class"]


def test_56_values_have_a_mark_of_their_own():
    assert (
        len(
            {
                (get_color(number), get_marker(number))
                for number in range(len(COLORS) * len(MARKERS))
            }
        )
        == 56
    )
