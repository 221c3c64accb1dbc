"""Records under pseudonyms: every text in them, and by themselves fields that hold names in another form, or what is nobody's business."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar

from kubectl_vxtrace.model.cluster import ClusterSnapshot, NetworkPolicy, Node, Pod, PodCondition, Requirement, Service
from kubectl_vxtrace.model.facts import NodeFacts, Rule
from kubectl_vxtrace.model.path import Endpoint
from kubectl_vxtrace.model.recording import Recording
from kubectl_vxtrace.model.request import DEFAULT_IMAGE, Access, PodOptions, Target
from kubectl_vxtrace.pseudonyms.text import Text
from kubectl_vxtrace.pseudonyms.words import COMMENT_WORDS

T = TypeVar("T")

_NAMED = re.compile(r"[a-z0-9][a-z0-9.-]*/[a-z0-9][a-z0-9.-]*")
"""`NAMESPACE/NAME`, as in kube-proxy's comments and in its nftables' chains."""
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*[A-Za-z0-9]|[A-Za-z0-9]")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]")
_DIGEST = re.compile(r"(?<=/)[0-9a-f]{8,}(?=/)")
_COMMENT = re.compile(r'(?:--)?comment "[^"]*"|--comment \S+')
_HOST_NAME = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z][A-Za-z0-9-]*")
_OWN_PODS = "vxtrace-"
_KEPT_DOMAINS = ("kubernetes.io", "k8s.io")
_KEPT_KEYS = frozenset(("app", "name", "component", "tier", "role", "version", "k8s-app", "pod-template-hash", "controller-revision-hash"))


def names_of(recording: Recording) -> Iterator[str | None]:
    """Every name that a recording knows of: of nodes, namespaces, pods, Services, workloads, policies and pools, and what comments name."""
    request = recording.request
    if request is not None:
        yield from (request.access.namespace, request.pod_options.debug_namespace)
        for target in (request.source, request.target):
            if target is not None:
                yield from (target.namespace, target.name)
        yield from _HOST_NAME.findall(request.filter or "")
    for facts in (*recording.before, *recording.after):
        yield from _of_node(facts.node)
    if recording.snapshot is not None:
        yield from _of_snapshot(recording.snapshot)
    for capture in recording.captures:
        yield from _of_node(capture.task.tap.node)
    for vtep in recording.overlay.vteps:
        yield from _of_node(vtep.node)
    for flow in recording.flows:
        for end in (flow.client, flow.server, *flow.candidates):
            yield from _of_end(end)
        yield from _of_path(flow.service.name if flow.service is not None else None)
    yield from _of_comments([facts for looks in (recording.before, recording.after) for facts in looks])


def _of_node(name: str | None) -> Iterator[str | None]:
    """Its own name, and the first part of it, which debug pods are called by."""
    if name is not None:
        yield from (name, name.partition(".")[0])


def _of_path(name: str | None) -> Iterator[str | None]:
    yield from (name or "").split("/")


def _of_end(end: Endpoint | None) -> Iterator[str | None]:
    if end is not None:
        yield from _of_node(end.node)
        yield from _of_path(end.pod)


def _of_snapshot(snapshot: ClusterSnapshot) -> Iterator[str | None]:
    yield snapshot.namespace
    for node in snapshot.nodes:
        yield from _of_node(node.name)
    for pod in snapshot.pods:
        yield from (pod.namespace, pod.name, (pod.owner or "").rpartition("/")[2])
    for workload in snapshot.workloads:
        yield from (workload.namespace, workload.name, (workload.owner or "").rpartition("/")[2])
    for policy in snapshot.policies:
        yield from (policy.namespace, policy.name)
    for service in snapshot.services:
        yield from (service.namespace, service.name)
        for backend in service.backends:
            yield from (*_of_node(backend.node), *_of_path(backend.pod))
    yield from (pool.name for pool in snapshot.cni.pools)
    for block in snapshot.cni.blocks:
        yield from _of_node(block.node)


def _of_comments(looks: list[NodeFacts]) -> Iterator[str | None]:
    """Services that rules are made for, and words that only somebody's own comments hold."""
    rules = [rule for facts in looks for rule in (*facts.rules, *facts.pod_rules)]
    spoken = {word.lower() for text in {rule.text for rule in rules} for word in _WORD.findall(_COMMENT.sub("", text))}
    for comment in {rule.comment for rule in rules if rule.comment is not None}:
        for name in _NAMED.findall(comment):
            yield from name.split("/")
        yield from (word for word in _WORD.findall(_NAMED.sub("", comment)) if word.lower() not in spoken | COMMENT_WORDS)
    for text in {rule.chain for rule in rules} | {name.name for facts in looks for name in facts.sets}:
        for name in _NAMED.findall(text.split("__")[0]):
            yield from re.sub(r"^[a-z-]*-[a-z2-7]{8}-", "", name.lower()).split("/")
    for facts in looks:
        for translation in facts.service_translations:
            yield from _of_path((translation.service or "").partition(":")[0])


