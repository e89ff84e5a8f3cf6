"""The endpoints of a real farm's daemons."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from piwheels.config import to_toml
from tests.endtoend.conftest import Farm, wait_until
from tests.ports import free_port

_ROLES = ("master", "builder", "accesslog")


def _scrape(port: int) -> dict[str, float]:
    """The values of the metrics without labels; empty if there is no endpoint yet."""
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    except httpx.TransportError:
        return {}
    families = list(text_string_to_metric_families(text))
    return {it.name: it.value for family in families for it in family.samples if not it.labels}


def test_each_daemon_of_a_farm_answers_with_its_own(farm: Farm) -> None:
    ports = {role: free_port() for role in _ROLES}
    farm.folder.mkdir(parents=True)
    farm.config.write_text(
        to_toml({f"{role}.metrics_bind": f"127.0.0.1:{ports[role]}" for role in _ROLES})
    )
    farm.start("--no-tui", "--no-sandbox")
    farm.wait_until_ready()
    for role in _ROLES:
        wait_until(lambda port=ports[role]: _scrape(port), f"the {role} answers")  # type: ignore[misc]
    wait_until(
        lambda: _scrape(ports["builder"]).get("piwheels_builder_connected"), "a builder connects"
    )
    wait_until(
        lambda: (
            "piwheels_accesslog_database_answer_timestamp_seconds" in _scrape(ports["accesslog"])
        ),
        "the reader asks the database",
    )
    scraped = {role: _scrape(ports[role]) for role in _ROLES}
    assert scraped["master"]["piwheels_paused"] == 0
    for role in _ROLES:
        assert scraped[role]["process_resident_memory_bytes"] > 0
    printed = farm.piw("metrics").stdout
    assert "piwheels_paused 0.0" in printed
    assert "process_" not in printed
