import pytest

from kubectl_vxtrace.model.protocol import echo_headers_bytes, rfc3339


def test_times_have_nine_digits_of_a_second() -> None:
    assert rfc3339(1_795_000_000_000_000_001) == "2026-11-18T11:06:40.000000001Z"


@pytest.mark.parametrize(("address", "headers"), [("10.244.0.1", 28), ("fd00::1", 48)])
def test_the_headers_of_an_echo(address: str, headers: int) -> None:
    assert echo_headers_bytes(address) == headers
