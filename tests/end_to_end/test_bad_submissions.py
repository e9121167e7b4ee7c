"""Bad manifests and model files: what each command says of them, and that earlier records stay as they are."""

import os
from collections.abc import Callable
from pathlib import Path

import broken_models
import models
import onnx
import pytest
from bad_input import RUN, SUBMISSION, VALIDATE, Case, accept, check_refusal, write
from onnx import TensorProto
from place import Place

FULL = 'name = "good"\ntitle = "T"\ntrained_on = "nothing"\n'
MANIFEST = "submissions/good/submission.toml"
DEEP = "[" * 5000
Spoil = Callable[[Place], object]


def text(content: str | bytes) -> Spoil:
    """Another manifest."""
    return lambda place: write(place.folder / MANIFEST, content)


def instead(make: Callable[[Path], object], name: str = "submission.toml") -> Spoil:
    """Something in the place of a file of the submission."""

    def spoil(place: Place) -> None:
        path = place.folder / "submissions" / "good" / name
        path.unlink()
        make(path)

    return spoil


def bad_manifest(name: str, content: str | bytes, fault: str, remedy: str) -> Case:
    return Case(name, text(content), f"{MANIFEST}", fault, remedy, VALIDATE, SUBMISSION)


NO_FILE = (
    MANIFEST.rpartition("/")[0],
    "has no submission.toml as a regular file",
    "`harness new-submission` writes one",
)
MANIFESTS = (
    bad_manifest("empty", "", "key 'name' is missing", "add it, keys it needs: name, title, trained_on"),
    bad_manifest("key missing", FULL.replace('title = "T"\n', ""), "key 'title' is missing", "add it"),
    bad_manifest("key misspelt", FULL + 'lay_out = "NHWC"', "unknown key 'lay_out'", "did you mean 'layout'?"),
    bad_manifest("key unprintable", FULL + '"a\\nb\\u001b[31m" = 1', "unknown key 'a?b?[31m'", "correct or remove it"),
    bad_manifest("key long", FULL + "k" * 9000 + " = 1", f"unknown key '{'k' * 200}...'", "correct or remove it"),
    bad_manifest("key twice", FULL + 'name = "b"', "not valid TOML: Cannot overwrite a value", "correct it there"),
    bad_manifest("title a number", FULL.replace('"T"', "3"), "title: expected str, got int", "correct it"),
    bad_manifest("authors a text", FULL + 'authors = "A"', "authors: expected array, got str", "correct it"),
    bad_manifest("author a number", FULL + 'authors = ["A", 1]', "authors.1: expected str, got int", "correct it"),
    bad_manifest("layout", FULL + 'layout = "HWC"', "layout: invalid enum value 'HWC'", "correct it"),
    bad_manifest("runtime", FULL + 'runtime = "pickle"', "runtime: invalid enum value 'pickle'", "correct it"),
    bad_manifest("seed below zero", FULL + "seed = -1", "seed: expected int >= 0", "correct it"),
    bad_manifest("seed not a number", FULL + "seed = nan", "seed: expected int | null, got float", "correct it"),
    bad_manifest("too many digits", FULL + "seed = " + "9" * 5000, "not valid TOML: Exceeds the limit", "correct it"),
    bad_manifest("draws too many", FULL + "draws = 101", "draws: expected int <= 100", "correct it"),
    bad_manifest("seed and draws", FULL + "seed = 1\ndraws = 5", "a seed makes all draws alike", "keep seed, for"),
    bad_manifest("cut off", FULL + "authors = [", "is not valid TOML: Invalid value", "correct it there"),
    bad_manifest("deep arrays", FULL + "authors = " + DEEP, "is not valid TOML: maximum recursion", "correct it there"),
    bad_manifest("deep tables", FULL + "a = " + "{a=" * 5000, "is not valid TOML: maximum recursion", "correct it"),
    bad_manifest("nul", FULL + "weights = '\0'", r"not valid TOML: Found invalid character '\x00'", "correct it there"),
    bad_manifest("latin 1", FULL.replace("T", "\xe9").encode("latin-1"), "is not valid UTF-8", "save it again as text"),
    bad_manifest("utf 16", FULL.encode("utf-16"), "is not valid UTF-8", "save it again as text"),
    bad_manifest("50 MB", b"#" * 50_000_000, "has more than 32 kB", "shorten it"),
    bad_manifest("name a path", FULL.replace("good", "../good"), "name '../good' must be", "1 to 64 letters, digits"),
    bad_manifest("name unprintable", FULL.replace("good", "a\\u001b[31m"), r"name 'a?[31m'", "1 to 64 letters"),
    bad_manifest("name long", FULL.replace("good", "a" * 9000), f"name '{'a' * 200}...'", "1 to 64 letters"),
    bad_manifest("title of two lines", FULL.replace('"T"', '"a\\nb"'), "title 'a?b' holds a control", "remove it"),
    bad_manifest("title reversed", FULL.replace("T", "\\u202eT"), "title '?T' holds a control character", "remove it"),
    bad_manifest("title long", FULL.replace("T", "T" * 501), "title has more than 500 characters", "shorten it"),
    bad_manifest("model outside", FULL + 'model_file = "../m.onnx"', "model_file '../m.onnx'", "plain file name"),
    bad_manifest(
        "model of the system", FULL + 'model_file = "/etc/passwd"', "'/etc/passwd' must be", "plain file name"
    ),
    bad_manifest("model unprintable", FULL + r'model_file = "a\u0000"', "model_file 'a?' holds a", "remove it"),
    Case("manifest missing", instead(lambda path: None), *NO_FILE, VALIDATE, SUBMISSION),
    Case("manifest a folder", instead(Path.mkdir), *NO_FILE, VALIDATE, SUBMISSION),
    Case("manifest a link", instead(lambda path: path.symlink_to("/dev/zero")), *NO_FILE, VALIDATE, SUBMISSION),
    Case("manifest a pipe", instead(os.mkfifo), *NO_FILE, VALIDATE, SUBMISSION),
)


