"""A job on a Ray cluster of several nodes, one of which is lost while it works."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.runs import TILES, Place, cluster_environment, tilth, wait_for
from tests.servers.rays import nodes


def test_a_node_lost_while_working_costs_time_and_no_tile(copied: Place, undisturbed: Place, tmp_path: Path) -> None:
    with nodes(2, 1) as cluster:
        words = ("submit", str(copied.job), "--set", f"compute.address={cluster.address}")
        with tilth(tmp_path / "log", *words, env=cluster_environment()) as driver:
            assert wait_for(driver, lambda: copied.count("map") >= 3)
            cluster.lose()
            assert driver.ended() == 0, driver.told()
            assert "its node went" in driver.told()
            assert driver.leaves_nobody()
    records = copied.records("map").values()
    assert [(record.state, record.seq) for record in records] == [("written", 1)] * TILES
    assert copied.published() == undisturbed.published()
