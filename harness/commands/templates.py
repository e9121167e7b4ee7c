"""Files to start from, and what an editor can know of them."""

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import ChallengeName, read_name, read_path
from harness.screen import out


def new_submission(
    name: Annotated[str, typer.Argument(help="The submission's name.", parser=read_name, metavar="NAME")],
    runtime: Annotated[
        str,
        typer.Option(help="The model's format: onnx, tensorflow, litert, torchscript, pt2, torch.", parser=read_name),
    ] = "onnx",
    challenge: ChallengeName = "pirm2018b",
    folder: Annotated[
        Path, typer.Option("--dir", help="Where the submission's folder goes.", parser=read_path, metavar="DIR")
    ] = Path("submissions"),
) -> None:
    """Write the commented submission.toml of a new submission; the model is then all that is missing."""
    from harness.challenge import read_challenge
    from harness.formats import CODE
    from harness.submission import MANIFEST
    from harness.template import write_submission

    rules = read_challenge(challenge)
    written = write_submission(name, folder, runtime=runtime, challenge=rules.name)
    named = "" if challenge == "pirm2018b" else f" --challenge {challenge}"
    if runtime in CODE:
        named += " --allow-code"
    files = " and ".join(path.name for path in written.model_paths)
    out.print(
        f"Written: {written.path / MANIFEST}",
        f"Say there what the model was trained on, and put it beside as {files}; then:",
        f"  harness validate {written.path}{named}",
        f"  harness run {written.path}{named}",
        sep="\n",
        markup=False,
    )


def new_challenge(
    name: Annotated[str, typer.Argument(help="The challenge's name.", parser=read_name, metavar="NAME")],
    dataset: Annotated[
        str,
        typer.Option(
            help="A folder with source/, target/ and perhaps photos/, or a known dataset.",
            parser=read_name,
            metavar="NAME",
        ),
    ] = "embedded",
    scale: Annotated[
        int, typer.Option(min=1, max=16, help="An output is so many times as wide and high as its input.")
    ] = 1,
    folder: Annotated[
        Path, typer.Option("--dir", help="Where the challenge's file goes.", parser=read_path, metavar="DIR")
    ] = Path(),
) -> None:
    """Write the commented NAME.toml of a new challenge: dataset, limits, metrics, and score formulas to edit."""
    from harness.template import write_challenge

    path, pictures = write_challenge(name, folder, dataset=dataset, scale=scale)
    out.print(f"Written: {path}", markup=False)
    if pictures.photo_size is None:
        out.print(
            f"{dataset} has no photos/: time and memory are measured on photos of one size, so put some there.",
            markup=False,
        )
    out.print(
        "Edit the formulas at its end; then:",
        f"  harness new-submission NAME --challenge {path}",
        f"  harness run --challenge {path}",
        sep="\n",
        markup=False,
    )


def schema(
    kind: Annotated[str, typer.Argument(help="submission, challenge or record.", metavar="KIND")],
) -> None:
    """Print the JSON schema of submission.toml, of a challenge's TOML file or of a record, for editors."""
    from harness.schema import render_schema

    out.print(render_schema(kind).removesuffix("\n"), markup=False)
