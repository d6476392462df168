"""Kernels beside what NumPy alone would do, and beside a memory copy: ``python tests/bench/bench_kernels.py``.

One core, best of several runs, compile time apart. A pixel of the composite is one pixel of four dates and five bands;
a pixel of the gap filling is one series of 36 steps.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))  # run as a script from anywhere

from kernels import composite, indices, polarimetry, scaling, smooth, speckle

SIDE = 1024
STEPS, SERIES = 36, 65536


def main() -> None:
    """Print one line per kernel: megapixels a second, its peer's, their ratio, and the share of a memory copy."""
    rng = np.random.default_rng(1)
    bands = [rng.uniform(0.01, 0.6, (SIDE, SIDE)).astype(np.float32) for _ in range(4)]
    print(f"{'kernel':<20}{'Mpx/s':>9}{'NumPy':>9}{'ratio':>8}{'of copy':>9}")
    bench_indices(bands)
    bench_scaling(rng)
    bench_m_chi(bands)
    bench_refined_lee(bands[0])
    bench_composite(rng)
    bench_fill(rng)


def bench_indices(bands: list[np.ndarray]) -> None:
    blue, _, red, nir = bands
    out = np.empty_like(nir)
    report("ndvi", nir.size, 12, lambda: indices.ndvi(nir, red, out), lambda: (nir - red) / (nir + red))
    report(
        "evi",
        nir.size,
        16,
        lambda: indices.evi(nir, red, blue, out=out),
        lambda: np.clip(np.float32(2.5) * (nir - red) / (nir + 6 * red - np.float32(7.5) * blue + 1), -1, 1),
    )


def bench_scaling(rng: np.random.Generator) -> None:
    dn = rng.integers(0, 12000, (SIDE, SIDE), dtype=np.uint16)
    report(
        "encode_reflectance",
        dn.size,
        4,
        lambda: scaling.encode_reflectance(dn, 0.0001, -0.1, 0.0),
        lambda: np.where(dn == 0, 0, np.clip(np.rint(dn * 1.0), 1, 65535)).astype(np.uint16),
    )
    report(
        "decode_reflectance",
        dn.size,
        6,
        lambda: scaling.decode_reflectance(dn),
        lambda: np.where(dn == 0, np.float32(np.nan), dn * np.float32(1e-4) - np.float32(0.1)),
    )


def bench_m_chi(bands: list[np.ndarray]) -> None:
    c11, c22, real, imag = bands
    out = np.empty_like(c11), np.empty_like(c11), np.empty_like(c11)

    def peer() -> tuple[np.ndarray, ...]:
        s4 = -2 * imag
        p = np.sqrt((c11 - c22) ** 2 + 4 * real**2 + s4**2)
        return tuple(np.sqrt(np.maximum(v, 0)) for v in ((p + s4) / 2, (p - s4) / 2, c11 + c22 - p))

    report("m_chi", c11.size, 28, lambda: polarimetry.m_chi(c11, c22, real, imag, out=out), peer)


def bench_refined_lee(image: np.ndarray) -> None:
    """The peer is the plain Lee filter with cumulative box sums: the nearest that NumPy does without a loop."""
    out = np.empty_like(image)

    def box(values: np.ndarray) -> np.ndarray:
        total = np.pad(values.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        return total[7:, 7:] - total[:-7, 7:] - total[7:, :-7] + total[:-7, :-7]

    def peer() -> np.ndarray:
        mean = box(image) / 49
        variance = box(image**2) / 49 - mean**2
        noise = mean**2 / 4
        return mean + np.maximum(variance - noise, 0) / variance * (image[3:-3, 3:-3] - mean)

    report("refined_lee", image.size, 8, lambda: speckle.refined_lee(image, out), peer)


def bench_composite(rng: np.random.Generator) -> None:
    dn = rng.integers(1, 9000, (4, 5, SIDE, SIDE), dtype=np.uint16)
    valid = rng.random((4, SIDE, SIDE)) < 0.7
    best = np.empty((SIDE, SIDE), np.float32)
    values, count = np.empty(dn.shape[1:], np.uint16), np.empty((SIDE, SIDE), np.uint8)

    def ours() -> None:
        best.fill(-np.inf)
        values.fill(0)
        count.fill(0)
        for date, mask in zip(dn, valid, strict=True):
            composite.max_gcvi_update(best, values, count, date, mask, green=1, nir=3)

    def peer() -> np.ndarray:
        usable = valid & (dn != 0).all(1) & (dn[:, 1] > 1000)
        with np.errstate(all="ignore"):
            gcvi = np.where(usable, (dn[:, 3] - np.float32(1000)) / (dn[:, 1] - np.float32(1000)), -np.inf)
        picked = np.take_along_axis(dn, gcvi.argmax(0)[None, None], 0)[0]
        return np.where(usable.any(0), picked, 0)

    report("max_gcvi 4x5", best.size, 50, ours, peer)


def bench_fill(rng: np.random.Generator) -> None:
    """The peer, numpy.interp series by series, is timed on a 32nd of them."""
    values = rng.random((STEPS, SERIES), dtype=np.float32)
    values[rng.random(values.shape) < 0.4] = np.nan
    out = np.empty_like(values)
    steps, part = np.arange(STEPS), values[:, ::32].T.copy()

    def peer() -> None:
        for series in part:
            valid = ~np.isnan(series)
            np.interp(steps, steps[valid], series[valid])

    ours = rate(SERIES, lambda: smooth.fill_linear(values, out=out))
    line("fill_linear 36", ours, rate(len(part), peer), ours / rate(SERIES, lambda: np.copyto(out, values)))


def report(name: str, pixels: int, bytes_per_pixel: int, ours: Callable, peer: Callable) -> None:
    """Time a kernel, its peer, and a copy that reads and writes as many bytes as the kernel must."""
    source = np.ones(pixels * bytes_per_pixel // 2, np.uint8)
    target = np.empty_like(source)
    mine = rate(pixels, ours)
    line(name, mine, rate(pixels, peer), mine / rate(pixels, lambda: np.copyto(target, source)))


def rate(pixels: int, call: Callable, runs: int = 5) -> float:
    """Megapixels a second, the best of several runs after one that compiles and warms."""
    call()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return pixels / min(seconds) / 1e6


def line(name: str, ours: float, peer: float, of_copy: float) -> None:
    print(f"{name:<20}{ours:>9.1f}{peer:>9.1f}{ours / peer:>7.1f}x{of_copy:>8.0%}")


if __name__ == "__main__":
    main()
