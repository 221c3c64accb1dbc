"""Addresses that a node rewrites on the way: healthy forms of it, and who minds."""

from tests.truth.reports.mechanism import HEALTHY, LOST, Mechanism, Right

_FETCH = "client: ask http {slackernews} /"

# kube-proxy's own table (pkg/proxy/nftables/proxier.go), for kube-dns, slackernews and a service without endpoints; the chains that
# iptables has for the same are cut off.
_NFTABLES_PROXY = """ada-ec-1: nft -f - <<'END'
table ip kube-proxy {
  set cluster-ips { type ipv4_addr; elements = { {kube-dns.cluster_ip}, {slackernews.cluster_ip}, {postgres.cluster_ip} }; }
  map service-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = {
      {kube-dns.cluster_ip} . udp . 53 : goto service-NWBZK7IH-kube-system/kube-dns/udp/dns,
      {slackernews.cluster_ip} . tcp . 3000 : goto service-ULMVA6XW-kotsadm/slackernews/tcp/,
    }
  }
  map no-endpoint-services {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { {postgres.cluster_ip} . tcp . 5432 comment "kotsadm/postgres" : goto reject-chain }
  }
  chain mark-for-masquerade { meta mark set meta mark or 0x4000; }
  chain reject-chain { reject; }
  chain endpoint-A { ip saddr {dns-2.address} jump mark-for-masquerade; meta l4proto udp dnat to {dns-2.address}:53; }
  chain endpoint-B { ip saddr {dns-3.address} jump mark-for-masquerade; meta l4proto udp dnat to {dns-3.address}:53; }
  chain endpoint-C { ip saddr {web.address} jump mark-for-masquerade; meta l4proto tcp dnat to {web.address}:3000; }
  chain service-NWBZK7IH-kube-system/kube-dns/udp/dns { numgen random mod 2 vmap { 0 : goto endpoint-A, 1 : goto endpoint-B }; }
  chain service-ULMVA6XW-kotsadm/slackernews/tcp/ { goto endpoint-C; }
  chain services { ip daddr . meta l4proto . th dport vmap @service-ips; }
  chain nat-prerouting { type nat hook prerouting priority dstnat; policy accept; jump services; }
  chain nat-output { type nat hook output priority -100; policy accept; jump services; }
  chain service-endpoints-check { ip daddr . meta l4proto . th dport vmap @no-endpoint-services; }
  chain cluster-ips-check {
    ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"
    ip daddr 10.96.0.0/12 drop comment "Drop traffic to unallocated ClusterIPs"
  }
  chain filter-forward {
    type filter hook forward priority filter; policy accept;
    ct state new jump service-endpoints-check
    ct state new jump cluster-ips-check
  }
}
END"""
_WITHOUT_IPTABLES = (
    "ada-ec-1: iptables -t nat -D PREROUTING -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES",
    "ada-ec-1: iptables -t nat -D OUTPUT -m comment --comment 'kubernetes service portals' -j KUBE-SERVICES",
    "ada-ec-1: iptables -F KUBE-SERVICES",
)
_WITHOUT_NFTABLES = ("ada-ec-1: nft delete table ip kube-proxy", "rules: ada-ec-1")

