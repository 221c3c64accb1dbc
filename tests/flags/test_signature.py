"""Commands whose parameters are records, as Typer reads them."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from kubectl_vxtrace.flags.signature import flag_records


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
