"""What was published, as published.toml has it."""

from pathlib import Path

import msgspec

FILE = Path(__file__).parent / "published.toml"


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Paper(_Part, frozen=True):
    """Where Tables 2 to 5 come from; `baseline` is the method that Table 4's ratios are to."""

    title: str
    baseline: str


class Method(_Part, frozen=True):
    """A row of Tables 2 to 4: psnr in dB, time_ms at 1280x720; None where not published.

    `submission` is the same network here, `same_data` the same network trained on the 300 training pairs alone;
    `not_run` why there is no `submission`; `also_trained_on` what its record does not say.
    """

    title: str
    submission: str = ""
    also_trained_on: str = ""
    same_data: str = ""
    not_run: str = ""
    psnr: float | None = None
    ssim: float | None = None
    niqe: float | None = None
    time_ms: float | None = None


class Condition(_Part, frozen=True):
    """A row of Table 5."""

    name: str
    title: str
    psnr: float
    ssim: float
    niqe: float


class FinalTable(_Part, frozen=True):
    """The challenge's final table, which team is which submission here, and the places that the paper's text claims."""

    file: str
    not_run: str
    submissions: dict[str, str]
    team: str
    places: dict[str, int]


class Notes(_Part, frozen=True):
    """What is said below a table: why values differ, which ends the verdict, and more."""

    why: str
    notes: tuple[str, ...] = ()


class Published(_Part, frozen=True):
    """published.toml; challenge: the one whose records it compares with; notes by table."""

    challenge: str
    paper: Paper
    methods: tuple[Method, ...]
    conditions: tuple[Condition, ...]
    final_table: FinalTable
    notes: dict[str, Notes]


def read_published() -> Published:
    """The published figures that come with the package."""
    return msgspec.toml.decode(FILE.read_bytes(), type=Published)
