"""What the user asked for."""

from dataclasses import dataclass, field
from enum import StrEnum

DEFAULT_IMAGE = "docker.io/nicolaka/netshoot:v0.16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One end of a trace as it was typed: `[TYPE/][NAMESPACE/]NAME[:PORT[/PROTO]]`, an address, or a label selector.

    `kind` is the singular kubectl name (`pod`, `service`, `deployment`, `statefulset`, `daemonset`, `node`) or None.
    `protocol` is `TCP`, `UDP` or `ICMP`. Exactly one of `name`, `address` and `selector` is set, at most one of `port` and `port_name`
    (the name that a Service gives its port).
    """

    kind: str | None = None
    namespace: str | None = None
    name: str | None = None
    address: str | None = None
    port: int | None = None
    protocol: str | None = None
    port_name: str | None = None
    selector: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach the cluster: kubectl's flags of the same names. `token` and `password` are shown to nobody."""

    kubeconfig: str | None = None
    context: str | None = None
    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()
    as_uid: str | None = None
    as_user_extra: tuple[tuple[str, str], ...] = ()
    request_timeout_s: float | None = None
    server: str | None = None
    token: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    client_certificate: str | None = None
    client_key: str | None = None
    certificate_authority: str | None = None
    tls_server_name: str | None = None
    insecure_skip_tls_verify: bool = False


class ProbeKind(StrEnum):
    """What is sent in the traced pod's place: `auto` chooses where the pod sends nothing, `none` never sends."""

    AUTO = "auto"
    DNS = "dns"
    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"
    NONE = "none"


LONGEST_ECHOES_S = 30.0
"""How long captures of a trace's own echoes run at most, which end when these were answered: mesh --mtu of ten nodes takes 14 s."""

LONGEST_AUTO_S = 15.0
"""How long captures run where nobody says how long, and it does not become clear before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on what one trace may take. `ends_when_clear`: the capture may end before `duration_s`. `file_bytes`: one capture's file;
    `node_bytes`: the files of all captures of a node together."""

    duration_s: float = LONGEST_AUTO_S
    ends_when_clear: bool = False
    max_wall_s: float = 300.0
    packets: int | None = None
    snaplen_bytes: int = 512
    file_bytes: int = 64 * 1024 * 1024
    node_bytes: int = 960 * 1024 * 1024
    max_nodes: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOptions:
    """How debug pods are made."""

    image: str = DEFAULT_IMAGE
    image_pull_policy: str = "IfNotPresent"
    image_pull_secret: str | None = None
    debug_namespace: str | None = None
    profile: str = "privileged"
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One trace as asked for.

    `filter` is a libpcap expression applied at the client's first hop. `show` is the number of delivered packets to list. `ticket` is where
    the report belongs to. `payload` keeps what applications send in the captures. `anonymize` puts pseudonyms into what is given away.
    `probe` says what may be sent in the pod's place. `mtu`: echoes of many sizes are sent, and nothing else is followed. `ab`: datagrams
    that differ in port, checksum, size and source port are sent between the nodes afterwards. `all_pods`: of a workload, or of what a
    selector picks.
    """

    command: str
    source: Target
    target: Target | None = None
    filter: str | None = None
    access: Access = field(default_factory=Access)
    limits: Limits = field(default_factory=Limits)
    pod_options: PodOptions = field(default_factory=PodOptions)
    show: int = 5
    ticket: str | None = None
    payload: bool = False
    anonymize: bool = False
    probe: ProbeKind = ProbeKind.NONE
    mtu: bool = False
    ab: bool = False
    all_pods: bool = False
