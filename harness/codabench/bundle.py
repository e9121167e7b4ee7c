"""The bundle: one zip with competition.yaml at its top, to be uploaded as it is."""

from pathlib import Path

from harness.assets import PRISTINE_MAT
from harness.codabench.competition import Competition
from harness.codabench.kit import collect_kit
from harness.codabench.packing import Files, write_zip
from harness.codabench.pages import draw_logo, render_pages, render_yaml
from harness.codabench.program import collect_program, list_requirements, write_dockerfile
from harness.codabench.reference import collect_reference
from harness.codabench.sample import build_submission
from harness.errors import UsageError
from harness.files import make_scratch


def write_bundle(competition: Competition, path: Path) -> list[str]:
    """Write the whole bundle or nothing; what the organiser has to know of it comes back, in sentences.

    Raises UsageError for a place that cannot be written.
    """
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise UsageError(f"{path} is no file that could be replaced; name another --out.")
        path.parent.mkdir(parents=True, exist_ok=True)
        with make_scratch(path.parent) as name:
            files = collect_bundle(competition, Path(name))
            write_zip(Path(name) / "bundle", files).replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror or error}); name another --out.") from None
    return list(describe_bundle(competition))


def collect_bundle(competition: Competition, scratch: Path) -> dict[str, bytes | Path]:
    """All files of the bundle; the archives in it are made in the scratch folder."""
    programs = name_programs(competition)
    archives: dict[str, Files] = {
        "reference_data.zip": collect_reference(competition),
        "starting_kit.zip": collect_kit(competition),
        "sample_submission.zip": build_submission(competition.challenge.scale),
    }
    archives |= {
        name: collect_program(competition, span) for name, span in zip(programs, competition.spans, strict=True)
    }
    return {
        "competition.yaml": render_yaml(competition, programs),
        "logo.png": draw_logo(),
        **render_pages(competition),
        "image/Dockerfile": write_dockerfile(),
        "image/requirements.txt": list_requirements(competition.challenge),
        **{name: write_zip(scratch / name, files) for name, files in archives.items()},
    }


def name_programs(competition: Competition) -> list[str]:
    """One archive for each phase: they differ in the formulas that they use."""
    if len(competition.spans) == 1:
        return ["scoring_program.zip"]
    return [f"scoring_program_{place}.zip" for place in range(1, len(competition.spans) + 1)]


def describe_bundle(competition: Competition) -> list[str]:
    """Sentences on the data, the image and the time."""
    return [describe_data(competition), describe_image(competition), *describe_timing(competition)]


def describe_data(competition: Competition) -> str:
    """Whose files are in the bundle."""
    dataset = competition.dataset
    pairs = f"{competition.pair_count} pairs of {dataset.name} (split {competition.split}) are scored"
    if not competition.wishes.with_data:
        return f"{pairs}; the files are not in the bundle: docs/codabench.md says where the worker takes them from."
    if competition.folder is None and not set(competition.store.found) - {PRISTINE_MAT}:
        return f"{pairs}; they are made when they are needed, and no file of them is in the bundle."
    return (
        f"{pairs}. The bundle holds the files: with the upload you hand them to Codabench, which gives them to the "
        "workers of its queue. See that their licence lets you; --no-data leaves them out."
    )


def describe_image(competition: Competition) -> str:
    """What runs before a scoring."""
    if competition.wishes.image:
        return f"Scored in {competition.wishes.image}, which should be made from image/Dockerfile of this bundle."
    return (
        "Scored in Python's own image: about 300 MB of packages are installed before each scoring, which needs a "
        "network there. --image NAME, made from image/Dockerfile of this bundle, needs neither."
    )


def describe_timing(competition: Competition) -> list[str]:
    """What times on somebody else's machine are worth."""
    if not competition.timing or competition.wishes.queue:
        return []
    return [
        "Times count here, and the workers of Codabench's shared queue differ and are busy: use a queue of your own "
        "(--queue VHOST) with one machine that does nothing else."
    ]
