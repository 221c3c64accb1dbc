"""What -o may say."""

import pytest

from kubectl_vxtrace.errors import UsageError
from kubectl_vxtrace.flags.values import REPORT_FORMS, JsonPath, Output, report_form


def test_every_form_is_known_by_its_name() -> None:
    assert [report_form(form) for form in Output] == list(Output)
    assert report_form("jsonpath={.verdict}{'='}") == JsonPath("{.verdict}{'='}")


def test_an_unknown_form_is_answered_with_all_of_them() -> None:
    with pytest.raises(UsageError) as error:
        report_form("tabel")
    assert all(form in error.value.hint for form in REPORT_FORMS)


@pytest.mark.parametrize(
    "form", ["go-template={{.verdict}}", "jsonpath-file=x", "custom-columns=A:.verdict", "jsonpath", "jsonpath=", "jsonpath=.verdict"]
)
def test_forms_of_kubectl_that_are_not_here_are_refused_with_what_is(form: str) -> None:
    with pytest.raises(UsageError) as error:
        report_form(form)
    assert "jsonpath='{.verdict}'" in error.value.hint
