"""What `piw config kubernetes` prints, against the schema of Kubernetes."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from piwheels.config import BuilderSection, Config, PoolSection
from piwheels.config_templates.batch_systems import render_kubernetes
from piwheels.errors import ConfigError

_SCHEMA = Path(__file__).with_name("kubernetes_1_37.json")
_FARM = Config(
    builder=BuilderSection(master="farm.example.org", master_key="0a" * 32),
    pool={
        "arm64": PoolSection(max_builders=7, memory_mb=4096),
        "large": PoolSection(max_builders=1, memory_mb=16384),
    },
)


def printed(config: Config = _FARM, image: str = "registry.example.org/builder:1") -> list[Any]:
    text = render_kubernetes(config, image=image, time_limit_s=43200.0, idle_s=120.0)
    return list(yaml.safe_load_all(text))


def validate(document: dict[str, Any]) -> None:
    """Check a document; the schema knows no fields that Kubernetes does not know."""
    schema = json.loads(_SCHEMA.read_text())
    schema["$ref"] = f"#/$defs/{document['kind']}"
    jsonschema.Draft202012Validator(schema).validate(document)


def test_every_object_is_valid_and_a_wrong_field_would_not_be() -> None:
    documents = printed()
    assert [it["kind"] for it in documents] == ["ConfigMap", "PersistentVolumeClaim", "Job", "Job"]
    for document in documents:
        validate(document)
    documents[2]["spec"]["template"]["spec"]["containers"][0]["securityContext"]["privilege"] = True
    with pytest.raises(jsonschema.ValidationError, match="privilege"):
        validate(documents[2])


def test_the_token_is_no_word_of_the_command_that_creates_its_secret() -> None:
    text = render_kubernetes(
        _FARM, image="registry.example.org/builder:1", time_limit_s=1.0, idle_s=1.0
    )
    assert "kubectl create secret generic piwheels-join --from-file=token=/dev/stdin" in text
    assert "--from-literal" not in text


def test_each_pod_of_a_pool_is_a_slot_with_a_key_of_its_own() -> None:
    *_, job, large = printed()
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 7, 7)
    (container,) = spec["template"]["spec"]["containers"]
    assert container["args"][:2] == ["--slot", "arm64-$(SLOT)"]
    slot = next(it for it in container["env"] if it["name"] == "SLOT")
    assert "job-completion-index" in slot["valueFrom"]["fieldRef"]["fieldPath"]
    assert container["resources"]["limits"]["memory"] == "4608Mi"
    assert large["spec"]["parallelism"] == 1


@pytest.mark.parametrize(
    ("config", "image", "error"),
    [
        (Config(), "i", r"no section \[pool.NAME\]"),
        (Config(pool=_FARM.pool), "i", "a pod's localhost is the pod"),
        (_FARM, "a b", "no name of a container image"),
    ],
)
def test_what_cannot_be_printed_is_one_line(config: Config, image: str, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        printed(config, image)
