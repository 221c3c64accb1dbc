from kubectl_vxtrace.model.protocol import rfc3339


def test_times_have_nine_digits_of_a_second() -> None:
    assert rfc3339(1_795_000_000_000_000_001) == "2026-11-18T11:06:40.000000001Z"
