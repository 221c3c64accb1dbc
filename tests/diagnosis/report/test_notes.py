"""What is said beside the verdict."""

from kubectl_vxtrace.diagnosis.report.notes import notes
from kubectl_vxtrace.model.cluster import ClusterSnapshot
from kubectl_vxtrace.model.facts import NodeFacts
from kubectl_vxtrace.model.path import Overlay
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.request import PodOptions, Request, Target

# As the real cluster's nodes answered a pod of --profile netraw.
ABSENT = {
    "bpf": "bpftool is not installed",
    "tcx": "programs cannot be asked for: Operation not permitted",
    "nft": "Operation not permitted (you must be root)",
    "iptables": "iptables-nft-save v1.8.9 (nf_tables): Could not fetch rule set generation id: Permission denied (you must be root)",
    "pod-namespaces": "no network namespace that the node has a link into has the address 10.244.114.67",
    "conntrack": "conntrack v1.4.7 (conntrack-tools): Operation failed: sorry, you must be root or get CAP_NET_ADMIN capability to do this",
    "xfrm-state": "RTNETLINK answers: Operation not permitted",
    "ethtool-g.ens4": "netlink error: Operation not supported",
}


def _recording(profile: str, absent: dict[str, str], drops_absent: dict[str, str]) -> Recording:
    return Recording(
        session="s",
        version="1",
        started_ns=0,
        request=Request(command="pod", source=Target(name="web"), pod_options=PodOptions(profile=profile)),
        snapshot=ClusterSnapshot(refused=("list services is forbidden: no Service is known",)),
        overlay=Overlay(),
        flows=(),
        paths=(),
        before=tuple(NodeFacts(node=node, taken_ns=0, absent=absent) for node in ("a", "b")),
        kernel_drops_absent=drops_absent,
        notes=("a file",),
    )


def test_what_a_pod_with_few_rights_could_not_see_is_said_once_for_all_nodes() -> None:
    *others, untold = notes(_recording("netraw", ABSENT, dict.fromkeys(("a", "b"), "it may not mount tracefs")))
    assert others == ["a file", "list services is forbidden: no Service is known"]
    assert untold == (
        "a debug pod of --profile netraw could not see on a, b: programs that may take packets; packet filters; "
        "interfaces, counters and sockets inside the pods; connections and their translations; IPsec; what the kernel dropped, and why. "
        "Causes that these prove are not found"
    )


def test_what_a_node_does_not_have_is_no_lack_of_rights() -> None:
    absent = {key: reason for key, reason in ABSENT.items() if key in ("bpf", "ethtool-g.ens4", "pod-namespaces")}
    assert len(notes(_recording("privileged", absent, {"a": "this kernel names no reasons"}))) == 2


def test_a_privileged_pod_that_something_else_keeps_from_looking_says_so() -> None:
    untold = notes(_recording("privileged", {"nft": "Operation not permitted"}, {}))[-1]
    assert untold.startswith("the debug pod could not see on a, b: packet filters.")


def test_pods_that_could_not_be_looked_into_are_said() -> None:
    absent = {"pod-counters.3": "the debug pod has no /var/run/netns", "pod-udp6.3": "cat: /proc/net/udp6: No such file or directory"}
    untold = notes(_recording("privileged", absent, {}))[-1]
    assert untold == ("the debug pod could not see on a, b: counters and sockets inside the pods. Causes that these prove are not found")
