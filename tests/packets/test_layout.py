"""The decoder's layouts are as long as the protocols' headers, which the rest of the package knows by number."""

import numpy as np
import pytest

from kubectl_vxtrace.model import protocol
from kubectl_vxtrace.packets import layout


@pytest.mark.parametrize(
    ("header", "size_bytes"),
    [
        (layout.ETHERNET, protocol.ETHERNET_BYTES),
        (layout.TAG, protocol.TAG_BYTES),
        (layout.IPV4, protocol.IPV4_BYTES),
        (layout.IPV6, protocol.IPV6_BYTES),
        (layout.UDP, protocol.UDP_BYTES),
        (layout.ENCAPSULATION, protocol.UDP_BYTES + protocol.VXLAN_BYTES),
    ],
)
def test_headers_are_as_long_as_their_layouts(header: np.dtype[np.void], size_bytes: int) -> None:
    assert header.itemsize == size_bytes
