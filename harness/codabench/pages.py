"""competition.yaml, the pages that participants read, and the logo."""

import json
from io import BytesIO
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from harness import __version__
from harness.codabench.columns import MOS, RISING
from harness.codabench.competition import TIME_LIMIT_S, Competition
from harness.codabench.program import name_image
from harness.codabench.reference import name_challenge
from harness.metrics import get_metric
from harness.metrics.profiles import find_profile
from harness.render.cells import escape, head_metric

PAGES = ("overview", "evaluation", "data", "submit")
TERMS = "terms"
"""Codabench shows these on a page of their own, and asks who takes part to agree."""
LOGO_PX = 400


def open_templates() -> jinja2.Environment:
    """The templates of text: `q` writes a value as YAML reads it, `md` as Markdown that shows just that."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.codabench", "templates"), autoescape=False,  # noqa: S701
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"q": json.dumps, "md": escape}
    return environment


def render(name: str, competition: Competition, **more: Any) -> bytes:
    """A template of that name, filled in."""
    return open_templates().get_template(name).render(**describe(competition), **more).encode()


def render_yaml(competition: Competition, programs: list[str]) -> bytes:
    """competition.yaml; programs: the archive of each phase's scoring program."""
    return render("competition.yaml.j2", competition, programs=programs)


def render_pages(competition: Competition) -> dict[str, bytes]:
    """The pages by their place in the bundle."""
    return {f"pages/{name}.md": render(f"{name}.md.j2", competition) for name in (*PAGES, TERMS)}


def describe(competition: Competition) -> dict[str, Any]:
    """What templates can say of a competition."""
    challenge = competition.challenge
    metrics = [
        {"heading": head_metric(metric.name), "images": metric.images, "profile": find_profile(metric.profile)}
        for metric in challenge.metrics
        if metric.images == "pairs" or competition.dataset.photos
    ]
    return {
        "version": __version__,
        "challenge": challenge,
        "challenge_file": name_challenge(competition),
        "dataset": competition.dataset,
        "own_folder": competition.folder is not None,
        "split": competition.split,
        "pair_count": competition.pair_count,
        "timing": competition.timing,
        "spans": competition.spans,
        "columns": competition.columns,
        "metrics": metrics,
        "bounds": {metric.name: describe_bound(metric.name) for metric in challenge.metrics},
        "estimated": any(column.source == MOS for column in competition.columns),
        "wishes": competition.wishes,
        "image": competition.wishes.image or name_image(),
        "time_limit_s": TIME_LIMIT_S,
        "pages": PAGES,
    }


def describe_bound(name: str) -> str:
    """How a metric bounds what is ranked: 'PSNR (dB) of at least'."""
    side = "least" if get_metric(name).higher_is_better else "most"
    return f"{head_metric(name).removesuffix(RISING).strip()} of at {side}"


def draw_logo() -> bytes:
    """A dull half and a bright one, as a PNG: to be replaced in the editor."""
    rows, columns = np.mgrid[0:LOGO_PX, 0:LOGO_PX] / (LOGO_PX - 1)
    turns = np.stack([columns, rows, columns + rows], -1) + np.array([0, 1 / 3, 2 / 3])
    waves = 0.65 + 0.35 * np.sin(2 * np.pi * turns)
    dull = 0.2 + 0.2 * waves.mean(-1, keepdims=True) + 0.1 * waves
    picture = np.where((columns < rows)[..., np.newaxis], dull, waves)
    buffer = BytesIO()
    Image.fromarray(np.rint(255 * picture).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
