"""Counters and settings of the kernel."""

from kubectl_vxtrace.facts import counters
from tests.facts.samples import recorded


def test_snmp_and_netstat() -> None:
    before = counters.read_tables(recorded("proc-net-snmp.txt"))
    after = counters.read_tables(recorded("proc-net-snmp.txt", "after"))
    assert before["Udp.NoPorts"] <= after["Udp.NoPorts"]
    assert {"Ip.InDelivers", "Udp.InCsumErrors", "Tcp.RetransSegs", "Icmp.OutDestUnreachs"} <= before.keys()
    assert {"TcpExt.IPReversePathFilter", "IpExt.InNoRoutes"} <= counters.read_tables(recorded("proc-net-netstat.txt")).keys()


def test_odd_tables_give_what_can_be_read() -> None:
    raw = b"Udp: A B C\nUdp: 1 x\nTcp: D\nIp: 5\nTcp: MaxConn\nTcp: -1\nEnd"
    assert counters.read_tables(raw) == {"Udp.A": 1, "Tcp.MaxConn": -1}


def test_snmp6() -> None:
    assert counters.read_list(b"Ip6InReceives   \t12\nbroken\nUdp6NoPorts 0\nx y\n") == {"Ip6InReceives": 12, "Udp6NoPorts": 0}


def test_softnet_sums_the_cpus() -> None:
    assert counters.read_softnet(b"0000000a 00000001 00000002 0\n00000014 00000003 00000000 0\n") == {
        "softnet.processed": 30,
        "softnet.dropped": 4,
        "softnet.time_squeeze": 2,
    }
    columns = b"0000000a 00000000 00000000 0 0 0 0 0 0 00000007 00000002 00000000 00000001\n"
    assert counters.read_softnet(columns)["softnet.flow_limit"] == 2
    assert counters.read_softnet(recorded("proc-net-softnet_stat.txt"))["softnet.processed"] > 0


def test_conntrack_statistics_sum_the_cpus_but_not_the_entries() -> None:
    raw = b"entries  drop insert_failed\n00000010 00000001 00000002\n00000010 00000001 0000000f\n"
    assert counters.read_statistics("conntrack", raw) == {"conntrack.entries": 16, "conntrack.drop": 2, "conntrack.insert_failed": 17}
    assert "conntrack.insert_failed" in counters.read_statistics("conntrack", recorded("proc-net-stat-nf_conntrack.txt"))
    assert counters.read_statistics("conntrack", b"") == {}


def test_conntrack_statistics_as_the_tool_prints_them() -> None:
    raw = b"cpu=0   \tfound=0 invalid=3 insert_failed=1 drop=0 \ncpu=1   \tfound=0 invalid=4 insert_failed=x drop=2 \n"
    assert counters.read_conntrack_statistics(raw) == {
        "conntrack.found": 0,
        "conntrack.invalid": 7,
        "conntrack.insert_failed": 1,
        "conntrack.drop": 2,
    }
    assert counters.read_conntrack_statistics(b"entries drop\n00000001 0000000a\n") == {"conntrack.entries": 1, "conntrack.drop": 10}


def test_routing_statistics() -> None:
    """As Linux 6.18 prints them, columns cut."""
    raw = b"entries  in_hit   in_no_route in_martian_src\n00000005 00000000 00000be1    00000137\n00000005 00000000 00000a07    00000122\n"
    found = counters.read_statistics("rt_cache", raw)
    assert (found["rt_cache.in_no_route"], found["rt_cache.in_martian_src"]) == (0xBE1 + 0xA07, 0x137 + 0x122)


def test_ethtool() -> None:
    assert counters.read_ethtool_features("vx", recorded("ethtool-k-vxlan.txt"))["vx.tx-checksum-ip-generic"] in ("on", "off")
    assert counters.read_ethtool_driver("ens4", recorded("ethtool-i-ens4.txt"))["ens4.driver"] == "veth"
    assert counters.read_ethtool_counters("ens4", recorded("ethtool-S-ens4.txt"))["ethtool.ens4.rx_queue_0_drops"] == 0
    assert counters.read_ethtool_counters("e", b"NIC statistics:\n  Rx ring full: 7\n  odd: x\n") == {"ethtool.e.Rx ring full": 7}


def test_sysctls_are_spelled_as_sysctl_spells_them() -> None:
    raw = b"net/ipv4/ip_forward:1\nnet/ipv4/conf/vxlan.calico/rp_filter:2\nno value\n"
    assert counters.read_sysctls(raw) == {"net.ipv4.ip_forward": "1", "net.ipv4.conf.vxlan/calico.rp_filter": "2"}


def test_neighbour_table_statistics() -> None:
    raw = b"entries  allocs table_fulls\n00000046 00000dc6 00000002\n00000046 00000001 00000001\n"
    assert counters.read_statistics("arp_cache", raw) == {"arp_cache.entries": 70, "arp_cache.allocs": 3527, "arp_cache.table_fulls": 3}


def test_rings() -> None:
    raw = b"Ring parameters for ens4:\nPre-set maximums:\nRX:\t\t4096\nRX Mini:\tn/a\nTX:\t\t4096\n"
    raw += b"Current hardware settings:\nRX:\t\t256\nTX:\t\tn/a\n"
    assert counters.read_ethtool_rings("ens4", raw) == {"ens4.ring.rx-max": "4096", "ens4.ring.tx-max": "4096", "ens4.ring.rx": "256"}
