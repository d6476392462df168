"""The radar kernels on a real C2 (dual-pol, Manitoba) beside their twins and beside an independent package.

Compared where it can be imported. Known differences: polsartools takes the data for one look whatever they have,
and its filter spoils a frame of three pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kernels.polarimetry import degree_and_angle, m_chi
from kernels.speckle import refined_lee, refined_lee_c2
from tests.kernels import radar_twins as twins

SHAPE = (201, 101)
ELEMENTS = ("C11", "C22", "C12_real", "C12_imag")


@pytest.fixture(scope="module")
def manitoba(repo_root: Path) -> list[np.ndarray]:
    """c11, c22, c12_real, c12_imag as they lie on disk, or a skip where they are absent."""
    folder = (repo_root / ".." / "shared" / "data" / "c2-manitoba" / "C2_VVVH").resolve()
    if not (folder / "C11.bin").exists():
        pytest.skip(f"real data is not beside the repository: {folder} has no C11.bin")
    return [np.fromfile(folder / f"{name}.bin", "<f4").reshape(SHAPE) for name in ELEMENTS]


@pytest.mark.parametrize("options", [{}, {"flavour": "polsarpro", "looks": 3}], ids=["snap", "polsarpro"])
def test_both_flavours_agree_with_their_twins(manitoba, options):
    crop = [part[70:125, 20:70] for part in manitoba]
    largest = twins.window_largest(crop[0] + crop[1])
    want = twins.refined_lee_c2(crop, options.get("looks"))
    for got, right in zip(refined_lee_c2(*crop, **options), want, strict=True):
        assert np.all(abs(got - right) <= 3e-7 * largest)
    one = refined_lee(crop[0], **options)
    np.testing.assert_allclose(one, twins.refined_lee(crop[0], options.get("looks")), rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"flavour": "polsarpro", "looks": 3}], ids=["snap", "polsarpro"])
def test_the_filtered_matrix_stays_one(manitoba, options):
    c11, c22, real, imag = (part.astype(float) for part in refined_lee_c2(*manitoba, **options))
    assert np.all(c11 * c22 - real**2 - imag**2 >= -1e-7 * (c11 + c22) ** 2)
    m, _ = degree_and_angle(*refined_lee_c2(*manitoba, **options))
    assert m.min() >= 0 and m.max() <= 1


def test_m_chi_adds_up_and_agrees_with_its_twin(manitoba):
    c11, c22, real, imag = (part.astype(float) for part in manitoba)
    got = [part.astype(float) for part in m_chi(*manitoba)]
    np.testing.assert_allclose(sum(part**2 for part in got), c11 + c22, rtol=1e-6)
    for mine, right in zip(got, twins.m_chi(c11, c22, real + 1j * imag), strict=True):
        assert np.all(abs(mine - right) <= 1e-6 * np.sqrt(c11 + c22))


def test_m_chi_agrees_with_polsartools(manitoba):
    pytest.importorskip("polsartools", reason="polsartools is not installed", exc_type=ImportError)
    from polsartools.polsar.cp.m_chi import process_chunk_mchi

    c11, c22, real, imag = manitoba
    theirs = process_chunk_mchi([c11, real, imag, c22], 1, 45, 0)[:3]
    for mine, right in zip(m_chi(*manitoba), theirs, strict=True):
        assert np.all(abs(mine - right) <= 1e-6 * np.sqrt(c11 + c22))


def test_polsarpro_at_one_look_agrees_with_polsartools_inside_its_frame(manitoba):
    pytest.importorskip("polsartools", reason="polsartools is not installed", exc_type=ImportError)
    from polsartools.rflee import process_chunk_rfleecpp

    c11, c22, real, imag = manitoba
    theirs = process_chunk_rfleecpp([part.astype(complex) for part in (c11, real, imag, c22)], 7)
    largest = twins.window_largest(c11 + c22)
    rows, columns = SHAPE[0] - 7, SHAPE[1] - 7  # it stops one short, and puts the first result at (0, 0)
    for mine, right in zip(
        refined_lee_c2(*manitoba, flavour="polsarpro", looks=1), (theirs[k] for k in (0, 6, 2, 3)), strict=True
    ):
        inside = slice(3, 3 + rows), slice(3, 3 + columns)
        assert np.all(abs(mine[inside] - np.array(right)[:rows, :columns]) <= 1e-6 * largest[inside])
