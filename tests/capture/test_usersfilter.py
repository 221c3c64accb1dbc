"""The user's own filter."""

import pytest

from kubectl_vxtrace.capture.usersfilter import checked
from kubectl_vxtrace.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("udp port 53", "udp port 53"), ("  host 10.0.0.1\tand\n tcp ", "host 10.0.0.1 and tcp"), ("ip[2:2]>100", "ip[2:2]>100")],
)
def test_accepted(text: str, expected: str) -> None:
    assert checked(text) == expected


@pytest.mark.parametrize(
    "text", ["", "  ", "-w /etc/passwd", "udp -z /evil.sh", "(-z x)", "port 53 - 1", "udp\x00", "udp\x1b[31m", "h\u00f6st x", "--", "-"]
)
def test_refused(text: str) -> None:
    with pytest.raises(UsageError):
        checked(text)
