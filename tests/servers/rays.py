"""Ray clusters of several nodes on this one machine, on loopback, for tests that lose or gain nodes.

Import this module before ``ray``: Ray reads some of its environment when it is imported.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from tests.servers.process import LOOPBACK, cache_folder, command_of, free_port, listens, tail, tree, wait_until

OBJECT_STORE_BYTES = 150_000_000
GPU_WORKER = "gpu-worker"
COMMAND_LISTS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
"""Keys the autoscaler reads without a default although its fake provider runs no command."""
GPU_LABEL = {"tilth.io/accelerator": "gpu"}
"""Label of the autoscaled worker type's nodes."""


def ray_environment() -> dict[str, str]:
    """Environment under which Ray listens on loopback only, asks for a token and runs at normal priority."""
    token = cache_folder("ray") / "token"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_worker_niceness": "0",
        "RAY_idle_worker_killing_time_threshold_ms": "600000",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def settle_environment() -> None:
    """Set ``ray_environment`` for this process and its children; RuntimeError if Ray was imported without it."""
    wanted = ray_environment()
    if "ray" in sys.modules and any(os.environ.get(name) != value for name, value in wanted.items()):
        raise RuntimeError("ray was imported before its environment was set; call settle_environment() first")
    os.environ.update(wanted)
    programs = str(Path(sys.executable).parent)
    if programs not in os.environ["PATH"].split(os.pathsep):
        # A submitted job's "python" and "tilth" are this environment's, as they are in a cluster's image.
        os.environ["PATH"] = programs + os.pathsep + os.environ["PATH"]


@dataclass
class Nodes:
    """A cluster whose nodes the test adds and removes."""

    cluster: Any
    workers: list[Any] = field(default_factory=list)

    @property
    def address(self) -> str:
        """For ``ray.init(address=...)``."""
        return str(self.cluster.address)

    @property
    def dashboard(self) -> str:
        """For ``JobSubmissionClient``, such as ``http://127.0.0.1:8265``; empty if started without a dashboard."""
        return f"http://{self.cluster.webui_url}" if self.cluster.webui_url else ""

    def add(self, cpus: float, **node_arguments: Any) -> Any:
        """Add a worker node (``num_gpus=``, ``resources=``, ``labels=`` as Ray names them) and return it."""
        node = self.cluster.add_node(
            num_cpus=cpus, **{"object_store_memory": OBJECT_STORE_BYTES, "node_ip_address": LOOPBACK} | node_arguments
        )
        self.workers.append(node)
        return node

    def lose(self, node: Any | None = None) -> str:
        """Kill all processes of a worker node (default: the newest) without a goodbye; returns its node id.

        Ray alone would kill the raylet and leave its workers to notice, and to answer calls until they do.
        """
        node = node or self.workers[-1]
        self.workers.remove(node)
        kill_trees(roots_of(node))
        self.cluster.remove_node(node, allow_graceful=False)
        return str(node.node_id)

    def with_actors(self) -> list[Any]:
        """The worker nodes on which the engine's actors live."""
        return [node for node in self.workers if any(is_actor(one) for one in trees(roots_of(node)))]

    def alive(self) -> int:
        """Living nodes as the cluster sees them, the head included; a lost one counts until its heartbeat lapses."""
        return len(self.cluster.global_state._live_node_ids())


@contextmanager
def nodes(
    n: int, cpus_each: float, *, head_cpus: float = 0, dashboard: bool = False, **node_arguments: Any
) -> Iterator[Nodes]:
    """A head and ``n`` worker nodes for the length of the block; a driver in this process is shut down at its end."""
    settle_environment()
    import ray
    from ray.cluster_utils import Cluster

    head = {
        "num_cpus": head_cpus,
        "object_store_memory": OBJECT_STORE_BYTES,
        "node_ip_address": LOOPBACK,
        "include_dashboard": dashboard,
        "dashboard_host": LOOPBACK,
        "dashboard_port": free_port(),
        "dashboard_agent_listen_port": free_port(),
        # Without this a lost node counts as alive for half a minute.
        "_system_config": {
            "health_check_initial_delay_ms": 0,
            "health_check_period_ms": 500,
            "health_check_failure_threshold": 4,
        },
    }
    cluster = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=True)
    try:
        made = Nodes(cluster)
        for _ in range(n):
            made.add(cpus_each, **node_arguments)
        cluster.wait_for_nodes()
        yield made
    finally:
        ray.shutdown()
        cluster.shutdown()


