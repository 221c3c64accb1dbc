"""Every cause that the report may name has an entry, and nothing else has."""

from kubectl_vxtrace.diagnosis.entries import CAUSES

# The names that other programs rely on: one slug for each cause, no other spelling anywhere.
_WORDS = """
    vxlan-tx-checksum vmware-vxlan-clash underlay-udp-blocked host-firewall calico-unknown-vtep masquerade-port-clash underlay-mtu
    pod-mtu outer-fragments-dropped vxlan-port-mismatch vni-mismatch stale-vtep-mac neighbour-missing fdb-missing
    fdb-wrong-destination wrong-node-address
    duplicate-vtep-mac vxlan-device-down route-missing pod-route-missing duplicate-pod-cidr pod-is-tunnel-address rp-filter
    workload-anti-spoofing ip-forward-off forward-policy-drop network-policy-drop conntrack-invalid kube-proxy-rule-missing
    stale-endpoint no-endpoints
    dns-conntrack-race conntrack-full snat-port-collision asymmetric-return cloud-anti-spoofing zero-udp-checksum-v6 wireguard-peer
    nft-legacy-mix tunnel-gso-bug bridge-netfilter-off nic-tunnel-offload pod-unreachable nothing-listening routing-loop capture-blind
    underlay-loss underlay-path-subset server-silent socket-overflow no-local-endpoints policy-sees-snat xdp-drop receive-overrun
    qdisc-drop reset-in-path neighbour-table-full duplicate-node-address unknown
"""
SLUGS = frozenset(_WORDS.split())


def test_every_cause_that_may_be_named_has_an_entry_and_nothing_else_has() -> None:
    assert set(CAUSES) == SLUGS
    assert all(slug == cause.slug for slug, cause in CAUSES.items())


def test_entries_are_whole() -> None:
    for cause in CAUSES.values():
        assert cause.title, cause.slug
        assert len(cause.title) <= 80, cause.slug
        assert not cause.title.endswith("."), cause.slug
        assert cause.text.endswith("."), cause.slug
        assert cause.remediation.endswith("."), cause.slug
        assert cause.source, cause.slug


def test_no_two_entries_say_the_same() -> None:
    assert len({cause.title for cause in CAUSES.values()}) == len(CAUSES)
    assert len({cause.text for cause in CAUSES.values()}) == len(CAUSES)
