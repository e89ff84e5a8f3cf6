"""The web server for trying out: it serves its tree and nothing else."""

from pathlib import Path

import httpx
import pytest

from piwheels.local.webserver import AccessLog, application_for
from tests.full_disk import files_up_to


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with one page, and a file beside it."""
    root = tmp_path / "www"
    root.mkdir()
    (root / "index.html").write_text("the page")
    (tmp_path / "secret.txt").write_text("a secret")
    return root


async def get(root: Path, target: str) -> httpx.Response:
    """Ask for a target as it stands."""
    transport = httpx.ASGITransport(application_for(root))
    async with httpx.AsyncClient(transport=transport) as client:
        return await client.get(f"http://farm.test{target}")


async def test_the_tree_is_served(tree: Path) -> None:
    assert (await get(tree, "/")).text == "the page"


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "//{folder}/secret.txt",
        "//{folder}/www/index.html",
        "//{folder}",
        "/logs//{folder}/secret.txt",
        "/%2f{folder}/secret.txt",
        "/%00",
        f"/{'x' * 300}",
        f"/simple/{'x' * 300}/",
        f"/logs/{'x' * 300}.txt",
    ],
)
async def test_nothing_else_is_served_and_nothing_fails(tree: Path, target: str) -> None:
    response = await get(tree, target.format(folder=str(tree.parent).removeprefix("/")))
    assert response.status_code == 404
    assert "secret" not in response.text


async def test_a_log_that_cannot_be_written_costs_no_answer(
    tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "access.log"
    application = AccessLog(application_for(tree), log)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport) as client:
        with files_up_to(0):
            for _ in range(2):
                assert (await client.get("http://farm.test/")).text == "the page"
        assert caplog.messages == [f"{log}: File too large; requests are not logged"]
        log.rename(tmp_path / "access.log.1")
        await client.get("http://farm.test/")
    assert len(log.read_text().splitlines()) == 1, "as soon as it can"


@pytest.mark.parametrize("target", ["/", "/nothing"])
async def test_answers_forbid_all_that_no_page_needs(tree: Path, target: str) -> None:
    headers = (await get(tree, target)).headers
    policy = dict(
        rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";")
    )
    assert policy == {
        **dict.fromkeys(("default-src", "base-uri", "frame-ancestors"), "'none'"),
        **dict.fromkeys(
            ("script-src", "style-src", "img-src", "connect-src", "form-action"), "'self'"
        ),
    }
    assert headers["X-Content-Type-Options"] == "nosniff"
