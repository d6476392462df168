"""Fixtures of the cluster tests; the undisturbed run is the chaos tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.conftest import copied, country, undisturbed
from tests.servers.rays import Nodes, nodes

__all__ = ["copied", "country", "undisturbed"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    """A head that works on nothing, a node of two CPUs, and the dashboard that takes jobs."""
    with nodes(1, 2, dashboard=True) as made:
        yield made
