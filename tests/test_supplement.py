"""Metrics beside the challenge's: measured with the others or added later, kept, compared, and shown without pyiqa."""

import dataclasses
import math
import sys
from collections.abc import Callable
from pathlib import Path

import models
import msgspec
import numpy as np
import pytest
from stored import make_record, make_timing
from tiny import ignore, run

from harness import session
from harness.archive import locate_record, locate_unfinished, read_record, write_record
from harness.assets import open_store
from harness.boards import build_boards
from harness.challenge import Challenge, ChallengeMetric, find_phase, read_challenge
from harness.errors import DataError, UsageError
from harness.export import export_boards
from harness.findings import Verdict
from harness.gate import Gate, check_submissions
from harness.job import Evaluation
from harness.metrics.bridge import create_pyiqa_metric, import_pyiqa, to_tensor
from harness.metrics.profiles import quantize
from harness.quality import BoundMetric, bind_extra
from harness.records import ImageScore, Record
from harness.render.columns import list_columns
from harness.render.live import describe_figures
from harness.render.markdown import render_leaderboard
from harness.render.record_page import tabulate_images
from harness.render.terminal import list_figures
from harness.submission import SubmissionFolder
from harness.supplement import add_metrics
from harness.tolerances import Tolerances
from harness.turns import Outcome, Run

replace = msgspec.structs.replace
Submit = Callable[..., SubmissionFolder]
GMSD, PIQE = "pyiqa:gmsd", "pyiqa:piqe"


def ask(evaluation: Evaluation, *names: str, records: tuple[Record, ...] = ()) -> Evaluation:
    extended, missing = session.add_metrics(evaluation, names, records, open_store())
    assert not missing
    return extended


def locate(reports: Path) -> Path:
    return locate_record(reports / "records", dataset="pictures", name="a")


def add(folder: SubmissionFolder, evaluation: Evaluation, reports: Path, *names: str) -> tuple[list[str], int]:
    """What adding metrics says, and how many submissions have more to do."""
    outcomes: list[Outcome] = []
    left = add_metrics(
        [folder],
        Run(ask(evaluation, *names), reports, again=False),
        names,
        on_progress=ignore,
        on_outcome=outcomes.append,
    )
    return [outcome.sentence for outcome in outcomes], len(left)


def test_values_are_those_of_the_other_library_for_the_shipped_file(
    evaluation: Evaluation, submit: Submit, tmp_path: Path
) -> None:
    run(submit(models.brighten(0.05)), ask(evaluation, GMSD, PIQE, "ssim", "pyiqa:ssim"), tmp_path)
    quality = read_record(locate(tmp_path)).quality
    assert quality is not None
    gmsd, piqe = (import_pyiqa().create_metric(name, device="cpu") for name in ("gmsd", "piqe"))
    for scored in quality.pairs:
        pair = evaluation.dataset.load_pair(scored.image)
        shipped = quantize(pair.source.astype(np.float32) / np.float32(255) + np.float32(0.05))
        theirs = gmsd(to_tensor(shipped / 255), to_tensor(pair.target / 255))
        assert scored.values[GMSD] == pytest.approx(float(theirs), rel=1e-4)
        assert scored.values["ssim"] == pytest.approx(scored.values["pyiqa:ssim"], abs=1e-3)  # theirs has a ReLU
    photo = quality.photos[0]
    shipped = quantize(evaluation.dataset.load_photo(photo.image).astype(np.float32) / 255 + np.float32(0.05))
    assert photo.values == {PIQE: pytest.approx(float(piqe(to_tensor(shipped / 255))), rel=1e-4)}
    assert quality.profiles == {
        "psnr": "pirm-b", "ms_ssim": "pirm-b", "ssim": "wang", GMSD: "pyiqa", PIQE: "pyiqa", "pyiqa:ssim": "pyiqa",
    }  # fmt: skip
    assert quality.lower_is_better == (GMSD, PIQE)


def test_a_metric_without_target_takes_the_outputs_of_pairs_where_there_are_no_photos(evaluation: Evaluation) -> None:
    bare = dataclasses.replace(evaluation.dataset, photos=())
    bound = bind_extra(PIQE, bare, open_store())
    assert (bound.chosen.images, bound.needs_target) == ("pairs", False)
    pair = bare.load_pair("0")
    alone = create_pyiqa_metric("piqe")[0](pair.target, data_range=255)
    assert dict(bound.measure(pair.target.astype(np.float32) / 255, pair.source)) == {PIQE: pytest.approx(alone)}
    assert bind_extra(PIQE, evaluation.dataset, open_store()).chosen.images == "photos"


