"""What Codabench asks of a competition bundle, written down from its sources and its documentation.

The rules, and where they stand in https://github.com/codalab/codabench:

- the archive, competition.yaml at its top, the version: src/apps/competitions/tasks.py (`unpack_competition`)
- title, pages, tasks, solutions, terms, phases, leaderboards: src/apps/competitions/unpackers/v2.py at 8239d01
- image, files or keys of data, phases one after the other: src/apps/competitions/unpackers/base_unpacker.py
- dates: src/apps/competitions/unpackers/utils.py at 3b14605 (an unquoted date loses its time of day)
- columns, computations, unique keys and indexes: src/apps/api/serializers/leaderboards.py
- lengths, choices, what a score can hold: src/apps/leaderboards/models.py, src/apps/competitions/models.py
- migration between phases, the fact sheet: src/apps/api/serializers/competitions.py at 01676dc
- metadata.yaml and its command, scores.json: compute_worker/compute_worker.py at 39b9c2a and 006d55f
- which keys there are: documentation/docs/Organizers/Benchmark_Creation/Yaml-Structure.md at 980dbea

Codabench reads past a key that it does not know; here it is a breach, since it would be a misspelt one.
"""

import datetime
import io
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

Table = Mapping[str, Any]

FLAGS = """registration_auto_approve make_programs_available make_input_data_available enable_detailed_results
    show_detailed_results_in_submission_panel show_detailed_results_in_leaderboard auto_run_submissions
    can_participants_make_submissions_public forum_enabled""".split()
TEXTS = "title description docker_image queue contact_email reward competition_type".split()
TOP = {*FLAGS, *TEXTS, *"version image terms pages tasks solutions phases leaderboards fact_sheet".split()}
DATA = "input_data reference_data ingestion_program scoring_program".split()
TASK = {*DATA, *"index key name description ingestion_only_during_scoring is_public".split()}
SOLUTION = {*"index key name description tasks path".split()}
PHASE = set(
    """index name description start end tasks max_submissions max_submissions_per_day auto_migrate_to_this_phase
    execution_time_limit hide_output hide_prediction_output hide_score_output starting_kit public_data
    accepts_only_result_submissions""".split()
)
BOARD = {*"index title key columns submission_rule hidden primary_index".split()}
COLUMN = {*"title key index sorting computation computation_indexes precision hidden".split()}
QUESTION = {*"key type title selection is_required is_on_leaderboard".split()}
RULES = "Add Add_And_Delete Add_And_Delete_Multiple Force_Last Force_Latest_Multiple Force_Best".split()
COMPUTATIONS = "avg sum min max avg_rank".split()


def find_breaches(path: Path) -> list[str]:
    """Every rule that a bundle breaks, in a few words each; none where Codabench would take it."""
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        return ["it is no zip"]
    with archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    if "competition.yaml" not in files:
        return ["competition.yaml is not at its top"]
    try:
        table = yaml.safe_load(files["competition.yaml"])
    except yaml.YAMLError as error:
        return [f"competition.yaml is no YAML: {error}"]
    if not isinstance(table, dict):
        return ["competition.yaml is no table"]
    checks = (check_top, check_pages, check_tasks, check_solutions, check_phases, check_boards, check_fact_sheet)
    return [breach for check in checks for breach in check(table, files)]


def check_top(table: Table, files: Mapping[str, bytes]) -> Iterator[str]:
    yield from list_unknown(table, TOP, "competition.yaml")
    if str(table.get("version")) != "2":
        yield f"version is {table.get('version')!r}, not 2"
    yield from check_text(table, "title", 256)
    for name in FLAGS:
        if not isinstance(table.get(name, False), bool):
            yield f"{name} is no boolean"
    for name in TEXTS:
        if not isinstance(table.get(name, ""), str):
            yield f"{name} is no text"
    if len(str(table.get("docker_image", ""))) > 128:
        yield "docker_image is too long"
    if table.get("competition_type", "competition") not in ("competition", "benchmark"):
        yield "competition_type is neither competition nor benchmark"
    yield from check_image(table, files)
    if not files.get(str(table.get("terms"))):
        yield "terms is no file, or an empty one"


