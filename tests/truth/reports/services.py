"""Services and what keeps them: kube-proxy's modes, node ports, load balancers' addresses, endpoints that are gone."""

from tests.truth.reports.mechanism import HEALTHY, LOST, Mechanism, Right

_FETCH = "client: ask http {slackernews} /"
_NODE_PORT = 30080
_LOAD_BALANCER = "10.128.0.240"  # on the underlay; no node has it
_STALE_PORT = 21667

MECHANISMS = (
    Mechanism(
        name="ipvs-address-without-translation",
        kind="a mode of kube-proxy",
        source="kubernetes/kubernetes#85422",
        # After a reboot the service's address stands on kube-ipvs0, and nothing translates it.
        inject=(
            "ada-ec-1: ip link add kube-ipvs0 type bridge",
            "ada-ec-1: ip addr add {slackernews.cluster_ip}/32 dev kube-ipvs0",
            "ada-ec-1: iptables -t nat -S KUBE-SERVICES | grep 'kotsadm/slackernews ' | sed 's/^-A/iptables -t nat -D/' | bash",
        ),
        heal=("rules: ada-ec-1", "ada-ec-1: ip link del kube-ipvs0"),
        traffic=(_FETCH,),
        target="slackernews",
        proof=(
            "answers none",
            "seen ada-ec-1/{client.host_interface}: src host {slackernews.cluster_ip} and tcp[13]&4==4",
            "unseen ada-ec-1/{vxlan}: tcp port 3000 and host {client.address}",
        ),
        right=Right(
            legs=("request ada-ec-1/pod > -", "request ada-ec-1/pod > ada-ec-1/vxlan"),
            verdicts=("rejected",),
            half_verdicts=LOST,
            causes=("kube-proxy-rule-missing",),
            half_causes=("unknown",),
            lies=("no-endpoints", "host-firewall"),
            words="kube-proxy|kube-ipvs0|translat",
        ),
    ),
    Mechanism(
        name="stale-udp-translation",
        kind="what connection tracking remembers",
        source="kubernetes/kubernetes#125467",
        # A resolver that never changes its port keeps the entry alive that leads to a DNS pod that is gone.
        inject=(
            "ada-ec-1: iptables -t nat -I PREROUTING -s {client.address} -p udp --sport 21667 --dport 53"
            " -j DNAT --to-destination {ada-ec-2.pod_cidr[44]}:53",
            "client: run ask dns {kube-dns} {question} --ports 1 --first-port 21667 --timeout 0.2 --seconds 1",
            "ada-ec-1: iptables -t nat -D PREROUTING 1",
        ),
        heal=("ada-ec-1: conntrack -D -p udp --orig-port-src 21667",),
        traffic=(f"client: ask dns {{kube-dns}} {{question}} --ports 1 --first-port {_STALE_PORT}",),
        proof=(
            "answers none",
            "seen ada-ec-2/{vxlan}: udp src port 21667 and dst host {ada-ec-2.pod_cidr[44]}",
            "says ada-ec-1: conntrack -L -p udp --orig-port-src 21667 2>/dev/null ~ src={ada-ec-2.pod_cidr[44]}",
        ),
        right=Right(
            # Its own backend is unknown to who looks at the pods that there are: then it is last seen where all ways part.
            legs=("request ada-ec-2/vxlan > -", "request ada-ec-2/vxlan > ada-ec-2/pod", "request ada-ec-1/underlay > -"),
            half_verdicts=("unanswered",),
            causes=("stale-endpoint",),
            half_causes=("not-a-pod", "pod-route-missing", "unknown"),
            lies=("server-silent",),
            words="conntrack",
            harm=r"ip route (add|replace) \S*{ada-ec-2.pod_cidr[44]}",
        ),
    ),
    Mechanism(
        name="node-port-without-local-endpoint",
        kind="externalTrafficPolicy",
        source="kubernetes/kubernetes#66354",
        inject=(
            f"record: slackernews.node_port={_NODE_PORT}",
            "record: slackernews.external_local=true",
            f"ada-ec-3: iptables -A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment 'kotsadm/slackernews has no local endpoints'"
            f" -m addrtype --dst-type LOCAL -m tcp --dport {_NODE_PORT} -j DROP",
        ),
        heal=("rules: ada-ec-3",),
        traffic=(f"client: ask http {{ada-ec-3.address}}:{_NODE_PORT} /",),
        target=f"{{ada-ec-3.address}}:{_NODE_PORT}",
        proof=(
            "answers none",
            f"seen ada-ec-3/{{nic}}: tcp dst port {_NODE_PORT}",
            f"unseen ada-ec-3/{{nic}}: tcp src port {_NODE_PORT}",
            "counts ada-ec-3: iptables -nvxL KUBE-EXTERNAL-SERVICES | grep 'no local endpoints'",
        ),
        right=Right(
            legs=("request ada-ec-3/underlay > -",),
            half_verdicts=("unanswered",),
            causes=("no-local-endpoints",),
            half_causes=("host-firewall",),
            words="local endpoint|externalTrafficPolicy|endpoint on this node",
        ),
    ),
    Mechanism(
        name="node-port-reply-goes-direct",
        kind="externalTrafficPolicy",
        source="kubernetes/kubernetes#74383",
        # The third node translates to a pod of the second and leaves the source alone: the answer comes from whom the client never asked.
        inject=(
            f"record: slackernews.node_port={_NODE_PORT}",
            "record: slackernews.external_local=true",
            "ada-ec-1: iptables -t nat -I POSTROUTING -s {pods} -d 10.128.0.0/24 -j ACCEPT",
            f"ada-ec-3: iptables -t nat -A KUBE-NODEPORTS -p tcp -m comment --comment kotsadm/slackernews -m tcp --dport {_NODE_PORT}"
            " -j DNAT --to-destination {web.address}:3000",
        ),
        heal=("rules: ada-ec-1", "rules: ada-ec-3"),
        traffic=(f"client: ask http {{ada-ec-3.address}}:{_NODE_PORT} /",),
        target=f"{{ada-ec-3.address}}:{_NODE_PORT}",
        proof=(
            "answers none",
            f"seen ada-ec-3/{{nic}}: tcp dst port {_NODE_PORT} and src host {{client.address}}",
            "seen ada-ec-1/{vxlan}: src host {web.address} and tcp[13]&18==18 and dst host {client.address}",
            "unseen ada-ec-3/{vxlan}: src host {web.address} and tcp src port 3000",
        ),
        right=Right(
            legs=("reply ada-ec-1/vxlan > ada-ec-1/pod", "reply ada-ec-1/vxlan > -"),
            half_legs=("request ada-ec-3/underlay > -", "reply ada-ec-2/vxlan > ada-ec-3/vxlan", "reply ada-ec-2/pod > -"),
            half_verdicts=("unanswered", "undetermined"),
            causes=("asymmetric-return", "conntrack-invalid"),
            half_causes=("unknown",),
            lies=("server-silent", "nothing-listening"),
            words="externalTrafficPolicy|node ?port|INVALID|asymmetric|another (way|address|source)|source address",
        ),
    ),
    Mechanism(
        name="healthy-load-balancer-address",
        kind="a load balancer's address",
        source="metallb/metallb#1561",
        # Nobody announces it, and pods reach it all the same: kube-proxy translates it on the client's node (proxier.go, externalChain).
        inject=(
            f"record: slackernews.load_balancer={_LOAD_BALANCER}",
            "ada-ec-1: iptables -t nat -N KUBE-EXT-SLACKERNEWS",
            "ada-ec-1: chain=$(iptables -t nat -S KUBE-SERVICES | grep 'kotsadm/slackernews ' | grep -o 'KUBE-SVC-.*');"
            " iptables -t nat -A KUBE-EXT-SLACKERNEWS -s {pods} -m comment"
            " --comment 'pod traffic for kotsadm/slackernews external destinations' -j $chain",
            f"ada-ec-1: iptables -t nat -I KUBE-SERVICES -d {_LOAD_BALANCER} -p tcp -m comment"
            " --comment 'kotsadm/slackernews loadbalancer IP' -m tcp --dport 3000 -j KUBE-EXT-SLACKERNEWS",
        ),
        heal=("rules: ada-ec-1",),
        traffic=(f"client: ask http {_LOAD_BALANCER}:3000 /",),
        target=f"{_LOAD_BALANCER}:3000",
        proof=("answers all", f"unseen ada-ec-1/{{nic}}: arp and host {_LOAD_BALANCER}", "seen ada-ec-2/{vxlan}: tcp dst port 3000"),
        right=HEALTHY,
    ),
    Mechanism(
        name="load-balancer-not-announced",
        kind="ARP unanswered on the underlay",
        source="metallb/metallb#1561",
        inject=(),
        heal=("ada-ec-1: ip neigh flush dev {nic} nud failed",),
        traffic=(f"client: ask http {_LOAD_BALANCER}:80 /",),
        target=f"{_LOAD_BALANCER}:80",
        settle_s=2.0,
        proof=(
            "answers none",
            f"seen ada-ec-1/{{nic}}: arp and dst host {_LOAD_BALANCER}",
            f"unseen ada-ec-1/{{nic}}: arp and src host {_LOAD_BALANCER}",
            f"unseen ada-ec-1/{{nic}}: tcp and dst host {_LOAD_BALANCER}",
        ),
        right=Right(
            legs=("request ada-ec-1/pod > -", "request ada-ec-1/pod > ada-ec-1/underlay"),
            half_legs=("request ada-ec-1/underlay > -", "request ada-ec-1/pod > ada-ec-1/vxlan"),
            verdicts=(*LOST, "rejected"),
            half_verdicts=("unanswered", "undetermined"),
            causes=("arp-unanswered", "not-a-pod"),
            half_causes=("unknown",),
            lies=("kube-proxy-rule-missing", "route-missing", "underlay-udp-blocked"),
            words=r"\bARP\b|nobody (has|answers)|10\.128\.0\.240.*(no|not)",
        ),
    ),
    Mechanism(
        name="no-endpoints-not-rejected",
        kind="a service without endpoints",
        source="kubernetes/kubernetes#78994",
        # Calico accepts what its policy accepted before kube-proxy's REJECT is asked; the packets go where the default route leads.
        inject=("ada-ec-1: iptables -I FORWARD 2 -m mark --mark 0x10000/0x10000 -j ACCEPT",),
        heal=("rules: ada-ec-1",),
        traffic=("client: ask http {postgres} /",),
        target="service/kotsadm/postgres",
        proof=(
            "answers none",
            "seen ada-ec-1/{nic}: tcp dst port 5432 and dst host {postgres.cluster_ip}",
            "unseen ada-ec-1/{client.host_interface}: icmp and dst host {client.address}",
        ),
        right=Right(
            legs=("request ada-ec-1/pod > -", "request ada-ec-1/underlay > -", "request ada-ec-1/pod > ada-ec-1/vxlan"),
            half_verdicts=("unanswered", "undetermined"),
            causes=("no-endpoints",),
            half_causes=("kube-proxy-rule-missing",),
            words="endpoint",
        ),
    ),
)
