"""The objects, each with the version at which it last changed, and the history that watches are served from.

A stored object is never changed in place: whoever holds one may read it without a lock.
"""

import copy
import threading
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.lab.resources import Kind
from tests.lab.status import JsonObject, already_exists, gone, not_found

Key = tuple[str, str]  # namespace ("" for cluster-scoped kinds), name

_HISTORY_CHANGES = 2000


def now() -> str:
    """The time as Kubernetes writes it: RFC 3339, UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One write: `old` is None for a creation, `new` is None for a removal. Both carry the version of their own time."""

    version: int
    kind: Kind
    old: JsonObject | None
    new: JsonObject | None


class Store:
    """All objects of the cluster. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._objects: dict[Kind, dict[Key, JsonObject]] = {}
        self._history: deque[Change] = deque(maxlen=_HISTORY_CHANGES)
        self._version = 1000

    def _record(self, kind: Kind, key: Key, old: JsonObject | None, new: JsonObject | None) -> None:
        self._version += 1
        objects = self._objects.setdefault(kind, {})
        if new is None:
            assert old is not None
            del objects[key]
            old = old | {"metadata": old["metadata"] | {"resourceVersion": str(self._version)}}
        else:
            new["metadata"]["resourceVersion"] = str(self._version)
            objects[key] = new
        self._history.append(Change(version=self._version, kind=kind, old=old, new=new))
        self._changed.notify_all()

    def create(self, kind: Kind, obj: JsonObject) -> JsonObject:
        """Add an object; uid and creationTimestamp are kept where they are given. Raises ApiError 409."""
        new = copy.deepcopy(obj)
        metadata = new["metadata"]
        metadata.setdefault("uid", str(uuid.uuid4()))
        metadata.setdefault("creationTimestamp", now())
        key = (metadata.get("namespace", ""), metadata["name"])
        with self._changed:
            if key in self._objects.get(kind, {}):
                raise already_exists(kind.plural, kind.group, key[1])
            self._record(kind, key, None, new)
        return new

    def get(self, kind: Kind, namespace: str, name: str) -> JsonObject:
        """One object. Raises ApiError 404."""
        with self._changed:
            found = self._objects.get(kind, {}).get((namespace, name))
        if found is None:
            raise not_found(kind.plural, kind.group, name)
        return found

    def select(self, kind: Kind, namespace: str = "") -> tuple[list[JsonObject], int]:
        """The objects of a kind, sorted by namespace and name ("" = all namespaces), and the version of the list."""
        with self._changed:
            objects = sorted(self._objects.get(kind, {}).items())
            return [obj for key, obj in objects if not namespace or key[0] == namespace], self._version

    def update(self, kind: Kind, namespace: str, name: str, change: Callable[[JsonObject], None], *, uid: str = "") -> JsonObject | None:
        """Apply `change` to a copy and store it; None if there is no such object, or not of that `uid`."""
        with self._changed:
            old = self._objects.get(kind, {}).get((namespace, name))
            if old is None or (uid and old["metadata"]["uid"] != uid):
                return None
            new = copy.deepcopy(old)
            change(new)
            self._record(kind, (namespace, name), old, new)
            return new

    def remove(self, kind: Kind, namespace: str, name: str, *, uid: str = "") -> JsonObject | None:
        """Remove an object; None if there was none, or not of that `uid`."""
        with self._changed:
            old = self._objects.get(kind, {}).get((namespace, name))
            if old is None or (uid and old["metadata"]["uid"] != uid):
                return None
            self._record(kind, (namespace, name), old, None)
            return old

    def changes_after(self, version: int, timeout_s: float) -> tuple[list[Change], int]:
        """What happened after `version`, waiting up to `timeout_s` for something, and the newest version.

        Raises ApiError 410 if the history does not reach back that far.
        """
        with self._changed:
            if self._version <= version:
                self._changed.wait(timeout_s)
            oldest = self._history[0].version if self._history else self._version + 1
            if version < oldest - 1:
                raise gone(f"too old resource version: {version} ({oldest})")
            return [change for change in self._history if change.version > version], self._version
