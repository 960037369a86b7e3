"""The site, from the disk and without network: each page in Chromium, links, figures, search, a phone, dark mode."""

import json
import os
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from filelock import FileLock
from playwright.sync_api import expect
from site_pages import ROOT, pages, visit
from sphinx.util.inventory import InventoryFile

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:docutils", "ignore::PendingDeprecationWarning")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder for all processes of a session, and the lock of what they make there once."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "site"
    folder.mkdir(exist_ok=True)
    return folder, FileLock(folder / "lock")


@pytest.fixture(scope="module")
def site(shared):
    """The folder of the pages, built once if it has to be."""
    folder, lock = shared
    with lock:
        place = folder / "place"
        if not place.exists():
            place.write_text(str(pages(folder)), "utf-8")
    return Path(place.read_text("utf-8"))


@pytest.fixture(scope="module")
def seen(shared, site, browser):
    """What a browser sees on each page."""
    folder, lock = shared
    with lock:
        found = folder / "seen.json"
        if not found.exists():
            found.write_text(json.dumps(visit(browser, site)), "utf-8")
        return json.loads(found.read_text("utf-8"))


@pytest.fixture
def open_page(browser):
    """Opens a page at a width."""
    contexts = []

    def opened(path, width=1280, **options):
        context = browser.new_context(viewport={"width": width, "height": 800}, offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


def test_every_public_name_is_in_the_reference(site):
    modules = [path.stem for path in (ROOT / "docs" / "reference" / "generated").glob("*.rst")]
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="").data
    known = {name for kind, entries in inventory.items() if kind.startswith("py:") for name in entries}
    names = {f"{module}.{name}" for module in modules for name in import_module(module).__all__}
    assert len(modules) >= 16 and len(names) > 120
    assert names - known == set()


def test_pages_are_complete(seen):
    assert len(seen) > 25
    titles = {path: page["title"] for path, page in seen.items()}
    assert [path for path, title in titles.items() if not title] == []
    assert len(set(titles.values())) == len(titles)
    one = {path for path, page in seen.items() if page["headings"] == 1}
    assert set(seen) - one == {"search.html"}  # its heading waits for a search


def test_links_lead_somewhere(seen, site):
    broken = []
    for path, page in seen.items():
        for link in set(page["links"]):
            if not link.startswith("file:"):
                continue
            target, anchor = urldefrag(unquote(link).removeprefix("file://"))
            name = os.path.relpath(target, site)
            if not os.path.isfile(target) or (anchor and anchor not in seen.get(name, {}).get("ids", ())):
                broken.append(f"{path}: {name}#{anchor}")
    assert broken == []


def test_figures_are_there_and_are_described(seen):
    assert [(path, *figure) for path, page in seen.items() for figure in page["figures"] if not figure[1]] == []
    assert [(path, *figure) for path, page in seen.items() for figure in page["figures"] if not figure[2]] == []


def test_nothing_comes_from_elsewhere_and_nothing_is_complained_about(seen, site):
    here = (site.as_uri(), "data:")
    assert [url for page in seen.values() for url in page["asked"] if not url.startswith(here)] == []
    assert {path: page["said"] for path, page in seen.items() if page["said"]} == {}


def test_nothing_is_wider_than_a_phone(seen):
    assert [path for path, page in seen.items() if page["scrolls"]] == []
    assert {path: page["wide"] for path, page in seen.items() if page["wide"]} == {}


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_is_readable(seen, mode):
    assert {path: page[mode] for path, page in seen.items() if page[mode]} == {}


@pytest.mark.parametrize(("words", "where"), [("UPGrad", "UPGrad"), ("ckpt_path", "Resume")])
def test_search_finds_a_term(open_page, site, words, where):
    page = open_page(site / "index.html")
    page.locator(".sidebar-search").fill(words)
    page.locator(".sidebar-search").press("Enter")
    results = page.locator("#search-results li a")
    expect(results.filter(has_text=where).first).to_be_visible(timeout=120_000)
    results.filter(has_text=where).first.click()
    expect(page.locator("article h1")).to_be_visible()


def test_navigation_on_a_wide_screen(open_page, site):
    page = open_page(site / "index.html")
    page.locator(".sidebar-tree").get_by_role("link", name="Reference", exact=True).click()
    expect(page.locator("h1")).to_contain_text("Reference")
    page.locator("article").get_by_role("link", name="mtl_lightning.tasks", exact=True).click()
    expect(page.locator("h1")).to_contain_text("mtl_lightning.tasks")
    page.locator(".related-pages .next-page").click()
    expect(page.locator("h1")).to_contain_text("mtl_lightning.testing")


def test_navigation_on_a_phone(open_page, site):
    page = open_page(site / "index.html", width=360)
    entry = page.locator(".sidebar-tree").get_by_role("link", name="Reference", exact=True)
    expect(entry).not_to_be_in_viewport()
    page.locator("header label[for=__navigation]").click()
    entry.click()
    expect(page.locator("h1")).to_contain_text("Reference")


def test_dark_mode_follows_the_system_and_the_button(open_page, site):
    ground = "getComputedStyle(document.body).backgroundColor"
    light, dark = (open_page(site / "index.html", color_scheme=scheme) for scheme in ("light", "dark"))
    grounds = [page.evaluate(ground) for page in (light, dark)]
    assert grounds[0] != grounds[1]
    light.locator("button.theme-toggle:visible").first.click()
    assert light.evaluate(ground) == grounds[1]
