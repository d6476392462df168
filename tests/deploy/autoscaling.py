"""Ray's own autoscaler (v2) asked, without a cluster, which nodes it would start."""

import copy
from typing import Any


def nodes_launched(
    config: dict[str, Any], actors: int, shape: dict[str, float], unavailable: str | None = None
) -> dict[str, int]:
    """Nodes by type that Ray would start on an empty cluster for `actors` actors that each ask for `shape`.

    config: an autoscaling configuration (a launcher file, or what Ray derives from a RayCluster).
    unavailable: a node type that was asked for a moment ago and did not come.
    """
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil

    without_key_file = copy.deepcopy(config) | {"auth": {}}
    parsed = AutoscalingConfig(without_key_file, skip_content_hash=True)
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=parsed.get_node_type_configs(),
        max_num_nodes=parsed.get_max_num_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count([ResourceRequestUtil.make(shape)] * actors),
        recoverable_resource_availabilities={unavailable: 0.0} if unavailable else {},
    )
    reply = ResourceDemandScheduler().schedule(request)
    return {launch.instance_type: launch.count for launch in reply.to_launch}
