"""The place of the end-to-end tests."""

from tests.e2e.conftest import backend, lab_of_backend, place, pytest_generate_tests

__all__ = ["backend", "lab_of_backend", "place", "pytest_generate_tests"]
