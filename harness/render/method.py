"""How each number is made, for the end of the reports: scores, ranks, intervals, metrics, and what MOS is worth."""

from collections.abc import Iterable, Sequence

from harness.boards import Board
from harness.challenge import Challenge, MosCalibration
from harness.metrics.mos_proxy import MosFit
from harness.metrics.profiles import find_profile
from harness.records import Record
from harness.render.cells import EMPTY, escape
from harness.render.measurement import describe_cost


def render_method(boards: Sequence[Board], records: Sequence[Record]) -> Iterable[str]:
    """How each number is made, for the boards' own challenge and phase."""
    if not boards:
        return
    yield "## How each number is made"
    yield "\n".join(
        f"- {item}"
        for item in (describe_scores(boards[0]), *describe_quality(boards[0]), *describe_cost(boards[0], records))
    )


def describe_scores(board: Board) -> str:
    """The formulas, and where they come from."""
    formulas = "\n".join(f"  - Score {escape(name)} = `{formula}`" for name, formula in board.phase.scores.items())
    return (
        f"**Scores**, {escape(board.phase.label)}. {escape(board.phase.note)} `time` is the submission's time and "
        f"`baseline_time` that of {escape(board.challenge.baseline.label)}{describe_baseline_costs(board.challenge)}; "
        f"a submission of which something in the formula is not known has no score and no rank.\n{formulas}"
    )


def describe_baseline_costs(challenge: Challenge) -> str:
    """What formulas compare the cost of a submission with."""
    costs = {name: f"`{name}` is {value:,.0f}" for name, value in challenge.baseline.list_costs().items()}
    return f", {', '.join(costs.values())}" if costs else ""


def describe_quality(board: Board) -> Iterable[str]:
    """Splits, intervals and the metrics."""
    challenge = board.challenge
    yield (
        "**Splits**: a submission is only evaluated on pairs that it was not trained on, as it declares. One that was "
        "evaluated on a larger split also stands on a smaller one inside it, with that one's pairs only."
    )
    yield (
        "**Intervals**: seeded percentile bootstrap over images, and over pairs of processes for times; scores carry "
        "both. They say how much other images could change a value. All submissions see the same images, so a "
        "difference between two is more certain than their intervals suggest. A single image gives no interval: ± 0 "
        "then means that nothing is known."
    )
    first, better = escape(next(iter(board.phase.scores))), board.phase.better
    yield (
        f"**Ranks**, by Score {first}: a submission shares the rank of the best one of that rank unless the data tell "
        f"the two apart: on the same resampled images for both, the better one has the {better} score in more than "
        "97.5 % of the resamples. The last of a rank may be as close to the first of the next one. "
        f"**P(first)** says in how many its Score {first} is the {better.replace('er', 'est')} of all; ties are shared "
        "equally. Copies of one file are one model, with the times of all of them."
    )
    yield (
        "**PSNR**, **MS-SSIM** and other metrics with a target: the mean over the split's pairs. An infinite PSNR "
        f"(output and target are the same) counts as {challenge.infinite_psnr_db:g} "
        'dB; "(4 inf)" says that this happened four times. "As PNG" is the same metric of the output as it would be '
        "shipped: clipped, and rounded to 8 bits."
    )
    if any(metric.name == "niqe" for metric in challenge.metrics):
        yield (
            f"**NIQE**: the mean over {board.photo_count} photos; it judges the output alone, as an 8-bit photo. "
            "No photo is held out: a submission may have been trained on them. In flat regions its definition rests on "
            "rounding noise, which counts as just below the mean here; the share of such pixels is given."
        )
    for name in dict.fromkeys(metric.profile for metric in challenge.metrics):
        profile = find_profile(name)
        names = " and ".join(metric.name for metric in challenge.metrics if metric.profile == name)
        yield f"Profile **{name}** ({escape(names)}): {profile.note} [Source]({profile.source_url})."
    if board.extras:
        yield describe_extras(board)
    if board.mos_fit is not None and challenge.mos is not None:
        yield describe_mos(board.mos_fit, challenge.mos)


def describe_extras(board: Board) -> str:
    """The metrics that somebody asked for: what they are means over, and that they count for nothing."""
    kinds = {"pairs": f"{board.pair_count} pairs", "photos": f"{board.photo_count} photos"}
    names = ", ".join(f"{escape(metric.name)} (mean over the {kinds[metric.images]})" for metric in board.extras)
    return (
        f"**Not of the challenge**: {names}. They were asked for with `harness run --metric`, and no score or rank "
        f'rests on them; "{EMPTY}" stands where a submission was evaluated without.'
    )


def describe_mos(fit: MosFit, calibration: MosCalibration) -> str:
    """How MOS is estimated."""
    low, high = (choose(pair.niqe for pair in calibration.pairs) for choose in (min, max))
    pairs = ", ".join(f"{escape(pair.label)} {pair.niqe:g} and {pair.mos:g}" for pair in calibration.pairs)
    line = f"{fit.intercept:.2f} {'-' if fit.slope < 0 else '+'} {abs(fit.slope):.3f} x NIQE"
    return (
        f"**MOS (est.)**: nobody was asked for an opinion on these outputs. MOS = {line} is the straight line through "
        f"the pairs of NIQE and MOS ({pairs}) on {escape(calibration.image_set)}. "
        f"Outside NIQE {low:.2f} to {high:.2f} it is an extrapolation. {escape(calibration.note)}"
    )