@dataclass(frozen=True)
class Autoscaling:
    """A head whose autoscaler starts and stops GPU-labelled nodes by demand."""

    address: str
    """For ``ray.init(address=...)``."""
    dashboard: str
    """For ``JobSubmissionClient``; empty if started without a dashboard."""
    log: Path

    def gpu_nodes(self) -> int:
        """Living nodes of the autoscaled worker type."""
        from ray import _raylet
        from ray._private.state import GlobalState

        options: Any = _raylet.GcsClientOptions  # type: ignore[attr-defined] # compiled, without stubs
        state = GlobalState()
        state._initialize_global_state(
            options.create(self.address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False)
        )
        try:
            table = state.node_table()
        finally:
            state.disconnect()
        return sum(node["Alive"] and node["Resources"].get("GPU", 0) > 0 for node in table)

    def wait_for_gpu_nodes(self, count: int, seconds: float = 60) -> float:
        """Wait until exactly so many GPU nodes live; returns the seconds it took. TimeoutError after ``seconds``."""
        start = time.monotonic()
        wait_until(lambda: self.gpu_nodes() == count, seconds, f"{count} GPU nodes at {self.address}", 0.25)
        return time.monotonic() - start


@contextmanager
def autoscaling(
    *, max_workers: int = 2, cpus_each: int = 1, head_cpus: int = 1, idle_s: float = 6, dashboard: bool = False
) -> Iterator[Autoscaling]:
    """A head with Ray's fake provider, 0 to ``max_workers`` nodes of one (pretended) GPU each, for the block's length.

    A node leaves after ``idle_s`` without work. The head runs in a process group of its own, and only what it started
    is ended.
    """
    settle_environment()
    gcs_port, dashboard_port = free_port(), free_port()
    address = f"{LOOPBACK}:{gcs_port}"
    with tempfile.TemporaryDirectory(prefix="tilth-ray-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        config = folder / "autoscaler.json"
        config.write_text(json.dumps(autoscaler_config(address, max_workers, cpus_each, head_cpus, idle_s)))
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={gcs_port}"]
        command += [f"--node-ip-address={LOOPBACK}", f"--num-cpus={head_cpus}", "--num-gpus=0"]
        command += [f"--autoscaling-config={config}", f"--temp-dir={folder}"]
        command += [f"--object-store-memory={OBJECT_STORE_BYTES}", f"--include-dashboard={str(dashboard).lower()}"]
        command += [f"--dashboard-host={LOOPBACK}", f"--dashboard-port={dashboard_port}"]
        # Ray's fixed defaults would let two clusters on one machine clash.
        command += [f"--ray-client-server-port={free_port()}", f"--dashboard-agent-listen-port={free_port()}"]
        command += ["--min-worker-port=0", "--max-worker-port=0"]
        ports = (gcs_port, dashboard_port) if dashboard else (gcs_port,)
        with head_process(command, folder / "head.log", ports):
            yield Autoscaling(address, f"http://{LOOPBACK}:{dashboard_port}" if dashboard else "", folder / "head.log")


def autoscaler_config(address: str, max_workers: int, cpus_each: int, head_cpus: int, idle_s: float) -> dict[str, Any]:
    """Ray's autoscaler configuration (version 1) over its fake multi-node provider."""
    head = {"resources": {"CPU": head_cpus}, "node_config": {}, "min_workers": 0, "max_workers": 0}
    worker = {
        "resources": {"CPU": cpus_each, "GPU": 1, "object_store_memory": OBJECT_STORE_BYTES},
        "labels": GPU_LABEL,
        "node_config": {},
        "min_workers": 0,
        "max_workers": max_workers,
    }
    return {
        "cluster_name": "tilth-test",
        "max_workers": max_workers,
        "idle_timeout_minutes": idle_s / 60,
        "upscaling_speed": 100.0,
        "provider": {
            "type": "fake_multinode",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "gcs_address": address,
        },
        "available_node_types": {"ray.head.default": head, GPU_WORKER: worker},
        "head_node_type": "ray.head.default",
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        **{key: [] for key in COMMAND_LISTS},
    }


@contextmanager
def head_process(command: list[str], log: Path, ports: tuple[int, ...]) -> Iterator[None]:
    env = {
        **os.environ,
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "0",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    }
    with log.open("wb") as out:
        head = subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        for port in ports:
            wait_until(partial(answers_or_ended, head, port), 60, f"Ray's head on port {port}")
        if head.poll() is not None:
            raise RuntimeError(f"Ray's head ended with {head.returncode}; last of {log}:\n{tail(log)}")
        yield
    finally:
        kill_trees([head.pid])
        head.wait()


def answers_or_ended(process: subprocess.Popen[bytes], port: int) -> bool:
    return process.poll() is not None or listens(port)


def roots_of(node: Any) -> list[int]:
    """The processes that Ray's cluster started for a node."""
    return [started.process.pid for kind in node.all_processes.values() for started in kind]


def trees(roots: list[int]) -> list[psutil.Process]:
    """These processes and all that descends from them; Ray gives its daemons process groups of their own."""
    found = [psutil.Process(root) for root in roots if psutil.pid_exists(root)]
    return [one for root in found for one in tree(root)]


def kill_trees(roots: list[int]) -> None:
    """Kill these processes and all that descends from them."""
    found = trees(roots)
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.kill()  # psutil compares start times, so a number given to another process is not hit
    psutil.wait_procs(found, timeout=10)


def is_actor(process: psutil.Process) -> bool:
    """Whether one of the engine's pinned workers lives in this process; Ray names it so once it does."""
    return command_of(process).startswith("ray::_Worker")
