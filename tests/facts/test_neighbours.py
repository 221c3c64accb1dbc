"""Neighbour table and forwarding database."""

from kubectl_vxtrace.facts.neighbours import read_fdb, read_neighbours
from kubectl_vxtrace.model.facts import FdbEntry
from tests.facts.samples import recorded


def test_a_recorded_calico_node() -> None:
    neighbours = {(each.device, each.address): each for each in read_neighbours(recorded("ip-neigh.json"))}
    vtep = neighbours["vxlan.calico", "10.244.106.64"]
    assert vtep.states == ("PERMANENT",)
    destinations = {entry.mac: entry.destination for entry in read_fdb(recorded("bridge-fdb.json")) if entry.device == "vxlan.calico"}
    assert vtep.mac is not None
    assert destinations[vtep.mac] == "10.128.0.96"


def test_a_failed_neighbour_has_no_mac() -> None:
    (failed,) = read_neighbours(b'[{"dst":"10.128.0.99","dev":"ens4","state":["FAILED"]},{"dst":"10.0.0.1"},{}]')
    assert (failed.mac, failed.states) == (None, ("FAILED",))


def test_ages_and_addresses_that_the_node_answers_for() -> None:
    """As iproute2 6.1 prints them with -s, and for `show proxy`."""
    raw = b'[{"dst":"10.128.0.9","dev":"ens4","used":7,"confirmed":60,"updated":3,"probes":6,"state":["INCOMPLETE"]},'
    raw += b'{"dst":"169.254.1.1","dev":"cali1","proxy":null}]'
    asked, answered = read_neighbours(raw)
    assert (asked.used_s, asked.confirmed_s, asked.updated_s, asked.probes, asked.proxy) == (7, 60, 3, 6, False)
    assert (answered.proxy, answered.states, answered.used_s) == (True, (), None)


def test_a_bridge_port_and_a_foreign_vni() -> None:
    raw = b'[{"mac":"a","ifname":"veth1","master":"cni0","flags":[],"state":""},'
    raw += b'{"mac":"b","ifname":"vx","dst":"10.0.0.2","port":8472,"vni":7,"flags":["self"],"state":"permanent"}]'
    assert read_fdb(raw) == (
        FdbEntry(mac="a", device="veth1", master="cni0"),
        FdbEntry(mac="b", device="vx", destination="10.0.0.2", port=8472, vni=7, states=("permanent", "self")),
    )