MECHANISMS = (
    Mechanism(
        name="healthy-nftables-proxy",
        kind="a mode of kube-proxy",
        source="kubernetes/kubernetes#121046",
        inject=(*_WITHOUT_IPTABLES, _NFTABLES_PROXY),
        heal=_WITHOUT_NFTABLES,
        proof=(
            "answers all",
            "says ada-ec-1: nft list chain ip kube-proxy services ~ vmap @service-ips",
            "says ada-ec-1: iptables -t nat -S PREROUTING | grep -c KUBE-SERVICES ~ ^0",
        ),
        right=HEALTHY,
    ),
    Mechanism(
        name="nftables-proxy-no-endpoints",
        kind="a mode of kube-proxy",
        source="kubernetes/enhancements#4449",
        inject=(*_WITHOUT_IPTABLES, _NFTABLES_PROXY),
        heal=_WITHOUT_NFTABLES,
        traffic=("client: ask http {postgres} /",),
        target="service/kotsadm/postgres",
        proof=(
            "answers none",
            "seen ada-ec-1/{client.host_interface}: icmp[0]==3 and dst host {client.address}",
            "unseen ada-ec-1/{nic}: tcp dst port 5432",
            "says ada-ec-1: nft list map ip kube-proxy no-endpoint-services ~ {postgres.cluster_ip}",
        ),
        right=Right(
            legs=("request ada-ec-1/pod > -",),
            verdicts=("rejected",),
            half_verdicts=LOST,
            causes=("no-endpoints",),
            lies=("host-firewall",),
            words="endpoint",
        ),
    ),
    Mechanism(
        name="healthy-masquerade-all",
        kind="masqueraded between pods",
        source="kubernetes-sigs/kubespray#1012",
        inject=(
            "ada-ec-1: iptables -t nat -I KUBE-SERVICES -d {kube-dns.cluster_ip} -p udp -m comment"
            " --comment 'kube-system/kube-dns:dns cluster IP' -m udp --dport 53 -j KUBE-MARK-MASQ",
        ),
        heal=("rules: ada-ec-1",),
        proof=(
            "answers all",
            "seen ada-ec-1/{vxlan}: udp dst port 53 and src host {ada-ec-1.vtep_address}",
            "unseen ada-ec-1/{vxlan}: udp dst port 53 and src host {client.address}",
        ),
        right=HEALTHY,
    ),
    Mechanism(
        name="policy-sees-masqueraded-source",
        kind="masqueraded between pods",
        source="projectcalico/calico#5952",
        # The policy lets the client's pod in, by its address; what arrives has its node's.
        inject=(
            "ada-ec-1: iptables -t nat -I KUBE-SERVICES -d {slackernews.cluster_ip} -p tcp -m comment"
            " --comment 'kotsadm/slackernews cluster IP' -m tcp --dport 3000 -j KUBE-MARK-MASQ",
            "ada-ec-2: iptables -N cali-pi-_allow-namespace",
            "ada-ec-2: iptables -A cali-pi-_allow-namespace -s {client.address} -j MARK --set-xmark 0x10000/0x10000",
            "ada-ec-2: iptables -I cali-tw-{web.host_interface} 4 -m mark --mark 0x0/0x20000 -j cali-pi-_allow-namespace",
            "ada-ec-2: iptables -I cali-tw-{web.host_interface} 5 -m comment --comment 'Return if policy accepted'"
            " -m mark --mark 0x10000/0x10000 -j RETURN",
            "ada-ec-2: iptables -I cali-tw-{web.host_interface} 6 -m comment"
            " --comment 'End of tier default. Drop if no policies passed packet' -m mark --mark 0x0/0x20000 -j DROP",
        ),
        heal=("rules: ada-ec-1", "rules: ada-ec-2"),
        traffic=(_FETCH,),
        target="slackernews",
        proof=(
            "answers none",
            "seen ada-ec-2/{vxlan}: tcp dst port 3000 and src host {ada-ec-1.vtep_address}",
            "unseen ada-ec-2/{web.host_interface}: tcp dst port 3000 and src host {ada-ec-1.vtep_address}",
            "counts ada-ec-2: iptables -nvxL cali-tw-{web.host_interface} | grep 'End of tier'",
        ),
        right=Right(
            legs=("request ada-ec-2/vxlan > ada-ec-2/pod", "request ada-ec-2/vxlan > -"),
            causes=("policy-sees-snat",),
            half_causes=("network-policy-drop",),
            words="masquerad|SNAT|source (address )?(was|is) (rewritten|translated|changed)|{ada-ec-1.vtep_address}",
        ),
    ),
)