def test_a_metric_is_added_to_a_record_and_nothing_else_changes(
    evaluation: Evaluation, submit: Submit, tmp_path: Path
) -> None:
    folder, path = submit(models.brighten(0.05)), locate(tmp_path)
    run(folder, evaluation, tmp_path, again=False)
    write_record(path, replace(read_record(path), timing=make_timing(100.0)))
    before = read_record(path)
    sentences, left = add(folder, evaluation, tmp_path, GMSD, PIQE)
    assert (sentences, left) == ([f"a: {GMSD}, {PIQE} is added to what was recorded before."], 0)
    added = read_record(path)
    assert (added.timing, added.key, added.memory) == (before.timing, before.key, before.memory)
    assert added.environment.packages["pyiqa"]
    for old, new in zip(before.quality.pairs, added.quality.pairs, strict=True):
        assert new.values == old.values | {GMSD: new.values[GMSD]}
    run(folder, ask(evaluation, GMSD, PIQE), tmp_path, again=True)
    assert read_record(path).quality == added.quality


def test_a_rerun_without_the_option_keeps_the_record(evaluation: Evaluation, submit: Submit, tmp_path: Path) -> None:
    folder, path = submit(models.brighten()), locate(tmp_path)
    run(folder, ask(evaluation, GMSD), tmp_path, again=False)
    before = path.read_bytes()
    assert "as recorded on" in run(folder, evaluation, tmp_path, again=False).sentence
    assert add(folder, evaluation, tmp_path, GMSD) == ([], 1)  # it is there: the run goes on as ever
    write_record(path, replace(read_record(path), key="of other code"))
    sentence = run(folder, evaluation, tmp_path, again=False).sentence
    assert sentence == f"a: done. Its earlier result in {path}, which has {GMSD}, is kept; --again replaces it."
    assert read_record(path).quality == msgspec.json.decode(before, type=Record).quality
    run(folder, ask(evaluation, records=(read_record(path),)), tmp_path, again=False)  # as the command does
    assert read_record(path).key != "of other code"
    assert path.read_bytes().count(GMSD.encode()) == before.count(GMSD.encode())
    run(folder, evaluation, tmp_path, again=True)
    assert GMSD not in read_record(path).quality.profiles


def test_an_unfinished_record_is_added_to_as_well(evaluation: Evaluation, submit: Submit, tmp_path: Path) -> None:
    folder, path = submit(models.brighten()), locate(tmp_path)
    run(folder, evaluation, tmp_path, again=False)
    write_record(locate_unfinished(path), read_record(path))
    path.unlink()
    assert add(folder, evaluation, tmp_path, GMSD) == ([], 1)  # its time is still to come
    assert GMSD in read_record(locate_unfinished(path)).quality.profiles


def test_values_of_other_packages_are_computed_again(evaluation: Evaluation, submit: Submit, tmp_path: Path) -> None:
    folder, path = submit(models.brighten()), locate(tmp_path)
    run(folder, ask(evaluation, GMSD), tmp_path, again=False)
    record = read_record(path)
    packages = record.environment.packages | {"pyiqa": "0.0.1"}
    write_record(path, replace(record, environment=replace(record.environment, packages=packages)))
    assert add(folder, evaluation, tmp_path, GMSD)[1] == 0
    assert read_record(path).environment.packages == record.environment.packages


