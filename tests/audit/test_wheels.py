"""Audits of wheels and their metadata, with a real database and the real publishers."""

import base64
import json
import shutil

import pytest

from piwheels.audit.errors import AuditError
from piwheels.audit.finding import Problem
from piwheels.provenance import dsse
from piwheels.provenance.signing_keys import SigningKeys
from tests.audit.harness import AuditedFarm


async def test_a_farm_as_it_was_published_has_no_findings(farm: AuditedFarm) -> None:
    assert await farm.audit() == []
    assert farm.counts.files > 0


async def test_a_lost_wheel_is_found_and_built_again(farm: AuditedFarm) -> None:
    wheel = farm.wheel("beta")
    wheel.unlink()
    (found,) = await farm.audit()
    assert (found.problem, found.project) == (Problem.MISSING, "beta")
    assert found.path == str(wheel.relative_to(farm.root))
    (found,) = await farm.audit(fix=True)
    assert found.repaired
    await farm.site.write_all()
    assert not (farm.root / "simple" / "beta").exists()
    assert await farm.db.value("SELECT project FROM jobs") == "beta"
    assert await farm.audit() == []


async def test_half_of_the_wheels_may_be_lost_but_no_more(farm: AuditedFarm) -> None:
    wheels = [farm.wheel("beta")]
    for number in range(3, 20):
        await farm.publish_wheel("alpha", f"{number}.0")
        wheels.append(farm.wheel("alpha", f"{number}.0"))
    for wheel in wheels[:11]:
        wheel.unlink()
    with pytest.raises(AuditError, match=r"lacks 11 of 20 wheels .*--allow-empty"):
        await farm.audit(fix=True)
    assert await farm.db.value("SELECT count(*) FROM files") == 20
    farm.webroot.write(wheels[0], b"another disk has other bytes")
    found = await farm.audit(fix=True)
    assert sum(item.problem is Problem.MISSING for item in found) == 10
    assert await farm.db.value("SELECT count(*) FROM files") == 9


async def test_a_wheel_with_other_bytes_is_moved_aside_and_built_again(farm: AuditedFarm) -> None:
    wheel = farm.wheel("alpha", "2.0")
    content = bytearray(wheel.read_bytes())
    content[20] ^= 1
    wheel.write_bytes(content)
    assert await farm.audit(hashes=False) == []
    (found,) = await farm.audit(fix=True)
    assert (found.problem, found.repaired) == (Problem.WRONG, True)
    (kept,) = (farm.state_dir / "moved-aside").rglob("*.whl")
    assert kept.read_bytes() == content
    await farm.site.write_all()
    assert [file["filename"] for file in farm.site.page("alpha")["files"]] == [
        farm.wheel("alpha").name
    ]
    assert await farm.audit() == []
    # The name stays reserved: the same bytes get it again.
    await farm.publish_wheel("alpha", "2.0")
    assert farm.wheel("alpha", "2.0") == wheel


@pytest.mark.parametrize("damage", [None, b"", b"Metadata-Version: 2.1\n"])
async def test_metadata_is_written_from_the_wheel(farm: AuditedFarm, damage: bytes | None) -> None:
    before = farm.files()
    path = farm.wheel("alpha").with_name(f"{farm.wheel('alpha').name}.metadata")
    path.unlink() if damage is None else path.write_bytes(damage)
    (found,) = await farm.audit("alpha", fix=True)
    assert found.path.endswith(".metadata")
    assert found.repaired
    assert farm.files() == before
    assert await farm.audit() == []


