"""A challenge as data: dataset, baseline, limits, metrics and the score formulas of each phase, read from TOML."""

import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from harness.errors import ChallengeError, UsageError, quote
from harness.metrics import find_metric
from harness.metrics.mos_proxy import check_pairs
from harness.metrics.profiles import find_preparation
from harness.scoring import check_formula, suggest_name

FOLDER = Path(__file__).parent / "challenges"
DEFAULT_CHALLENGE = "pirm2018b"
COSTS = ("parameters", "multiply_adds", "model_bytes", "peak_bytes")
"""What a submission costs beside time, as formulas call it; `baseline_` before it stands for the baseline's."""

PositiveInt = Annotated[int, msgspec.Meta(gt=0)]
PositiveFloat = Annotated[float, msgspec.Meta(gt=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


_Read = TypeVar("_Read", bound=msgspec.Struct)


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Baseline(_Part, frozen=True):
    """The model that speed is measured against; `rows` are its names in tables of published columns.

    model: a path from the challenge's file; srcnn.onnx, where no such file is there, is the package's.
    parameters, multiply_adds: its cost, where a formula compares with it.
    """

    label: Text
    model: Path
    rows: tuple[Text, ...] = ()
    parameters: PositiveInt | None = None
    multiply_adds: PositiveInt | None = None

    def list_costs(self) -> dict[str, float]:
        """What is known of its cost, by the names that formulas have for it."""
        costs = {"parameters": self.parameters, "multiply_adds": self.multiply_adds}
        return {f"baseline_{name}": float(value) for name, value in costs.items() if value is not None}


class Size(_Part, frozen=True):
    """Of a model's input."""

    width_px: PositiveInt
    height_px: PositiveInt


class Limits(_Part, frozen=True):
    """What a submission may use; load_s and run_s are deadlines for one load and one run."""

    memory_bytes: PositiveInt
    model_bytes: PositiveInt
    load_s: PositiveFloat
    run_s: PositiveFloat


class ChallengeMetric(_Part, frozen=True):
    """A metric by the profile that says how images are prepared for it, over the pairs or over the photos.

    lower_is_better: of a metric of another library, as far as it is known without that library; ours are known anyway.
    """

    name: Text
    images: Literal["pairs", "photos"]
    profile: Text
    lower_is_better: bool = False

    def __post_init__(self) -> None:
        try:
            find_preparation(self.profile, self.name)
        except UsageError as error:
            raise ValueError(str(error).removesuffix(".")) from None
        if (own := find_metric(self.name)) is not None:
            if self.lower_is_better and own.higher_is_better:
                raise ValueError(f"of {own.label} higher is better; leave lower_is_better out")
            msgspec.structs.force_setattr(self, "lower_is_better", not own.higher_is_better)


class MosPair(_Part, frozen=True):
    """One method's NIQE and MOS as published."""

    label: Text
    niqe: float
    mos: float


class MosCalibration(_Part, frozen=True):
    """The pairs behind the estimate of MOS from NIQE, and the image set that it holds for.

    A challenge has it in place, or names a file that `harness mos-fit` wrote: calibration = "FILE".
    """

    image_set: Text
    note: Text
    pairs: Annotated[tuple[MosPair, ...], msgspec.Meta(min_length=3)]

    def __post_init__(self) -> None:
        check_pairs([(pair.niqe, pair.mos) for pair in self.pairs])


class Phase(_Part, frozen=True):
    """The score formulas of a phase by score name; label and note go into every report that shows them.

    better: which of two scores is the better one. qualify: the least value of a metric, the largest where less is
    better, with which a submission is ranked.
    """

    label: Text
    note: Text
    scores: Annotated[dict[Text, Text], msgspec.Meta(min_length=1)]
    better: Literal["higher", "lower"] = "higher"
    qualify: dict[Text, float] = {}

    @property
    def sign(self) -> int:
        """What a score is multiplied with for more to be better."""
        return 1 if self.better == "higher" else -1


@dataclass(frozen=True)
class Bound:
    """A rule for a rank: the least value of a metric, the most where less is better."""

    metric: str
    value: float
    lower_is_better: bool

    @property
    def side(self) -> str:
        """'at least' or 'at most'."""
        return "at most" if self.lower_is_better else "at least"

    def holds(self, value: float) -> bool:
        """Whether a value meets it; NaN does not."""
        return value <= self.value if self.lower_is_better else value >= self.value


class Challenge(_Part, frozen=True, kw_only=True):
    """A whole challenge. `infinite_psnr_db` is what the PSNR of identical images counts as.

    dataset: the name of one that the package knows, or the path of a folder with source/ and target/. stand_in: another
    one for where its files cannot be had. scale: an output is so many times as wide and high as its input. speed: the
    size at which time and memory are measured; cost: that at which multiply-adds are counted, if it is another one.
    """

    name: Text
    title: Text
    url: str = ""
    dataset: Text
    stand_in: str = ""
    scale: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1
    infinite_psnr_db: Annotated[float, msgspec.Meta(gt=0, le=200)]
    baseline: Baseline
    speed: Size
    cost: Size | None = None
    limits: Limits
    metrics: Annotated[tuple[ChallengeMetric, ...], msgspec.Meta(min_length=1)]
    mos: MosCalibration | None = None
    phases: Annotated[dict[Text, Phase], msgspec.Meta(min_length=1)]

    @property
    def dataset_name(self) -> str:
        """What the dataset is called in records and reports."""
        return PurePosixPath(self.dataset).name

    @property
    def counted_size(self) -> Size:
        """The size at which multiply-adds are counted."""
        return self.cost or self.speed

    def __post_init__(self) -> None:
        names = [metric.name for metric in self.metrics]
        if len(set(names)) < len(names):
            raise ValueError(f"a metric is listed twice: {', '.join(names)}")
        for name in (name for phase in self.phases.values() for name in phase.qualify if name not in names):
            raise ValueError(f"{name}, by which submissions qualify, is none of the metrics: {', '.join(names)}")

    def list_bounds(self, phase: Phase) -> list[Bound]:
        """What a submission needs for a rank in one of the phases."""
        lower = {metric.name: metric.lower_is_better for metric in self.metrics}
        return [Bound(name, value, lower[name]) for name, value in phase.qualify.items()]

    def list_names(self) -> set[str]:
        """What a formula may name: metrics, times and costs, and MOS where it is estimated."""
        names = {metric.name for metric in self.metrics} | {"time", "baseline_time", *COSTS}
        estimated = {"mos"} if self.mos is not None and "niqe" in names else set()
        return names | set(self.baseline.list_costs()) | estimated


def list_challenges() -> tuple[str, ...]:
    """Names of the challenges in the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def read_challenge(name_or_path: str | Path) -> Challenge:
    """The challenge of that name in the package, or of that TOML file.

    The baseline's path comes back absolute; whether it exists is not checked: scoring a table needs no model.
    Raises UsageError for an unknown name, ChallengeError for a file that does not hold.
    """
    path = _find_file(name_or_path)
    table = _read_table(path)
    match table.get("dataset"):
        case str(name) if name and (folder := path.parent / name).is_dir():
            table["dataset"] = str(folder.resolve())
    match table.get("mos"):
        case {"calibration": str(name), **others} if name and not others:
            table["mos"] = msgspec.to_builtins(read_calibration(path.parent / name))
        case {"calibration": _}:
            raise ChallengeError(
                f"{path}: calibration at [mos] is the path of a file, and all that [mos] then holds; correct it."
            )
    challenge = _convert(path, table, Challenge)
    _check_formulas(path, challenge)
    return challenge


def read_calibration(path: Path) -> MosCalibration:
    """A calibration of MOS as `harness mos-fit` writes it. Raises ChallengeError for a file that does not hold."""
    return _convert(path, _read_table(path), MosCalibration)


def _read_table(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():
            raise ChallengeError(f"{path}: cannot be read: it is no file; name a TOML file that is there.")
        table: dict[str, Any] = msgspec.toml.decode(path.read_bytes())
    except OSError as error:
        raise ChallengeError(f"{path}: cannot be read: {error.strerror}; name a TOML file that is there.") from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ChallengeError(f"{path}: not valid TOML: {quote(error)}; correct it there.") from None
    return table


def _convert(path: Path, table: dict[str, Any], kind: type[_Read]) -> _Read:
    try:
        return msgspec.convert(table, kind, dec_hook=lambda _type, value: _resolve_path(path.parent, value))
    except msgspec.ValidationError as error:
        raise ChallengeError(f"{path}: {explain_error(str(error), kind)}") from None


def find_phase(challenge: Challenge, name: str) -> Phase:
    """The phase of that name; UsageError lists the known ones."""
    if name not in challenge.phases:
        raise UsageError(
            f"unknown phase '{name}'{suggest_name(name, challenge.phases)}; "
            f"phases of {challenge.name}: {', '.join(challenge.phases)}"
        )
    return challenge.phases[name]


def explain_error(message: str, struct: type[msgspec.Struct]) -> str:
    """msgspec's message in one sentence that names the table, the key and the known keys."""
    text, _, location = message.partition(" - at `$")
    parts = re.findall(r"\w+|\*", location.replace("[...]", ".*"))
    table = f"[{'.'.join(parts)}]" if parts else "the top level"
    if found := re.fullmatch(r"Object contains unknown field `(.*)`", text, re.DOTALL):
        key, known = quote(found[1]), _list_keys(struct, parts)
        place = f"at {table}{suggest_name(key, known)}"
        return f"unknown key '{key}' {place}; known keys: {', '.join(known)}; correct or remove it"
    if found := re.fullmatch(r"Object missing required field `(.+)`", text):
        needed = ", ".join(_list_keys(struct, parts, required=True))
        return f"key '{found[1]}' is missing at {table}; add it, keys it needs: {needed}"
    known = _list_values(struct, parts) if text.startswith("Invalid enum value") else []
    remedy = f"correct it, known are {', '.join(known)}" if known else "correct it"
    return quote(f"{'.'.join(parts) or 'top level'}: {text[:1].lower()}{text[1:]}".replace("`", "")) + f"; {remedy}"


def _find_file(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix == ".toml" or len(path.parts) > 1:
        return path.resolve()
    known = list_challenges()
    if str(name_or_path) not in known:
        raise UsageError(
            f"unknown challenge '{name_or_path}'{suggest_name(str(name_or_path), known)}; "
            f"known: {', '.join(known)}, or the path of a .toml file"
        )
    return FOLDER / f"{name_or_path}.toml"


def _resolve_path(folder: Path, value: Any) -> Path:
    if not isinstance(value, str):
        raise ValueError(f"expected a path, got {type(value).__name__}")
    own, packaged = (folder / value).resolve(), FOLDER / value
    is_packaged = Path(value).name == value and packaged.is_file()
    return packaged if is_packaged and not own.exists() else own


def _check_formulas(path: Path, challenge: Challenge) -> None:
    known = challenge.list_names()
    for name, phase in challenge.phases.items():
        for score, formula in phase.scores.items():
            try:
                check_formula(score, formula, known)
            except ChallengeError as error:
                raise ChallengeError(f"{path}: phase {name}, {error}") from None


def _list_keys(kind: Any, parts: list[str], *, required: bool = False) -> list[str]:
    """Keys of the table at `parts`, or the required ones."""
    fields = msgspec.structs.fields(_find_type(kind, parts))
    return [field.encode_name for field in fields if field.required or not required]


def _list_values(kind: Any, parts: list[str]) -> list[str]:
    """The words that may stand at `parts`, where they can be listed."""
    kind = _find_type(kind, parts)
    options = typing.get_args(kind) if typing.get_origin(kind) in (types.UnionType, typing.Union) else (kind,)
    return [word for one in options if typing.get_origin(one) is typing.Literal for word in typing.get_args(one)]


def _find_type(kind: Any, parts: list[str]) -> Any:
    """The type at `parts`; an index or '*' steps into a tuple or a mapping."""
    for part in parts:
        origin = typing.get_origin(kind)
        if origin is types.UnionType:  # a table that may be missing
            kind = next(option for option in typing.get_args(kind) if option is not type(None))
            origin = typing.get_origin(kind)
        if origin is None:
            kind = typing.get_type_hints(kind)[part]
        else:
            kind = typing.get_args(kind)[0 if origin is tuple else -1]
    return kind
