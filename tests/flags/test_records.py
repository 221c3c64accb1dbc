"""What the records of flags mean, and commands whose parameters they are, as Typer reads them."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.cluster import ClusterFlags
from kubectl_vxtrace.flags.records import NodeTraceFlags, PodFlags, TraceFlags, flag_records
from kubectl_vxtrace.model.request import Access, Limits, PodOptions


def test_without_flags_everything_is_as_a_request_has_it() -> None:
    assert ClusterFlags().access() == Access()
    assert PodFlags().options() == PodOptions()
    assert TraceFlags().limits(PodFlags().max_nodes) == Limits(max_wall_s=255.0, ends_when_clear=True)


def test_the_time_for_everything_follows_the_duration() -> None:
    assert TraceFlags(duration="1m").limits(10).max_wall_s == 300.0
    assert TraceFlags(duration="1m", max_wall="90s").limits(10).max_wall_s == 90.0
    assert not TraceFlags(duration="15s").limits(10).ends_when_clear
    assert TraceFlags(mtu=True).limits(10).duration_s == NodeTraceFlags().limits(10).duration_s == 30.0
    with pytest.raises(UsageError, match=r"^--max-wall: 'max'"):
        TraceFlags(max_wall="max").limits(10)


def test_who_asks_is_handed_on() -> None:
    flags = ClusterFlags(as_user="bob", as_group=["a", "b"], request_timeout="20s", namespace="shop")
    assert flags.access() == Access(as_user="bob", as_groups=("a", "b"), request_timeout_s=20.0, namespace="shop")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    here: Annotated[str, typer.Option("--here", "-p")] = "x"
    deep: Annotated[bool, typer.Option("--deep")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _OtherPlace(_Place):
    here: Annotated[str, typer.Option("--here", "-p")] = "y"


def _app(called: list[object]) -> typer.Typer:
    app = typer.Typer()

    @app.command()
    @flag_records
    def show(name: Annotated[str, typer.Argument()], here: _Place, count: Annotated[int, typer.Option("--count")] = 1) -> None:
        """Say what was given."""
        called.extend((name, here, count))

    return app


def test_a_record_is_made_of_its_flags_and_defaults() -> None:
    called: list[object] = []
    assert CliRunner().invoke(_app(called), ["a", "-p", "z", "--count", "3"]).exit_code == 0
    assert called == ["a", _Place(here="z"), 3]


def test_flags_stand_where_their_record_stands() -> None:
    text = CliRunner().invoke(_app([]), ["--help"]).output
    assert "Say what was given." in text
    assert text.index("--here") < text.index("--deep") < text.index("--count")


def test_a_record_may_take_over_anothers_flags_with_a_default_of_its_own() -> None:
    called: list[_OtherPlace] = []
    app = typer.Typer()

    @app.command()
    @flag_records
    def show(place: _OtherPlace) -> None:
        called.append(place)

    assert CliRunner().invoke(app, ["--deep"]).exit_code == 0
    assert called == [_OtherPlace(here="y", deep=True)]


def test_two_flags_of_one_name_are_refused() -> None:
    def show(place: _Place, other: _OtherPlace) -> None:
        raise AssertionError((place, other))

    with pytest.raises(ValueError, match="here"):
        flag_records(show)
