"""The page's part on the measurement: times in full, and what to know of a submission."""

import msgspec
import pytest
from stored import make_audit, make_failure, make_record, make_timing

from harness.estimates import summarise_timing
from harness.records import Record
from harness.render.measurement import list_remarks, render_remarks, render_times

replace = msgspec.structs.replace


def declare(**changes: object) -> Record:
    record = make_record()
    return replace(record, submission=replace(record.submission, **changes))


def test_load_first_call_and_steady_state_are_three_numbers() -> None:
    timing = replace(
        make_timing(100.0),
        load_ns=(10_000_000, 30_000_000, 20_000_000, 20_000_000),
        warmup_ns=((400_000_000, 1), (600_000_000, 1), (500_000_000, 1), (500_000_000, 1)),
    )
    page = render_times([replace(make_record(), timing=timing), make_record("untimed", ms=None)])
    (row,) = page.splitlines()[4:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:5] == ["alpha", "20", "500.0", "100.1 ± 0.2", "100.1"]
    assert cells[5].startswith("2.000 ± ")
    assert cells[-3:] == ["4", "cpu, 2 threads", ""]


def test_cpu_time_has_a_ratio_of_its_own_and_none_on_another_device() -> None:
    timing = replace(make_timing(100.0, spread=0), cpu_ns=((50_000_000,) * 3,) * 4)
    row = summarise_timing(timing)
    assert (row["cpu_time"], row["cpu_speed_up"]) == (pytest.approx(50), pytest.approx(4))
    assert row["speed_up"] == pytest.approx(2)
    other = render_times([replace(make_record(), timing=replace(timing, device="cuda"))])
    assert "cuda, 2 threads" in other
    assert "nan" not in other


def test_what_is_noisy_says_how_much() -> None:
    noisy = replace(make_record(), timing=make_timing(100.0, spread=0.2))
    width = summarise_timing(noisy.timing)["width"]
    assert width > 0.02
    assert f"noisy: interval of {width:.2%}" in render_times([noisy])
    assert "noisy" not in render_times([make_record()])


def test_remarks_are_flags_and_what_a_submission_declares() -> None:
    assert render_remarks([make_record(), make_failure("b", "It failed.")]) == ""
    flagged = replace(make_record(), audit=make_audit(photo_difference=0.0))
    assert render_remarks([flagged]).splitlines()[2:] == [
        "- **alpha** gives nearly the same output for different photos."
    ]
    assert "from the seed 7 that it declares" in list_remarks(declare(seed=7))[0]
    assert "the mean over 5 outputs" in list_remarks(declare(draws=5))[0]
    assert list_remarks(declare(runtime="torchscript")) == ["is a program (torchscript), run with --allow-code"]


def test_copies_are_remarks() -> None:
    copies = [make_record(name, sha256="c" * 64) for name in ("alpha", "beta")]
    assert "- alpha and beta are the same file." in render_remarks(copies)