def changed(value: T, text: Text) -> T:
    """The same record, or whatever else, with pseudonyms in every text."""
    made: T = _Changer(text).change(value)
    return made


class _Changer:
    def __init__(self, text: Text) -> None:
        self._text = text
        self._name = text.names.name
        self._special: dict[type, Callable[[Any], Any]] = {
            Access: self._access,
            Node: lambda node: replace(node, labels={key: self._name(value) for key, value in node.labels.items()}),
            NetworkPolicy: self._policy,
            Pod: lambda pod: replace(pod, labels=self._labels(pod.labels)),
            PodCondition: lambda one: replace(one, message=one.message and self._quoted(one.message)),
            PodOptions: self._pod_options,
            Requirement: lambda one: replace(one, key=self._key(one.key), values=tuple(map(self._name, one.values))),
            Rule: lambda rule: replace(rule, id=self._text(_DIGEST.sub(lambda digest: self._text.names.hexadecimal(digest[0]), rule.id))),
            Service: lambda service: replace(service, selector=self._labels(service.selector)),
            Target: lambda target: replace(target, name=target.name and self._name(target.name)),
        }

    def change(self, value: Any) -> Any:
        """See `changed`. What was changed by itself has pseudonyms, of which none is a known name, and is looked through once more."""
        if isinstance(value, str):
            return value if isinstance(value, Enum) else self._text(value)
        if isinstance(value, tuple | list):
            return type(value)(map(self.change, value))
        if isinstance(value, Mapping):
            return {self.change(key): self.change(each) for key, each in value.items()}
        if not is_dataclass(value) or isinstance(value, type):
            return value
        special = self._special.get(type(value))
        if special is not None:
            before, value = value, special(value)
            done = {each.name for each in fields(value) if getattr(before, each.name) is not getattr(value, each.name)}
        else:
            done = set()
        return replace(value, **{each.name: self.change(getattr(value, each.name)) for each in fields(value) if each.name not in done})

    def _access(self, access: Access) -> Access:
        """Who asked, and how the cluster is reached, is nobody's business."""
        namespace = access.namespace and self._name(access.namespace)
        return Access(namespace=namespace, request_timeout_s=access.request_timeout_s)

    def _pod_options(self, options: PodOptions) -> PodOptions:
        image = options.image if options.image == DEFAULT_IMAGE else self._name(options.image)
        return replace(options, image=image, image_pull_secret=None)

    def _policy(self, policy: NetworkPolicy) -> NetworkPolicy:
        return replace(policy, match_labels=self._labels(policy.match_labels), selector=policy.selector and self._selector(policy.selector))

    def _labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        return {self._key(key): self._name(value) for key, value in labels.items()}

    def _key(self, key: str) -> str:
        """A label's key, unless it is one that Kubernetes gives, or that everybody uses."""
        domain = key.rpartition("/")[0]
        return key if key in _KEPT_KEYS or domain.endswith(_KEPT_DOMAINS) else self._name(key)

    def _selector(self, selector: str) -> str:
        """An expression of Calico's: whatever is no `all()`."""
        if selector.strip() in ("", "all()"):
            return selector
        return re.sub(r"[A-Za-z0-9][A-Za-z0-9_./-]*", lambda word: self._key(word[0]), selector)

    def _quoted(self, text: str) -> str:
        """What stands in quotes or brackets, as container names do, and known names."""
        return self._text(_QUOTED.sub(lambda match: match[0][0] + self._name(match[0][1:-1]) + match[0][-1], text))