@pytest.mark.parametrize("case", MANIFESTS, ids=str)
def test_a_bad_manifest(place: Place, case: Case) -> None:
    check_refusal(place, case)


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbf" + FULL.encode(), FULL.replace("\n", "\r\n").encode(), FULL.replace("T", "Ü 日本").encode()],
    ids=["byte-order mark", "CRLF", "beyond ASCII"],
)
def test_a_manifest_of_another_editor_is_read(place: Place, content: bytes) -> None:
    write(place.folder / MANIFEST, content)
    assert "good is valid" in accept(place, *VALIDATE).stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
@pytest.mark.parametrize("name", ["submission.toml", "model.onnx"])
def test_a_file_that_may_not_be_read(place: Place, name: str) -> None:
    def lock(place: Place) -> None:
        (place.folder / "submissions" / "good" / name).chmod(0)

    check_refusal(place, Case("", lock, name, "cannot be read", "mend its permissions", VALIDATE, SUBMISSION))


# --- model files


def model(content: onnx.ModelProto | bytes) -> Spoil:
    return lambda place: place.submit("good", content)


def bad_file(name: str, content: onnx.ModelProto | bytes, fault: str, remedy: str) -> Case:
    """Found without running the model; some of these sentences name the submission alone."""
    return Case(name, model(content), "good: ", fault, remedy, VALIDATE, SUBMISSION)


def bad_run(name: str, content: onnx.ModelProto, fault: str, remedy: str) -> Case:
    """Found when the model is loaded or run."""
    return Case(name, model(content), "good: ", fault, remedy, RUN, SUBMISSION)


def link_model(place: Place) -> None:
    path = place.folder / "submissions" / "good" / "model.onnx"
    path.rename(place.folder / "elsewhere.onnx")
    path.symlink_to(place.folder / "elsewhere.onnx")


def link_weights(place: Place) -> None:
    """External data under a harmless name that leads out of the folder."""
    folder = place.submit("good", models.external_data("weights.bin"))
    (folder / "weights.bin").symlink_to("/etc/passwd")


WHOLE = models.brighten().SerializeToString()
EXTERNAL = ("model.onnx holds weights in another file (external data)", "export it whole")
NOT_THERE = ("model.onnx", "is not there as a regular file", "put the model beside the manifest")
NOT_ONNX = "the file is not a whole ONNX model"
DYNAMIC = ("batch", "height", "width", 3)

