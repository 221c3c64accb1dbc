"""Destinations on the client's own node: no VXLAN hop belongs to them, and what takes their packets is local as well."""

from tests.truth.reports.mechanism import HEALTHY, LOST, Mechanism, Right

CACHE = "169.254.20.10"
ASK_CACHE = f"client: ask dns {CACHE}:53 {{question}}"
_TO_CACHE = f"-d {CACHE} -p udp --dport 53"
_FROM_CACHE = f"-s {CACHE} -p udp --sport 53"
_AT_CLIENT = ("request ada-ec-1/pod > -",)

# What NodeLocal DNSCache sets up (kubernetes/dns, cmd/node-cache/app). This kernel has no dummy devices; a bridge without ports is one.
_CACHE_UP = (
    "ada-ec-1: ip link add nodelocaldns type bridge",
    f"ada-ec-1: ip addr add {CACHE}/32 dev nodelocaldns",
    "ada-ec-1: ip link set nodelocaldns up",
    f"ada-ec-1: iptables -t raw -I PREROUTING {_TO_CACHE} -j NOTRACK",
    f"ada-ec-1: iptables -t raw -I OUTPUT {_FROM_CACHE} -j NOTRACK",
    f"ada-ec-1: iptables -I INPUT 2 {_TO_CACHE} -j ACCEPT",
    f"ada-ec-1: iptables -I OUTPUT 2 {_FROM_CACHE} -j ACCEPT",
)
_CACHE_DOWN = ("rules: ada-ec-1", "ada-ec-1: ip link del nodelocaldns")

