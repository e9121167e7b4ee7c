"""What can be said of a submission before its model runs: the split that may judge it, the static checks, its cost."""

from pathlib import Path

from harness.challenge import Challenge
from harness.conversion import prepare_model
from harness.dataset import Dataset
from harness.datasets import find_splits
from harness.errors import DisturbedError, ModelError, SubmissionError, UsageError
from harness.isolation import ModelProcess
from harness.protocol import Count, Device
from harness.records import Cost, Submission
from harness.submission import Manifest, SubmissionFolder, check_interface, describe_submission, hash_model


def choose_split(manifest: Manifest, dataset: Dataset, requested: str | None) -> str:
    """The largest split that the submission has not seen in training, or the requested one if it has not.

    Raises UsageError for a requested split that shares images with the one trained on, and where no one can tell.
    """
    name, trained_on = manifest.name, manifest.trained_on
    trained_dataset, _, trained_split = trained_on.partition("/")
    seen: set[str] = set()
    if trained_dataset == dataset.name:
        if trained_split not in dataset.splits:
            known = ", ".join(f"{dataset.name}/{split}" for split in dataset.splits)
            raise UsageError(f"{name}: trained_on {trained_on!r} names no split of the dataset; it has {known}.")
        seen.update(dataset.splits[trained_split])
    if requested is not None:
        if seen.intersection(dataset.list_names(requested)):
            raise UsageError(f"{name} was trained on {trained_on}, which shares images with the split {requested!r}.")
        return requested
    unseen = [split for split, images in dataset.splits.items() if not seen.intersection(images)]
    if not unseen:
        raise UsageError(f"{name} was trained on {trained_on}: no split of {dataset.name} is left to evaluate it on.")
    return max(unseen, key=lambda split: len(dataset.splits[split]))


def check_trained_on(manifest: Manifest) -> None:
    """Raise SubmissionError for an unknown split of a dataset that has a name."""
    dataset, _, split = manifest.trained_on.partition("/")
    splits = find_splits(dataset)
    if splits and split not in splits:
        known = ", ".join(f"{dataset}/{name}" for name in splits)
        raise SubmissionError(f"trained_on {manifest.trained_on!r} names no split of the dataset; it has {known}.")


def validate(
    folder: SubmissionFolder, challenge: Challenge, *, allow_code: bool
) -> tuple[Submission, Cost, tuple[str, ...]]:
    """The static checks: size, operators, one float32 input and output, free height and width.

    Also names the operators that make what is computed depend on the input.
    """
    sha256, model_bytes = hash_model(folder, limit_bytes=challenge.limits.model_bytes)
    path, runtime = prepare_model(folder.model_path, folder.manifest.runtime)
    with ModelProcess(memory_limit_bytes=challenge.limits.memory_bytes, allow_code=allow_code) as process:
        graph = process.inspect(path, runtime=runtime, deadline_s=challenge.limits.load_s)
        layout = check_interface(folder, graph)
        size = challenge.counted_size
        request = Count(runtime=runtime, layout=layout, width_px=size.width_px, height_px=size.height_px)
        multiply_adds = count_multiply_adds(path, request, process=process, deadline_s=challenge.limits.load_s)
    return (
        describe_submission(folder, sha256=sha256, layout=layout),
        Cost(model_bytes=model_bytes, parameters=graph.parameters, multiply_adds=multiply_adds),
        graph.control_flow,
    )


def count_multiply_adds(path: Path, request: Count, *, process: ModelProcess, deadline_s: float) -> int | None:
    """Multiply-adds at the challenge's size for it; None also where counting fails, no fault of the submission."""
    try:
        return process.count(path, request, deadline_s=deadline_s)
    except ModelError as error:
        if error.kind == "killed":  # from outside: another run would know the count
            raise
        return None


def try_process(challenge: Challenge, device: Device) -> dict[str, str]:
    """The layers of isolation around a process for models. No submission's record may bear what goes wrong here.

    Raises DisturbedError where none starts, and UsageError where the baseline does not load on the device.
    """
    limits, model = challenge.limits, challenge.baseline.model
    try:
        with ModelProcess(memory_limit_bytes=limits.memory_bytes) as process:
            if device != "cpu":
                process.load(model, runtime="onnx", threads=1, device=device, deadline_s=limits.load_s)
            return process.isolation
    except ModelError as error:
        if error.stage == "start":
            raise DisturbedError(f"no process for models starts here: {error}") from error
        raise UsageError(f"--device {device} cannot be used here: {error}") from error
