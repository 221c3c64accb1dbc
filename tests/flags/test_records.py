"""What the records of flags mean."""

import pytest
import typer

from kubectl_vxtrace.flags.records import ClusterFlags, PodFlags, TraceFlags
from kubectl_vxtrace.model.request import Access, Limits, PodOptions


def test_without_flags_everything_is_as_a_request_has_it() -> None:
    assert ClusterFlags().access() == Access()
    assert PodFlags().options() == PodOptions()
    assert TraceFlags().limits(PodFlags().max_nodes) == Limits(max_wall_s=255.0)


def test_the_time_for_everything_follows_the_duration() -> None:
    assert TraceFlags(duration="1m").limits(10).max_wall_s == 300.0
    assert TraceFlags(duration="1m", max_wall="90s").limits(10).max_wall_s == 90.0
    with pytest.raises(typer.BadParameter, match="max"):
        TraceFlags(max_wall="max").limits(10)


def test_who_asks_is_handed_on() -> None:
    flags = ClusterFlags(as_user="bob", as_group=["a", "b"], request_timeout="20s", namespace="shop")
    assert flags.access() == Access(as_user="bob", as_groups=("a", "b"), request_timeout_s=20.0, namespace="shop")
