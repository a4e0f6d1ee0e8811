import numpy as np
import pytest

from stratonet.axes import check_axes


@pytest.mark.parametrize(
    "shape, said",
    [
        ((2, 64, 80), r"2 channels of 64 x 80 .*np\.moveaxis\(image, 0, -1\)"),
        ((1, 64, 80), r"1 channels of 64 x 80 .*np\.moveaxis\(image, 0, -1\)"),
        ((16, 1024, 1360), r"16 channels of 1024 x 1360 .*image, 0, -1"),
        ((8, 32, 32), r"8 channels of 32 x 32 .*image, 0, -1"),
        ((64, 5, 80), r"5 channels of 64 x 80 .*np\.moveaxis\(image, 1, -1\)"),
        ((80, 2), r"\(80, 2\).*image\[np\.newaxis\]"),
        ((3, 1024), r"\(3, 1024\).*image\[np\.newaxis\]"),
    ],
)
def test_axes_in_another_order_are_refused(shape, said):
    with pytest.raises(ValueError, match=f"Image 7: .*{said}"):
        check_axes(shape, "Image 7")


@pytest.mark.parametrize(
    "shape",
    [
        (64, 80),
        (64, 80, 1),
        (64, 80, 5),
        (64, 80, 80),
        (12, 12, 5),
        (20, 1024),
        (1, 1),
        (2, 2, 4),
    ],
)
def test_axes_as_they_should_be(shape):
    check_axes(shape, "Image 7")


def test_one_image_of_several_channels_is_no_stack_of_planes(net):
    with pytest.raises(ValueError, match=r"Plane 0: .*\(80, 2\)"):
        net.features(np.ones((64, 80, 2), np.uint16))
