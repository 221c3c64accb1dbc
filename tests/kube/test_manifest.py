import re

import pytest

from kubectl_vxtrace.kube.manifest import manifest, pod_name
from kubectl_vxtrace.model.request import PodOptions


def make(options: PodOptions | None = None, node: str = "ada-ec-1") -> dict[str, object]:
    return manifest(node, session="7f3a", namespace="debug", options=options or PodOptions(), lifetime_s=134.2)


@pytest.mark.parametrize(
    ("node", "name"),
    [
        ("ada-ec-1", "vxtrace-7f3a-ada-ec-1"),
        ("ip-10-0-0-1.eu-west-1.compute.internal", "vxtrace-7f3a-ip-10-0-0-1"),
        ("10.0.0.1", "vxtrace-7f3a-10-0-0-1"),
        ("Node_1", "vxtrace-7f3a-node-1"),
    ],
)
def test_names(node: str, name: str) -> None:
    assert pod_name("7f3a", node) == name


def test_names_are_unique_labels_of_63_characters() -> None:
    taken: list[str] = []
    for node in ("a.x", "a.y", "n" * 100 + "1", "n" * 100 + "2", "-", "..."):
        taken.append(pod_name("7f3a", node, taken))
    assert len(set(taken)) == len(taken)
    assert all(len(name) <= 63 and re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) for name in taken)


def test_the_pod() -> None:
    pod = make(PodOptions(image="reg/net:1", image_pull_secret="pull"))
    metadata, spec = pod["metadata"], pod["spec"]
    assert isinstance(metadata, dict)
    assert isinstance(spec, dict)
    assert (metadata["name"], metadata["namespace"]) == ("vxtrace-7f3a-ada-ec-1", "debug")
    assert metadata["labels"]["app.kubernetes.io/managed-by"] == "kubectl-vxtrace"
    assert metadata["labels"]["vxtrace/session"] == "7f3a"
    container = spec.pop("containers")[0]
    assert spec == {
        "nodeName": "ada-ec-1",
        "hostNetwork": True,
        "hostPID": False,
        "hostIPC": False,
        "dnsPolicy": "Default",
        "restartPolicy": "Never",
        "activeDeadlineSeconds": 135,
        "terminationGracePeriodSeconds": 5,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "tolerations": [{"operator": "Exists"}],
        "volumes": [
            {"name": "capture", "emptyDir": {"sizeLimit": str(1 << 30)}},
            {"name": "netns", "hostPath": {"path": "/var/run/netns"}},
        ],
        "imagePullSecrets": [{"name": "pull"}],
    }
    assert container["image"] == "reg/net:1"
    assert container["securityContext"] == {"privileged": True, "readOnlyRootFilesystem": True, "runAsUser": 0, "runAsNonRoot": False}
    assert container["command"][:2] == ["sh", "-c"]
    assert container["command"][3:] == ["vxtrace", "60"]
    assert container["volumeMounts"] == [
        {"name": "capture", "mountPath": "/capture"},
        {"name": "netns", "mountPath": "/var/run/netns", "readOnly": True},
    ]


def test_netraw_profile() -> None:
    spec = make(PodOptions(profile="netraw"))["spec"]
    assert isinstance(spec, dict)
    security = spec["containers"][0]["securityContext"]
    assert security["privileged"] is False
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_RAW", "SETUID", "SETGID"]}
    assert [volume["name"] for volume in spec["volumes"]] == ["capture"]
    assert [mount["name"] for mount in spec["containers"][0]["volumeMounts"]] == ["capture"]


def test_a_kept_pod_waits_as_long_as_it_lives() -> None:
    spec = make(PodOptions(keep=True))["spec"]
    assert isinstance(spec, dict)
    assert spec["containers"][0]["command"][-1] == "135"
