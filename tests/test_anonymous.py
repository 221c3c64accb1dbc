"""A bundle under pseudonyms: nothing of before is left in any file, and the report is the same but for addresses and names."""

import gzip
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from kubectl_vxtrace.analysis import examine
from kubectl_vxtrace.anonymous import Anonymous, anonymous, check_nothing_remains, check_same
from kubectl_vxtrace.bundle import folder, reading
from kubectl_vxtrace.commands import delivery
from kubectl_vxtrace.console import Stderr
from kubectl_vxtrace.errors import CannotRunError
from kubectl_vxtrace.model.cluster import Cleanup, CleanupState
from kubectl_vxtrace.model.facts import Rule
from kubectl_vxtrace.model.path import Role, Tap
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.request import Access, PodOptions, Request, Target
from kubectl_vxtrace.pseudonyms import Pseudonyms
from kubectl_vxtrace.report import document, table
from kubectl_vxtrace.report.html import page
from tests.bundle.packing import packed
from tests.calico.recorded import SCENARIOS, raw_answers, recording
from tests.journeys import worlds
from tests.scrubbing import without_payload
from tests.wire.emit import emit
from tests.wire.options import OPTIONS
from tests.wire.world import World

ADDRESS = re.compile(rb"(?<![0-9.])(?:\d{1,3}\.){3}\d{1,3}(?![0-9.]*\d)")
MAC = re.compile(rb"(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:])")
SAME_EVERYWHERE = re.compile(r"0\.|127\.|169\.254\.|22[4-9]\.|2[345]\d\.")


class Quiet(Stderr):
    """Says nothing."""

    def step(self, text: str) -> None:
        pass

    warn = detail = step


def whole(made: Recording, place: Path, scenario: str) -> Recording:
    """The recording as a trace leaves it: with the raw answers, and scrubbed."""
    for when, facts in (("before", made.before), ("after", made.after)):
        folder.write_facts(place, when, facts, raw_answers(scenario, when))
    folder.write_drop_log(place, "ada-ec-1", b"ada-ec-1 skb:kfree_skb 10.244.114.75\n")
    return without_payload(made)


def bundle(hidden: Anonymous, place: Path) -> Path:
    """The bundle that a trace would write."""
    found = examine(hidden.recording)
    written = Path(hidden.recording.folder)
    cleanup = hidden.changed(Cleanup(state=CleanupState.CONFIRMED, pods=1, left=("default/vxtrace-1-ada-ec-1",)))
    delivery.complete(written, delivery.joined(found, cleanup), hidden.recording, cleanup, Quiet())
    check_nothing_remains(written, hidden)
    return packed(written, place / "bundle.zip")


def originals(place: Path, made: Recording) -> tuple[set[str], set[str], set[str]]:
    """Addresses, MACs and names that stand anywhere in what was recorded, but for those that mean the same everywhere."""
    texts = b"\n".join(path.read_bytes() for path in place.rglob("*") if path.suffix in (".json", ".txt"))
    addresses = {text for text in (raw.decode() for raw in ADDRESS.findall(texts)) if not SAME_EVERYWHERE.match(text) and is_address(text)}
    macs = {raw.decode().lower() for raw in MAC.findall(texts)}
    macs = {mac for mac in macs if mac != "ee:ee:ee:ee:ee:ee" and not int(mac[:2], 16) & 1 and mac.strip("0:")}
    snapshot = made.snapshot
    assert snapshot is not None
    names = {node.name for node in snapshot.nodes}
    names |= {one for pod in snapshot.pods for one in (pod.namespace, pod.name)}
    names |= {one for service in snapshot.services for one in (service.namespace, service.name)}
    return addresses, macs, names - {"kube-system", "default", "kube-dns", "kubernetes"}


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def forms(addresses: set[str], macs: set[str], names: set[str]) -> Iterator[bytes]:
    """Each in every form that a file may hold it in; networks, which end in zeros, are no addresses of anybody."""
    for address in addresses:
        packed = ip_address(address).packed
        if packed[-1]:
            yield packed
            yield packed.hex().encode()
            yield packed[::-1].hex().upper().encode()
    for mac in macs:
        yield bytes.fromhex(mac.replace(":", ""))
        yield mac.replace(":", "").encode()
    for text in addresses | macs | names:
        yield text.encode("utf-16-le")
        yield json.dumps(text).strip('"').replace("/", "\\/").encode()
    for name in names:
        yield bytes([len(name)]) + name.encode()


