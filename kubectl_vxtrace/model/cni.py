"""What is known of a network plug-in (CNI): how it names and numbers what it makes on nodes and in the API.

The rows themselves stand in topology/cni.py, the one place that knows a plug-in's names. Other rooms get what they need handed over.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PodInterfaces:
    """How a plug-in names the host's end of a pod's veth pair.

    All names begin with `prefix`. `sha1_digits`: so many hexadecimal digits of the SHA-1 of `NAMESPACE.POD` follow; None where the name
    does not follow from the pod's. `attachment_digits`: so many of the SHA-256 of what the plug-in's own object of the pod calls its
    attachment (OwnKinds.endpoints).
    """

    prefix: str
    sha1_digits: int | None = None
    attachment_digits: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAnnotations:
    """Where a plug-in publishes a node's end of the tunnel: annotations of the Node, all of whose names begin with one of `prefixes`.

    `underlay`: those that hold an underlay address, with or without a prefix length. `tunnel`: the one that holds the VXLAN device's own
    IPv4 address. `device`: the one that holds a JSON object with the device's `VNI` and `VtepMAC`.
    """

    prefixes: tuple[str, ...] = ()
    underlay: tuple[str, ...] = ()
    tunnel: str | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyKind:
    """A kind of policies. `kind` as manifests spell it, `plural` as the API does; `is_namespaced`: one of a namespace selects pods in it.
    `selects_endpoints`: its selector is one of labels (Cilium's endpointSelector), and not an expression (Calico's)."""

    kind: str
    plural: str
    is_namespaced: bool
    selects_endpoints: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnKinds:
    """What a plug-in keeps in the API as kinds of its own: policies, pools and blocks of addresses, settings, ends of pods.

    `group`: their API group and version. `settings`: the kind that holds settings, in the plural; None for a plug-in that has neither this
    nor Calico's pools and blocks. `endpoints`: the kind of which each pod has one of its own name. `agents`: (namespace, name) of the
    DaemonSets that its agent may be; those of their environment variables that begin with one of `agent_variables` win over the settings.
    """

    group: str
    policies: tuple[PolicyKind, ...]
    settings: str | None = None
    endpoints: str | None = None
    agents: tuple[tuple[str, str], ...] = ()
    agent_variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedRules:
    """How one program that keeps netfilter rules on the nodes names its chains, comments and sets.

    `chains`: prefixes of all chains that it keeps. `enforces_policy`: what a rule in them drops is dropped by network policy, unless the
    rule itself says something else. `workload_chains`: prefixes of the chains of one pod; the name of the pod's interface follows. Of
    these, the one rule that asks for the state of a connection drops INVALID packets.

    `fingerprint`: how a comment begins that tells the program its own rules, and a person nothing. `policy_comments`: words in comments
    of rules that drop what no policy allows. `foreign_vxlan_comments`: words in comments of rules that drop VXLAN from others than the
    known nodes. `vxlan_sets`: the sets that hold these nodes' addresses, of IPv4 and IPv6.
    """

    chains: tuple[str, ...]
    enforces_policy: bool = False
    workload_chains: tuple[str, ...] = ()
    fingerprint: str | None = None
    policy_comments: tuple[str, ...] = ()
    foreign_vxlan_comments: tuple[str, ...] = ()
    vxlan_sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cni:
    """One network.

    `backend`: what reports call it. `device`: glob of its VXLAN device's name; a `*` stands for the VNI. `port`, `vni`: what it uses
    unless it is told otherwise; `vni` None: one for each packet. `bridge`: the bridge that it hangs pods on, None where it routes to
    each of them. `config_maps`: (namespace, name) of the ConfigMaps that may describe it under `net-conf.json`. `rules`: of its own
    programs, and of those that usually enforce policy beside it.
    """

    backend: str
    device: str
    port: int
    vni: int | None
    annotations: NodeAnnotations
    pod_interfaces: PodInterfaces | None = None
    bridge: str | None = None
    kinds: OwnKinds | None = None
    config_maps: tuple[tuple[str, str], ...] = ()
    rules: tuple[ManagedRules, ...] = ()
