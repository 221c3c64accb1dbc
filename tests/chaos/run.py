"""Traces a place through the proxy, once for each rule, and says whether the plugin's answer was right."""

import hashlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

from tests.chaos import taps
from tests.chaos.proxy import Proxy
from tests.chaos.rules import Answer, Rule
from tests.chaos.table import RULES
from tests.e2e.listing import delete_pod, endpoint, pods
from tests.e2e.place import CLIENT, SERVICE, Lab, Run
from tests.kube.tunnel import Tunnels
from tests.unpacking import contents

_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_LONGEST_S = 240.0
_ENDING_S = 10.0
_LONGEST_REMOVAL_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One rule's outcome."""

    name: str
    expected: str
    got: str
    right: bool


def run(place: Lab, names: Sequence[str] = ()) -> Iterator[Outcome]:
    """Trace `place` with every rule, or with those of these names, one after the other. What is left is removed after each."""
    for rule in RULES:
        if not names or rule.name in names:
            yield outcome(place, rule)


def outcome(place: Lab, rule: Rule) -> Outcome:
    """Trace once."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, Proxy(endpoint(place.kubeconfig), rule) as proxy:
        began_s = time.monotonic()
        try:
            done = _trace(place, proxy, rule, Path(folder))
            took_s = time.monotonic() - began_s
            trial = _Trial(place, proxy, rule.answer, done, Path(folder), took_s)
            wrong, got = trial.wrong(), f"exit {done.code} after {took_s:.0f} s, {trial.files} files"
        except TimeoutExpired:
            wrong, got = [f"no end within {_LONGEST_S:g} s"], ""
        finally:
            _remove(place, proxy)
        if rule.action is not None and proxy.hits == 0:
            wrong.append("the rule never came to pass")
    return Outcome(name=rule.name, expected=rule.answer.text, got="; ".join([got, *wrong]), right=not wrong)


def _trace(place: Lab, proxy: Proxy, rule: Rule, folder: Path) -> Run:
    kubeconfig = proxy.kubeconfig(folder)
    environment = {"KUBECONFIG": str(kubeconfig), "TMPDIR": str(folder)}
    environment |= {name: "" for name in (*_PROXY_VARIABLES, *map(str.upper, _PROXY_VARIABLES)) if name in os.environ}
    with ExitStack() as stack:
        if rule.by_proxy:
            tunnels = stack.enter_context(Tunnels())
            threading.Thread(target=tunnels.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            stack.callback(tunnels.shutdown)
            environment["https_proxy"] = f"http://127.0.0.1:{tunnels.server_address[1]}"
        # With payload the files are, byte by byte, those on the nodes.
        asked = ("pod", CLIENT, "--to", SERVICE, "--duration", rule.duration, "--payload")
        arguments = (*asked, "-o", "json", "--bundle", str(folder / "bundle.zip"))
        done = place.vxtrace(*arguments, cwd=folder, timeout_s=_LONGEST_S, environment=environment)
        if rule.by_proxy and len(tunnels.asked) < 10:
            raise AssertionError("the plugin went past the proxy")
    return done


class _Trial:
    """What came out of one trace, held against what had to."""

    def __init__(self, place: Lab, proxy: Proxy, answer: Answer, done: Run, folder: Path, took_s: float) -> None:
        self._place, self._proxy, self._answer, self._done = place, proxy, answer, done
        self._took_s = took_s
        self._report: dict[str, Any] = json.loads(done.stdout) if done.stdout else {}
        self._found = _digests(folder / "bundle.zip")
        self._unanswered = _unanswered(folder / "bundle.zip")
        self.files = len(self._found)

    def wrong(self) -> list[str]:
        """What is not as it had to be."""
        return [
            *self._code(),
            *self._words(),
            *self._files(),
            *self._left(),
            *(f"two captures write {file}" for file in self._proxy.doubled),
            *([f"it took {self._took_s:.0f} s"] if self._took_s > self._answer.within_s else []),
        ]

    def _code(self) -> Iterator[str]:
        if self._done.code not in self._answer.codes:
            yield f"exit {self._done.code}: {self._done.stderr.strip()[-600:]}"
        if "Traceback" in self._done.stderr:
            yield f"a traceback: {self._done.stderr[-600:]}"

    def _words(self) -> Iterator[str]:
        for pattern in self._answer.said:
            if not re.search(pattern, self._done.stderr, re.DOTALL):
                yield f"{pattern!r} is not said: {self._done.stderr.strip()[-600:]}"
        reasons = [blind["reason"] for blind in self._report.get("completeness", {}).get("blind", ())]
        if self._answer.blind is not None and not any(re.search(self._answer.blind, reason) for reason in reasons):
            yield f"no reason is {self._answer.blind!r}: {reasons}"

    def _files(self) -> Iterator[str]:
        nodes_own = set(self._proxy.truth.digests.values())
        claimed = {each["sha256"] for each in self._report.get("captures", ()) if each["sha256"] is not None}
        if not claimed <= self._found or not claimed <= nodes_own:
            yield f"{len(claimed - self._found)} files are not in the bundle, {len(claimed - nodes_own)} are no node's"
        if self._answer.whole:
            if not nodes_own or not nodes_own <= self._found:
                yield f"{len(nodes_own - self._found)} of {len(nodes_own)} files are not as on their node"
            yield from self._unanswered
            if self._report.get("verdict") != "delivered" or not self._report.get("completeness", {}).get("complete"):
                yield f"{self._report.get('verdict')}: {self._report.get('summary')}, {self._report.get('completeness')}"

    def _left(self) -> Iterator[str]:
        made = self._proxy.truth.pods
        there = {uid for line in pods(self._place.kubeconfig) for uid in [line.rpartition(" ")[2]] if uid in made}
        if not self._answer.left:
            if there:
                yield f"left: {sorted(made[uid] for uid in there)}"
            yield from self._running()
            return
        unnamed = sorted(made[uid] for uid in there if made[uid] not in self._done.stderr + self._done.stdout)
        if unnamed:
            yield f"left and not named: {unnamed}"

    def _running(self) -> Iterator[str]:
        until_s = time.monotonic() + _ENDING_S
        while (alive := self._proxy.captures & taps.running().keys()) and time.monotonic() < until_s:
            time.sleep(0.2)
        if alive:
            yield f"{len(alive)} captures run on"


def _digests(bundle: Path) -> set[str]:
    """The SHA-256 of every capture in a bundle."""
    if not bundle.exists():
        return set()
    return {hashlib.sha256(content).hexdigest() for name, content in contents(bundle).items() if name.endswith(".pcap")}


def _unanswered(bundle: Path) -> list[str]:
    """What a node was asked besides capturing and did not answer, though it can: without a reason of its own."""
    if not bundle.exists():
        return []
    files = contents(bundle)
    drops = json.loads(files["recording.json"]).get("kernel_drops_absent", {})
    mute = [name for name, content in files.items() if name.endswith("/after.json") and not json.loads(content).get("links")]
    lost = [f"{node} on its drops: {reason}" for node, reason in drops.items() if re.search(r"stream|answer|missing|reach", reason)]
    return [*lost, *(f"{name} holds no interface" for name in mute)]


def _remove(place: Lab, proxy: Proxy) -> None:
    """Remove what a trace left, and nothing else, so that the next finds the place as it was."""
    made = proxy.truth.pods
    until_s = time.monotonic() + _LONGEST_REMOVAL_S
    while there := {made[uid] for uid in made if any(line.endswith(f" {uid}") for line in pods(place.kubeconfig))}:
        for name in there:
            delete_pod(place.kubeconfig, name)
        assert time.monotonic() < until_s, f"not to be removed: {there}"
        time.sleep(0.5)


def say(outcomes: Iterator[Outcome]) -> bool:
    """Print each as it comes; whether all are right."""
    is_right = True
    for each in outcomes:
        is_right &= each.right
        print(f"{'right' if each.right else 'WRONG'}  {each.name:34}  {each.expected}\n{'':43}{each.got}", flush=True)
    return is_right
