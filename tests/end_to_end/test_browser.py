"""The pages in a real browser: headless Chromium opens them from files, without a network.

HARNESS_SCREENSHOTS names a folder that keeps the screenshots.
"""

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from shown import make_reports

from harness.archive import locate_record, write_record
from harness.challenge import read_challenge
from harness.render.page import PAGE, SUBMISSIONS
from harness.reporting import write_leaderboard

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DESKTOP, PHONE = (1400, 1000), (390, 844)
LEAST_FONT_PX = 12

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    reports = make_reports(tmp_path_factory.mktemp("reports"))
    for name in ("leaderboard.md", "tables.md"):
        (reports / name).touch()
    return reports


@pytest.fixture(scope="module")
def browser() -> "Iterator[sync_api.Browser]":
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])  # root has no other way
        yield browser
        browser.close()


class Visit:
    """A page with all that the browser complained of, and all that it asked of a network."""

    def __init__(self, browser: "sync_api.Browser", size: tuple[int, int], scheme: str) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", self.note_request)

    def note_request(self, request: "sync_api.Request") -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(f"asked for {request.url}")

    def open(self, path: Path) -> "sync_api.Page":
        self.page.goto(path.as_uri())
        self.page.wait_for_load_state("load")
        return self.page


@pytest.fixture
def visit(browser: "sync_api.Browser", request: pytest.FixtureRequest) -> Iterator[Visit]:
    """At desktop size and light, or as a parameter says; nothing may be complained of."""
    size, scheme = getattr(request, "param", (DESKTOP, "light"))
    visit = Visit(browser, size, scheme)
    yield visit
    visit.context.close()
    assert visit.complaints == []


def list_names(page: "sync_api.Page") -> list[str]:
    """The submissions that are shown, from the top."""
    names = page.locator(".board:not([hidden]) tbody tr:not([hidden]) th").all_text_contents()
    return [str(name) for name in names]


def test_sorting(visit: Visit, reports: Path) -> None:
    page = visit.open(reports / PAGE)
    assert set(list_names(page)) == {"fast_net", "slow_net", "test_net", "untimed_net"}
    head = page.locator(".board:not([hidden]) thead th", has_text="PSNR")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert list_names(page) == ["slow_net", "untimed_net", "test_net", "fast_net"]
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert list_names(page) == ["fast_net", "test_net", "untimed_net", "slow_net"]
    speed = page.locator(".board:not([hidden]) thead th", has_text="Speed-up")
    speed.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert list_names(page)[0] == "fast_net"
    assert list_names(page)[-1] == "untimed_net"  # what is missing stays last,
    page.keyboard.press("Enter")
    assert list_names(page)[-1] == "untimed_net"  # in both directions
    assert page.locator(".board:not([hidden]) [aria-sort]").count() == 1
    time = page.locator(".board:not([hidden]) thead th", has_text="Time")
    time.get_by_role("button").click()
    assert time.get_attribute("aria-sort") == "ascending"  # what is better when less begins with the least
    assert list_names(page)[0] == "fast_net"


def test_filtering(visit: Visit, reports: Path) -> None:
    page = visit.open(reports / PAGE)
    shown = page.locator("#shown")
    assert shown.text_content() == "4 submissions"
    page.get_by_label("Find").fill("FLAGGED slow")
    assert list_names(page) == ["slow_net"]
    assert shown.text_content() == "1 of 4 submissions"
    page.get_by_label("Find").fill("nothing like it")
    assert list_names(page) == []
    page.get_by_label("Find").fill("")
    page.get_by_label("none beats").check()
    assert set(list_names(page)) == {"fast_net", "slow_net", "test_net"}
    page.get_by_label("Pairs").select_option("1")
    assert set(list_names(page)) == {"fast_net", "slow_net"}


def test_chart(visit: Visit, reports: Path) -> None:
    page = visit.open(reports / PAGE)
    points = page.locator("#chart .scatterlayer .points path")
    assert points.count() == 3  # the untimed one has no speed
    page.get_by_label("Across").select_option("niqe")
    page.wait_for_function("document.querySelectorAll('#chart .scatterlayer .points path').length === 4")
    assert "NIQE" in (page.locator("#chart .xtitle").text_content() or "")
    page.locator("#chart").scroll_into_view_if_needed()
    box = points.first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector("#chart .hovertext")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator("#picked a").click()
    page.wait_for_url("**/page/submissions/*.html")


