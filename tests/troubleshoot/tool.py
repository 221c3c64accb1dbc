"""What Replicated Troubleshoot makes of a spec: the schema it accepts, the `run` host collector, the `textAnalyze` analyzer, the archive.

Read in github.com/replicatedhq/troubleshoot v0.133.0: troubleshoot.sh_supportbundles.yaml and troubleshoot.sh_hostpreflights.yaml of
config/crds, pkg/collect/host_run.go, pkg/analyze/text_analyze.go. Of the schema stands here what our specs use, and nothing else.
"""

import io
import json
import re
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Spec = Mapping[str, Any]

_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}


def _object(required: Sequence[str] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _list_of(**kinds: Any) -> dict[str, Any]:
    return {"type": "array", "items": {**_object(**kinds), "minProperties": 1, "maxProperties": 1}}


_RUN = _object(
    ("args", "command"),
    collectorName=_TEXT,
    command=_TEXT,
    args=_TEXTS,
    outputDir=_TEXT,
    input={"type": "object", "additionalProperties": _TEXT},
    env=_TEXTS,
    inheritEnvs=_TEXTS,
    ignoreParentEnvs={"type": "boolean"},
    timeout=_TEXT,
)
_OUTCOME = _object(message=_TEXT, uri=_TEXT, when=_TEXT)
_TEXT_ANALYZE = _object(
    ("outcomes",),
    checkName=_TEXT,
    collectorName=_TEXT,
    fileName=_TEXT,
    excludeFiles=_TEXTS,
    ignoreIfNoFiles={"type": "boolean"},
    regex=_TEXT,
    regexGroups=_TEXT,
    annotations={"type": "object", "additionalProperties": _TEXT},
    outcomes=_list_of(fail=_OUTCOME, warn=_OUTCOME, **{"pass": _OUTCOME}),
)
# Where each kind has its host collectors and what reads their files.
PLACES = {"SupportBundle": ("hostCollectors", "hostAnalyzers"), "HostPreflight": ("collectors", "analyzers")}


def schema(kind: str) -> dict[str, Any]:
    """JSON Schema of a spec of this kind."""
    collectors, analyzers = PLACES[kind]
    return _object(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": "troubleshoot.sh/v1beta2"},
        kind={"const": kind},
        metadata=_object(("name",), name=_TEXT),
        spec=_object((), **{collectors: _list_of(run=_RUN), analyzers: _list_of(textAnalyze=_TEXT_ANALYZE)}),
    )


def collector(spec: Spec) -> Spec:
    """The one `run` collector of a spec."""
    (only,) = spec["spec"][PLACES[spec["kind"]][0]]
    found: Spec = only["run"]
    return found


def analyzer(spec: Spec) -> Spec:
    (only,) = spec["spec"][PLACES[spec["kind"]][1]]
    found: Spec = only["textAnalyze"]
    return found


def seconds(duration: str) -> int:
    """Of a Go duration of one unit."""
    return int(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def collect(run: Spec, environment: Mapping[str, str], scratch: Path) -> dict[str, bytes]:
    """Files of the support bundle that the collector makes. The command runs in an empty folder, in which `outputDir` is; it gets the
    named variables of Troubleshoot's own, and those that are guaranteed."""
    name, out = run["collectorName"], run.get("outputDir")
    folder = scratch / f"{name}123456"
    folder.mkdir()
    inherited = {key: environment[key] for key in run["inheritEnvs"]}
    guaranteed = {key: environment[key] for key in ("PATH", "KUBECONFIG", "PWD") if key in environment}
    given = {**inherited, **guaranteed}
    if out is not None:
        (folder / out).mkdir(parents=True)
        given["TS_OUTPUT_DIR"] = str(folder / out)
    done = subprocess.run(
        [run["command"], *run["args"]], cwd=folder, env=given, capture_output=True, check=False, timeout=seconds(run["timeout"])
    )
    info = {
        "command": " ".join((run["command"], *run["args"])),
        "exitCode": str(done.returncode),
        "error": done.stderr.decode() if done.returncode else "",
        "outputDir": "",
        "input": "",
        "env": [f"{key}={value}" for key, value in given.items()],
    }
    base = f"host-collectors/run-host/{name}"
    files = {f"{base}-info.json": json.dumps(info).encode(), f"{base}.txt": done.stdout}
    if done.stderr:
        files[f"{base}-stderr.txt"] = done.stderr
    if out is not None:
        made = [path for path in sorted((folder / out).rglob("*")) if path.is_file()]
        files |= {f"{base}/{out}/{path.relative_to(folder / out).as_posix()}": path.read_bytes() for path in made}
    return files


@dataclass(frozen=True)
class Result:
    """What a person sees of an analyzer: pass, warn or fail, and a text."""

    outcome: str
    message: str


def analyze(spec: Spec, files: Mapping[str, bytes]) -> Result:
    """The first outcome whose condition holds; one without a condition always does. Without the file there is a warning."""
    if spec["fileName"] not in files:
        return Result("warn", "No matching files")
    match = re.search(spec["regexGroups"], files[spec["fileName"]].decode())
    groups = {name: text or "" for name, text in match.groupdict().items()} if match is not None else {}
    for outcome in spec["outcomes"]:
        ((kind, of_kind),) = outcome.items()
        if _holds(of_kind.get("when", ""), groups):
            return Result(kind, re.sub(r"\{\{ \.(\w+) \}\}", lambda field: groups[field[1]], of_kind["message"]))
    return Result("none", "")


def _holds(condition: str, groups: Mapping[str, str]) -> bool:
    if not condition:
        return True
    name, operator, value = condition.split(" ")
    assert operator in ("=", "==", "===")
    return groups.get(name) == value


def archive(files: Mapping[str, bytes]) -> bytes:
    """The support bundle, with what else is always in it."""
    top = "support-bundle-2026-11-23T12_00_00"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in {
            "version.yaml": b"apiVersion: troubleshoot.sh/v1beta2\nkind: SupportBundle\n",
            "analysis.json": b"[]",
            **files,
        }.items():
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return packed.getvalue()
