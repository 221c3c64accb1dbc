"""What a row's lines do that is not bash, and how the client's answers are judged."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.datapath import records, shape
from tests.datapath.records import Lab
from tests.lab.objects import objects
from tests.lab.status import JsonObject
from tests.truth.reports import state, steps, traffic
from tests.truth.reports.traffic import Answers


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    found = shape.lab("calico", 3, str(tmp_path))
    records.save(found)
    return found


def shown(lab: Lab) -> Lab:
    found = records.load(Path(lab.state_dir))
    assert found is not None
    return found


def test_what_the_api_says_is_changed_and_healed(lab: Lab) -> None:
    lines = ("record: slackernews.node_port=30080", "record: slackernews.external_local=true", "record: web.address=10.244.114.94")
    steps.inject(lab, [*lines, "record: ada-ec-1.published=100.64.0.1", "record: ada-ec-1.vni=1", "record: lab.backend=flannel"])
    changed = shown(lab)
    service = next(service for service in changed.services if service.name == "slackernews")
    assert (service.node_port, service.external_local) == (30080, True)
    assert [pod.address for pod in changed.pods if pod.name.startswith("slackernews")] == ["10.244.114.94"]
    assert (changed.nodes[0].published, changed.nodes[0].vni, changed.backend) == ("100.64.0.1", 1, "flannel")
    assert changed.nodes[1:] == lab.nodes[1:]
    steps.heal(lab, ())
    assert shown(lab) == lab


def test_the_api_shows_node_ports_and_load_balancers(lab: Lab) -> None:
    def service(**changes: Any) -> JsonObject:
        changed = tuple(dataclasses.replace(one, **changes) if one.name == "slackernews" else one for one in lab.services)
        found = objects(dataclasses.replace(lab, services=changed))
        return next(obj for kind, obj in found if kind.kind == "Service" and obj["metadata"]["name"] == "slackernews")

    plain, port = service(), service(node_port=30080, external_local=True)
    balanced = service(load_balancer="10.128.0.240")
    assert "externalTrafficPolicy" not in json.dumps(plain)
    assert port["spec"]["type"] == "NodePort"
    assert port["spec"]["externalTrafficPolicy"] == "Local"
    assert port["spec"]["ports"][0]["nodePort"] == 30080
    assert balanced["spec"]["type"] == "LoadBalancer"
    assert balanced["status"] == {"loadBalancer": {"ingress": [{"ip": "10.128.0.240"}]}}


@pytest.mark.parametrize(
    ("counts", "become"),
    [((5, 0), {"all", "some"}), ((0, 5), {"none", "bad"}), ((3, 2), {"part", "some", "bad"}), ((0, 0), set())],
)
def test_what_became_of_the_questions(counts: tuple[int, int], become: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "PATIENCE_S", 0.0)
    stats = tmp_path / "answers.json"
    answers = Answers(stats)
    assert answers.now() == (0, 0)
    stats.write_text(json.dumps({"sent": 20, "answered": 10 + counts[0], "refused": 1, "silent": counts[1]}))
    wanted = {wanted for wanted in ("none", "part", "all", "some", "bad") if answers.become(wanted, (10, 1)) is None}
    assert wanted == become


def test_what_is_not_as_it_was_made() -> None:
    before = {"ada-ec-1": frozenset({"route a", "route b"}), "fabric": frozenset({"port"})}
    after = {"ada-ec-1": frozenset({"route b", "route c"}), "fabric": frozenset({"port"})}
    assert state.changes(before, after) == ["ada-ec-1: -route a", "ada-ec-1: +route c"]
    assert state.changes(before, before) == []
