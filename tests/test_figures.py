"""The figures: nothing overlaps or leaves the frame, and the same board gives the same bytes."""

import io
from collections.abc import Iterator
from itertools import combinations
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from stored import make_record

from harness.boards import Board, build_boards
from harness.challenge import Challenge, read_challenge
from harness.records import ImageScore
from harness.render.figures import (
    COLOURS,
    MARKERS,
    MEMORY_TIME,
    MOST_SHOWN,
    PERCEPTION_DISTORTION,
    SCORES,
    SPEED_QUALITY,
    list_figures,
    list_planes,
    measure_arms,
    render_figures,
)


@pytest.fixture(scope="module")
def challenge() -> Challenge:
    return read_challenge("pirm2018b")


def make_board(challenge: Challenge, count: int, *, name: str = "team_{}") -> Board:
    """Submissions from three times faster than the baseline to a hundred times slower, faster ones with less PSNR."""
    records = [
        make_record(name.format(number), psnr=21 + number / 10, ms=60 * 300 ** (number / max(1, count - 1)), seed=7)
        for number in range(count)
    ]
    return build_boards(records, challenge)[0]


def draw(board: Board, place: str = SPEED_QUALITY) -> Figure:
    figure = list_figures(board)[place]()
    FigureCanvasAgg(figure).draw()
    return figure


def test_figures_of_a_legible_size(challenge: Challenge) -> None:
    figures = render_figures(make_board(challenge, 5))
    least_heights = {SCORES: 300, SPEED_QUALITY: 600, PERCEPTION_DISTORTION: 600, MEMORY_TIME: 600}
    assert list(figures) == [f"{place}.{kind}" for place in least_heights for kind in ("png", "svg")]
    for place, least_height in least_heights.items():
        with Image.open(io.BytesIO(figures[f"{place}.png"])) as image:
            assert image.format == "PNG"
            assert image.width == 1200
            assert least_height <= image.height <= 900
            assert len(image.convert("RGB").getcolors(2**24) or ()) > 20
        assert ElementTree.fromstring(figures[f"{place}.svg"]).tag == "{http://www.w3.org/2000/svg}svg"


def test_same_board_gives_the_same_bytes(challenge: Challenge) -> None:
    first, second = (render_figures(make_board(challenge, 4)) for _ in range(2))
    assert first == second


def test_the_users_style_changes_nothing(challenge: Challenge) -> None:
    board = make_board(challenge, 2)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "svg.hashsalt": "mine"}):
        styled = render_figures(board)
    assert styled == render_figures(board)


def test_nothing_to_draw(challenge: Challenge) -> None:
    (board,) = build_boards([make_record(ms=None, photos=())], challenge)
    assert render_figures(board) == {}


def test_only_what_was_timed_is_drawn(challenge: Challenge) -> None:
    (board,) = build_boards([make_record("timed"), make_record("untimed", psnr=30.0, ms=None)], challenge)
    planes = {place: set(plane.select(board)["submission"]) for place, plane in list_planes(board).items()}
    assert planes[SPEED_QUALITY] == planes[MEMORY_TIME] == {"timed"}
    assert planes[PERCEPTION_DISTORTION] == {"timed", "untimed"}


