"""What is asked of a machine and a dataset before anything is measured."""

from pathlib import Path

import numpy as np
import pytest
import tiny
from tiny import ignore

from harness import session
from harness.assets import open_store
from harness.challenge import Challenge
from harness.errors import DataError, UsageError


def test_photos_of_several_sizes_are_not_timed(challenge: Challenge, tmp_path: Path) -> None:
    folder = tiny.write_dataset(tmp_path / "mixed", photos=1)
    tiny.save_picture(folder / "photos" / "1.png", np.zeros((110, 130, 3), np.uint8))
    prepare = session.prepare_evaluation
    with pytest.raises(DataError, match=r"photos of mixed differ in size \(0 120x110 and 1 130x110\).*--no-timing"):
        prepare(challenge, str(folder), open_store(), session.Options(threads=1), on_progress=ignore)
    options = session.Options(threads=1, timing=False)
    evaluation, _ = prepare(challenge, str(folder), open_store(), options, on_progress=ignore)
    assert (evaluation.plan, evaluation.threads) == (None, 1)


@pytest.mark.parametrize("name", ["threads", "workers"])
def test_more_threads_or_workers_than_cpus_are_refused(challenge: Challenge, tmp_path: Path, name: str) -> None:
    folder = tiny.write_dataset(tmp_path / "pictures", photos=1)
    with pytest.raises(UsageError, match=f"--{name} 9999 is more than the"):
        options = session.Options(**{name: 9999})
        session.prepare_evaluation(challenge, str(folder), open_store(), options, on_progress=ignore)