def files_of(path: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of a bundle, unpacked whatever it is packed in, and under its name the name."""
    with zipfile.ZipFile(path) as packed:
        for name in packed.namelist():
            content = packed.read(name)
            yield f"the name {name}", name.encode()
            yield name, gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def standing(form: bytes, content: bytes) -> bool:
    """Whether a form stands in a file; a text not as a part of a longer word or number."""
    if form not in content:
        return False
    if not form.isascii() or not form.decode().isprintable():
        return True
    return re.search(rb"(?<![0-9A-Za-z])" + re.escape(form) + rb"(?![0-9A-Za-z])", content) is not None


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_left_in_any_file(tmp_path: Path, scenario: str) -> None:
    place = tmp_path / "recorded"
    place.mkdir()
    made = whole(recording(scenario, place), place, scenario)
    assert made.snapshot is not None
    folder.write_snapshot(place, made.snapshot)
    known = originals(place, made)
    assert [len(each) >= least for each, least in zip(known, (15, 8, 6), strict=True)] == [True] * 3
    hidden = anonymous(made, tmp_path / "hidden")
    wanted = sorted(set(forms(*known)))
    left = [(name, form) for name, content in files_of(bundle(hidden, tmp_path)) for form in wanted if standing(form, content)]
    assert left == []


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_report_is_the_same_but_for_addresses_and_names(tmp_path: Path, scenario: str) -> None:
    place = tmp_path / "recorded"
    place.mkdir()
    made = whole(recording(scenario, place), place, scenario)
    hidden = anonymous(made, tmp_path / "hidden")
    original, report = examine(made).report, examine(hidden.recording).report
    check_same(original, report)
    assert comparable(hidden.changed(original)) == comparable(report)
    assert report.metadata.anonymized
    assert examine(reading.read(tmp_path / "hidden")).report == report


def comparable(report: object) -> object:
    found = json.loads(document.to_json(report))  # type: ignore[arg-type]
    del found["metadata"]["anonymized"]
    for capture in found["captures"]:
        del capture["sha256"]
    return found


def made_up(world: World, place: Path) -> Recording | None:
    """The recording of a simulated world, scrubbed; None where a file of it is not as tcpdump writes it."""
    made = without_payload(simulated(world, place))
    return made if all(each.scrubbed or each.file is None for each in made.captures) else None


def simulated(world: World, place: Path) -> Recording:
    """The recording of a simulated world, as a trace with a request leaves it."""
    emitted = emit(world)
    paths = {worlds.tap_of(tap): path for tap, path in emitted.write(place).items()}
    made = worlds.record(emitted)
    captures = tuple(
        replace(each, file=paths[each.task.tap].name if each.task.tap in paths else None, task=replace(each.task, role=role(each.task.tap)))
        for each in made.captures
    )
    request = Request(command="pod", source=Target(namespace="shop", name="frontend"), target=Target(name="kube-dns"))
    return replace(made, captures=captures, request=request, folder=str(place))


def role(tap: Tap) -> Role:
    return Role.UNDERLAY if tap.interface.startswith("ens") else Role.VXLAN if tap.interface.startswith("vxlan") else Role.POD


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_made_up_worlds_have_the_same_report(tmp_path: Path, name: str) -> None:
    place = tmp_path / "recorded"
    place.mkdir()
    made = made_up(OPTIONS[name], place)
    if made is None:
        return
    hidden = anonymous(made, tmp_path / "hidden")
    original, report = examine(made).report, examine(hidden.recording).report
    check_same(original, report)
    assert comparable(hidden.changed(original)) == comparable(report)


def test_most_made_up_worlds_are_as_tcpdump_writes_them(tmp_path: Path) -> None:
    """Else the test above would try nothing."""
    kept = 0
    for number, name in enumerate(sorted(OPTIONS)[::5]):
        (tmp_path / str(number)).mkdir()
        kept += made_up(OPTIONS[name], tmp_path / str(number)) is not None
    assert kept > len(OPTIONS) // 10


def calico(tmp_path: Path) -> Recording:
    place = tmp_path / "recorded"
    place.mkdir()
    return whole(recording("healthy", place), place, "healthy")


def test_the_next_bundle_has_other_pseudonyms(tmp_path: Path) -> None:
    made = calico(tmp_path)
    one, two = (anonymous(made, tmp_path / each).recording for each in ("one", "two"))
    assert one.flows[0].client.address != two.flows[0].client.address
    assert one.flows[0].client.pod != two.flows[0].client.pod


def test_how_the_cluster_is_reached_is_left_out(tmp_path: Path) -> None:
    made = calico(tmp_path)
    assert made.request is not None
    access = Access(
        kubeconfig="/home/somebody/.kube/acme", context="acme-prod", cluster="acme", user="somebody", as_user="root", namespace="acme"
    )
    options = PodOptions(image="registry.acme.example/tools/netshoot:v1", image_pull_secret="acme-pull", debug_namespace="acme-debug")
    asked = replace(made.request, access=access, pod_options=options, filter="host db.acme.example or host 10.244.114.75")
    anonymous(replace(made, request=asked), tmp_path / "hidden")
    written = (tmp_path / "hidden" / folder.RECORDING).read_text()
    assert [word for word in ("acme", "somebody", "root", "10.244.114") if word in written] == []


def test_a_rule_of_somebodys_own_says_no_more_than_it_does(tmp_path: Path) -> None:
    made = calico(tmp_path)
    rule = Rule(
        id="iptables-nft/filter/FORWARD/0123456789abcdef/0", backend="iptables-nft", table="filter", chain="FORWARD", target="DROP",
        packets=3,
        text='-s 203.0.113.9/32 -p tcp -m comment --comment "Bloggs and Suns vpn, see shop/ledger:https" -j DROP',
        comment="Bloggs and Suns vpn, see shop/ledger:https",
    )  # fmt: skip
    before = tuple(replace(facts, rules=(*facts.rules, rule)) for facts in made.before)
    hidden = anonymous(replace(made, before=before), tmp_path / "hidden")
    [found] = {each for facts in hidden.recording.before for each in facts.rules if each.target == "DROP" and each.packets == 3}
    assert not re.search("Bloggs|Suns|shop|ledger|203.0.113|0123456789", repr(found))
    assert re.fullmatch(r'-s [\d.]+/32 -p tcp -m comment --comment "\S+ and \S+ \S+, \S+ \S+/\S+:https" -j DROP', found.text)


def test_captures_with_payload_are_refused(tmp_path: Path) -> None:
    made = recording("healthy", tmp_path)
    with pytest.raises(CannotRunError, match="payload"):
        anonymous(made, tmp_path / "hidden")


def test_a_report_that_would_not_be_the_same_is_refused(tmp_path: Path) -> None:
    made = calico(tmp_path)
    report = examine(made).report
    with pytest.raises(CannotRunError, match="packets"):
        check_same(report, replace(report, packets=report.packets[1:]))
    with pytest.raises(CannotRunError, match="verdict"):
        check_same(report, replace(report, completeness=replace(report.completeness, complete=not report.completeness.complete)))


def test_an_address_that_remains_is_refused(tmp_path: Path) -> None:
    made = calico(tmp_path)
    hidden = anonymous(made, tmp_path / "hidden")
    check_nothing_remains(tmp_path / "hidden", hidden)
    (tmp_path / "hidden" / "summary.md").write_text(f"from {made.flows[0].client.address} on")
    with pytest.raises(CannotRunError, match=r"summary\.md would still say"):
        check_nothing_remains(tmp_path / "hidden", hidden)


def test_an_answer_that_says_an_address_as_a_number_is_left_out(tmp_path: Path) -> None:
    made = calico(tmp_path)
    said = tmp_path / "recorded" / "nodes" / "ada-ec-1" / "before" / "udp.txt"
    packed = ip_address(made.flows[0].client.address).packed
    said.write_text(f"1: {packed[::-1].hex().upper()}:12B5 00000000:0000 07")
    hidden = anonymous(made, tmp_path / "hidden")
    assert hidden.left_out == 1
    assert not list((tmp_path / "hidden").rglob("udp.txt"))
    assert list((tmp_path / "hidden").rglob("conntrack.txt"))


def test_a_pseudonym_that_is_somebodys_name_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = calico(tmp_path)
    monkeypatch.setattr(Pseudonyms, "ambiguous", lambda _: True)
    with pytest.raises(CannotRunError, match="alike"):
        anonymous(made, tmp_path / "hidden")


def test_every_form_of_the_report_and_the_readme_say_so(tmp_path: Path) -> None:
    made = calico(tmp_path)
    hidden = anonymous(made, tmp_path / "hidden")
    original, report = examine(made).report, examine(hidden.recording).report
    bundle(hidden, tmp_path)
    assert "pseudonyms stand for addresses" in (tmp_path / "hidden" / folder.README).read_text()
    for said in (table.render(report, width=None, color=False), document.to_markdown(report), page.render(report)):
        assert "anonymized: pseudonyms stand for addresses and names" in said
    for said in (table.render(original, width=None, color=False), document.to_markdown(original), page.render(original)):
        assert "pseudonym" not in said
