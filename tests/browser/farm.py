"""A tree that a real farm wrote: releases built, failed and yanked, with hostile words in them."""

import json
from pathlib import Path

import httpx

from piwheels.index_client.page import IndexFile
from tests.endtoend.conftest import Farm, add_release, wait_until
from tests.fake_index import fake_index

#: What a project may say where it gets a word in.
HOSTILE = "<script>alert(1)</script> \u202egnp.exe javascript:alert(2) "
HUGE = "x" * 120
YANKED = "<img src=x onerror=alert(3)> & it is broken"


def tree_in(folder: Path) -> Path:
    """The tree of the farm that ran in a folder."""
    return folder / "farm" / "www"


def farm_tree(folder: Path, tools: list[tuple[IndexFile, bytes]]) -> None:
    """Run a farm in a folder until all that it was asked for is on its pages."""
    with fake_index() as upstream:
        for file, content in tools:
            name = file.filename.partition("-")[0]
            upstream.add(name, file.filename, content, **{"requires-python": file.requires_python})
        for version in ("1.0", "2.0"):
            add_release(upstream, "alpha", version=version)
        upstream.projects["alpha"][0]["yanked"] = YANKED
        add_release(upstream, "native", tag="cpXY-cpXY-linux_x86_64")
        add_release(upstream, HUGE)
        add_release(upstream, "broken", f"raise SystemExit({'error: ' + HOSTILE + 'y' * 900!r})")
        farm = Farm(folder / "farm", upstream.simple)
        try:
            farm.start("alpha==1.0", "alpha", "native", HUGE, "broken")
            _wait_until_shown(farm, farm.index())
        finally:
            farm.stop()


def _wait_until_shown(farm: Farm, index: str) -> None:
    www = farm.folder / "www"
    wait_until(lambda: len(farm.pages()) == 3, "every wheel is on its index page", 120)
    page = httpx.get(f"{index}alpha/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    for file in page.json()["files"]:
        httpx.get(f"{index}alpha/{file['url']}").raise_for_status()
    for name in ("alpha", "native", HUGE, "broken"):
        path = www / "project" / name / "index.html"
        outcome = "failed" if name == "broken" else "whl"
        wait_until(lambda: outcome in _read(path), f"{name} is on its page", 120)  # noqa: B023
    for part in ("search", "home", "stats"):
        farm.piw("rebuild", "--part", part)
    wait_until(lambda: '"broken"' in _read(www / "packages.json"), "every project can be found")
    wait_until(lambda: "broken" in _read(www / "index.html"), "the home page shows what ended")
    wait_until(lambda: _success_targets(www), "the figures are of these builds")


def _success_targets(www: Path) -> list[str]:
    """The targets of the chart of success rates."""
    labels: list[str] = json.loads(_read(www / "stats" / "success.json") or "{}").get("labels", [])
    return labels


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
