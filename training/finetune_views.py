"""Draw random views of planes: the same cell, moved, turned and imaged differently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from stratonet import Card
from stratonet.preprocessing import to_grey


@dataclass(frozen=True)
class Views:
    """How much views differ from the plane. Turns are arbitrary: cells have no top.

    Attributes
    ----------
    zoom : float
        Zoom factors are e to the power of -zoom to zoom.
    shift : float
        Largest shift in either direction, as a share of the side.
    blur : float
        Largest standard deviation, in pixels; half of the views are blurred.
    gamma : float
        Exponents are e to the power of -gamma to gamma.
    contrast : float
        Distances to medium grey are multiplied by e to the power of -contrast to
        contrast.
    noise : float
        Largest standard deviation of noise; grey values are 0 to 1.
    """

    zoom: float = 0.3
    shift: float = 0.08
    blur: float = 1.0
    gamma: float = 0.3
    contrast: float = 0.2
    noise: float = 0.05

    def draw(
        self, plane: np.ndarray, card: Card, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw a view of a plane.

        Parameters
        ----------
        plane : numpy.ndarray (side, side), float
            In [0, 1].
        card : Card
            Says how views are scaled, like all planes that are measured.
        rng : numpy.random.Generator
            Random generator for the draw.

        Returns
        -------
        numpy.ndarray (side, side), float32
            In [0, 1].
        """
        view = self._move(plane.astype(np.float32), rng)
        if rng.random() < 0.5:
            view = ndimage.gaussian_filter(view, rng.uniform(0, self.blur))
        view = to_grey(view, card)
        view = view ** _draw_factor(self.gamma, rng)
        view = (view - 0.5) * _draw_factor(self.contrast, rng) + 0.5
        view = view + rng.normal(0, rng.uniform(0, self.noise), view.shape)
        return np.clip(view, 0, 1).astype(np.float32)

    def _move(self, plane: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Turn, flip, zoom and shift a plane about its centre."""
        angle = rng.uniform(0, 2 * np.pi)
        cosine, sine = np.cos(angle), np.sin(angle)
        matrix = np.array([[cosine, -sine], [sine, cosine]])
        if rng.random() < 0.5:
            matrix[:, 0] *= -1
        matrix /= _draw_factor(self.zoom, rng)
        centre = (np.array(plane.shape) - 1) / 2
        shift = rng.uniform(-self.shift, self.shift, 2) * plane.shape
        # The transform maps pixels of the view to pixels of the plane.
        offset = centre + shift - matrix @ centre
        return ndimage.affine_transform(plane, matrix, offset, order=1, mode="mirror")


def _draw_factor(spread: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(-spread, spread)))
