"""The manifest by krew's own rules (sigs.k8s.io/krew, internal/index/validation)."""

import re
from pathlib import Path

import yaml

from kubectl_vxtrace import __version__

ROOT = Path(__file__).parents[1]
MANIFEST = yaml.safe_load((ROOT / "krew-manifest.yaml").read_text())
SPEC = MANIFEST["spec"]
# krew's list of supported pairs that we build for.
PAIRS = {(system, machine) for system in ("linux", "darwin") for machine in ("amd64", "arm64")}


def test_header() -> None:
    assert MANIFEST["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert MANIFEST["kind"] == "Plugin"
    assert re.fullmatch(r"[\w-]+", MANIFEST["metadata"]["name"])


def test_version_is_the_package_s() -> None:
    assert SPEC["version"] == f"v{__version__}"


def test_short_description_is_one_short_line() -> None:
    assert "\n" not in SPEC["shortDescription"]
    assert len(SPEC["shortDescription"]) <= 50


def test_lines_are_short() -> None:
    """validate-krew-manifest warns of lines beyond 80 characters."""
    assert all(len(line) <= 80 for line in (SPEC["description"] + SPEC["caveats"]).splitlines())


def test_platforms_are_known_and_do_not_overlap() -> None:
    pairs = [(p["selector"]["matchLabels"]["os"], p["selector"]["matchLabels"]["arch"]) for p in SPEC["platforms"]]
    assert set(pairs) == PAIRS
    assert len(pairs) == len(PAIRS)


def test_each_platform_names_its_archive() -> None:
    for platform in SPEC["platforms"]:
        labels = platform["selector"]["matchLabels"]
        assert platform["uri"].endswith(f"_{SPEC['version']}_{labels['os']}_{labels['arch']}.tar.gz")
        assert re.fullmatch(r"[0-9a-f]{64}", platform["sha256"])
        assert ".." not in platform["bin"]
