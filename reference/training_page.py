"""The page reports/training/README.md, as text; `reference.report` writes it."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError, safe_open

from harness.render.cells import EMPTY
from harness.render.cells import render_table as render_cells
from reference.config import TrainingConfig, make_config
from reference.contact_sheet import SHEETS, SOURCE, format_exposure
from reference.curves import LABELS, MEASURED, Log, list_quantities
from reference.losses import LossWeights
from reference.networks import describe_network

INTRODUCTION = """\
How the weights in [reference/weights](../../reference/weights) were trained, and what they do to photos. What they
score stands on the [leaderboard](../leaderboard.md). This page is written by `python -m reference.report` from the
files beside it."""
WEIGHTS = """\
What the files tell of themselves. The objective is the weighted sum of [losses](../../reference/losses.py); features
are what the perceptual and the contextual loss compare; a log is linked where one of this configuration was kept."""
NO_LOGS = """\
No log has been added yet. `python -m reference.train CONFIG.toml --out runs/NAME` trains, and
`python -m reference.report --add runs/NAME --name NAME` takes in the log of a finished run."""
GROUPS = {
    "distilled": (
        "Runs on all pairs and further ones",
        """\
Most of each batch is of other photos, with the mean of other networks' outputs as targets. These are easier to match
than what a DSLR took, so the losses cannot be compared with those of the other runs.""",
    ),
    "final": (
        "Runs on all pairs",
        """\
They leave no pair to validate on, so nothing is picked by a validation.""",
    ),
    "folds": (
        "Runs with a fold held out",
        """\
Choices between configurations were made on folds of the training pairs. Of the earlier ones, whose figures stand in the
configurations as reasons, no log was kept: they held out the same fold 0 of 3. PSNR, MS-SSIM and NIQE are of the
held-out pairs, with the weights that the run selected. NIQE is of a mosaic of the outputs, in brackets that of the
DSLR's own pictures; it cannot be compared with that of whole photos.""",
    ),
}
"""Heading, and what there is to know; the name is in the figures'."""
LOSSES = "Losses at the end, each before its weight: the mean over the training batches of the log's last row."
HELD_OUT = "held_out.csv"
LOOKS = """\
The leaderboard's 100 pairs train nothing, and choices are made on folds of the other 300. But a set of weights that
falls short on them invites another, which has then been chosen with that knowledge: its values are a little too good,
the more so the more looks came before. These are all looks that there were, in order. The last of a name is that at the
published weights; a row whose values are those of an earlier one is of the same weights, in a file built anew."""
SETS = {
    "embedded": """\
The [embedded set](../../harness/embedded.py)'s four photos: photographs that come with scikit-image (astronaut: NASA;
coffee: Rachel Michetti; rocket: SpaceX; motorcycle: the Middlebury 2014 stereo benchmark, Scharstein et al., GCPR 2014)
as a simulated phone takes them, some of them darker than others: the astronaut needs 2 stops more to look as usual.
Numbers are of the whole photo of 1280x720, of which the sheets leave out the mirrored margins.""",
    "hd": """\
Four photos of 1280x720 that an iPhone took, from [the challenge](https://github.com/aiff22/ai-challenge). They are not
ours to publish, and neither is what is made of them, so that their sheets are not in the repository:
`python -m reference.report --assets DIR` writes them to `reports/training/hd`, and wrote these numbers.""",
}
LIGHT = """\
A stop (EV) less is half the light, a stop more twice as much: sRGB values are decoded to linear light, multiplied, cut
at white, encoded again and rounded to 8 bits. With less light the photo's own noise sinks too, so the phone's is added
anew, as [fitted to the training pairs](../../harness/phone_camera.toml); a higher sensitivity, with which a phone would
answer, is not simulated.

The paper says that low light often succeeds, and that overexposure does not (its Fig. 9). It names two reasons: the
network does not adapt to its input's brightness, and it has learnt from photos that were too dark. The mean luma shows
how far that holds here: a network that adapted would bring it to the same value in all rows."""


@dataclass(frozen=True)
class LoggedRun:
    """A finished run: its log, and the configuration that its run.json states."""

    log: Log
    config: TrainingConfig


