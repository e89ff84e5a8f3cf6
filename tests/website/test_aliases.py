"""Aliases of projects."""

from piwheels.db import catalog
from piwheels.db import site_queries as site_db
from tests.website.harness import SiteHarness


async def test_an_alias_redirects_to_its_project(site: SiteHarness) -> None:
    await site.publish("alpha")
    assert await site_db.set_alias(site.db, "Old.Alpha", "alpha")
    assert not await site_db.set_alias(site.db, "Old.Alpha", "alpha")
    await site.write_all()
    page = (site.webroot.project_dir("Old.Alpha") / "index.html").read_text()
    assert 'content="0; url=../alpha/"' in page
    assert "Old.Alpha" in site.shown("project/alpha/index.html")
    assert {path.name for path in site.webroot.simple_dir().iterdir() if path.is_dir()} == {"alpha"}
    await site_db.set_alias(site.db, "Old.Alpha", None)
    await site.write_all()
    assert not site.webroot.project_dir("Old.Alpha").exists()
    assert "Old.Alpha" not in site.shown("project/alpha/index.html")


async def test_a_display_name_redirects_to_its_project(site: SiteHarness) -> None:
    await catalog.add_project(site.db, "markupsafe", "MarkupSafe")
    await catalog.add_project(site.db, "evil", "../../evil")
    await site.write_all()
    page = (site.webroot.project_dir("MarkupSafe") / "index.html").read_text()
    assert 'content="0; url=../markupsafe/"' in page
    assert {path.name for path in (site.webroot.root / "project").iterdir()} == {
        "MarkupSafe", "evil", "markupsafe",
    }  # fmt: skip
    await catalog.remove_project(site.db, "markupsafe")
    await site.write_all()
    assert {path.name for path in (site.webroot.root / "project").iterdir()} == {"evil"}


async def test_a_project_takes_precedence_over_an_alias(site: SiteHarness) -> None:
    await site.publish("alpha")
    await site.publish("old-alpha")
    await site_db.set_alias(site.db, "old-alpha", "alpha")
    await site.write_all()
    assert "refresh" not in site.shown("project/old-alpha/index.html")
    await catalog.remove_project(site.db, "old-alpha")
    await site.write_all()
    page = (site.webroot.project_dir("old-alpha") / "index.html").read_text()
    assert 'content="0; url=../alpha/"' in page
    await site.publish("old-alpha")
    await site.write_all()
    assert "refresh" not in site.shown("project/old-alpha/index.html")
