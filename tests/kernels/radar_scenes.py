"""Made radar images for the kernels' tests, and the strategies that draw them."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

quick = settings(deadline=None, max_examples=30, derandomize=True)


def speckled(shape: tuple[int, ...], seed: int, looks: float = 4) -> np.ndarray:
    """Intensity of mean 1 with speckle of this many looks, float32."""
    return np.random.default_rng(seed).gamma(looks, 1 / looks, shape).astype(np.float32)


def gaussian_pair(shape: tuple[int, ...], seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Correlated circular complex Gaussian VV and VH, complex128."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, 2, *shape))
    return a[0] + 1j * a[1], 0.4 * (b[0] + 1j * b[1]) + 0.3j * (a[0] + 1j * a[1])


def covariance(shape: tuple[int, ...], looks: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample covariance (c11, c22, c12) of ``looks`` such pairs, float64."""
    vv, vh = gaussian_pair((looks, *shape), seed)
    return (abs(vv) ** 2).mean(0), (abs(vh) ** 2).mean(0), (vv * vh.conj()).mean(0)


def c2_planes(shape: tuple[int, ...], looks: int, seed: int = 1) -> list[np.ndarray]:
    """The same as c11, c22, c12_real, c12_imag, float32."""
    c11, c22, c12 = covariance(shape, looks, seed)
    return [np.asarray(part, np.float32) for part in (c11, c22, c12.real, c12.imag)]


@st.composite
def images(draw: st.DrawFn, sides: int = 16, dates: int = 0) -> np.ndarray:
    """Small images of any shape: speckle of any contrast, or whole numbers with ties; some, many or all missing."""
    shape = draw(st.integers(1, sides)), draw(st.integers(1, sides))
    shape = (draw(st.integers(1, dates)), *shape) if dates else shape
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        image = rng.gamma(draw(st.sampled_from([0.5, 4, 1000])), 1.0, shape) * draw(st.sampled_from([1e-6, 1.0, 1e5]))
    else:
        image = rng.integers(0, draw(st.sampled_from([1, 3, 100])), shape, endpoint=True).astype(float)
    image[rng.random(shape) < draw(st.sampled_from([0.0, 0.0, 0.02, 0.3, 1.0]))] = draw(
        st.sampled_from([np.nan, np.inf])
    )
    return image.astype(np.float32)