def read_pixel(page: "sync_api.Page", part: float) -> tuple[int, ...]:
    """The colour at a part of the frame's width, a quarter down."""
    with Image.open(io.BytesIO(page.locator(".frame").screenshot())) as image:
        colour = image.convert("RGB").getpixel((int(part * image.width), image.height // 4))
    return tuple(colour)  # type: ignore[arg-type]


def test_slider(visit: Visit, reports: Path) -> None:
    page = visit.open(reports / PAGE)
    page.locator(".picture").select_option(label="pair 4 of pirm2018b")
    page.locator(".left").select_option("source")
    page.locator(".right").select_option("target")
    page.wait_for_function("[...document.querySelectorAll('.frame img')].every((image) => image.complete)")
    red, green = (200, 0, 0), (0, 200, 0)
    assert (read_pixel(page, 0.3), read_pixel(page, 0.7)) == (red, green)
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("End")
    assert (read_pixel(page, 0.3), read_pixel(page, 0.7)) == (red, red)
    page.keyboard.press("Home")
    assert (read_pixel(page, 0.3), read_pixel(page, 0.7)) == (green, green)
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 20)
    assert (read_pixel(page, 0.7), read_pixel(page, 0.9)) == (red, green)
    page.locator(".right").select_option("output slow_net")
    assert "Right: slow_net" in (page.locator(".caption").text_content() or "")
    assert page.locator(".below").get_attribute("alt") == "slow_net of 4"


def test_full_size_shows_a_pixel_as_a_pixel(visit: Visit, reports: Path) -> None:
    page = visit.open(reports / PAGE)
    page.get_by_label("Full size").check()
    page.wait_for_function("document.querySelector('.below').complete")
    assert page.locator(".below").bounding_box()["width"] == 640


def test_from_a_submission_to_its_page_and_back(visit: Visit, reports: Path) -> None:
    page = visit.open(reports / PAGE)
    page.get_by_role("link", name="slow_net").first.click()
    page.wait_for_url(f"**/{SUBMISSIONS}/slow_net.html")
    assert page.locator(".values tbody tr").count() == 24
    assert page.locator("#histogram .bars .point").count() > 3
    assert page.locator("#timing .points path").count() == 24
    page.get_by_label("Find").fill("19")
    assert page.locator(".values tbody tr:not([hidden])").count() == 1
    assert page.locator(".sides img").first.evaluate("image => image.naturalWidth") == 100
    page.locator("#metric").select_option(label="MS-SSIM")
    page.wait_for_function("document.querySelector('#histogram .xtitle').textContent.startsWith('MS-SSIM')")
    page.get_by_role("link", name="Leaderboard").click()
    page.wait_for_url(f"**/{PAGE}")


def test_values_are_sorted_as_numbers(visit: Visit, reports: Path) -> None:
    page = visit.open(reports / SUBMISSIONS / "fast_net.html")
    table = page.locator(".values table").first
    table.get_by_role("button", name="PSNR (dB)", exact=True).click()
    values = [float(text) for text in table.locator("tbody td:nth-child(2)").all_text_contents()]
    assert len(values) == 20
    assert values == sorted(values, reverse=True)


def test_light_and_dark(visit: Visit, reports: Path) -> None:
    page = visit.open(reports / PAGE)
    ground = "() => getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Dark or light").click()
    dark = page.evaluate(ground)
    assert sum(map(int, dark.removeprefix("rgb(").removesuffix(")").split(","))) < 120
    plotted = page.evaluate("() => document.querySelector('#chart').layout.paper_bgcolor")
    assert plotted == "#11151b"
    page.reload()
    assert page.evaluate(ground) == dark  # it is remembered


def test_hostile_text_does_nothing(visit: Visit, reports: Path) -> None:
    for place in (PAGE, f"{SUBMISSIONS}/fast_net.html", f"{SUBMISSIONS}/broken_net.html"):
        page = visit.open(reports / place)
        assert page.evaluate("window.hacked") is None
    assert "<script>window.hacked" in (page.locator("pre").text_content() or "")


@pytest.mark.parametrize("place", [PAGE, f"{SUBMISSIONS}/slow_net.html", f"{SUBMISSIONS}/broken_net.html"])
@pytest.mark.parametrize(
    "visit",
    [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")],
    indirect=True,
    ids=["desktop-light", "desktop-dark", "phone-light", "phone-dark"],
)
def test_accessible_and_in_its_window(
    visit: Visit, reports: Path, tmp_path: Path, place: str, request: pytest.FixtureRequest
) -> None:
    page = visit.open(reports / place)
    page.wait_for_timeout(300)  # charts draw themselves
    found = axe.Axe().run(page, options={"preload": False}).response["violations"]
    assert [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found] == []
    smallest = page.evaluate(
        "Math.min(...[...document.querySelectorAll('body *')].filter((e) => e.checkVisibility() && e.innerText?.trim())"
        ".map((e) => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= LEAST_FONT_PX
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # only tables scroll sideways
    name = f"{request.node.callspec.id.replace('/', '-')}.png"
    folder = Path(os.environ.get("HARNESS_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / name, full_page=True)
    assert (folder / name).stat().st_size > 10_000


def test_many_submissions(visit: Visit, tmp_path: Path) -> None:
    """A thousand rows open, sort and show a hundred; how fast, benchmarks/many_records.py says."""
    from benchmarks.many_records import make_record

    for number in range(300):
        record = make_record(number, 40)
        write_record(locate_record(tmp_path / "records", dataset="pirm2018b", name=record.submission.name), record)
    write_leaderboard(tmp_path, "pirm2018b", read_challenge("pirm2018b"))
    page = visit.open(tmp_path / PAGE)
    assert len(list_names(page)) == 100
    page.locator(".board:not([hidden]) thead button", has_text="Submission").click()
    assert list_names(page)[0] == "net_0000"
    assert len(list_names(page)) == 100
    page.get_by_role("button", name="Show all 300, not only 100").click()
    assert len(list_names(page)) == 300
