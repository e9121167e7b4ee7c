"""How commands end."""

import pytest
import torch

from harness.errors import DataError
from reference.command import run_command


def end_with(error: BaseException) -> int:
    def work() -> None:
        raise error

    return run_command(work, interrupted="Start again.")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (DataError("no photo"), 4, "no photo"),
        (ValueError("bad value"), 2, "bad value"),
        (FileNotFoundError(2, "No such file", "x.toml"), 2, "[Errno 2] No such file: 'x.toml'"),
        (KeyboardInterrupt(), 130, "Interrupted. Start again."),
        (torch.OutOfMemoryError("CUDA is full.\nTry"), 2, "Out of memory (CUDA is full.): try a smaller batch_size."),
    ],
)
def test_a_fault_is_one_sentence_and_its_exit_status(capsys, error, code, sentence):
    assert end_with(error) == code
    assert capsys.readouterr().err == f"{sentence}\n"


def test_memory_of_the_cpu(capsys):
    def work() -> None:
        torch.empty(1 << 60, dtype=torch.uint8)

    assert run_command(work) == 2
    assert "try a smaller batch_size" in capsys.readouterr().err


def test_other_faults_are_ours_and_keep_their_traceback():
    with pytest.raises(RuntimeError, match="a bug"):
        end_with(RuntimeError("a bug"))


@pytest.mark.parametrize(("result", "code"), [(None, 0), (0, 0), (3, 3)])
def test_exit_status_of_the_work(result, code):
    assert run_command(lambda: result) == code
