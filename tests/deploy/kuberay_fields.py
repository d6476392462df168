"""JSON Schemas of the KubeRay objects in deploy/, unknown keys refused.

KubeRay publishes its CRDs in its repository and Helm chart, in no Python package, so the field names are listed here by
hand from its API reference, docs/reference/api.md of v1.7 (ray.io/v1: RayCluster, RayJob and what they hold). Pod
templates are left open here: `test_kubernetes.py` checks them against Kubernetes' own schemas.
"""

from typing import Any

Schema = dict[str, Any]
STRING: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
BOOLEAN: Schema = {"type": "boolean"}
MAPPING: Schema = {"type": "object"}
LIST: Schema = {"type": "array"}
STRINGS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}


def _closed(required: tuple[str, ...], **fields: Schema) -> Schema:
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def _choice(*values: str) -> Schema:
    return {"enum": list(values)}


def _object(kind: str, spec: Schema) -> Schema:
    named: Schema = {"type": "object", "required": ["name", "namespace"]}
    fields: Schema = {"apiVersion": {"const": "ray.io/v1"}, "kind": {"const": kind}, "metadata": named, "spec": spec}
    return _closed(tuple(fields), **fields)


AUTOSCALER_OPTIONS = _closed(
    (),
    resources=MAPPING,
    image=STRING,
    imagePullPolicy=STRING,
    securityContext=MAPPING,
    idleTimeoutSeconds=WHOLE,
    upscalingMode=_choice("Default", "Aggressive", "Conservative"),
    version=_choice("v1", "v2"),
    env=LIST,
    envFrom=LIST,
    volumeMounts=LIST,
)
HEAD_GROUP = _closed(
    ("template",),
    template=MAPPING,
    headService=MAPPING,
    enableIngress=BOOLEAN,
    resources=STRINGS,
    labels=STRINGS,
    rayStartParams=STRINGS,
    serviceType=STRING,
)
WORKER_GROUP = _closed(
    ("groupName", "minReplicas", "maxReplicas", "template"),
    groupName=STRING,
    suspend=BOOLEAN,
    replicas=WHOLE,
    minReplicas=WHOLE,
    maxReplicas=WHOLE,
    idleTimeoutSeconds=WHOLE,
    priority={"type": "integer"},
    resources=STRINGS,
    labels=STRINGS,
    rayStartParams=STRINGS,
    template=MAPPING,
    scaleStrategy=MAPPING,
    numOfHosts=WHOLE,
)
CLUSTER_SPEC = _closed(
    ("headGroupSpec",),
    authOptions=_closed((), mode=_choice("disabled", "token"), secretName=STRING, enableK8sTokenAuth=BOOLEAN),
    suspend=BOOLEAN,
    managedBy=STRING,
    autoscalerOptions=AUTOSCALER_OPTIONS,
    headServiceAnnotations=STRINGS,
    enableInTreeAutoscaling=BOOLEAN,
    gcsFaultToleranceOptions=MAPPING,
    networkPolicy=MAPPING,
    tlsOptions=MAPPING,
    upgradeStrategy=MAPPING,
    headGroupSpec=HEAD_GROUP,
    rayVersion=STRING,
    workerGroupSpecs={"type": "array", "items": WORKER_GROUP},
)
JOB_SPEC = _closed(
    ("entrypoint",),
    activeDeadlineSeconds=WHOLE,
    backoffLimit=WHOLE,
    preRunningDeadlineSeconds=WHOLE,
    rayClusterSpec=CLUSTER_SPEC,
    submitterPodTemplate=MAPPING,
    metadata=STRINGS,
    clusterSelector=STRINGS,
    submitterConfig=MAPPING,
    managedBy=STRING,
    deletionStrategy=MAPPING,
    entrypoint=STRING,
    runtimeEnvYAML=STRING,
    jobId=STRING,
    submissionMode=_choice("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    entrypointResources=STRING,
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    ttlSecondsAfterFinished=WHOLE,
    shutdownAfterJobFinishes=BOOLEAN,
    suspend=BOOLEAN,
)
SCHEMAS = {"RayCluster": _object("RayCluster", CLUSTER_SPEC), "RayJob": _object("RayJob", JOB_SPEC)}