def check_image(table: Table, files: Mapping[str, bytes]) -> Iterator[str]:
    name = str(table.get("image"))
    if name not in files:
        yield "image is no file"
        return
    try:
        Image.open(io.BytesIO(files[name])).verify()
    except Exception:
        yield "image cannot be read"
    if not name.lower().endswith((".png", ".jpg", ".jpeg")):
        yield "image is neither PNG nor JPEG"


def check_pages(table: Table, files: Mapping[str, bytes]) -> Iterator[str]:
    if not isinstance(table.get("pages"), list):
        yield "pages is no list"
        return
    for page in table["pages"]:
        yield from list_unknown(page, {"title", "file"}, "a page")
        yield from check_text(page, "title", 255)
        if not files.get(str(page.get("file"))):
            yield f"the page {page.get('file')} is missing or empty"


def check_tasks(table: Table, files: Mapping[str, bytes]) -> Iterator[str]:
    tasks = table.get("tasks")
    if not isinstance(tasks, list) or not tasks:
        yield "no tasks"
        return
    yield from check_indexes(tasks, "tasks")
    for task in tasks:
        yield from list_unknown(task, TASK, "a task")
        if "key" in task:
            continue
        yield from check_text(task, "name", 256)
        if "scoring_program" not in task:
            yield f"task {task.get('index')} has no scoring program"
        for name in DATA:
            if name in task and not is_data(task[name], files):
                yield f"{name} {task[name]} is neither in the bundle nor a key"
        program = str(task.get("scoring_program"))
        if program.endswith(".zip") and is_data(program, files):
            yield from check_program(files[program])


