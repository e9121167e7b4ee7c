"""The pictures that the HTML pages compare, as the script reads them."""

from typing import Any
from urllib.parse import quote

from harness.showcase import Picture, Showcase


def list_shared(showcase: Showcase) -> list[Picture]:
    """The pictures for which most submissions have an output; the others are on the submissions' own pages."""
    most = max((len(picture.outputs) for picture in showcase.pictures), default=0)
    return [picture for picture in showcase.pictures if len(picture.outputs) >= max(1, most / 2)]


def describe_picture(picture: Picture, showcase: Showcase, only: str | None = None) -> dict[str, Any]:
    """A picture for the comparison, with paths from the reports folder; only: the output of one submission."""

    def locate(path: str) -> str:
        return quote(f"images/{showcase.dataset}/{path}")  # an image's name may hold a # or a ?

    outputs = {name: locate(path) for name, path in picture.outputs.items() if only in (None, name)}
    jpeg = any(path.endswith(".jpg") for path in picture.outputs.values())
    return {
        "image": picture.image,
        "label": f"{picture.kind} {picture.image} of {showcase.dataset}",
        "note": "shown as JPEG" if jpeg else "",
        "width_px": picture.width_px,
        "height_px": picture.height_px,
        "source": locate(picture.source),
        "target": locate(picture.target) if picture.target else None,
        "outputs": outputs,
    }
