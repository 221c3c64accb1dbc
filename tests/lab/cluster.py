"""The cluster behind the API: the lab's records as objects, kept up to date, and the debug pods that were made."""

import threading
from pathlib import Path

from tests.datapath import records
from tests.datapath.records import Lab
from tests.lab.control import Control, JsonFile
from tests.lab.kubelet import Kubelets
from tests.lab.objects import objects
from tests.lab.resources import Kind
from tests.lab.status import JsonObject
from tests.lab.store import Store


class Cluster:
    """Objects, faults and kubelets of the lab in `state_dir`. Thread-safe."""

    def __init__(self, state_dir: Path) -> None:
        lab = records.load(state_dir)
        if lab is None:
            raise FileNotFoundError(f"no {records.RECORD_FILE} in {state_dir}")
        self.lab: Lab = lab
        self.store = Store()
        self.control = Control(state_dir)
        self.kubelets = Kubelets(self.store, self.control, lambda: self.lab)
        self._file = JsonFile(state_dir / records.RECORD_FILE)
        self._lock = threading.Lock()
        self._shown: dict[tuple[Kind, str, str], JsonObject] = {}
        self._state: tuple[int, tuple[str, ...]] | None = None

    def refresh(self) -> None:
        """Bring the objects in line with the records and the faults. Raises ValueError, TypeError, KeyError for files nobody can read."""
        with self._lock:
            value = self._file.value()
            state = (self._file.reads, tuple(self.control.faults().node_not_ready))
            if state == self._state:
                return
            if value is not None:
                self.lab = records.from_json(value)
            self._synchronise(state[1])
            self._state = state

    def _synchronise(self, not_ready: tuple[str, ...]) -> None:
        """Only what differs from last time is written, so that a watch says what changed; what somebody deleted stays so."""
        wanted: dict[tuple[Kind, str, str], JsonObject] = {}
        for kind, obj in objects(self.lab, not_ready):
            wanted[kind, obj["metadata"].get("namespace", ""), obj["metadata"]["name"]] = obj
        for key, obj in wanted.items():
            before = self._shown.get(key)
            if before is None:
                self.store.create(key[0], obj)
            elif _timeless(before) != _timeless(obj):
                self._replace(key, obj)
        for key in self._shown.keys() - wanted.keys():
            self.store.remove(*key)
        self._shown = wanted

    def _replace(self, key: tuple[Kind, str, str], obj: JsonObject) -> None:
        def change(found: JsonObject) -> None:
            found.update({part: value for part, value in obj.items() if part != "metadata"})
            found["metadata"].update(obj["metadata"])

        self.store.update(*key, change)


def _timeless(value: object) -> object:
    """A copy without the times at which conditions changed: they are when the object was made, not what it says."""
    if isinstance(value, dict):
        return {key: _timeless(entry) for key, entry in value.items() if key != "lastTransitionTime"}
    if isinstance(value, list):
        return [_timeless(entry) for entry in value]
    return value