def render_page(root: Path, out: Path, figures: Mapping[str, Sequence[LoggedRun]]) -> str:
    """The whole page, from the weights below `root`, the runs by the figure that shows them, and what lies in `out`."""
    parts = ["# Training: how the weights came about, and what they do", INTRODUCTION]
    parts += render_weights(root, [run for runs in figures.values() for run in runs])
    parts += ["## Training logs", *(render_logs(figures) if figures else [NO_LOGS])]
    if (out / "ablation.md").is_file():
        parts.append("What each loss contributes: [ablation](ablation.md).")
    if (out / HELD_OUT).is_file():
        looks = read_table(out / HELD_OUT, ("submission", "model_sha256", "evaluated_utc", "psnr_db", "ms_ssim"))
        parts += ["## Looks at the held-out pairs", LOOKS, render_looks(looks)]
    stored = {name: out / "numbers" / f"{name}.csv" for name in SETS}
    if any(path.is_file() for path in stored.values()):
        parts += ["## Before and after", LIGHT]
    for name, path in stored.items():
        if path.is_file():
            numbers = read_table(path, ("photo", "submission", "model_sha256", "exposure_ev", "luma", "niqe"))
            parts += render_set(name, numbers)
    return "\n\n".join(parts) + "\n"


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table of which these columns are used; ValueError where one is missing, or there is no row."""
    try:
        texts = {"photo": str, "submission": str, "model_sha256": str}
        frame = pd.read_csv(path, keep_default_na=False, na_values={"niqe": [""]}, dtype=texts)
    except ValueError as error:
        raise ValueError(f"{path} is no table ({error}): restore it") from error
    missing = [column for column in columns if column not in frame]
    if missing or frame.empty:
        raise ValueError(f"{path} has no {missing[0] if missing else 'rows'}: restore it")
    return frame


def render_weights(root: Path, runs: Sequence[LoggedRun]) -> list[str]:
    """What is known of the weights in the repository: what their files tell."""
    rows = []
    logged = {run.log.name: run.config for run in runs}
    for path in sorted((root / "reference" / "weights").glob("*.safetensors")):
        facts = read_metadata(path)
        config = make_config(TrainingConfig, facts["config"], f"{path}: config")
        log = f"[log](logs/{path.stem}.csv)" if logged.get(path.stem) == config else EMPTY
        rows.append({"Weights": path.stem, **describe_training(config, facts), "Log": log})
    return ["## Weights", WEIGHTS, render_table(rows)] if rows else []


def read_metadata(path: Path) -> dict[str, Any]:
    """What a file of weights tells of its training; the first ones do not name their data, which were these."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
        return {"data": "pirm2018b/train, 300 pairs"} | metadata | {"config": json.loads(metadata["config"])}
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} does not tell how it was trained ({error}): copy model.safetensors of a run"
        ) from error


def describe_training(config: TrainingConfig, facts: dict[str, Any]) -> dict[str, str]:
    """What was trained, on what and for what, as cells."""
    fold = f", without fold {config.fold} of {config.folds}" if config.folds else ""
    extra = f"; {100 * config.extra_share:g} % of each batch from further pairs" if config.extra_share else ""
    features = str(facts.get("features", "none"))
    return {
        "Network": describe_network(config.network, config.generator),
        "Trained on": f"{facts['data']}{fold}{extra}",
        "Objective": describe_objective(config.loss),
        "Features": EMPTY if features == "none" else features.partition(",")[0],
        "Steps x batch": f"{config.steps} x {config.batch_size}",
        "Precision": config.precision,
    }


def describe_objective(weights: LossWeights) -> str:
    """The weighted sum of the losses, by their names in the configuration; MS-SSIM and PSNR as what they are."""
    losses = {"ms_ssim": "(1 - ms_ssim)", "psnr": "(-psnr)"}
    terms = {losses.get(name, name): weight for name, weight in asdict(weights).items() if weight}
    return " + ".join(name if weight == 1 else f"{weight:g} {name}" for name, weight in terms.items())


def render_logs(figures: Mapping[str, Sequence[LoggedRun]]) -> Iterator[str]:
    """Tables of the runs with their figures, those on all pairs first; a table of their losses."""
    for kind, (heading, text) in GROUPS.items():
        group = {name: runs for name, runs in figures.items() if classify_run(runs[0].config) == kind}
        runs = [run for members in group.values() for run in members]
        if runs:
            yield f"### {heading}"
            yield text
            yield render_table([describe_run(run) for run in runs])
            yield from (
                f"![Losses by step of {', '.join(run.log.name for run in group[name])}]({name})" for name in group
            )
            yield from render_losses(runs)


