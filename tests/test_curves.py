"""The plot of training logs: its lines are the logs' values."""

import csv
import json
from pathlib import Path

import matplotlib as mpl
import pytest

from reference.curves import LABELS, draw_curves, main, read_log, write_curves

ROWS = [
    {"step": 10, "seconds": 1.0, "psnr_db": 20.0, "niqe": 6.0, "loss_l1": 0.3, "loss_new": 1.0},
    {"step": 20, "seconds": 2.0, "psnr_db": 21.0, "niqe": "", "loss_l1": 0.2, "loss_new": 2.0},
    {"step": 30, "seconds": 3.0, "psnr_db": 21.5, "niqe": 5.0, "loss_l1": 0.1, "loss_new": 3.0},
]


def write_run(folder: Path, rows: list[dict], **facts: object) -> Path:
    folder.mkdir()
    with (folder / "log.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "run.json").write_text(json.dumps(facts))
    return folder


def test_a_panel_a_quantity_with_a_line_a_run(tmp_path):
    first = write_run(tmp_path / "first", ROWS, selected_step=20, target_niqe=4.5)
    second = write_run(tmp_path / "$second$", [{"step": 15, "seconds": 1, "psnr_db": 22.0}])
    figure = draw_curves([read_log(first), read_log(second)])
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert list(panels) == [LABELS["psnr_db"], LABELS["niqe"], LABELS["loss_l1"], "loss_new"]
    lines = {name: [line.get_xydata().tolist() for line in axes.lines] for name, axes in panels.items()}
    assert lines[LABELS["psnr_db"]] == [
        [[10, 20.0], [20, 21.0], [30, 21.5]],
        [[20, 21.0]],  # the ring of the selected weights
        [[15, 22.0]],
    ]
    niqe, *others = lines[LABELS["niqe"]]
    assert niqe == [[10, 6.0], [30, 5.0]], "a step without a value has no point"
    assert [line[0][1] for line in others] == [4.5], "step 20 has no NIQE to put a ring around"
    assert lines["loss_new"] == [[[10, 1.0], [20, 2.0], [30, 3.0]]]
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["first", "$second$", "selected weights", "the targets themselves"]


def test_runs_have_colours_of_their_own(tmp_path):
    logs = [read_log(write_run(tmp_path / f"run{number}", ROWS)) for number in range(9)]
    axes = draw_curves(logs).axes[0]
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 9


@pytest.mark.parametrize(("ending", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_the_files_ending_says_its_format(tmp_path, capsys, ending, start):
    folder = write_run(tmp_path / "run", ROWS)
    path = tmp_path / f"curves.{ending}"
    with mpl.rc_context({"axes.facecolor": "red"}):
        assert main([str(folder), "--out", str(path)]) == 0
        assert mpl.rcParams["axes.facecolor"] == "red", "the user's own style stays"
    assert path.read_bytes().startswith(start)
    assert capsys.readouterr().out == f"{path}\n"


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_the_same_logs_give_the_same_bytes(tmp_path, ending):
    folder = write_run(tmp_path / "run", ROWS, selected_step=20)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write_curves([folder], tmp_path / name / f"curves.{ending}")
    first, second = ((tmp_path / name / f"curves.{ending}").read_bytes() for name in ("first", "second"))
    assert first == second
    assert b"CreationDate" not in first
    assert b"dc:date" not in first


def test_a_copied_log_is_as_the_runs_own(tmp_path):
    folder = write_run(tmp_path / "run", ROWS, selected_step=20)
    (tmp_path / "copy.csv").write_bytes((folder / "log.csv").read_bytes())
    (tmp_path / "copy.json").write_bytes((folder / "run.json").read_bytes())
    log, copy = read_log(folder), read_log(tmp_path / "copy.csv")
    assert copy.frame.equals(log.frame)
    assert copy.facts == log.facts == {"selected_step": 20}
    assert (log.name, copy.name) == ("run", "copy")


def test_nothing_is_explained_that_is_not_drawn(tmp_path):
    rows = [{"step": 10, "seconds": 1.0, "loss_l1": 0.3}]
    log = read_log(write_run(tmp_path / "run", rows, selected_step=10))
    (legend,) = draw_curves([log]).legends
    assert [text.get_text() for text in legend.get_texts()] == ["run"], "no ring stands on a loss"


def test_a_log_without_run_json_is_drawn(tmp_path):
    folder = write_run(tmp_path / "run", ROWS[:1])
    for text in ("{", "[1]", None):
        if text is None:
            (folder / "run.json").unlink()
        else:
            (folder / "run.json").write_text(text)
        write_curves([folder], tmp_path / "curves.svg")


@pytest.mark.parametrize(
    "text",
    [None, "", "step,seconds\n", "step,seconds\n1,2\n", "a,b\n1,2\n", "step,psnr_db\n1,many\n", "step,psnr_db\n1,\n"],
)
def test_a_log_that_is_none_is_one_sentence(tmp_path, capsys, text):
    if text is not None:
        (tmp_path / "log.csv").write_text(text)
    assert main([str(tmp_path), "--out", str(tmp_path / "curves.svg")]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "log.csv") in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["curves.abc", "none/curves.svg"])
def test_a_figure_that_cannot_be_written_is_one_sentence(tmp_path, capsys, name):
    folder = write_run(tmp_path / "run", ROWS)
    assert main([str(folder), "--out", str(tmp_path / name)]) == 2
    assert "cannot write" in capsys.readouterr().err
