"""Arrays whose axes lie in another order than the transformer takes them."""

import numpy as np
import pytest

from stratonet_sklearn import StratoFeatureTransformer

pytest.importorskip("sklearn", reason="scikit-learn is not installed")


@pytest.mark.parametrize("kind", [np.asarray, list], ids=["array", "list"])
@pytest.mark.parametrize("axis", [1, 2])
def test_channels_that_do_not_come_last_are_refused(rng, kind, axis):
    images = rng.integers(0, 4096, (3, 64, 80, 2), np.uint16)
    turned = kind(np.moveaxis(images, -1, axis))
    transformer = StratoFeatureTransformer(taps="conv2_block1_out")
    with pytest.raises(ValueError, match=rf"Image 0: .*image, {axis - 1}, -1"):
        transformer.fit(turned)
    transformer.fit(kind(images))
    with pytest.raises(ValueError, match="channels come last"):
        transformer.transform(turned)


def test_one_image_is_no_list_of_planes(rng):
    image = rng.integers(0, 4096, (64, 80, 2), np.uint16)
    with pytest.raises(ValueError, match=r"Image 0: .*\(80, 2\).*np\.newaxis"):
        StratoFeatureTransformer().fit(image)
