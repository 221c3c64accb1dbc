"""IPVS, from text as net/netfilter/ipvs/ip_vs_ctl.c and ip_vs_conn.c print it."""

import pytest

from kubectl_vxtrace.facts.frames import UnreadableError
from kubectl_vxtrace.facts.ipvs import read_ipvs, read_ipvs_connections
from kubectl_vxtrace.model.facts import IpvsBackend, IpvsConnection

_SERVICES = b"""IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
UDP  0A60000A:0035 rr
  -> 0AF43881:0035      Masq    1      0          3
  -> 0AF46A41:0035      Masq    0      0          0
FWM  00000001 rr
  -> 0AF43881:0050      Masq    1      0          0
TCP  [fd00:0000:0000:0000:0000:0000:0000:000a]:0035 rr
  -> [fd01:0000:0000:0000:0000:0000:0000:0001]:0035      Masq    1      0          0
"""


def test_services_and_their_servers() -> None:
    dns, tcp = read_ipvs(_SERVICES)
    assert (dns.protocol, dns.address, dns.port, dns.scheduler) == ("UDP", "10.96.0.10", 53, "rr")
    assert dns.backends == (IpvsBackend(address="10.244.56.129", port=53), IpvsBackend(address="10.244.106.65", port=53, weight=0))
    assert (tcp.address, [backend.address for backend in tcp.backends]) == ("fd00::a", ["fd01::1"])


def test_what_is_not_that_file_is_unreadable() -> None:
    with pytest.raises(UnreadableError):
        read_ipvs(b"no\n")


def test_connections() -> None:
    raw = b"Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData\n"
    raw += b"UDP 0AF4724B C350 0A60000A 0035 0AF43881 0035 UDP             283\nUDP zz C350 0A60000A 0035 0AF43881 0035 UDP 1\nbroken\n"
    assert read_ipvs_connections(raw) == (
        IpvsConnection(
            protocol="UDP",
            client="10.244.114.75",
            client_port=50000,
            virtual="10.96.0.10",
            virtual_port=53,
            server="10.244.56.129",
            server_port=53,
            state="UDP",
            expires_s=283,
        ),
    )