@pytest.mark.parametrize("is_damaged", [False, True])
async def test_the_link_to_a_statement_that_is_not_there_is_removed(
    farm: AuditedFarm, is_damaged: bool
) -> None:
    wheel = farm.wheel("alpha")
    statement = wheel.with_name(f"{wheel.name}.provenance.json")
    statement.write_bytes(b"") if is_damaged else statement.unlink()
    (found,) = await farm.audit("alpha", fix=True)
    assert found.path.endswith(".provenance.json")
    assert found.problem is (Problem.WRONG if is_damaged else Problem.MISSING)
    assert found.repaired
    assert not statement.exists()
    linked = await farm.db.value("SELECT count(*) FROM files WHERE has_provenance")
    assert linked == await farm.db.value("SELECT count(*) - 1 FROM files")
    assert await farm.audit() == []


def _damage_statement(farm: AuditedFarm, kind: str) -> None:
    wheel = farm.wheel("alpha")
    path = wheel.with_name(f"{wheel.name}.provenance.json")
    match kind:
        case "is not there":
            path.unlink()
        case "the signature is wrong":
            envelope = json.loads(path.read_bytes())
            payload = base64.b64decode(envelope["payload"]).replace(b"builder", b"blinder")
            path.write_bytes(
                json.dumps({**envelope, "payload": base64.b64encode(payload).decode()}).encode()
            )
        case "has other bytes":
            other = farm.wheel("beta")
            shutil.copy(other.with_name(f"{other.name}.provenance.json"), path)
        case "none of the 1 trusted":
            other_farm = SigningKeys(farm.root.parent / "other")
            other_farm.ensure()
            payload = base64.b64decode(json.loads(path.read_bytes())["payload"])
            path.write_bytes(dsse.seal(payload, other_farm.load()[1]))
        case "was revoked":
            farm.keys.rotate("current")


@pytest.mark.parametrize(
    "kind",
    [
        "is not there",
        "the signature is wrong",
        "has other bytes",
        "none of the 1 trusted",
        "was revoked",
    ],
)
async def test_a_statement_that_proves_nothing_is_found_and_written_again(
    farm: AuditedFarm, kind: str
) -> None:
    farm.verifies_statements = True
    assert await farm.audit() == []
    _damage_statement(farm, kind)
    found = await farm.audit("alpha")
    assert found[0].path.endswith(".provenance.json")
    assert kind in found[0].detail
    assert len(found) == (2 if kind == "was revoked" else 1)
    assert all(it.repaired for it in await farm.audit("alpha", fix=True))
    assert await farm.audit("alpha") == []
    wheel = farm.wheel("alpha")
    statement = json.loads(wheel.with_name(f"{wheel.name}.provenance.json").read_bytes())
    assert statement["signatures"][0]["keyid"] == farm.keys.ensure().keyid
    assert b"isFromRecord" in base64.b64decode(statement["payload"])


async def test_a_bad_statement_of_a_wheel_without_a_record_loses_its_link(
    farm: AuditedFarm,
) -> None:
    farm.verifies_statements = True
    await farm.db.execute("UPDATE builds SET builder = 'import' WHERE project = 'alpha'")
    _damage_statement(farm, "has other bytes")
    (found,) = await farm.audit("alpha", fix=True)
    assert found.repaired
    assert not farm.wheel("alpha").with_name(found.path.rpartition("/")[2]).exists()
    assert await farm.audit("alpha") == []


async def test_what_no_page_names_is_moved_aside(farm: AuditedFarm) -> None:
    before = farm.files()
    sha256 = farm.wheel("alpha").parent.name
    names = [
        f"packages/{sha256[:2]}/{sha256}/other.whl",
        f"packages/{sha256[:2]}/{sha256}/.new-abcdefgh",
        f"packages/00/{'0' * 64}/left.whl",
        "packages/00/no-hash",
        "packages/README",
    ]
    for name in names:
        farm.old_file(name)
    found = await farm.audit(fix=True)
    assert sorted(each.path for each in found) == sorted(names)
    assert {each.problem for each in found} == {Problem.EXTRA}
    assert farm.files() == before
    kept = [path for path in (farm.state_dir / "moved-aside").rglob("*") if path.is_file()]
    assert len(kept) == len(names)
