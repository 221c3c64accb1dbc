"""Bundles unpacked: what is in the one folder that is around everything. Shares no code with the plugin."""

import io
import zipfile
from pathlib import Path


def contents(bundle: Path | bytes) -> dict[str, bytes]:
    """The files of a bundle that is a zip, by their names in it."""
    raw = bundle if isinstance(bundle, bytes) else bundle.read_bytes()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        names = archive.namelist()
        assert len({name.partition("/")[0] for name in names}) == 1, "one folder is around everything"
        return {name.partition("/")[2]: archive.read(name) for name in names}


def unpacked(bundle: Path, folder: Path, *, suffix: str = "") -> Path:
    """Unpack the files of a bundle, or those whose names end so, into `folder`; the folder."""
    for name, content in contents(bundle).items():
        if name.endswith(suffix):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return folder
