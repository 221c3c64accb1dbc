"""A CNI plug-in that links a pod as Calico's does: a veth named after the pod, a /32 on both sides, proxy ARP, Felix's chains.

Called by containerd (CNI specification 0.3.1): the command in CNI_COMMAND, the configuration on stdin, the result on stdout.
Addresses come from the host-local plug-in.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster import plan
from tests.datapath import calico_rules, shape, tools, wiring
from tests.datapath.proxy_rules import Table
from tests.datapath.records import LabNode, LabPod
from tests.datapath.tools import LabError

VERSIONS = ("0.3.0", "0.3.1")
_DISPATCH = (("cali-from-wl-dispatch", "-i", "fw"), ("cali-to-wl-dispatch", "-o", "tw"))


def main() -> int:
    """One command; an error goes to stdout in CNI's form."""
    command = os.environ["CNI_COMMAND"]
    if command == "VERSION":
        print(json.dumps({"cniVersion": VERSIONS[-1], "supportedVersions": VERSIONS}))
        return 0
    text = sys.stdin.read()
    try:
        configuration = json.loads(text)
        if command == "ADD":
            print(json.dumps(_add(configuration, text)))
        elif command == "DEL":
            _delete(configuration, text)
    except (LabError, ValueError, KeyError) as error:
        print(json.dumps({"cniVersion": VERSIONS[-1], "code": 100, "msg": f"{type(error).__name__}: {error}"}))
        return 1
    return 0


def _add(configuration: Mapping[str, Any], text: str) -> dict[str, Any]:
    addresses = json.loads(_ipam("ADD", configuration, text))["ips"]
    address = addresses[0]["address"].partition("/")[0]
    node, pod = _node(configuration), _pod(configuration, address)
    netns, interface = os.environ["CNI_NETNS"], os.environ["CNI_IFNAME"]
    try:
        _link(node, pod, netns, interface)
    except LabError:
        _ipam("DEL", configuration, text)
        raise
    return {
        "cniVersion": configuration["cniVersion"],
        "interfaces": [{"name": pod.host_interface}, {"name": interface, "sandbox": netns}],
        "ips": [{"version": "4", "interface": 1, "address": f"{address}/32"}],
        "dns": {},
    }


def _link(node: LabNode, pod: LabPod, netns: str, interface: str) -> None:
    """The veth first, then the pod's side, the node's side, and the pod's chains."""
    host = pod.host_interface
    _ip(
        f"link add {host} address {wiring.CALICO_HOST_MAC} mtu {node.mtu_bytes}"
        f" type veth peer name {interface} mtu {node.mtu_bytes} netns {netns}"
    )
    inside = [
        f"link set {interface} up",
        f"addr add {pod.address}/32 dev {interface}",
        f"route add {wiring.CALICO_POD_GATEWAY} dev {interface} scope link",
        f"route add default via {wiring.CALICO_POD_GATEWAY} dev {interface}",
    ]
    tools.run(["nsenter", f"--net={netns}", "ip", "-batch", "-"], text="\n".join(inside) + "\n")
    Path(f"/proc/sys/net/ipv4/conf/{host}/proxy_arp").write_text("1")
    # The kernel delays a proxy's answer by up to 0.8 s otherwise (arp(7), proxy_delay).
    Path(f"/proc/sys/net/ipv4/neigh/{host}/proxy_delay").write_text("0")
    _ip(f"link set {host} up", f"route add {pod.address} dev {host} scope link")
    _restore(_chains(node, pod))


def _chains(node: LabNode, pod: LabPod) -> str:
    """Felix's chains of a pod, and the way into them, before the dispatch chains' last rule."""
    table = Table()
    for direction, prefix in (("ingress", "pri"), ("egress", "pro")):
        profile = f"cali-{prefix}-kns.{pod.namespace}"
        table.chain(profile)
        calico_rules.add(table, profile, f"-j MARK --set-xmark {calico_rules.ACCEPTED}", f"Profile kns.{pod.namespace} {direction}")
        calico_rules.workload(table, node, pod, direction, policy=None)
    for dispatch, side, kind in _DISPATCH:
        calico_rules.add(table, dispatch, f"{side} {pod.host_interface} -g cali-{kind}-{pod.host_interface}")
    lines = table.text("filter").splitlines()
    return "\n".join(f"-I{line[2:]}" if line.startswith(tuple(f"-A {each[0]}" for each in _DISPATCH)) else line for line in lines) + "\n"


def _delete(configuration: Mapping[str, Any], text: str) -> None:
    """Everything that may be there; it may have been deleted before, or never been made whole."""
    _ipam("DEL", configuration, text)
    pod = _pod(configuration, None)
    tools.run(["ip", "link", "delete", str(pod.host_interface)], check=False)  # and with it its route
    rules = tools.run(["iptables", "-w", "-S"]).stdout.splitlines()
    own = [calico_rules.workload_chain(pod, direction) for direction in ("ingress", "egress")]
    lines = [f"-D{line[2:]}" for line in rules if line.startswith("-A cali-") and line.split()[-2] == "-g" and line.split()[-1] in own]
    present = [chain for chain in own if f"-N {chain}" in rules]
    _restore("\n".join(["*filter", *lines, *(f"-F {chain}" for chain in present), *(f"-X {chain}" for chain in present), "COMMIT", ""]))


def _ipam(command: str, configuration: Mapping[str, Any], text: str) -> str:
    """Delegate to host-local with the same configuration (CNI specification, "Delegated plugins")."""
    for folder in os.environ["CNI_PATH"].split(os.pathsep):
        plugin = Path(folder) / configuration["ipam"]["type"]
        if plugin.exists():
            done = subprocess.run(
                [str(plugin)], input=text, env={**os.environ, "CNI_COMMAND": command}, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise LabError(f"{plugin.name} {command}: {done.stdout.strip() or done.stderr.strip()}")
            return done.stdout
    raise LabError(f"no plug-in {configuration['ipam']['type']} in {os.environ['CNI_PATH']}")


def _node(configuration: Mapping[str, Any]) -> LabNode:
    present = plan.read(Path(configuration["state"]))
    if present is None:
        raise LabError(f"no cluster is planned in {configuration['state']}")
    return present[0].node(configuration["node"])


def _pod(configuration: Mapping[str, Any], address: str | None) -> LabPod:
    """The pod of CNI_ARGS ("K8S_POD_NAMESPACE=...;K8S_POD_NAME=...")."""
    arguments = dict(part.partition("=")[::2] for part in os.environ.get("CNI_ARGS", "").split(";"))
    namespace, name = arguments["K8S_POD_NAMESPACE"], arguments["K8S_POD_NAME"]
    return LabPod(
        namespace=namespace,
        name=name,
        uid=arguments.get("K8S_POD_UID", ""),
        node=configuration["node"],
        address=address,
        netns=None,
        host_interface=shape.host_interface("calico", namespace, name),
        labels={},
        owner=None,
        host_network=False,
        containers=(),
        phase="Running",
    )


def _ip(*lines: str) -> None:
    tools.ip_batch(None, lines)


def _restore(text: str) -> None:
    tools.run(["iptables-restore", "-w", "--noflush"], text=text)


if __name__ == "__main__":
    sys.exit(main())
