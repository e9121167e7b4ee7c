"""The starting kit: what a participant needs to make a submission and to score it alone, as Codabench does."""

from pathlib import Path

from harness.codabench.competition import Competition
from harness.codabench.packing import place_below
from harness.codabench.pages import render
from harness.codabench.program import SOURCES, collect_package, list_requirements
from harness.codabench.reference import collect_challenge
from harness.codabench.sample import MANIFEST


def collect_kit(competition: Competition) -> dict[str, bytes | Path]:
    """All files of the kit by their place."""
    return {
        "README.md": render("kit.md.j2", competition),
        "make_submission.py": SOURCES / "codabench" / "sample.py",
        "my_submission/submission.toml": MANIFEST.encode(),
        "requirements.txt": list_requirements(competition.challenge),
        **place_below("challenge", collect_challenge(competition)),
        **place_below("harness", collect_package()),
    }
