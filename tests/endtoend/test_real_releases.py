"""Real releases of the configured index, for every interpreter, by `piw up` itself."""

import json
from pathlib import Path

import pytest

from piwheels.errors import PiwheelsError
from piwheels.index_client.pip_config import pip_index_url
from tests import requires
from tests.endtoend.conftest import Farm, wait_until

#: No wheel of it can be built here: it needs the headers of a database, which a build without a root
#: does not get. It waits for a builder that has them.
_WITHOUT_HEADERS = "mysqlclient"
_WITHOUT_SDIST = "pywin32"


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    try:
        return Farm(tmp_path / "farm", pip_index_url())
    except PiwheelsError as error:
        requires.skip_or_fail(str(error))


@pytest.mark.slow
@requires.requires_sandbox()
def test_five_interpreters_get_every_possible_wheel(farm: Farm) -> None:
    pythons = [str(requires.find_python(version)) for version in requires.PYTHON_VERSIONS]
    requested = ["iniconfig", "markupsafe", "psutil", _WITHOUT_HEADERS, _WITHOUT_SDIST]
    code = farm.run(
        *(*requested, "--builders", "2", "--exit-when-idle"),
        *(word for python in pythons for word in ("--python", python)),
        timeout_s=3600,
    )
    assert code == 1, farm.output
    table = [line.split(maxsplit=5) for line in farm.output.splitlines()]
    rows = [row for row in table if row[:1] and row[0] in requested and len(row) == 6]
    outcomes = {
        project: sorted(row[3] for row in rows if row[0] == project) for project in requested
    }
    wheels = {
        project: {row[5] for row in rows if row[0] == project and row[5].endswith(".whl")}
        for project in requested
    }
    assert len(wheels["markupsafe"]) == 5, "a C extension: one each"
    assert outcomes["markupsafe"] == ["built"] * 5
    assert len(wheels["psutil"]) == 1, "abi3: one that serves all its targets"
    assert "-abi3-" in next(iter(wheels["psutil"]))
    assert outcomes["psutil"] == ["built", *["covered"] * 4]
    assert len(wheels["iniconfig"]) == 1, "pure: one that serves all"
    assert "unserved" in outcomes[_WITHOUT_HEADERS]
    assert f"{_WITHOUT_SDIST}: the upstream index has no sdist" in farm.output


@pytest.mark.slow
@requires.requires_sandbox()
def test_explain_names_the_reason_for_a_missing_wheel(farm: Farm) -> None:
    farm.start(_WITHOUT_HEADERS, _WITHOUT_SDIST)
    try:
        farm.wait_until_ready()
        wait_until(lambda: " failed in " in farm.output, "it failed", 300)
        assert f"{_WITHOUT_SDIST}: the upstream index has no sdist" in farm.output
        message = json.loads(farm.piw("explain", _WITHOUT_HEADERS, "--json").stdout)["answers"][0]
        assert message["state"] == "unserved"
        assert "waits for a builder that has libmariadb-dev" in message["text"]
        assert "pkg-config" in message["text"]
        assert "pkg-config" in farm.piw("log", str(message["build"])).stdout
    finally:
        farm.stop()
