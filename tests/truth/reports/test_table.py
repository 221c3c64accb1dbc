"""The rows: each can be read, filled in and told from the others."""

import re
import shlex
from collections import Counter

import pytest

from tests.datapath import servers, shape
from tests.truth import words
from tests.truth.reports import steps, traffic
from tests.truth.reports.mechanism import Mechanism
from tests.truth.reports.scoring import RIGHT, marked
from tests.truth.reports.table import MECHANISMS

LABS = {backend: shape.lab(backend, 3, "/nowhere") for backend in ("calico", "flannel")}
LEG = re.compile(r"(request|reply) (ada-ec-[123]/(pod|bridge|vxlan|underlay)) > (-|ada-ec-[123]/(pod|bridge|vxlan|underlay))")
VERDICTS = {"dropped", "lost", "rejected", "unanswered", "undetermined", "no-traffic", "delivered"}
every_row = pytest.mark.parametrize("row", MECHANISMS, ids=lambda row: row.name)


def test_there_are_forty_of_different_names_and_sources() -> None:
    assert len(MECHANISMS) >= 40
    assert len({row.name for row in MECHANISMS}) == len(MECHANISMS)
    sources = Counter(row.source for row in MECHANISMS if row.source)
    assert len(sources) >= 36
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", source) for source in sources)


def test_some_are_healthy_and_every_backend_has_some() -> None:
    healthy = [row for row in MECHANISMS if row.name.startswith("healthy-")]
    assert len(healthy) >= 8
    assert all(row.right.verdicts == ("delivered",) and not row.right.legs for row in healthy)
    assert {row.backend for row in MECHANISMS} == set(LABS)


@every_row
def test_every_text_can_be_filled_in(row: Mechanism) -> None:
    lab = LABS[row.backend]
    for line in (*row.inject, *row.heal, *row.traffic):
        place, text = steps.place_and_text(lab, line)
        assert text
        assert place in ("rules", "record") or words.namespace(lab, place)
    for text in (row.client, row.target, row.right.words, row.right.harm):
        assert "{" not in words.filled(lab, text)


@every_row
def test_programs_exist_and_at_most_one_counts(row: Mechanism) -> None:
    names = [shlex.split(line.partition(": ")[2])[0] for line in row.traffic]
    assert all(name == "sh" or (servers.PROGRAMS / f"{name}.py").exists() for name in names)
    asks = sum(name in traffic.COUNTING for name in names)
    assert asks <= 1
    assert asks or not any(line.startswith("answers ") for line in row.proof)


@every_row
def test_the_truth_is_well_formed(row: Mechanism) -> None:
    right = row.right
    assert all(LEG.fullmatch(leg) for leg in (*right.legs, *right.half_legs))
    assert {*right.verdicts, *right.half_verdicts} <= VERDICTS
    assert right.causes
    assert not {*right.causes, *right.half_causes} & {*right.lies}
    for pattern in (right.words, right.hint, right.misleads, right.harm):
        re.compile(words.filled(LABS[row.backend], pattern))
    loses = "delivered" not in right.verdicts and "no-traffic" not in right.verdicts
    assert bool(right.legs) == loses


@every_row
def test_each_is_proven_by_packets_or_by_counters_beside_what_the_client_says(row: Mechanism) -> None:
    kinds = {line.partition(" ")[0] for line in row.proof}
    assert kinds <= {"seen", "unseen", "counts", "says", "answers"}
    assert kinds & {"seen", "unseen", "counts"} or row.right.verdicts == ("delivered",)


def test_a_title_is_no_case_of_the_first_table() -> None:
    assert marked(MECHANISMS[0], leg=RIGHT).title == "report: " + MECHANISMS[0].name
