"""The environment that the packed program hands to its children."""

import pytest

from kubectl_vxtrace.__main__ import restore_library_path

OURS = {"LD_LIBRARY_PATH": "/packed/_internal"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (OURS, {}),
        ({"LD_LIBRARY_PATH": "/packed/_internal:/opt/lib", "LD_LIBRARY_PATH_ORIG": "/opt/lib"}, {"LD_LIBRARY_PATH": "/opt/lib"}),
        (OURS | {"LD_LIBRARY_PATH_ORIG": ""}, {"LD_LIBRARY_PATH": ""}),
        ({}, {}),
    ],
)
def test_children_get_the_library_path_that_the_user_had(before: dict[str, str], after: dict[str, str]) -> None:
    environment = before | {"PATH": "/usr/bin"}
    restore_library_path(environment)
    assert environment == after | {"PATH": "/usr/bin"}