def classify_run(config: TrainingConfig) -> str:
    """One of GROUPS."""
    if config.folds:
        return "folds"
    return "distilled" if config.extra_share else "final"


def render_losses(runs: Sequence[LoggedRun]) -> Iterator[str]:
    """What the losses of the runs came to."""
    losses = [name for name in list_quantities([run.log for run in runs]) if name not in MEASURED]
    heads = {name: LABELS.get(name, name).removeprefix("Loss: ") for name in losses}
    rows = [
        {"Log": run.log.name} | {head: format_value(run, name, run.config.steps, ".4g") for name, head in heads.items()}
        for run in runs
    ]
    yield LOSSES
    yield render_table(rows)


def describe_run(run: LoggedRun) -> dict[str, str]:
    """A run as cells."""
    facts = run.log.facts
    cells = {
        "Log": f"[{run.log.name}](logs/{run.log.name}.csv) ([run](logs/{run.log.name}.json))",
        **describe_training(run.config, facts),
        "Minutes": f"{facts['seconds'] / 60:.1f}",
        "Device": describe_device(facts),
    }
    if not run.config.folds:
        return cells
    selected, target = facts["selected_step"], facts.get("target_niqe")
    niqe = format_value(run, "niqe", selected, ".2f")
    return cells | {
        "PSNR (dB)": format_value(run, "psnr_db", selected, ".2f"),
        "MS-SSIM": format_value(run, "ms_ssim", selected, ".4f"),
        "NIQE ↓": niqe if not target or niqe == EMPTY else f"{niqe} ({target:.2f})",
    }


def describe_device(facts: dict[str, Any]) -> str:
    """The graphics card, or the processor with its threads."""
    if str(facts["device"]).startswith("cuda"):
        return str(facts.get("gpu", facts["device"]))
    threads = facts.get("threads")
    return str(facts.get("cpu") or facts["device"]) + (f", {threads} thread{'s'[: threads != 1]}" if threads else "")


def format_value(run: LoggedRun, name: str, step: int, form: str) -> str:
    """A value of the log."""
    value = run.log.frame[name].get(step, math.nan) if name in run.log.frame else math.nan
    return EMPTY if math.isnan(value) else format(value, form)


def render_looks(looks: pd.DataFrame) -> str:
    """Which weights were evaluated on the held-out pairs, when, and what they had."""
    rows = [
        {
            "Weights": look["submission"],
            "Model sha256": look["model_sha256"],
            "Evaluated (UTC)": look["evaluated_utc"].replace("T", " "),
            "PSNR (dB)": f"{look['psnr_db']:.2f}",
            "MS-SSIM": f"{look['ms_ssim']:.4f}",
        }
        for look in looks.to_dict("records")
    ]
    return render_table(rows)


def render_set(name: str, numbers: pd.DataFrame) -> list[str]:
    """A set of photos: its sheets, where they may be shown, and the means of their numbers."""
    photos, submissions = numbers["photo"].nunique(), numbers[numbers["submission"] != SOURCE]
    models = submissions.drop_duplicates("submission")[["submission", "model_sha256"]].itertuples(index=False)
    made_by = ", ".join(f"{submission} (sha256 `{sha256}`)" for submission, sha256 in models)
    parts = [f"### {'The embedded set' if name == 'embedded' else 'The challenge'}", SETS[name]]
    if name == "embedded":
        parts += [f"![{sheet.title}]({name}/{sheet.name}.jpg)" for sheet in SHEETS]
    return [*parts, f"Mean luma / NIQE ↓, means over the {photos} photos. Models: {made_by}.", render_numbers(numbers)]


def render_numbers(numbers: pd.DataFrame) -> str:
    """Means over the photos: a row an exposure from dark to bright, a column a submission."""
    rows = []
    for exposure_ev, shots in numbers.groupby("exposure_ev"):
        means = shots.groupby("submission", sort=False)[["luma", "niqe"]].mean()
        cells = {
            submission: f"{luma:.2f} / {EMPTY if math.isnan(niqe) else format(niqe, '.2f')}"
            for submission, luma, niqe in means.itertuples()
        }
        rows.append({"Light": format_exposure(exposure_ev) if exposure_ev else "as shot", **cells})
    return render_table(rows)


def render_table(rows: Sequence[dict[str, str]]) -> str:
    """A table of cells by heading, all set to the left."""
    return render_cells(rows, texts=tuple(rows[0]))
