"""Makes a submission to start from: a model that brightens, its manifest, and both in the zip that Codabench takes.

python make_submission.py [FOLDER [SCALE]]     needs the package onnx alone; put your own model in its place
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


def build_model(scale: int = 1) -> bytes:
    """A model as challenges want it: float32 RGB in [0, 1], any height and width, one input and one output.

    scale: the output is so many times as wide and high as the input.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    shape = ("batch", "height", "width", 3)
    larger = ("batch", "larger height", "larger width", 3) if scale > 1 else shape
    weights: dict[str, float | list[int]] = {"by": BRIGHTER, "black": 0.0, "white": 1.0}
    nodes = [
        helper.make_node("Add", ["source", "by"], ["brighter"]),
        helper.make_node("Clip", ["brighter", "black", "white"], ["clipped"]),
    ]
    if scale > 1:
        weights["scales"] = [1, scale, scale, 1]
        nodes.append(helper.make_node("Resize", ["clipped", "", "scales"], ["output"], mode="linear"))
    else:
        nodes[-1].output[0] = "output"
    graph = helper.make_graph(
        nodes,
        "brighten",
        [helper.make_tensor_value_info("source", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, larger)],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    return bytes(model.SerializeToString())


def build_submission(scale: int = 1) -> dict[str, bytes]:
    """The files of the submission."""
    return {"submission.toml": MANIFEST.encode(), "model.onnx": build_model(scale)}


def main(folder: Path, scale: int) -> None:
    """Write the folder, and the zip beside it with the files at its top."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in build_submission(scale).items():
            (folder / name).write_bytes(content)
            archive.writestr(name, content)
    sys.stdout.write(f"Written: {folder} and {folder.with_suffix('.zip')}\n")


if __name__ == "__main__":
    folder, scale = (*sys.argv[1:3], *("my_submission", "1")[len(sys.argv) - 1 :])
    main(Path(folder), int(scale))
