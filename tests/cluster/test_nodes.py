"""A job on a Ray cluster of several nodes, one of which is lost while it works."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.runs import TILES, Place, cluster_environment, tilth, wait_for
from tests.servers.rays import nodes


def test_a_node_lost_while_working_costs_time_and_no_tile(copied: Place, undisturbed: Place, tmp_path: Path) -> None:
    with nodes(2, 1) as cluster:
        changes = (f"compute.address={cluster.address}", "compute.workers.max=1")
        words = ("submit", str(copied.job), *[word for change in changes for word in ("--set", change)])
        with tilth(tmp_path / "log", *words, env=cluster_environment()) as driver:
            assert wait_for(driver, lambda: bool(cluster.with_actors()))
            (at_work,) = cluster.with_actors()
            assert wait_for(driver, lambda: copied.count("map") >= 3, pause_s=0.005)
            with driver.held():
                cluster.lose(at_work)
            assert driver.ended() == 0, driver.told()
            assert "its node went" in driver.told()
            assert driver.leaves_nobody()
    records = copied.records("map").values()
    assert [(record.state, record.seq) for record in records] == [("written", 1)] * TILES
    assert copied.published() == undisturbed.published()