def check_program(content: bytes) -> Iterator[str]:
    """metadata.yaml at the top, with a command; older workers split it at each space, newer ones as a shell would."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if "metadata.yaml" not in names:
            yield "the scoring program has no metadata.yaml at its top"
            return
        metadata = yaml.safe_load(archive.read("metadata.yaml"))
    command = metadata.get("command") if isinstance(metadata, dict) else None
    if not isinstance(command, str) or not command:
        yield "metadata.yaml has no command"
        return
    if any(letter in command for letter in "\"'\\|&;<>*`") or "  " in command:
        yield "the command needs a shell"
    for word in command.split(" "):
        if word.startswith("/app/program/") and word.removeprefix("/app/program/") not in names:
            yield f"the command names {word}, which the program lacks"


def check_solutions(table: Table, files: Mapping[str, bytes]) -> Iterator[str]:
    solutions = table.get("solutions") or []
    known = {task.get("index") for task in table.get("tasks") or []}
    yield from check_indexes(solutions, "solutions")
    for solution in solutions:
        yield from list_unknown(solution, SOLUTION, "a solution")
        if not set(solution.get("tasks") or [None]) <= known:
            yield "a solution is of a task that is not there"
        if "key" not in solution and not is_data(solution.get("path"), files):
            yield "a solution is no file"


def check_phases(table: Table, files: Mapping[str, bytes]) -> Iterator[str]:
    phases = table.get("phases")
    if not isinstance(phases, list) or not phases:
        yield "no phases"
        return
    known = {task.get("index") for task in table.get("tasks") or []}
    for phase in phases:
        yield from list_unknown(phase, PHASE, "a phase")
        yield from check_text(phase, "name", 256)
        if not phase.get("tasks") or not set(phase["tasks"]) <= known:
            yield "a phase has no tasks, or one that is not there"
        for name in ("starting_kit", "public_data"):
            if name in phase and not is_data(phase[name], files):
                yield f"{name} {phase[name]} is not in the bundle"
        for name in ("execution_time_limit", "max_submissions", "max_submissions_per_day"):
            if not is_count(phase.get(name, 1)):
                yield f"{name} is no number of at least 0"
    yield from check_order(sorted(phases, key=lambda phase: phase.get("index", 0)))


def check_order(phases: list[Table]) -> Iterator[str]:
    """Phases follow one another, and do not touch; only the last may be without an end."""
    if phases[0].get("auto_migrate_to_this_phase"):
        yield "submissions cannot migrate to the first phase"
    spans = []
    for phase in phases:
        try:
            spans.append((read_time(phase.get("start")), read_time(phase.get("end"))))
        except ValueError:
            yield f"{phase.get('start')} or {phase.get('end')} is no date"
            return
    for place, (start, end) in enumerate(spans):
        if start is None:
            yield "a phase has no start"
        elif end is not None and end <= start:
            yield "a phase ends before it starts"
        if place:
            before = spans[place - 1][1]
            if before is None:
                yield "a phase without an end has one after it"
            elif start is not None and start <= before:
                yield "a phase starts before the one before it has ended"


def read_time(value: object) -> datetime.datetime | None:
    """As Codabench reads it: of what YAML takes for a date or a time, only the day is kept."""
    if not value:
        return None
    if isinstance(value, datetime.date):
        return datetime.datetime.combine(value, datetime.time())
    return datetime.datetime.fromisoformat(str(value))


def check_boards(table: Table, files: Mapping[str, bytes]) -> Iterator[str]:
    boards = table.get("leaderboards")
    if not isinstance(boards, list) or not boards:
        yield "no leaderboards"
        return
    for board in boards:
        yield from list_unknown(board, BOARD, "a leaderboard")
        yield from check_text(board, "title", 64)
        yield from check_text(board, "key", 36)
        if board.get("submission_rule", "Add") not in RULES:
            yield f"submission_rule is {board['submission_rule']}"
        columns = board.get("columns")
        if not isinstance(columns, list) or not columns:
            yield "a leaderboard has no columns"
            continue
        yield from check_indexes(columns, "columns")
        keys = [column.get("key") for column in columns]
        if len(set(keys)) < len(keys):
            yield "two columns have the same key"
        if board.get("primary_index", 0) not in [column.get("index") for column in columns]:
            yield "there is no primary column"
        for column in columns:
            yield from check_column(column, [column.get("index") for column in columns])


def check_column(column: Table, indexes: list[Any]) -> Iterator[str]:
    yield from list_unknown(column, COLUMN, "a column")
    yield from check_text(column, "title", 36)
    yield from check_text(column, "key", 36)
    if column.get("sorting", "desc") not in ("asc", "desc"):
        yield "sorting is neither asc nor desc"
    if not is_count(column.get("precision", 2)):
        yield "precision is no number of at least 0"
    computed = column.get("computation_indexes") or []
    if bool(computed) != ("computation" in column):
        yield "a computation goes with indexes, and indexes with a computation"
    if column.get("computation", "sum") not in COMPUTATIONS:
        yield "an unknown computation"
    if column.get("index") in computed or not set(computed) <= set(indexes):
        yield "a computation is of its own column, or of one that is not there"


def check_fact_sheet(table: Table, files: Mapping[str, bytes]) -> Iterator[str]:
    for key, question in (table.get("fact_sheet") or {}).items():
        if set(question) != QUESTION:
            yield "a question has other keys than it should"
        elif question["key"] != key or " " in key:
            yield "a question has another key than its own"
        elif question["type"] not in ("checkbox", "text", "select"):
            yield "a question is of an unknown type"


def check_text(table: Table, name: str, longest: int) -> Iterator[str]:
    value = table.get(name)
    if not isinstance(value, str) or not value or len(value) > longest:
        yield f"{name} is missing, no text or too long: {value!r}"


def check_indexes(tables: list[Table], name: str) -> Iterator[str]:
    indexes = [table.get("index") for table in tables]
    if not all(map(is_count, indexes)) or len(set(indexes)) < len(indexes):
        yield f"the indexes of {name} are missing or not unique"


def list_unknown(table: Table, known: set[str], name: str) -> Iterator[str]:
    for key in sorted(set(table) - known):
        yield f"{name} has the unknown key {key}"


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_data(value: object, files: Mapping[str, bytes]) -> bool:
    """A file or folder of the bundle, or the key of data that Codabench has already."""
    name = str(value)
    if name.endswith(".zip") and name in files:
        return zipfile.is_zipfile(io.BytesIO(files[name]))
    if name in files or any(place.startswith(f"{name.rstrip('/')}/") for place in files):
        return True
    try:
        uuid.UUID(name)
    except ValueError:
        return False
    return True
