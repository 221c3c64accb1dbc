"""What flags may say."""

import pytest

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.values import duration_s, namespace_name, request_timeout_s


@pytest.mark.parametrize(("text", "seconds"), [("15s", 15), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400)])
def test_durations_are_go_s(text: str, seconds: float) -> None:
    assert duration_s(text, "--duration") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["15", "", "s", "1d", "-1s", "0s", "1 s", "25h", "1s5"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--max-wall: ") as caught:
        duration_s(text, "--max-wall")
    assert caught.value.hint.startswith("write for example ")


def test_request_timeout_is_kubectl_s() -> None:
    assert (request_timeout_s("0"), request_timeout_s("30"), request_timeout_s("1m")) == (None, 30.0, 60.0)


@pytest.mark.parametrize("text", ["", "-1", "1d", "٣", "soon"])
def test_what_is_no_request_timeout(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--request-timeout: "):
        request_timeout_s(text)


@pytest.mark.parametrize(("text", "name"), [(None, None), ("", None), ("shop", "shop"), ("0-9", "0-9"), ("a" * 63, "a" * 63)])
def test_namespaces(text: str | None, name: str | None) -> None:
    assert namespace_name(text) == name


@pytest.mark.parametrize("text", ["=shop", "Shop", "-shop", "shop-", "sh.op", "shop/web", "a" * 64, " ", "sh\nop", "..", "größe"])
def test_what_no_namespace_can_be_called(text: str) -> None:
    with pytest.raises(UsageError, match="is no name of a namespace"):
        namespace_name(text)
