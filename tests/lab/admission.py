"""What happens to a pod before it is stored: defaults, validation, Pod Security admission."""

import re
import secrets
from collections.abc import Iterator
from typing import Any

from tests.lab.objects import ENFORCE, condition
from tests.lab.podprocess import DEFAULT_CAPABILITIES
from tests.lab.status import JsonObject, forbidden, invalid

Problem = tuple[str, str, str]

# RFC 1123 subdomain, as k8s.io/apimachinery's validation has it.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_QUANTITY = re.compile(r"(\d+)(Ki|Mi|Gi|Ti|k|M|G|T)?")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

# Pod Security Standards, baseline: what may be added (containerd's default set without NET_RAW, and FOWNER and the like).
_BASELINE_CAPABILITIES = {name.upper() for name in DEFAULT_CAPABILITIES} - {"NET_RAW"}


def quantity_bytes(text: str) -> int:
    """A resource quantity of whole bytes (`64Mi`, `1G`, `4096`). Raises ValueError."""
    found = _QUANTITY.fullmatch(text)
    if not found:
        raise ValueError(f"not a quantity: {text!r}")
    return int(found[1]) * _UNITS[found[2] or ""]


def with_defaults(pod: JsonObject, namespace: str) -> JsonObject:
    """A copy of a new pod with its name, its defaults and the status it starts with."""
    ours = ("uid", "resourceVersion", "creationTimestamp")
    metadata = {key: value for key, value in (pod.get("metadata") or {}).items() if key not in ours}
    metadata["namespace"] = namespace
    if metadata.get("generateName") and not metadata.get("name"):
        metadata["name"] = metadata["generateName"] + "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
    defaults = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "enableServiceLinks": True,
    }
    spec = defaults | {key: value for key, value in (pod.get("spec") or {}).items() if value is not None}
    always = {"imagePullPolicy": "IfNotPresent", "resources": {}, "terminationMessagePath": "/dev/termination-log"}
    spec["containers"] = [always | container for container in spec.get("containers") or [] if isinstance(container, dict)]
    scheduled = condition("PodScheduled", "True")
    if not spec.get("nodeName"):
        scheduled = condition("PodScheduled", "False", "Unschedulable", "the lab has no scheduler: set spec.nodeName")
    status = {"phase": "Pending", "qosClass": "BestEffort", "conditions": [scheduled]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}


def _required(field: str, hint: str = "") -> Problem:
    return ("FieldValueRequired", "Required value" + (f": {hint}" if hint else ""), field)


def _invalid(field: str, value: object, rule: str) -> Problem:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return ("FieldValueInvalid", f"Invalid value: {shown}: {rule}", field)


def _pod_problems(pod: JsonObject) -> Iterator[Problem]:
    name, spec = pod["metadata"].get("name", ""), pod["spec"]
    if not name:
        yield _required("metadata.name", "name or generateName is required")
    elif not _NAME.fullmatch(name) or len(name) > 253:
        yield _invalid("metadata.name", name, _NAME_RULE)
    if not spec["containers"]:
        yield _required("spec.containers")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not (isinstance(deadline, int) and 1 <= deadline < 2**31):
        yield _invalid("spec.activeDeadlineSeconds", deadline, "must be between 1 and 2147483647, inclusive")
    volumes = {volume.get("name") for volume in spec.get("volumes") or []}
    for index, volume in enumerate(spec.get("volumes") or []):
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit is not None and not _QUANTITY.fullmatch(str(limit)):
            yield _invalid(f"spec.volumes[{index}].emptyDir.sizeLimit", limit, "must be a quantity of bytes")
    for index, container in enumerate(spec["containers"]):
        place = f"spec.containers[{index}]"
        yield from (_required(f"{place}.{key}") for key in ("name", "image") if not container.get(key))
        for number, mount in enumerate(container.get("volumeMounts") or []):
            if mount.get("name") not in volumes:
                yield ("FieldValueNotFound", f'Not found: "{mount.get("name")}"', f"{place}.volumeMounts[{number}].name")
            if not mount.get("mountPath"):
                yield _required(f"{place}.volumeMounts[{number}].mountPath")


def validate(pod: JsonObject) -> None:
    """Raise ApiError 422 for a pod that the API server would refuse."""
    if problems := list(_pod_problems(pod)):
        raise invalid("Pod", pod["metadata"].get("name", ""), problems)


def _of_containers(names: list[str], rule: str) -> str:
    if len(names) == 1:
        return f'container "{names[0]}" {rule}'
    return "containers " + ", ".join(f'"{name}"' for name in names) + f" {rule}"


def _baseline(spec: JsonObject, contexts: dict[str, dict[str, Any]]) -> Iterator[str]:
    added = {name: set((context.get("capabilities") or {}).get("add") or ()) - _BASELINE_CAPABILITIES for name, context in contexts.items()}
    if any(added.values()):
        listed = ", ".join(f'"{name}"' for name in sorted(set().union(*added.values())))
        rule = f"must not include {listed} in securityContext.capabilities.add"
        yield f"non-default capabilities ({_of_containers([name for name, extra in added.items() if extra], rule)})"
    if shared := [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]:
        yield f"host namespaces ({', '.join(shared)})"
    if paths := [f'"{volume.get("name")}"' for volume in spec.get("volumes") or [] if volume.get("hostPath")]:
        yield f"hostPath volumes (volume{'s' if len(paths) > 1 else ''} {', '.join(paths)})"
    if privileged := [name for name, context in contexts.items() if context.get("privileged")]:
        yield f"privileged ({_of_containers(privileged, 'must not set securityContext.privileged=true')})"


def _restricted(spec: JsonObject, contexts: dict[str, dict[str, Any]]) -> Iterator[str]:
    if found := [name for name, context in contexts.items() if context.get("allowPrivilegeEscalation") is not False]:
        yield f"allowPrivilegeEscalation != false ({_of_containers(found, 'must set securityContext.allowPrivilegeEscalation=false')})"
    if found := [name for name, context in contexts.items() if "ALL" not in ((context.get("capabilities") or {}).get("drop") or ())]:
        rule = 'must set securityContext.capabilities.drop=["ALL"]'
        yield f"unrestricted capabilities ({_of_containers(found, rule)})"
    whole = spec.get("securityContext") or {}
    if found := [name for name, context in contexts.items() if context.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True]:
        yield f"runAsNonRoot != true (pod or {_of_containers(found, 'must set securityContext.runAsNonRoot=true')})"
    own = {name: context.get("seccompProfile") or whole.get("seccompProfile") or {} for name, context in contexts.items()}
    if found := [name for name, profile in own.items() if profile.get("type") not in ("RuntimeDefault", "Localhost")]:
        rule = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        yield f"seccompProfile (pod or {_of_containers(found, rule)})"


def check_pod_security(pod: JsonObject, namespace: JsonObject) -> None:
    """Raise ApiError 403 in the words of k8s.io/pod-security-admission if the namespace's level refuses the pod."""
    level = (namespace["metadata"].get("labels") or {}).get(ENFORCE, "privileged")
    if level not in ("baseline", "restricted"):
        return
    spec = pod["spec"]
    contexts = {container.get("name", ""): container.get("securityContext") or {} for container in spec["containers"]}
    violations = list(_baseline(spec, contexts)) + (list(_restricted(spec, contexts)) if level == "restricted" else [])
    if violations:
        raise forbidden("pods", "", pod["metadata"]["name"], f'violates PodSecurity "{level}:latest": {", ".join(violations)}')
