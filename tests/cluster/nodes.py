"""What runs on every node: containerd with the images in it, the kubelet, kube-proxy."""

import json
from pathlib import Path
from typing import Any

from tests.cluster import cgroups
from tests.cluster.binaries import Binaries
from tests.cluster.image import PAUSE_TAG
from tests.cluster.kubectl import last_words, wait_for
from tests.cluster.machine import Machine
from tests.datapath.records import Lab, LabNode

CNI_PLUGINS = Path("/usr/lib/cni")  # Debian's containernetworking-plugins
DNS_ADDRESS = "10.96.0.10"
_CONTAINERD = """version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{configurations}"
"""


def cni_directory(machine: Machine) -> Path:
    """Where containerd looks for the network's configuration: until one is there, the node is not ready.

    Files must be written in place: containerd 1.6 passes over one that is renamed into the directory (cri/server/cni_conf_syncer.go).
    """
    return machine.directory / "cni"


def plugin_directory(machine: Machine) -> Path:
    """Where containerd looks for CNI plug-ins: Debian's, by links, and any that a network adds."""
    return machine.directory / "cni-plugins"


def start_containerd(machine: Machine) -> None:
    """Start containerd; `load` waits for it."""
    cni_directory(machine).mkdir()
    plugin_directory(machine).mkdir()
    for plugin in CNI_PLUGINS.iterdir():
        (plugin_directory(machine) / plugin.name).symlink_to(plugin)
    path = machine.directory / "containerd.toml"
    path.write_text(_CONTAINERD.format(pause=PAUSE_TAG, plugins=plugin_directory(machine), configurations=cni_directory(machine)))
    machine.start("containerd", ["containerd", "--config", str(path), "--log-level", "warn"])


def wait_containerd(machine: Machine) -> None:
    """Wait until containerd answers. Raises LabError."""
    wait_for(
        f"an answer of {machine.node}'s containerd",
        lambda: machine.run(["ctr", "version"], check=False).returncode == 0,
        20,
        lambda: last_words(machine.state, f"containerd-{machine.node}"),
    )


def load(machine: Machine, archive: Path) -> None:
    """Give a node its images. Raises LabError."""
    machine.run(["ctr", "--namespace", "k8s.io", "images", "import", str(archive)])


def start_kubelet(machine: Machine, node: LabNode, binaries: Binaries) -> None:
    """Start the kubelet."""
    path = machine.directory / "kubelet.json"
    path.write_text(json.dumps(_kubelet(machine), indent=1))
    machine.start(
        "kubelet",
        [
            binaries["kubelet"],
            f"--config={path}",
            f"--kubeconfig={machine.state}/pki/kubelet-{node.name}.kubeconfig",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
        ],
    )


def _kubelet(machine: Machine) -> dict[str, Any]:
    """KubeletConfiguration (kubernetes.io, reference, kubelet.config.k8s.io/v1beta1).

    The kubelet shares its kernel with others: it does not enforce what is left for pods, evicts nobody and takes the kernel's settings
    as they are.
    """
    pki = machine.state / "pki"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": f"{pki}/ca.crt"}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/{machine.node}.crt",
        "tlsPrivateKeyFile": f"{pki}/{machine.node}.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroups.path_of(machine.node),
        "enforceNodeAllocatable": [],
        "evictionHard": {},
        "failCgroupV1": False,
        "failSwapOn": False,
        "featureGates": {"KubeletInUserNamespace": True},
        "imageGCHighThresholdPercent": 100,
        "protectKernelDefaults": False,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "nodeStatusReportFrequency": "10s",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "shutdownGracePeriod": "0s",
    }


def start_proxy(lab: Lab, machine: Machine, binaries: Binaries) -> None:
    """Start kube-proxy, which must not touch the conntrack table's size: that is the whole machine's."""
    path = machine.directory / "kube-proxy.json"
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{machine.state}/pki/kube-proxy.kubeconfig"},
        "hostnameOverride": machine.node,
        "clusterCIDR": lab.pod_cidr,
        "mode": "iptables",
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }
    path.write_text(json.dumps(settings, indent=1))
    machine.start("kube-proxy", [binaries["kube-proxy"], f"--config={path}"])