MECHANISMS = (
    Mechanism(
        name="healthy-nodelocal-clusterip",
        kind="destination on the client's node",
        source="kubernetes/dns#745",
        inject=(
            "ada-ec-1: ip addr add {kube-dns.cluster_ip}/32 dev lo",
            "ada-ec-1: iptables -t raw -I PREROUTING -d {kube-dns.cluster_ip} -p udp --dport 53 -j NOTRACK",
            "ada-ec-1: iptables -t raw -I OUTPUT -s {kube-dns.cluster_ip} -p udp --sport 53 -j NOTRACK",
            "ada-ec-1: iptables -I INPUT -d {kube-dns.cluster_ip} -p udp --dport 53 -j ACCEPT",
            "ada-ec-1: iptables -I OUTPUT -s {kube-dns.cluster_ip} -p udp --sport 53 -j ACCEPT",
        ),
        heal=("rules: ada-ec-1", "ada-ec-1: ip addr del {kube-dns.cluster_ip}/32 dev lo"),
        traffic=("ada-ec-1: nameserver {kube-dns} code 0", "client: ask dns {kube-dns} {question}"),
        proof=(
            "answers all",
            "unseen ada-ec-1/{vxlan}: udp port 53 and host {client.address}",
            "seen ada-ec-1/{client.host_interface}: src host {kube-dns.cluster_ip} and udp port 53",
        ),
        right=HEALTHY,
    ),
    Mechanism(
        name="healthy-nodelocal-link-local",
        kind="destination on the client's node",
        source="deliveryhero/helm-charts#670",
        inject=_CACHE_UP,
        heal=_CACHE_DOWN,
        traffic=(f"ada-ec-1: nameserver {CACHE}:53 code 0", ASK_CACHE),
        target=f"{CACHE}:53/udp",
        proof=("answers all", f"seen ada-ec-1/{{client.host_interface}}: src host {CACHE} and udp port 53"),
        right=HEALTHY,
    ),
    Mechanism(
        name="nodelocal-notrack-one-way",
        kind="untracked in one direction",
        source="kubernetes-sigs/node-local-dns#13",
        inject=(
            f"ada-ec-1: ip addr add {CACHE}/32 dev lo",
            f"ada-ec-1: iptables -t raw -I PREROUTING -d {CACHE} -p tcp --dport 53 -j NOTRACK",
            f"ada-ec-1: iptables -t raw -I PREROUTING -d {CACHE} -p tcp --dport 53 -j ACCEPT",
            f"ada-ec-1: iptables -t raw -I OUTPUT -s {CACHE} -p tcp --sport 53 -j NOTRACK",
        ),
        heal=("rules: ada-ec-1", f"ada-ec-1: ip addr del {CACHE}/32 dev lo"),
        traffic=("ada-ec-1: web node-cache 53", f"client: ask http {CACHE}:53 /"),
        target=f"{CACHE}:53/tcp",
        proof=(
            "answers none",
            f"seen ada-ec-1/{{client.host_interface}}: src host {CACHE} and tcp[13]&18==18",
            "counts ada-ec-1: iptables -nvxL cali-fw-{client.host_interface} | grep INVALID",
        ),
        right=Right(
            legs=_AT_CLIENT,
            half_verdicts=("unanswered",),
            causes=("conntrack-invalid",),
            words="NOTRACK|raw table|untracked",
        ),
    ),
    Mechanism(
        name="nodelocal-address-gone",
        kind="destination on the client's node",
        source="kubernetes/dns#282",
        inject=("ada-ec-1: ip link add nodelocaldns type bridge", "ada-ec-1: ip link set nodelocaldns up"),
        heal=("ada-ec-1: ip link del nodelocaldns",),
        traffic=(ASK_CACHE,),
        target=f"{CACHE}:53/udp",
        proof=(
            "answers none",
            f"seen ada-ec-1/{{nic}}: udp port 53 and dst host {CACHE}",
            "says ada-ec-1: ip -4 -br addr show dev nodelocaldns; ip link show nodelocaldns ~ ^[0-9]+: nodelocaldns",
        ),
        right=Right(
            legs=("request ada-ec-1/pod > -", "request ada-ec-1/underlay > -", "request ada-ec-1/pod > ada-ec-1/underlay"),
            half_legs=("request ada-ec-1/pod > ada-ec-1/vxlan",),
            half_verdicts=("unanswered", "undetermined"),
            causes=("not-a-pod", "unknown"),
            half_causes=("route-missing",),
            lies=("kube-proxy-rule-missing", "server-silent"),
            words=r"no (such )?pod|belongs to no|nobody has|no node has|default (gateway|route)|node-?local|not an address of",
        ),
    ),
    Mechanism(
        name="policy-forgets-nodelocal",
        kind="policy on the way to the client's node",
        source="projectcalico/calico#3795",
        # An egress policy that allows DNS to the pods behind kube-dns only: a cache on the node's network is no such pod.
        inject=(
            *_CACHE_UP,
            "ada-ec-1: iptables -N cali-po-_allow-kube-dns",
            "ada-ec-1: iptables -A cali-po-_allow-kube-dns -d {dns-2.address} -p udp --dport 53 -j MARK --set-xmark 0x10000/0x10000",
            "ada-ec-1: iptables -A cali-po-_allow-kube-dns -d {dns-3.address} -p udp --dport 53 -j MARK --set-xmark 0x10000/0x10000",
            "ada-ec-1: iptables -I cali-fw-{client.host_interface} 6 -m mark --mark 0x0/0x20000 -j cali-po-_allow-kube-dns",
            "ada-ec-1: iptables -I cali-fw-{client.host_interface} 7 -m comment --comment 'Return if policy accepted'"
            " -m mark --mark 0x10000/0x10000 -j RETURN",
            "ada-ec-1: iptables -I cali-fw-{client.host_interface} 8 -m comment"
            " --comment 'End of tier default. Drop if no policies passed packet' -m mark --mark 0x0/0x20000 -j DROP",
        ),
        heal=_CACHE_DOWN,
        traffic=(f"ada-ec-1: nameserver {CACHE}:53 code 0", ASK_CACHE),
        target=f"{CACHE}:53/udp",
        proof=(
            "answers none",
            f"seen ada-ec-1/{{client.host_interface}}: udp port 53 and dst host {CACHE}",
            "counts ada-ec-1: iptables -nvxL cali-fw-{client.host_interface} | grep 'End of tier'",
        ),
        right=Right(
            legs=_AT_CLIENT,
            half_verdicts=("unanswered",),
            causes=("network-policy-drop",),
            half_causes=("host-firewall",),
            words="polic|End of tier",
        ),
    ),
    Mechanism(
        name="endpoint-to-host-drop",
        kind="policy on the way to the client's node",
        source="projectcalico/calicoctl#1639",
        inject=(
            "ada-ec-1: iptables -R cali-wl-to-host 2 -m comment --comment cali:3xIeqPkH_U4Pk0Cf -m comment"
            " --comment 'Configured DefaultEndpointToHostAction' -j DROP",
        ),
        heal=("rules: ada-ec-1",),
        traffic=("ada-ec-1: web kubelet 10250", "client: ask http {ada-ec-1.address}:10250 /"),
        target="{ada-ec-1.address}:10250",
        proof=(
            "answers none",
            "seen ada-ec-1/{client.host_interface}: tcp dst port 10250",
            "counts ada-ec-1: iptables -nvxL cali-wl-to-host | grep DROP",
        ),
        right=Right(
            legs=_AT_CLIENT,
            half_verdicts=("unanswered",),
            causes=("host-firewall", "network-policy-drop"),
            half_causes=("unknown",),
            words="cali-wl-to-host|DefaultEndpointToHostAction",
        ),
    ),
    Mechanism(
        name="own-node-dropped-in-input",
        kind="firewall on another port than VXLAN's",
        source="flannel-io/flannel#2116",
        backend="flannel",
        inject=("ada-ec-1: iptables -I INPUT -i cni0 -p tcp --dport 10250 -m comment --comment Input-dropped -j DROP",),
        heal=("rules: ada-ec-1",),
        traffic=("ada-ec-1: web kubelet 10250", "client: ask http {ada-ec-1.address}:10250 /"),
        target="{ada-ec-1.address}:10250",
        proof=(
            "answers none",
            "seen ada-ec-1/{client.host_interface}: tcp dst port 10250",
            "counts ada-ec-1: iptables -nvxL INPUT | grep Input-dropped",
        ),
        right=Right(
            legs=("request ada-ec-1/bridge > -", "request ada-ec-1/pod > -"),
            half_verdicts=("unanswered",),
            causes=("host-firewall",),
            misleads="UDP port of VXLAN",
            words="10250.*(INPUT|rule|allow)|(INPUT|rule|allow).*10250",
        ),
    ),
    Mechanism(
        name="healthy-hairpin",
        kind="a pod that asks itself by its service",
        source="",
        backend="flannel",
        inject=(),
        traffic=("client: ask http {kotsadm} /",),
        target="service/kotsadm/kotsadm",
        proof=("answers all", "says ada-ec-1: bridge -d link show dev {client.host_interface} ~ hairpin on"),
        heal=("ada-ec-1: true",),
        right=HEALTHY,
    ),
    Mechanism(
        name="hairpin-off",
        kind="a pod that asks itself by its service",
        source="",
        backend="flannel",
        inject=("ada-ec-1: ip link set {client.host_interface} type bridge_slave hairpin off",),
        heal=("ada-ec-1: ip link set {client.host_interface} type bridge_slave hairpin on",),
        traffic=("client: ask http {kotsadm} /",),
        target="service/kotsadm/kotsadm",
        proof=(
            "answers none",
            "seen ada-ec-1/{client.host_interface}: tcp[13]==2 and dst host {kotsadm.cluster_ip}",
            "says ada-ec-1: bridge -d link show dev {client.host_interface} ~ hairpin off",
        ),
        right=Right(
            legs=(
                "request ada-ec-1/pod > -",
                "request ada-ec-1/bridge > -",
                "request ada-ec-1/bridge > ada-ec-1/pod",
                "request ada-ec-1/pod > ada-ec-1/bridge",
                "request ada-ec-1/pod > ada-ec-1/pod",
            ),
            verdicts=LOST,
            half_verdicts=("undetermined",),
            causes=("unknown",),
            half_causes=(None,),
            words="hairpin",
        ),
    ),
)
