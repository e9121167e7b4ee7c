"""Makes a submission to start from: a model that brightens, its manifest, and both in the zip that Codabench takes.

python make_submission.py [FOLDER]     needs the package onnx alone; put your own model in its place
"""

import sys
import zipfile
from pathlib import Path

MANIFEST = """\
name = "brighten"                 # letters, digits, '_', '-' and '.'
title = "A little brighter"
trained_on = "nothing"            # or what your model has seen, in words
authors = ["Me"]
model_file = "model.onnx"
"""
BRIGHTER = 0.02
OPSET = 17


def build_model() -> bytes:
    """A model as the challenge wants it: float32 RGB in [0, 1], any height and width, one input and one output."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    shape = ("batch", "height", "width", 3)
    weights = {"by": BRIGHTER, "black": 0.0, "white": 1.0}
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["source", "by"], ["brighter"]),
            helper.make_node("Clip", ["brighter", "black", "white"], ["output"]),
        ],
        "brighten",
        [helper.make_tensor_value_info("source", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    return bytes(model.SerializeToString())


def build_submission() -> dict[str, bytes]:
    """The files of the submission."""
    return {"submission.toml": MANIFEST.encode(), "model.onnx": build_model()}


def main(folder: Path) -> None:
    """Write the folder, and the zip beside it with the files at its top."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in build_submission().items():
            (folder / name).write_bytes(content)
            archive.writestr(name, content)
    sys.stdout.write(f"Written: {folder} and {folder.with_suffix('.zip')}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "submission"))