@pytest.mark.parametrize("place", [SPEED_QUALITY, PERCEPTION_DISTORTION, MEMORY_TIME])
@pytest.mark.parametrize(("count", "name"), [(1, "team_{}"), (5, "team_{}"), (25, "_$^$_" + "x" * 60 + "{}")])
def test_no_text_overlaps_or_leaves_the_frame(challenge: Challenge, count: int, name: str, place: str) -> None:
    figure = draw(make_board(challenge, count, name=name), place)
    (axes,), (legend,) = figure.axes, figure.legends
    texts = [*legend.get_texts(), legend.get_title(), axes.title, axes.xaxis.label, axes.yaxis.label]
    texts += [label for label, place in list_ticks(axes.xaxis) if axes.get_xlim()[0] <= place <= axes.get_xlim()[1]]
    texts += [label for label, place in list_ticks(axes.yaxis) if axes.get_ylim()[0] <= place <= axes.get_ylim()[1]]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    assert len(boxes) >= count + 6
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert all(figure.bbox.padded(1).containsx(box.x0) and figure.bbox.padded(1).containsx(box.x1) for box in boxes)
    assert all(figure.bbox.padded(1).containsy(box.y0) and figure.bbox.padded(1).containsy(box.y1) for box in boxes)
    assert not legend.get_window_extent().overlaps(axes.bbox)
    assert axes.bbox.width > 0.4 * figure.bbox.width


def list_ticks(axis: Axis) -> Iterator[tuple[Text, float]]:
    """Labels and places, also of those beyond the limits, which are not drawn."""
    return zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)


def test_points_and_intervals_lie_in_the_axes(challenge: Challenge) -> None:
    board = make_board(challenge, 5)
    (axes,) = draw(board).axes
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    assert left < board.frame["speed_up_low"].min()
    assert board.frame["speed_up_high"].max() < right
    assert bottom < board.frame["psnr_low"].min()
    assert board.frame["psnr_high"].max() < top
    assert sum(left <= tick <= right for tick in axes.get_xticks()) >= 3


def test_points_differ_in_shape_not_only_in_colour(challenge: Challenge) -> None:
    (axes,) = draw(make_board(challenge, len(MARKERS))).axes
    drawn = [(line.get_marker(), line.get_color()) for line in axes.lines if line.get_marker() in MARKERS]
    assert len({marker for marker, _ in drawn}) == len(MARKERS)
    assert {colour for _, colour in drawn} == set(COLOURS)


def test_names_stand_in_the_order_of_the_points(challenge: Challenge) -> None:
    (legend,) = draw(make_board(challenge, 3)).legends
    names = [text.get_text().split()[-1] for text in legend.get_texts()[:3]]
    assert names == ["team_2", "team_1", "team_0"]


