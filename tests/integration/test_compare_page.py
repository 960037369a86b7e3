"""The report's page in a real browser, from the disk, without network: keyboard, sorting, tooltips, dark, narrow."""

import pytest
from contrast import CONTRAST
from playwright.sync_api import expect

from mtl_lightning.compare.report import write_report
from tests.compare_specimen import evidence, summary

SCRIPT = "<script>document.title='run'</script><img src=x onerror=document.title='run'>"
NEXT_FRAME = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
FOREVER = f"l{90 * 'o'}ng"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report with names that hurt, a contestant without a run, and scores that are not numbers."""
    contestants = ["equal", SCRIPT, "均匀加权", FOREVER, "lost", "upgrad"]
    found = evidence(contestants, tasks=("intent", "<b>slots"), lost=("lost",), seeds=3)
    folder = tmp_path_factory.mktemp("report")
    write_report(found, summary(found), folder)
    return folder / "report.html"


@pytest.fixture
def open_page(browser, report):
    """Opens the page; at the end of the test nothing may have been complained about or asked for."""
    complaints, requests, contexts = [], [], []

    def opened(width=1200, **options):
        context = browser.new_context(viewport={"width": width, "height": 800}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(report.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert set(requests) == {report.as_uri()}


def keys(page, column, table="#overview"):
    """The sort keys of a column from top to bottom."""
    return page.eval_on_selector_all(
        f"{table} tbody tr", "(rows, at) => rows.map(row => row.children[at].dataset.key)", column
    )


def header(page, title):
    return page.locator("#overview thead th", has=page.get_by_role("button", name=title, exact=True))


def button(page, title):
    return page.locator("#overview").get_by_role("button", name=title, exact=True)


def contrast(page, selector):
    """Contrast ratio of a text to the ground it stands on."""
    return page.eval_on_selector(selector, CONTRAST)


def test_names_are_text_and_nothing_else(open_page):
    page = open_page()
    assert page.title() != "run"
    assert page.locator("img").count() == 0
    assert page.locator("main script").count() == 0
    assert page.locator("#overview tbody th").filter(has_text=SCRIPT).count() == 1
    assert page.locator("#plot-delta_m svg text").filter(has_text="<script>").count() == 1


def test_table_sorts_by_click_and_by_key_with_missing_values_last(open_page):
    page = open_page()
    for title in ("mean rank", "intent: accuracy *", "time per step"):
        column = header(page, title).evaluate("th => th.cellIndex")
        for key in (None, "Enter", "Space"):
            if key is None:
                button(page, title).click()
            else:
                button(page, title).press(key)
            direction = header(page, title).get_attribute("aria-sort")
            assert page.locator("#overview th[aria-sort]").count() == 1
            found = keys(page, column)
            numbers = [float(key) for key in found if key]
            assert len(numbers) >= 4 and "" in found
            assert found[len(numbers) :] == [""] * (len(found) - len(numbers))
            assert numbers == sorted(numbers, reverse=direction == "descending")
    button(page, "contestant").press("Space")
    assert header(page, "contestant").get_attribute("aria-sort") == "ascending"
    assert keys(page, 0).index("equal") < keys(page, 0).index("upgrad")


def test_both_directions_and_the_first_one_by_what_is_better(open_page):
    page = open_page()
    found = {}
    for title in ("mean rank", "intent: accuracy *", "time per step"):
        found[title] = []
        for _ in range(3):
            button(page, title).click()
            found[title].append(header(page, title).get_attribute("aria-sort"))
    up, down = "ascending", "descending"
    assert found == {
        "mean rank": [up, down, up],
        "intent: accuracy *": [down, up, down],
        "time per step": [up, down, up],
    }


def test_tooltip_shows_on_focus_and_hover_and_leaves_with_escape(open_page):
    page = open_page()
    tip, rank = page.locator("#tip"), button(page, "mean rank")
    assert tip.is_hidden()
    rank.focus()
    assert tip.is_visible()
    assert "Ranks are taken over: equal" in tip.inner_text()
    assert rank.get_attribute("aria-describedby") == "tip"
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    assert rank.get_attribute("aria-describedby") is None
    cell = page.locator("#overview td[data-tip]").first
    cell.scroll_into_view_if_needed()
    page.evaluate(NEXT_FRAME)  # scrolling hides the tip
    cell.hover()
    tip.wait_for(state="visible")
    tip.hover()
    page.wait_for_timeout(300)
    assert tip.is_visible()
    page.mouse.move(1, 1)
    tip.wait_for(state="hidden")


def test_every_figure_is_reached_by_keyboard(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert page.locator("#overview td[tabindex='0']").count() == 1
    page.locator("#overview td[tabindex='0']").focus()
    first = page.locator("#tip").inner_text()
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.tagName") == "TD"
    assert page.locator("#tip").is_visible()
    assert page.locator("#tip").inner_text() != first
    assert page.locator("#overview td[tabindex='0']").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable(open_page, scheme):
    page = open_page(color_scheme=scheme)
    selectors = ["p", ".answer p", "nav a", "td", "th button", "figcaption", "[data-tone='worse']", "dd", "summary"]
    ratios = {selector: contrast(page, selector) for selector in [*selectors, "svg text", ".kicker"]}
    page.locator("#overview thead button").first.focus()
    ratios["#tip"] = contrast(page, "#tip")
    assert min(ratios.values()) >= 4.5, ratios


def test_dark_follows_the_system_and_the_button(open_page):
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = open_page(color_scheme="light"), open_page(color_scheme="dark")
    button = light.get_by_role("button", name="Mode")
    assert light.evaluate(ground) != dark.evaluate(ground)
    assert [page.locator("#theme").inner_text() for page in (light, dark)] == ["Mode: light", "Mode: dark"]
    button.click()
    assert light.evaluate(ground) == dark.evaluate(ground)
    assert button.inner_text() == "Mode: dark"
    fill = "getComputedStyle(document.querySelector('svg text')).fill"
    assert light.evaluate(fill) == dark.evaluate(fill)
    button.click()
    assert light.evaluate(fill) != dark.evaluate(fill)


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_window(open_page, width):
    page = open_page(width)
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.body.getBoundingClientRect().right") <= width


def test_the_main_table_fits_or_says_that_it_scrolls(open_page):
    part = "document.querySelector('#overview .scroll')"
    overflow = f"{part}.scrollWidth - {part}.clientWidth"
    more = "document.querySelector('#overview .frame').dataset.more"
    wide, narrow = open_page(1280), open_page(360)
    assert wide.evaluate(more) == ("right" if wide.evaluate(overflow) > 1 else "")
    assert narrow.evaluate(overflow) > 0
    frame = expect(narrow.locator("#overview .frame"))  # waits; the page forbids wait_for_function
    frame.to_have_attribute("data-more", "right")
    narrow.evaluate("document.querySelector('#overview .scroll').scrollLeft = 1e6")
    frame.to_have_attribute("data-more", "left")


def test_plots_stand_in_two_columns_on_a_wide_page_and_fit_a_phone(open_page):
    lefts = "[...document.querySelectorAll('.plots figure:not(.wide)')].map(part => part.getBoundingClientRect().left)"
    columns = f"new Set({lefts}).size"
    wide, narrow = open_page(1280), open_page(360)
    assert (wide.evaluate(columns), narrow.evaluate(columns)) == (2, 1)
    for box in (figure.bounding_box() for figure in narrow.locator("svg").all()):
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360


def test_pictures_are_named(open_page):
    page = open_page()
    assert page.locator("svg").count() == page.locator("figure").count() >= 7
    for number in range(page.locator("svg").count()):
        picture = page.locator("svg").nth(number)
        for attribute in ("aria-labelledby", "aria-describedby"):
            assert page.locator(f"#{picture.get_attribute(attribute)}").inner_text().strip()
        assert picture.get_attribute("role") == "img"


def test_pictures_and_paper_are_not_empty(open_page, tmp_path):
    page = open_page()
    empty = page.locator(".skip").screenshot(path=tmp_path / "skip.png")
    assert len(page.screenshot(full_page=True)) > 20 * len(empty)
    for figure in page.locator("svg").all():
        box = figure.bounding_box()
        assert box["width"] > 200 and box["height"] > 60
    page.emulate_media(media="print")
    assert page.locator("#theme").is_hidden()
    assert len(page.pdf()) > 10_000
