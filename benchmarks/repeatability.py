"""Whether intervals hold what they promise: `harness run` again and again on one submission and on a copy of it.

    python -m benchmarks.repeatability [SUBMISSION] [--runs 10] [--budget 90]

Each run is a fresh `python -m harness run` on both, with reports of its own, on four photos of the embedded set. It
prints the speed-up and interval of each, how many intervals hold the geometric mean of all runs, and by how much the
copy differs.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from harness.archive import read_records
from harness.boards import build_boards
from harness.challenge import read_challenge
from harness.embedded import build_pairs, build_photos


def main() -> None:
    """Run, then print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("submission", nargs="?", type=Path, default=Path("submissions/boe_highperf"))
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--budget", type=float, default=90, help="seconds of timing for a submission")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(folder / "photos4")
        copy_submission(options.submission, folder / "copy")
        rows = []
        for number in range(options.runs):
            rows.append(measure(folder, options.submission, options.budget, folder / f"reports{number}"))
            print(f"run {number + 1:2}: " + "; ".join(describe(row) for row in rows[-1]), flush=True)
    for side, title in enumerate((options.submission.name, "its copy")):
        values = [row[side]["speed_up"] for row in rows]
        centre = float(np.exp(np.mean(np.log(values))))
        held = sum(row[side]["speed_up_low"] <= centre <= row[side]["speed_up_high"] for row in rows)
        spread = f"{min(values) / centre - 1:+.2%} to {max(values) / centre - 1:+.2%}"
        print(f"{title}: mean {centre:.3f}, runs {spread}, which {held} of {len(rows)} intervals hold")
    differences = [row[1]["speed_up"] / row[0]["speed_up"] - 1 for row in rows]
    print(f"copy against original: {', '.join(f'{difference:+.2%}' for difference in differences)}")
    print(f"mean {np.mean(differences):+.2%}, largest {max(differences, key=abs):+.2%}")


def write_dataset(folder: Path) -> None:
    """Two pairs and the four photos of the embedded set, as a folder."""
    for name, (source, target) in list(build_pairs().items())[:2]:
        for side, image in (("source", source), ("target", target)):
            save(folder / side / f"{name}.png", image)
    for name, photo in build_photos().items():
        save(folder / "photos" / f"{name}.png", photo)


def save(path: Path, image: np.ndarray) -> None:
    """Write a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def copy_submission(source: Path, target: Path) -> None:
    """The same files under another name."""
    shutil.copytree(source, target)
    manifest = target / "submission.toml"
    lines = manifest.read_text(encoding="utf-8").splitlines()
    manifest.write_text("\n".join('name = "copy"' if line.startswith("name ") else line for line in lines) + "\n")


def measure(folder: Path, submission: Path, budget_s: float, reports: Path) -> list[dict[str, float]]:
    """One run of both; the rows of the leaderboard, the submission's first."""
    command = [sys.executable, "-m", "harness", "run", str(submission), str(folder / "copy")]
    command += ["--dataset", str(folder / "photos4"), "--budget", str(budget_s), "--reports", str(reports)]
    subprocess.run(command, check=True, capture_output=True)
    (board,) = build_boards(read_records(reports / "records" / "photos4"), read_challenge("pirm2018b"))
    rows = board.frame.set_index("submission").to_dict("index")
    return [rows[submission.name], rows["copy"]]


def describe(row: dict[str, float]) -> str:
    """Speed-up and interval."""
    noisy = " noisy" if row["noisy"] else ""
    return f"{row['speed_up']:.3f} [{row['speed_up_low']:.3f}, {row['speed_up_high']:.3f}]{noisy}"


if __name__ == "__main__":
    main()