FILES = (
    bad_file("truncated", WHOLE[:-20], NOT_ONNX, "export it again"),
    bad_file("cut to one byte", WHOLE[:1], NOT_ONNX, "export it again"),
    bad_file("of zero bytes", b"", NOT_ONNX, "export it again"),
    bad_file("a picture", b"\x89PNG\r\n\x1a\n" + bytes(100), NOT_ONNX, "export it again"),
    bad_file("a web page", b"<!DOCTYPE html><html>404</html>", NOT_ONNX, "export it again"),
    bad_file("ONNX Runtime's own format", b"\x20\0\0\0ORTM" + bytes(100), NOT_ONNX, "export it again"),
    bad_file(
        "a Git LFS pointer", broken_models.LFS_POINTER, "is a Git LFS pointer", "`git lfs pull` fetches the model"
    ),
    bad_file("too large", bytes(1_000_001), "model.onnx has 1.0 MB, 1 MB are allowed", "submit a smaller model"),
    bad_file("weights above", models.external_data("../weights.bin"), *EXTERNAL),
    bad_file("weights at an absolute path", models.external_data("/etc/passwd"), *EXTERNAL),
    bad_file("weights beside, missing", models.external_data(), *EXTERNAL),
    Case("weights through a link", link_weights, *("good: ", *EXTERNAL), VALIDATE, SUBMISSION),
    bad_file(
        "custom domain", models.custom_domain(), "holds the custom operator 'com.microsoft.Gelu'", "with standard"
    ),
    bad_file("random", models.random_operator(), "holds the random operator RandomNormalLike", "deterministic"),
    bad_file(
        "opset too new", broken_models.with_opset(99), "model.onnx uses operator set 99", "with opset 28 or older"
    ),
    bad_file("no opset", broken_models.without_opset(), "names no ONNX operator set", "export it again with opset 13"),
    bad_file("string input", models.with_type(TensorProto.STRING), "'source' is string; it must be", "export it so"),
    bad_file("float16 input", models.with_type(TensorProto.FLOAT16), "'source' is float16; it must be", "export it so"),
    bad_file("uint8 input", models.with_type(TensorProto.UINT8), "input 'source' is uint8; it must be", "export it so"),
    bad_file(
        "double output", models.with_output_type(TensorProto.DOUBLE), "output 'output' is float64", "export it so"
    ),
    bad_file("fixed size", models.fixed_size(), "[1x100x100x3] has a fixed size as NHWC", "export it with free height"),
    bad_file("rank 3", models.with_shape(DYNAMIC[1:]), "model.onnx: its input has shape [?x?x3]", "export it so"),
    bad_file(
        "grey", models.with_shape((*DYNAMIC[:3], 1)), "[?x?x?x1] has no 3 channels", "correct the model or layout"
    ),
    bad_file("batch of 4", models.with_shape((4, *DYNAMIC[1:])), "takes 4 images at once", "export it for one"),
    bad_file("two inputs", models.two_inputs(), "has 2 inputs and 1 outputs", "export it with one of each"),
    bad_file("two outputs", models.two_outputs(), "has 1 inputs and 2 outputs", "export it with one of each"),
    bad_file("grey output", models.with_output_shape((*DYNAMIC[:3], 1)), "output has shape [?x?x?x1]", "export it so"),
    bad_file("output of rank 3", models.with_output_shape(DYNAMIC[1:]), "output has shape [?x?x3]", "export it so"),
    bad_file("unknown operator", broken_models.unknown_operator(), "No Op registered for", "export it again"),
    bad_file("weight missing", broken_models.missing_weights(), "must be topologically sorted", "export it again"),
    bad_file("cycle", broken_models.cycle(), "must be topologically sorted", "export it again"),
    Case(
        "trained on a split that is none",
        lambda place: place.submit("good", models.brighten(), trained_on="pirm2018b/nope"),
        *("good: trained_on 'pirm2018b/nope'", "names no split of the dataset", "it has pirm2018b/all", VALIDATE),
        SUBMISSION,
    ),
    Case("missing", instead(lambda path: None, "model.onnx"), *NOT_THERE, VALIDATE, SUBMISSION),
    Case("a link", link_model, *NOT_THERE, VALIDATE, SUBMISSION),
    Case("a folder", instead(Path.mkdir, "model.onnx"), *NOT_THERE, VALIDATE, SUBMISSION),
    Case("a pipe", instead(os.mkfifo, "model.onnx"), *NOT_THERE, VALIDATE, SUBMISSION),
)
RUNS = (
    bad_run(
        "file format too new", broken_models.with_ir_version(99), "its load failed: model.onnx: ", "export it again"
    ),
    bad_run("crash while loading", broken_models.divide_the_least_integer(), "SIGFPE", "mend the model"),
    bad_run("NaN", models.all_nan(), "its output holds 39600 values that are NaN or infinite", "mend the model"),
    bad_run(
        "infinite",
        broken_models.all_infinite(),
        "its output holds 39600 values that are NaN or infinite",
        "mend the model",
    ),
    bad_run("wrong size", models.wrong_size(), "its output has shape (1, 109, 120, 3)", "both must be the same"),
    bad_run("endless", models.endless_loop(), "no end of run within 2 s", "make the model faster"),
    bad_run(
        "100 GB in the file",
        broken_models.constant_of_shape(100 * 10**9),
        "out of memory (limit 0.4 GB)",
        "make the model need less",
    ),
    bad_run(
        "100 GB in the run",
        models.allocate(100 * 10**9),
        "out of memory (limit 0.4 GB) during run",
        "make the model need less",
    ),
    bad_run("1 GB", models.allocate(10**9), "out of memory (limit 0.4 GB) during run", "make the model need less"),
)


@pytest.mark.parametrize("case", FILES, ids=str)
def test_a_bad_model_file(place: Place, case: Case) -> None:
    check_refusal(place, case)


@pytest.mark.parametrize("case", RUNS, ids=str)
def test_a_model_that_fails_when_it_runs(place: Place, case: Case) -> None:
    check_refusal(place, case)


@pytest.mark.parametrize(
    "content", [models.identity(), models.constant_output()], ids=["dynamic batch", "constant output"]
)
def test_a_model_that_only_looks_bad_gets_a_record(place: Place, content: onnx.ModelProto) -> None:
    place.submit("other", content)
    accept(place, "run", "submissions/other", *RUN[2:])
    assert '"status": "ok"' in (place.records / "other.json").read_text()
