"""Packet filters, programs and policies of nodes, and what their rules say of themselves."""

from tests.truth.reports.mechanism import LOST, Mechanism, Right

_INTO_POD = ("request ada-ec-2/vxlan > ada-ec-2/pod", "request ada-ec-2/vxlan > -")
_ONTO_BRIDGE = ("request ada-ec-2/vxlan > ada-ec-2/bridge", "request ada-ec-2/vxlan > -")
_HOST_FETCH = "ada-ec-1: ask http {slackernews} /"
_HOST_CLIENT = "{host-1.namespace}/{host-1.name}"
_JOB = "POD name:import-28019400-x7k2p namespace: batch"
_JOB_CHAIN = "KUBE-POD-FW-AIWVY7TMPWP7PXQH"

MECHANISMS = (
    Mechanism(
        name="vxlan-from-a-pod",
        kind="the tunnel's port inside the pod network",
        source="projectcalico/calico#9874",
        inject=(),
        heal=("ada-ec-1: true",),
        traffic=("client: encapsulated {web.address}:4789",),
        target="{web.address}:4789/udp",
        proof=(
            "seen ada-ec-1/{client.host_interface}: udp port 4789 and dst host {web.address}",
            "unseen ada-ec-1/{vxlan}: udp port 4789",
            "counts ada-ec-1: iptables -nvxL cali-fw-{client.host_interface} | grep 'VXLAN encapped'",
        ),
        right=Right(
            legs=("request ada-ec-1/pod > ada-ec-1/vxlan", "request ada-ec-1/pod > -"),
            causes=("network-policy-drop", "workload-anti-spoofing", "unknown"),
            half_causes=("host-firewall",),
            words="VXLAN encapped|originating in workloads|cali-fw|allowVXLANPacketsFromWorkloads",
        ),
    ),
    Mechanism(
        name="nfqueue-without-listener",
        kind="a target other than DROP takes it",
        source="kubernetes-sigs/kube-network-policies#12",
        inject=("ada-ec-2: iptables -t mangle -I POSTROUTING -o {dns-2.host_interface} -j NFQUEUE --queue-num 100",),
        heal=("ada-ec-2: iptables -t mangle -D POSTROUTING -o {dns-2.host_interface} -j NFQUEUE --queue-num 100",),
        proof=(
            "answers part",
            "unseen ada-ec-2/{dns-2.host_interface}: udp and dst host {dns-2.address}",
            "counts ada-ec-2: iptables -t mangle -nvxL POSTROUTING | grep NFQUEUE",
        ),
        right=Right(
            legs=_INTO_POD,
            causes=("unknown", "network-policy-drop"),
            half_causes=("host-firewall",),
            words="NFQUEUE|queue",
        ),
    ),
    Mechanism(
        name="leftover-tc-program",
        kind="a leftover of another agent",
        source="cilium/cilium#44194",
        inject=(
            "ada-ec-2: tc qdisc add dev {vxlan} clsact",
            "ada-ec-2: tc filter add dev {vxlan} ingress bpf da bytecode '1,6 0 0 2'",
        ),
        heal=("ada-ec-2: tc qdisc del dev {vxlan} clsact",),
        proof=(
            "answers part",
            "seen ada-ec-2/{vxlan}: udp and dst host {dns-2.address}",
            "unseen ada-ec-2/{dns-2.host_interface}: udp and dst host {dns-2.address}",
        ),
        right=Right(
            legs=_INTO_POD,
            half_verdicts=("undetermined",),
            causes=("tc-program", "unknown"),
            half_causes=("xdp-drop", None),
            words="tc filter|bpftool|clsact|tc qdisc del",
        ),
    ),
    Mechanism(
        name="healthy-tc-program",
        kind="a leftover of another agent",
        source="cilium/cilium#44194",
        inject=(
            "ada-ec-2: tc qdisc add dev {vxlan} clsact",
            "ada-ec-2: tc filter add dev {vxlan} ingress bpf da bytecode '1,6 0 0 0'",
        ),
        heal=("ada-ec-2: tc qdisc del dev {vxlan} clsact",),
        proof=("answers all", "says ada-ec-2: tc filter show dev {vxlan} ingress ~ bpf"),
        right=Right(verdicts=("delivered",), causes=(None,), half_causes=("capture-blind",)),
    ),
    Mechanism(
        name="node-port-dropped-in-input",
        kind="firewall on another port than VXLAN's",
        source="canonical/microk8s#2418",
        inject=("ada-ec-2: iptables -I INPUT -p tcp --dport 9100 -j DROP",),
        heal=("ada-ec-2: iptables -D INPUT -p tcp --dport 9100 -j DROP",),
        traffic=("ada-ec-2: web exporter 9100", "client: ask http {ada-ec-2.address}:9100 /"),
        target="{ada-ec-2.address}:9100",
        proof=(
            "answers none",
            "seen ada-ec-2/{nic}: tcp dst port 9100",
            "counts ada-ec-2: iptables -nvxL INPUT | grep 'dpt:9100'",
        ),
        right=Right(
            legs=("request ada-ec-2/underlay > -",),
            verdicts=(*LOST, "unanswered"),
            causes=("host-firewall",),
            misleads="UDP port of VXLAN",
            words="9100.*(INPUT|rule|allow)|(INPUT|rule|allow).*9100",
        ),
    ),
    Mechanism(
        name="host-client-reply-dropped",
        kind="a host client, after its last tap",
        source="",
        inject=("ada-ec-1: iptables -I INPUT -i {vxlan} -p tcp --sport 3000 -j DROP",),
        heal=("ada-ec-1: iptables -D INPUT -i {vxlan} -p tcp --sport 3000 -j DROP",),
        traffic=(_HOST_FETCH,),
        client=_HOST_CLIENT,
        target="kotsadm/slackernews",
        proof=(
            "answers none",
            "seen ada-ec-1/{vxlan}: tcp[13]&18==18",
            "counts ada-ec-1: iptables -nvxL INPUT | grep 'spt:3000'",
        ),
        right=Right(
            legs=("reply ada-ec-1/vxlan > -",),
            half_verdicts=("unanswered",),
            causes=("host-firewall",),
            words="INPUT|iptables|firewall rule|sport 3000",
        ),
    ),
    Mechanism(
        name="firewalld-rejects-forwarded",
        kind="an ICMP error tells",
        source="flannel-io/flannel#2055",
        backend="flannel",
        # firewalld's own table, behind the chains of iptables that accept (firewalld 1.x with nftables).
        inject=(
            "ada-ec-2: nft 'table inet firewalld { chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;"
            ' ct state { established, related } accept; iifname "{vxlan}" oifname "cni0" jump filter_FWD_public; };'
            " chain filter_FWD_public { counter reject with icmpx admin-prohibited; }; }'",
        ),
        heal=("ada-ec-2: nft delete table inet firewalld",),
        proof=(
            "answers part",
            "seen ada-ec-1/{client.host_interface}: icmp[0]==3 and icmp[1]==13 and dst host {client.address}",
            "unseen ada-ec-2/cni0: udp dst port 53 and dst host {dns-2.address}",
            "counts ada-ec-2: nft list chain inet firewalld filter_FWD_public",
        ),
        right=Right(
            legs=_ONTO_BRIDGE,
            verdicts=("rejected", *LOST),
            causes=("host-firewall",),
            words="firewalld|filter_FWD|forward",
        ),
    ),
    Mechanism(
        name="rules-of-a-finished-job",
        kind="a policy of another pod",
        source="cloudnativelabs/kube-router#1056",
        backend="flannel",
        inject=(
            f"ada-ec-2: iptables -N {_JOB_CHAIN}",
            f"ada-ec-2: iptables -A {_JOB_CHAIN} -m comment --comment 'rule for stateful firewall for pod'"
            " -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            f"ada-ec-2: iptables -A {_JOB_CHAIN} -m comment --comment 'rule to REJECT traffic destined for {_JOB}'"
            " -m mark ! --mark 0x10000/0x10000 -j REJECT --reject-with icmp-port-unreachable",
            f"ada-ec-2: iptables -I FORWARD -d {{dns-2.address}}/32 -m comment --comment 'rule to jump traffic to {_JOB} to chain"
            f" {_JOB_CHAIN}' -j {_JOB_CHAIN}",
        ),
        heal=("rules: ada-ec-2",),
        proof=(
            "answers part",
            "seen ada-ec-1/{client.host_interface}: icmp[0]==3 and icmp[1]==3 and dst host {client.address}",
            "unseen ada-ec-2/cni0: udp dst port 53 and dst host {dns-2.address}",
            f"counts ada-ec-2: iptables -nvxL {_JOB_CHAIN} | grep REJECT",
        ),
        right=Right(
            legs=_ONTO_BRIDGE,
            verdicts=("rejected", *LOST),
            causes=("network-policy-drop",),
            half_causes=("host-firewall",),
            lies=("nothing-listening",),
            words="import-28019400|KUBE-POD-FW|kube-router|another pod",
        ),
    ),
    Mechanism(
        name="ipsec-policy-left-behind",
        kind="an IPsec policy without a state",
        source="k3s-io/k3s#2808",
        backend="flannel",
        inject=(
            "ada-ec-1: ip xfrm policy add src {ada-ec-1.pod_cidr} dst {ada-ec-2.pod_cidr} dir out"
            " tmpl src {ada-ec-1.address} dst {ada-ec-2.address} proto esp reqid 11 mode tunnel",
        ),
        heal=("ada-ec-1: ip xfrm policy flush; ip xfrm state flush",),
        proof=(
            "answers part",
            "seen ada-ec-1/{client.host_interface}: udp dst port 53",
            "unseen ada-ec-1/{vxlan}: udp and dst host {dns-2.address}",
            "says ada-ec-1: ip xfrm policy ~ dst {ada-ec-2.pod_cidr}",
        ),
        right=Right(
            legs=("request ada-ec-1/bridge > ada-ec-1/vxlan", "request ada-ec-1/bridge > -"),
            causes=("unknown",),
            words="xfrm|IPsec",
        ),
    ),
)
