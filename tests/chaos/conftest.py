"""The place of the end-to-end tests."""

from tests.e2e.conftest import backend, lab_of_backend, place, pytest_generate_tests
from tests.kube.conftest import no_proxy

__all__ = ["backend", "lab_of_backend", "no_proxy", "place", "pytest_generate_tests"]