def test_a_model_that_fails_while_a_metric_is_added_leaves_the_record(
    evaluation: Evaluation, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, path = submit(models.brighten()), locate(tmp_path)
    run(folder, evaluation, tmp_path, again=False)
    record = read_record(path)
    broken = submit(models.all_nan())
    monkeypatch.setattr("harness.supplement.find_stored", lambda *_: record)  # as if the key were the same
    outcomes: list[Outcome] = []
    wanted = Run(ask(evaluation, GMSD), tmp_path, again=False)
    assert add_metrics([broken], wanted, [GMSD], on_progress=ignore, on_outcome=outcomes.append) == []
    assert outcomes[0].exit_code == 3
    assert outcomes[0].sentence.startswith(f"a: {GMSD} cannot be added to its record: ")
    assert read_record(path) == record


@pytest.mark.parametrize("value", [math.nan, ValueError("too flat")])
def test_a_metric_that_is_not_defined_for_an_output_is_left_out(
    evaluation: Evaluation, submit: Submit, tmp_path: Path, value: float | ValueError
) -> None:
    given = iter((1.0, value, 2.0))

    def compute(*_: object, data_range: float) -> float:
        if isinstance(found := next(given), ValueError):
            raise found
        return found

    metric = BoundMetric(ChallengeMetric(GMSD, "pairs", "pyiqa"), compute, extra=True)
    partial = dataclasses.replace(evaluation, metrics=(*evaluation.metrics, metric))
    assert run(submit(models.brighten()), partial, tmp_path).sentence == (
        f"a: done. Without {GMSD}: not defined for all of its outputs."
    )
    quality = read_record(locate(tmp_path)).quality
    assert GMSD not in quality.profiles
    assert all(pair.values.keys() == {"psnr", "psnr_png", "ms_ssim", "ms_ssim_png"} for pair in quality.pairs)


# --- what cannot be had


def test_what_cannot_be_had_is_one_sentence(evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="unknown metric 'psnrr'; known are psnr"):
        ask(evaluation, "psnrr")
    with pytest.raises(
        UsageError, match=r"^pyiqa:ms_ssim cannot be computed on the pairs of pictures: .*; leave it out\.$"
    ):
        ask(evaluation, "pyiqa:ms_ssim")  # 100 pixels are too few
    create_pyiqa_metric.cache_clear()
    monkeypatch.setattr(import_pyiqa(), "create_metric", refuse)
    with pytest.raises(DataError, match="weights of pyiqa's lpips cannot be had here"):
        ask(evaluation, "pyiqa:lpips")


def refuse(name: str, device: str) -> None:
    raise OSError("no route")


def test_a_metric_of_records_that_cannot_be_had_is_named(
    evaluation: Evaluation, submit: Submit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = submit(models.brighten())
    run(folder, ask(evaluation, GMSD, "ssim"), tmp_path)
    create_pyiqa_metric.cache_clear()
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    record = read_record(locate(tmp_path))
    extended, missing = session.add_metrics(evaluation, (), [record], open_store())
    assert [metric.chosen.name for metric in extended.metrics] == ["psnr", "ms_ssim", "ssim"]
    assert list(missing) == [GMSD]
    assert "pip install" in missing[GMSD]
    verdicts = check(folder, evaluation, tmp_path)
    assert [(verdict.subject, verdict.status, verdict.exit_code) for verdict in verdicts] == [
        (GMSD, "not compared", 0),
        ("a", "as recorded", 0),
    ]
    assert [figure.quantity for figure in verdicts[1].figures] == ["Score A", "psnr", "ms_ssim", "ssim"]


# --- what a check compares


def check(folder: SubmissionFolder, evaluation: Evaluation, reports: Path) -> list[Verdict]:
    verdicts: list[Verdict] = []
    gate = Gate(evaluation, reports, Tolerances(), find_phase(evaluation.challenge, "validation"))
    check_submissions([folder], gate, on_progress=ignore, on_verdict=verdicts.append)
    return verdicts


@pytest.mark.parametrize(
    ("factor", "status"), [(1, "as recorded"), (0.9, "got worse"), (1.1, "does not follow")], ids=str
)
def test_a_check_knows_which_way_is_worse(
    evaluation: Evaluation, submit: Submit, tmp_path: Path, factor: float, status: str
) -> None:
    folder, path = submit(models.brighten(0.05)), locate(tmp_path)
    run(folder, ask(evaluation, GMSD), tmp_path)
    record = read_record(path)
    changed = tuple(ImageScore(p.image, p.values | {GMSD: factor * p.values[GMSD]}) for p in record.quality.pairs)
    write_record(path, replace(record, quality=replace(record.quality, pairs=changed)))
    (verdict,) = check(folder, evaluation, tmp_path)
    assert verdict.status == status
    figure = next(figure for figure in verdict.figures if figure.quantity == GMSD)
    assert figure.allowed == pytest.approx(0.005 * figure.before)
    if status == "got worse":
        assert verdict.sentence.startswith(f"a: {GMSD} got worse, from ")


def test_what_is_not_named_may_differ_by_a_part_of_its_mean() -> None:
    mean, image = Tolerances(mean={"psnr": 0.01, GMSD: 0.5}).complete({"psnr": 20.0, GMSD: 2.0, PIQE: -40.0, "x": 0.0})
    assert mean == {"psnr": 0.01, GMSD: 0.5, PIQE: pytest.approx(0.2), "x": pytest.approx(5e-9)}
    assert image["psnr"] == 0.05
    assert image[PIQE] == pytest.approx(0.8)


# --- what reports show


def add_values(record: Record, name: str, values: list[float], *, lower: bool, profile: str = "pyiqa") -> Record:
    quality = record.quality
    assert quality is not None
    pairs = tuple(
        ImageScore(pair.image, pair.values | {name: value}) for pair, value in zip(quality.pairs, values, strict=True)
    )
    lower_names = (*quality.lower_is_better, *([name] if lower else []))
    profiles = quality.profiles | {name: profile}
    return replace(record, quality=replace(quality, pairs=pairs, profiles=profiles, lower_is_better=lower_names))


@pytest.fixture
def records() -> list[Record]:
    """Two, one of which has more metrics; their values are known."""
    known = add_values(make_record("with"), "pyiqa:lpips", [0.01 * n for n in range(20)], lower=True)
    known = add_values(known, "ssim", [0.5 + 0.01 * n for n in range(20)], lower=False, profile="wang")
    return [make_record("without", psnr=23.0), known]


@pytest.fixture(scope="module")
def pirm() -> Challenge:
    return read_challenge("pirm2018b")


def test_boards_show_what_records_have(records: list[Record], pirm: Challenge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyiqa", None)  # no report may need it
    (board,) = build_boards(records, pirm)
    rows = {row["submission"]: row for row in board.frame.to_dict("records")}
    assert rows["with"]["pyiqa:lpips"] == pytest.approx(0.095)
    assert rows["with"]["ssim"] == pytest.approx(0.595)
    assert math.isnan(rows["without"]["pyiqa:lpips"])
    assert "pyiqa:lpips_png" not in board.frame
    text = render_leaderboard((board,), records, pirm)
    (table,) = [lines for lines in text.split("\n\n") if lines.startswith("|   Rank")]
    heads, _, *lines = ([cell.strip() for cell in line.split("|")] for line in table.splitlines())
    cells = {line[2]: dict(zip(heads, line, strict=True)) for line in lines}
    assert cells["with"]["pyiqa:lpips ↓"] == "0.0950 ± 0.0254" or cells["with"]["pyiqa:lpips ↓"].startswith("0.0950 ± ")
    assert (cells["without"]["pyiqa:lpips ↓"], cells["without"]["SSIM"]) == ("-", "-")
    assert "**Not of the challenge**: pyiqa:lpips (mean over the 20 pairs), ssim (mean over the 20 pairs)." in text
    columns = {column.key: column for column in list_columns(board)}
    assert (columns["pyiqa:lpips"].lower_is_better, columns["ssim"].lower_is_better) == (True, False)
    assert columns["pyiqa:lpips"].heading == "pyiqa:lpips ↓"
    assert "pyiqa:\nlpips ↓" in list_figures(board)
    assert r"pyiqa:lpips $\downarrow$" in export_boards((board,), "latex", None)
    assert "pyiqa:lpips,pyiqa:lpips_low,pyiqa:lpips_high" in export_boards((board,), "csv", None)
    assert "pyiqa:lpips 0.0950" in describe_figures(records[1], pirm)
    assert "pyiqa:lpips ↓" in next(tabulate_images(records[1]))["columns"]


def test_records_without_more_metrics_give_the_same_board_as_ever(pirm: Challenge) -> None:
    (board,) = build_boards([make_record()], pirm)
    assert (board.challenge, board.extras) == (pirm, ())


def test_a_record_keeps_the_direction_only_where_it_must(records: list[Record]) -> None:
    encoded = [msgspec.json.encode(record.quality) for record in records]
    assert [b"lower_is_better" in text for text in encoded] == [False, True]
    assert [msgspec.json.decode(text, type=type(records[0].quality)) for text in encoded] == [
        r.quality for r in records
    ]


def test_a_challenge_says_no_wrong_direction() -> None:
    with pytest.raises(ValueError, match="of PSNR higher is better; leave lower_is_better out"):
        ChallengeMetric("psnr", "pairs", "pirm-b", lower_is_better=True)
    assert ChallengeMetric("niqe", "photos", "live").lower_is_better
