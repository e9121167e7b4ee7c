"""The queue of training runs: how many at a time, what a failure says, and that no child outlives its parent."""

import signal
import sys

import pytest

from reference import run_queue
from reference.run_queue import QueuedRun, describe_failure, read_step, train_all


@pytest.fixture
def scripts(tmp_path, monkeypatch):
    """Runs whose "training" is a line of Python, `out` being its folder; seconds of loading torch are saved."""
    monkeypatch.setattr(run_queue, "POLL_S", 0.01)
    monkeypatch.setattr(run_queue, "COMMAND", (sys.executable, "-S", "-c"))

    def make(name: str, code: str) -> QueuedRun:
        out = tmp_path / name
        return QueuedRun(name, out, (f"import os, sys, time\nout = {str(out)!r}\n{code}",), 10)

    return make


def test_so_many_run_at_a_time(scripts, tmp_path):
    stamp = "open(out + '/{}', 'w').write(str(time.monotonic()))"
    code = f"{stamp.format('begin')}\ntime.sleep(0.2)\n{stamp.format('end')}"
    assert train_all([scripts(f"run{i}", code) for i in range(5)], jobs=2) == 0
    spans = [[float((tmp_path / f"run{i}" / name).read_text()) for name in ("begin", "end")] for i in range(5)]
    together = [sum(begin <= other <= end for begin, end in spans) for other, _ in spans]
    assert max(together) == 2
    assert [begin for begin, _ in spans[::2]] == sorted(begin for begin, _ in spans[::2])


def test_children_have_one_thread_and_their_own_output(scripts, tmp_path, capfd):
    assert train_all([scripts("one", "print(os.environ['OMP_NUM_THREADS'], file=sys.stderr)")], jobs=1) == 0
    assert (tmp_path / "one/output.txt").read_text() == "1\n"
    output, errors = capfd.readouterr()
    assert output.startswith("one: trained; 1 of 1 ended after 0.")
    assert errors == ""


def test_a_failure_is_a_sentence_and_the_others_go_on(scripts, tmp_path, capsys):
    log = "open(out + '/log.csv', 'w').write('step,seconds\\n5,1\\n10,2\\n')"
    bad = scripts("bad", "print('first'); sys.exit('the loss is no number\\n')")
    shot = scripts("shot", "os.kill(os.getpid(), 9)")
    assert train_all([bad, shot, scripts("good", log)], jobs=1) == 2
    output, errors = capsys.readouterr()
    first, second = errors.splitlines()
    assert first.startswith("bad: failed (the loss is no number); 1 of 3 ended after 0.")
    assert second.startswith("shot: failed (its process was ended by SIGKILL); 2 of 3 ended")
    assert output.startswith("good: trained; 3 of 3 ended")
    assert "left" not in output


def test_what_a_run_said_before_is_kept(scripts, tmp_path):
    for word in ("first", "second"):
        train_all([scripts("one", f"sys.exit('{word}')")], jobs=1)
    assert (tmp_path / "one/output.txt").read_text() == "first\nsecond\n"
    assert "second" in describe_failure(scripts("one", ""), 1)


def test_time_left_follows_from_the_steps_done(scripts, tmp_path, monkeypatch, capsys):
    """10 of 40 steps were there before; 10 more take 5 minutes, so the 20 that are left take 10."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old/log.csv").write_text("step,psnr_db\n5,20\n10,21\n")
    progress = run_queue.Progress([scripts(name, "") for name in ("old", "new", "third", "last")])
    (tmp_path / "new").mkdir()
    (tmp_path / "new/log.csv").write_text("step,psnr_db\n10,21\n")
    monkeypatch.setattr(run_queue.time, "monotonic", lambda: progress.started_s + 300)
    progress.report(scripts("new", ""), 0)
    assert capsys.readouterr().out == "new: trained; 1 of 4 ended after 5.0 min, about 10 min left\n"


@pytest.mark.parametrize("content", [None, "", "step,seconds\n", "step\nmany\n", "seconds\n1.0\n"])
def test_a_log_that_says_nothing_is_step_0(tmp_path, content):
    if content is not None:
        (tmp_path / "log.csv").write_text(content)
    assert read_step(tmp_path) == 0


def test_interrupted_queue_leaves_no_child(scripts, tmp_path, monkeypatch):
    children = []
    start = run_queue.start_child
    monkeypatch.setattr(run_queue, "start_child", lambda run: children.append(start(run)) or children[-1])
    runs = [scripts(f"run{i}", "time.sleep(60)") for i in range(3)]

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_queue.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_all(runs, jobs=2)
    assert [child.returncode for child in children] == [-signal.SIGKILL, -signal.SIGKILL]
