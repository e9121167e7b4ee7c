"""What is asked of a machine and a dataset before anything is measured."""

from pathlib import Path

import models
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


def test_the_challenge_is_that_for_which_the_folders_are_made(tmp_path: Path) -> None:
    def submit(name: str, **keys: str) -> Path:
        return models.write_submission(tmp_path / name, **keys)

    plain, other = submit("plain"), submit("other", challenge="ntire_esr")
    own, faulty = submit("own", challenge="mine"), submit("faulty", challenge="x", unknown="y")
    assert session.choose_challenge(None, ()) == session.choose_challenge(None, [plain, faulty]) == "pirm2018b"
    assert session.choose_challenge(None, [other]) == "ntire_esr"
    assert session.choose_challenge("some.toml", [plain, other]) == "some.toml"
    with pytest.raises(UsageError, match=r"made for ntire_esr and pirm2018b; name one with --challenge\.$"):
        session.choose_challenge(None, [plain, other])
    with pytest.raises(UsageError, match=r"own is made for the challenge 'mine'; name its file with --challenge\.$"):
        session.choose_challenge(None, [own])


def test_submissions_of_another_challenge_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    models.write_submission(tmp_path / "submissions" / "plain")
    other = models.write_submission(tmp_path / "submissions" / "other", challenge="ntire_esr")
    assert [folder.name for folder in session.read_folders(None, "ntire_esr")[0]] == ["other"]
    assert [folder.name for folder in session.read_folders([other], "pirm2018b")[0]] == ["other"]
    with pytest.raises(UsageError, match=r"no submission for mine in .*, only for ntire_esr, pirm2018b; name folders"):
        session.read_folders(None, "mine")
