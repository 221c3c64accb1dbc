"""What tshark and we say of the corpus, read once for all tests."""

import pytest

from kubectl_vxtrace.packets import read_pcap
from tests.packets import corpus, layers
from tests.packets.rows import Row


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    found = []
    for path in corpus.write(tmp_path_factory.mktemp("corpus")):
        table = read_pcap(path, vxlan_ports=corpus.VXLAN_PORTS)
        said = layers.read(path)
        assert len(said) == len(table)
        found += [Row(table, row, one) for row, one in enumerate(said)]
    return found