def test_front_joins_those_that_none_beats_in_both(challenge: Challenge) -> None:
    records = [
        make_record("fast", psnr=20.0, ms=50.0),
        make_record("good", psnr=24.0, ms=400.0),
        make_record("between", psnr=23.0, ms=100.0),
        make_record("beaten", psnr=21.0, ms=200.0),
    ]
    (board,) = build_boards(records, challenge)
    (axes,) = draw(board).axes
    (front,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    values = board.frame.set_index("submission")
    assert list(front.get_ydata()) == [values.loc[name, "psnr"] for name in ("fast", "between", "good")]
    assert list(front.get_xdata()) == [values.loc[name, "speed_up"] for name in ("fast", "between", "good")]
    (alone,) = draw(build_boards(records[:1], challenge)[0]).axes
    assert not [line for line in alone.lines if line.get_linestyle() == "--"]


def test_values_that_are_the_same_on_every_image_have_no_interval(challenge: Challenge) -> None:
    """Rounding puts the mean of many equal values beside them, on either side."""
    for psnr in np.linspace(20, 23, 31).tolist():
        pairs = [
            ImageScore(str(n), {"psnr": psnr, "psnr_png": None, "ms_ssim": 0.9, "ms_ssim_png": 0.9}) for n in range(7)
        ]
        (board,) = build_boards([make_record(pairs=pairs, photos=(psnr / 7,) * 10)], challenge)
        for place in list_figures(board):
            draw(board, place)
    assert measure_arms([1.0], [1.0 + 1e-16], [1.0 - 1e-16]).tolist() == [[0], [0]]


def test_front_where_less_is_better(challenge: Challenge) -> None:
    records = [
        make_record("sharp", psnr=20.0, photos=(3.0,)),
        make_record("close", psnr=24.0, photos=(6.0,)),
        make_record("beaten", psnr=19.0, photos=(5.0,)),
    ]
    (axes,) = draw(build_boards(records, challenge)[0], PERCEPTION_DISTORTION).axes
    (front,) = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert list(front.get_ydata()) == [6.0, 3.0]


def test_memory_has_no_interval(challenge: Challenge) -> None:
    (axes,) = draw(make_board(challenge, 2), MEMORY_TIME).axes
    assert [list(points.lines[0].get_ydata()) for points in axes.containers] == [[500.0], [500.0]]
    assert [len(points.lines[2]) for points in axes.containers] == [1, 1]  # of the time alone


def test_a_submission_looks_the_same_in_every_figure(challenge: Challenge) -> None:
    board = make_board(challenge, 5)
    looks = []
    for place in (SPEED_QUALITY, MEMORY_TIME):
        figure = draw(board, place)
        names = [text.get_text().split()[-1] for text in figure.legends[0].get_texts()]
        points = [points.lines[0] for points in figure.axes[0].containers]
        looks.append({name: (p.get_color(), p.get_marker()) for name, p in zip(names, points, strict=False)})
    assert len(looks[0]) == 5
    assert looks[0] == looks[1]


def test_of_many_submissions_the_best_are_drawn(challenge: Challenge) -> None:
    board = make_board(challenge, MOST_SHOWN + 10)
    for place, figure in ((place, draw(board, place)) for place in list_figures(board)):
        title = figure.get_suptitle() if place == SCORES else figure.axes[0].get_title()
        assert title.endswith(f"; {MOST_SHOWN} of {MOST_SHOWN + 10} submissions")
    shown = list_planes(board)[SPEED_QUALITY].select(board)["submission"]
    assert set(shown) == set(board.frame["submission"].head(MOST_SHOWN))


def test_scores_stand_in_rows_with_their_intervals(challenge: Challenge) -> None:
    board = make_board(challenge, 4)
    figure = draw(board, SCORES)
    assert [axes.get_xlabel() for axes in figure.axes] == ["Score A", "Score B", "Score C"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    frame = board.frame
    assert labels == [f"{rank:.0f}  {name}" for rank, name in zip(frame["rank"], frame["submission"], strict=True)]
    for axes, score in zip(figure.axes, "ABC", strict=True):
        points, bars = axes.containers[0].lines[0], axes.containers[0].lines[2][0]
        assert list(points.get_xdata()) == list(frame[score])
        assert [segment[:, 0].tolist() for segment in bars.get_segments()] == [
            pytest.approx(ends) for ends in frame[[f"{score}_low", f"{score}_high"]].to_numpy().tolist()
        ]


def test_a_band_lies_behind_every_second_rank(challenge: Challenge) -> None:
    copies = [make_record(name, psnr=24.0, sha256="c" * 64) for name in ("one", "two")]
    (board,) = build_boards([*copies, make_record("third", psnr=20.0), make_record("last", psnr=10.0)], challenge)
    assert list(board.frame["rank"]) == [1, 1, 3, 4]
    (axes, *_) = draw(board, SCORES).axes
    assert sorted(band.get_y() for band in axes.patches) == [-0.5, 0.5, 2.5]


@pytest.mark.parametrize(("count", "name"), [(1, "team_{}"), (11, "_$^$_" + "x" * 60 + "{}"), (40, "team_{}")])
def test_no_row_of_scores_overlaps_another(challenge: Challenge, count: int, name: str) -> None:
    figure = draw(make_board(challenge, count, name=name), SCORES)
    labels = figure.axes[0].get_yticklabels()
    boxes = [label.get_window_extent() for label in labels]
    assert len(boxes) == count
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert all(figure.bbox.padded(1).containsx(box.x0) and figure.bbox.padded(1).containsy(box.y1) for box in boxes)
    assert all(axes.bbox.width > 0.15 * figure.bbox.width for axes in figure.axes)
