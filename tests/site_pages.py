"""The site, built once, and what a browser sees on each of its pages."""

from pathlib import Path
from typing import Any

import forked
from contrast import HARD_TO_READ
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[1]
LEAST_CONTRAST = 4.5
_LOOK = """() => ({
  title: document.title,
  headings: document.querySelectorAll("h1").length,
  ids: [...document.querySelectorAll("[id]")].map(element => element.id),
  links: [...document.querySelectorAll("a[href]")].map(link => link.href),
  figures: [...document.images].map(image => [image.src, image.naturalWidth, image.alt]),
})"""
_WIDE = """() => {
  const clips = element => getComputedStyle(element).overflowX !== "visible";
  const inside = element => element.matches("body, article") ? false : clips(element) || inside(element.parentElement);
  const wide = [...document.querySelectorAll("article *")].filter(element =>
    element.getBoundingClientRect().right > innerWidth + 1 && !inside(element.parentElement));
  return [document.documentElement.scrollWidth > innerWidth, wide.map(element => element.outerHTML.slice(0, 120))];
}"""
"""Whether a page scrolls to the side, and what sticks out of the window where nothing scrolls by itself."""


def pages(folder: Path) -> Path:
    """The folder of the site: ``build/docs`` if nothing has changed since ``make docs``, or else a new one."""
    made = ROOT / "build" / "docs" / "objects.inv"
    return made.parent if made.exists() and made.stat().st_mtime > _changed() else _built(folder)


def _changed() -> float:
    """When the last file changed that the site is made of."""
    files = (path for part in ("docs", "mtl_lightning", "experiments") for path in (ROOT / part).rglob("*"))
    own = [path for path in files if path.is_file() and not {"generated", "__pycache__"} & set(path.parts)]
    return max(path.stat().st_mtime for path in [*own, *ROOT.glob("*.md")])


def _built(folder: Path) -> Path:
    """Builds the site as ``make docs`` does, but does not run the tutorials: their cells are no plain Python."""
    unlike = ["-D", "nb_execution_mode=off", "-D", "suppress_warnings=misc.highlighting_failure"]
    given = ["-W", "--keep-going", "-q", *unlike, "-d", f"{folder}/doctrees", "docs", f"{folder}/pages"]
    ended = forked.run(*given, module="sphinx", cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder / "pages"


def visit(browser: Browser, pages: Path) -> dict[str, dict[str, Any]]:
    """What is seen on each page, by its path: on a phone in dark mode, and on a wide screen in light mode."""
    context = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme="dark", offline=True)
    page = context.new_page()
    page.set_default_timeout(120_000)
    seen: dict[str, dict[str, Any]] = {}
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    for path in sorted(pages.rglob("*.html")):
        asked.clear()
        said.clear()
        page.goto(path.as_uri())
        found = _looked_at(page)
        seen[str(path.relative_to(pages))] = {**found, "asked": list(asked), "said": list(said)}
    context.close()
    return seen


def _looked_at(page: Page) -> dict[str, Any]:
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 800})
    scrolls, wide = page.evaluate(_WIDE)
    found = {**page.evaluate(_LOOK), "scrolls": scrolls, "wide": wide}
    dark = page.evaluate(HARD_TO_READ, LEAST_CONTRAST)
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(color_scheme="light")
    return {**found, "dark": dark, "light": page.evaluate(HARD_TO_READ, LEAST_CONTRAST)}
