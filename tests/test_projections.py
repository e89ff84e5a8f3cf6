"""Views of nouns: projections, rows of the database, and the JSON of the website."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from piwheels.db.rows import from_row, to_parameters
from piwheels.model import Build, BuildSummary, Outcome, Sdist, projection
from piwheels.website.json_documents import (
    FileJson,
    ProjectJson,
    ReleaseJson,
    StatsJson,
    TargetJson,
)

NOW = datetime(2026, 11, 25, 16, tzinfo=UTC)
BUILD = Build(
    build_id=7, project="demo", version="1.0", target="cp311-trixie-aarch64", builder="pi1",
    outcome=Outcome.FAILED, reason="no rust", started_at=NOW, duration_s=5.0,
    build_inputs=("0 pip.whl",),
)  # fmt: skip


def test_a_projection_has_the_fields_of_its_sources_and_those_that_are_given() -> None:
    summary = projection(BuildSummary, BUILD, ended_at=NOW, files=("a.whl",), reason="")
    assert summary == BuildSummary(
        build_id=7, ended_at=NOW, builder="pi1", project="demo", version="1.0",
        target="cp311-trixie-aarch64", outcome=Outcome.FAILED, duration_s=5.0, files=("a.whl",),
    )  # fmt: skip


def test_of_two_sources_the_first_one_counts() -> None:
    first, second = (Sdist(filename=name, url=f"u/{name}", sha256="") for name in ("a", "b"))
    assert projection(Sdist, first, second) == first


def test_a_projection_without_a_required_field_is_an_error() -> None:
    with pytest.raises(TypeError, match="ended_at"):
        projection(BuildSummary, BUILD)


def test_rows_become_structs_with_tuples_and_enums() -> None:
    row = {**to_parameters(BUILD), "ended_at": NOW, "files": ["a.whl"], "column_of_a_join": 1}
    assert row["outcome"] == "failed"
    assert type(row["outcome"]) is str
    assert row["build_inputs"] == ["0 pip.whl"]
    found = from_row(BuildSummary, row)
    assert (found.outcome, found.files) == (Outcome.FAILED, ("a.whl",))


@pytest.mark.parametrize("change", [{"outcome": "odd"}, {"duration_s": "long"}])
def test_a_row_with_a_value_that_no_field_can_have_is_an_error(change: dict[str, Any]) -> None:
    row = {**to_parameters(BUILD), "ended_at": NOW, "files": []}
    with pytest.raises(msgspec.ValidationError):
        from_row(BuildSummary, row | change)


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (FileJson, ("filename url sha256 size tags requires_python debian_packages metadata_url "
         "provenance_url build log_url mirrored_from attestations_url published downloads reproduction")),
        (TargetJson, "state text file note build log_url failure ahead ahead_at_most"),
        (ReleaseJson, ("version released requires_python yanked yanked_reason state text targets "
         "files")),
        (ProjectJson, ("format project display url status status_reason skipped "
         "upstream_wheel_policy names recipes downloads downloads_30_days downloads_by_day upstream_newest upstream_newest_known "
         "releases")),
        (StatsJson, ("format downloads downloads_30_days downloads_today record_day record_date "
         "since bytes_served saved_s charts")),
    ],
)  # fmt: skip
def test_public_json_keeps_its_keys(kind: type[msgspec.Struct], keys: str) -> None:
    assert list(kind.__struct_encode_fields__) == keys.split()
