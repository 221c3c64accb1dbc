"""Routes, rules and addresses of nodes that take packets elsewhere, or nowhere."""

from tests.truth.reports.mechanism import LOST, Mechanism, Right

_FETCH = "client: ask http {slackernews} /"
_HOST_FETCH = "ada-ec-1: ask http {slackernews} /"
_HOST_CLIENT = "{host-1.namespace}/{host-1.name}"
_INTO_POD = ("request ada-ec-2/vxlan > ada-ec-2/pod", "request ada-ec-2/vxlan > -")
_TO_TUNNEL = ("request ada-ec-1/pod > ada-ec-1/vxlan", "request ada-ec-1/pod > -")

MECHANISMS = (
    Mechanism(
        name="outer-to-gateway-by-policy-rule",
        kind="outer next hop is not the peer",
        source="projectcalico/calico#4662",
        inject=(
            "ada-ec-2: ip route add default via {gateway} dev {nic} table 30400",
            "ada-ec-2: ip rule add from {ada-ec-2.address} lookup 30400 pref 30400",
        ),
        heal=("ada-ec-2: ip rule del pref 30400", "ada-ec-2: ip route flush table 30400"),
        proof=(
            "answers part",
            "seen ada-ec-2/{nic}: udp port {port} and dst host {ada-ec-1.address} and not ether dst {ada-ec-1.underlay_mac}",
            "unseen ada-ec-1/{nic}: udp port {port} and src host {ada-ec-2.address}",
        ),
        right=Right(
            legs=("reply ada-ec-2/underlay > ada-ec-1/underlay",),
            causes=("policy-route", "route-missing", "unknown"),
            lies=("underlay-udp-blocked", "host-firewall"),
            words="ip rule|30400|gateway|policy rout|routing rule",
            misleads="security group|allow UDP",
        ),
    ),
    Mechanism(
        name="host-client-bypasses-vxlan",
        kind="a host client leaves bare",
        source="lf-edge/eve#4370",
        inject=(
            "ada-ec-1: ip route add default via {gateway} dev {nic} table 500",
            "ada-ec-1: ip rule add from {ada-ec-1.address} lookup 500 pref 500",
        ),
        heal=("ada-ec-1: ip rule del pref 500", "ada-ec-1: ip route flush table 500"),
        traffic=(f"{_HOST_FETCH} --source {{ada-ec-1.address}}",),
        client=_HOST_CLIENT,
        target="kotsadm/slackernews",
        proof=(
            "answers none",
            "seen ada-ec-1/{nic}: tcp[13]==2 and src host {ada-ec-1.address} and dst host {web.address}",
            "unseen ada-ec-1/{vxlan}: tcp[13]==2 and dst host {web.address}",
        ),
        right=Right(
            legs=(
                "request ada-ec-1/underlay > -",
                "request ada-ec-1/underlay > ada-ec-2/underlay",
                "request ada-ec-1/vxlan > -",
            ),
            causes=("policy-route", "route-missing"),
            half_causes=("unknown",),
            words="ip rule|lookup 500|table 500|policy rout|routing rule|unencapsulated|bare",
        ),
    ),
    Mechanism(
        name="mesh-vpn-takes-pod-networks",
        kind="a rule before the main table",
        source="tailscale/tailscale#14706",
        # An exit node: table 52 has a default route, and throws for what the agent knows; the other nodes' pods it does not know.
        early=True,
        settle_s=2.0,
        inject=(
            "ada-ec-1: ip link set tailscale0 up",
            "ada-ec-1: ip route add default dev tailscale0 table 52",
            "ada-ec-1: ip route add throw 10.128.0.0/24 table 52",
            "ada-ec-1: ip route add throw {ada-ec-1.pod_cidr} table 52",
            "ada-ec-1: ip rule add from all lookup 52 pref 5270",
        ),
        heal=("ada-ec-1: ip rule del pref 5270", "ada-ec-1: ip route flush table 52"),
        traffic=("ada-ec-1: sink tailscale0", "client: ask dns {kube-dns} {question}"),
        proof=(
            "answers none",
            "seen ada-ec-1/tailscale0: udp port 53",
            "unseen ada-ec-1/{vxlan}: udp port 53 and src host {client.address}",
        ),
        right=Right(
            legs=_TO_TUNNEL,
            half_verdicts=("undetermined",),
            causes=("policy-route",),
            half_causes=("route-missing", "unknown"),
            lies=("duplicate-pod-cidr",),
            words="table 52|lookup 52|tailscale0|ip rule|policy rout|5270",
        ),
    ),
    Mechanism(
        name="tunnel-address-of-another-block",
        kind="owner of the inner MAC",
        source="projectcalico/calico#5595",
        inject=(
            "ada-ec-1: ip addr add {ada-ec-3.pod_cidr[26]}/32 dev {vxlan}",
            "ada-ec-1: ip addr del {ada-ec-1.vtep_address}/32 dev {vxlan}",
        ),
        heal=(
            "ada-ec-1: ip addr add {ada-ec-1.vtep_address}/32 dev {vxlan}",
            "ada-ec-1: ip addr del {ada-ec-3.pod_cidr[26]}/32 dev {vxlan}",
        ),
        traffic=(_HOST_FETCH,),
        client=_HOST_CLIENT,
        target="kotsadm/slackernews",
        proof=(
            "answers none",
            "seen ada-ec-3/{vxlan}: dst host {ada-ec-3.pod_cidr[26]}",
            "unseen ada-ec-1/{vxlan}: dst host {ada-ec-3.pod_cidr[26]}",
        ),
        right=Right(
            legs=(
                "reply ada-ec-2/underlay > ada-ec-1/underlay",
                "reply ada-ec-2/underlay > -",
                "reply ada-ec-3/vxlan > -",
                "reply ada-ec-3/underlay > -",
            ),
            causes=("tunnel-address-conflict", "route-missing", "unknown", "pod-route-missing", "duplicate-pod-cidr"),
            lies=("fdb-wrong-destination", "wrong-node-address", "stale-vtep-mac", "duplicate-vtep-mac"),
            words="ada-ec-3.*(block|route|tunnel)|block of ada-ec-3|borrow|tunnel address",
            harm="fdb replace",
        ),
    ),
    Mechanism(
        name="vxlan-device-forwarding-off",
        kind="forwarding of one device",
        source="projectcalico/cni-plugin#283",
        inject=("ada-ec-2: echo 0 > /proc/sys/net/ipv4/conf/{vxlan}/forwarding",),
        heal=("ada-ec-2: echo 1 > /proc/sys/net/ipv4/conf/{vxlan}/forwarding",),
        proof=(
            "answers part",
            "seen ada-ec-2/{vxlan}: dst host {dns-2.address}",
            "unseen ada-ec-2/{dns-2.host_interface}: dst host {dns-2.address} and udp port 53",
        ),
        right=Right(legs=_INTO_POD, causes=("ip-forward-off",), words="forwarding"),
    ),
    Mechanism(
        name="address-of-no-pod",
        kind="a server that nobody observed",
        source="rancher/rancher#45546",
        inject=("ada-ec-2: ip route del blackhole {ada-ec-2.pod_cidr}",),
        heal=("ada-ec-2: ip route add blackhole {ada-ec-2.pod_cidr} proto 80",),
        traffic=("client: ask ping {ada-ec-2.pod_cidr[22]} -",),
        target="{ada-ec-2.pod_cidr[22]}",
        proof=(
            "answers none",
            "seen ada-ec-2/{vxlan}: icmp and dst host {ada-ec-2.pod_cidr[22]}",
            "seen ada-ec-2/{nic}: icmp and dst host {ada-ec-2.pod_cidr[22]}",
        ),
        right=Right(
            legs=(*_INTO_POD, "request ada-ec-2/underlay > -", "request ada-ec-2/vxlan > ada-ec-2/underlay"),
            half_verdicts=("unanswered",),
            causes=("not-a-pod", "pod-route-missing", "unknown"),
            half_causes=("pod-unreachable", "stale-endpoint"),
            lies=("server-silent",),
            words="no (such )?pod|belongs to no|nobody has|no pod has|default (gateway|route)|pod is gone",
        ),
    ),
    Mechanism(
        name="blackhole-hides-borrowed-address",
        kind="owner of a borrowed address",
        source="projectcalico/calico#3246",
        # IPAM had no free block: a pod of the second node has an address of the first's, which has but its blackhole route for it.
        inject=(
            "record: web.address={ada-ec-1.pod_cidr[30]}",
            "web: ip addr add {ada-ec-1.pod_cidr[30]}/32 dev eth0; ip addr del {web.address}/32 dev eth0",
            "ada-ec-2: ip route del {web.address}; ip route add {ada-ec-1.pod_cidr[30]} dev {web.host_interface} scope link",
            "ada-ec-3: ip route add {ada-ec-1.pod_cidr[30]} via {ada-ec-2.vtep_address} dev {vxlan} onlink",
        ),
        traffic=("client: ask http {ada-ec-1.pod_cidr[30]}:3000 /",),
        target="pod/{web.namespace}/{web.name}",
        proof=(
            "answers none",
            "seen ada-ec-1/{client.host_interface}: tcp[13]==2 and dst host {ada-ec-1.pod_cidr[30]}",
            "unseen ada-ec-1/{vxlan}: dst host {ada-ec-1.pod_cidr[30]}",
            "says ada-ec-1: ip route show {ada-ec-1.pod_cidr} ~ ^blackhole",
            "says web: ip -4 addr show dev eth0 ~ {ada-ec-1.pod_cidr[30]}/32",
            "says ada-ec-3: ip route get {ada-ec-1.pod_cidr[30]} ~ via {ada-ec-2.vtep_address}",
        ),
        right=Right(
            legs=_TO_TUNNEL,
            half_verdicts=("unanswered",),
            causes=("route-missing", "pod-route-missing"),
            half_causes=("unknown",),
            words="blackhole|borrow|/32",
            harm="route del blackhole",
        ),
    ),
    Mechanism(
        name="pool-without-outgoing-nat",
        kind="an address outside the cluster",
        source="projectcalico/calico#6254",
        inject=("ada-ec-1: iptables -t nat -F cali-nat-outgoing",),
        heal=("rules: ada-ec-1",),
        traffic=("client: ask ping {gateway} -",),
        target="{gateway}",
        proof=(
            "answers none",
            "seen ada-ec-1/{nic}: icmp[0]==8 and src host {client.address} and dst host {gateway}",
            "unseen ada-ec-1/{nic}: icmp[0]==0 and dst host {client.address}",
        ),
        right=Right(
            legs=("request ada-ec-1/underlay > -", "request ada-ec-1/pod > -", "request ada-ec-1/pod > ada-ec-1/underlay"),
            verdicts=("unanswered", *LOST),
            half_verdicts=("undetermined",),
            causes=("not-a-pod", "unknown"),
            half_causes=("asymmetric-return", "cloud-anti-spoofing"),
            lies=("server-silent", "route-missing", "kube-proxy-rule-missing"),
            words="masquerad|natOutgoing|SNAT|(with|has|still) (the|its) (own|pod's) (source|address)|outside",
        ),
    ),
)
