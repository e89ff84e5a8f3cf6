"""Builders on Kubernetes: what is printed, against its schema, and the scaler by the real kubectl."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from piwheels.cli.main import cli
from piwheels.config import BuilderSection, Config, PoolSection
from piwheels.config_templates.batch_systems import (
    KubernetesOptions,
    render_kubernetes,
    render_kubernetes_job,
)
from piwheels.errors import PiwheelsError
from piwheels.scaling.batch_system import BatchSystemError
from piwheels.scaling.kubernetes import Kubernetes
from piwheels.scaling.rule import BatchJob
from tests.requires import requires_kubectl
from tests.scaling.kubernetes_api import KubernetesApi, kubernetes_api, validate

_FARM = Config(
    builder=BuilderSection(master="farm.example.org", master_key="0a" * 32),
    pool={
        "arm64": PoolSection(targets=("*-aarch64",), max_builders=7, memory_mb=4096),
        "large": PoolSection(max_builders=1, memory_mb=16384),
    },
)
_OPTIONS = KubernetesOptions(
    image="registry.example.org/builder:1", time_limit_s=43200.0, idle_s=120.0
)


def options(**changes: str) -> KubernetesOptions:
    given = {"image": _OPTIONS.image, **changes}
    return KubernetesOptions(time_limit_s=43200.0, idle_s=120.0, **given)


def printed(config: Config = _FARM, given: KubernetesOptions = _OPTIONS) -> list[Any]:
    return list(yaml.safe_load_all(render_kubernetes(config, given)))


def printed_job(pool: str, slot: int = 3) -> Any:
    """The Job of a slot, from the printed ConfigMap."""
    (jobs,) = [it for it in printed() if it["metadata"]["name"] == "piwheels-jobs"]
    return yaml.safe_load(jobs["data"][f"{pool}.yaml"].replace("$SLOT", str(slot)))


def test_every_object_is_valid_and_a_wrong_field_would_not_be() -> None:
    documents = printed()
    assert [it["kind"] for it in documents] == [
        "ConfigMap",
        "PersistentVolumeClaim",
        "ConfigMap",
        "ConfigMap",
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "CronJob",
    ]
    assert {it["metadata"]["namespace"] for it in documents} == {"piwheels"}
    jobs = [printed_job("arm64"), printed_job("large")]
    for document in [*documents, *jobs]:
        validate(document)
    jobs[0]["spec"]["template"]["spec"]["containers"][0]["securityContext"]["privilege"] = True
    with pytest.raises(jsonschema.ValidationError, match="privilege"):
        validate(jobs[0])
    documents[-1]["spec"]["concurrency"] = "Forbid"
    with pytest.raises(jsonschema.ValidationError, match="concurrency"):
        validate(documents[-1])


def test_secrets_are_no_words_of_the_commands_that_create_them() -> None:
    text = render_kubernetes(_FARM, _OPTIONS)
    assert "create secret generic piwheels-join --from-file=token=/dev/stdin" in text
    assert "--from-literal" not in text


def test_each_job_is_a_slot_with_a_key_of_its_own() -> None:
    job = printed_job("arm64", slot=5)
    assert job["metadata"]["generateName"] == "piwheels-arm64-5-"
    assert job["metadata"]["labels"]["piwheels/slot"] == "5"
    assert "parallelism" not in job["spec"], "one pod"
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][:2] == ["--slot", "arm64-5"]
    assert container["resources"]["limits"]["memory"] == "4608Mi"
    assert pod["nodeSelector"] == {"kubernetes.io/arch": "arm64"}
    assert pod["automountServiceAccountToken"] is False
    assert "nodeSelector" not in printed_job("large")["spec"]["template"]["spec"], "any machine"


def test_the_scaler_may_do_no_more_than_it_does() -> None:
    by_kind = {it["kind"]: it for it in printed()}
    assert by_kind["Role"]["rules"] == [
        {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "delete", "list"]}
    ]
    (subject,) = by_kind["RoleBinding"]["subjects"]
    account = by_kind["ServiceAccount"]["metadata"]["name"]
    assert (subject["kind"], subject["name"]) == ("ServiceAccount", account)
    assert by_kind["RoleBinding"]["roleRef"]["name"] == by_kind["Role"]["metadata"]["name"]
    pod = by_kind["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert by_kind["CronJob"]["spec"]["concurrencyPolicy"] == "Forbid"


def test_the_scaler_reads_what_was_printed_for_it(tmp_path: Path) -> None:
    """Its command line with its own settings, up to the key, which only the cluster has."""
    maps = {it["metadata"]["name"]: it["data"] for it in printed() if it["kind"] == "ConfigMap"}
    cron = printed()[-1]
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "tcp://farm.example.org:5554" in container["args"]
    config = tmp_path / "piwheels.toml"
    config.write_text(maps["piwheels-scaler"]["piwheels.toml"])
    for name, text in maps["piwheels-jobs"].items():
        (tmp_path / name).write_text(text)
    moved = {"/etc/piwheels-jobs": str(tmp_path), "/etc/piwheels/piwheels.toml": str(config)}
    words = [*container["command"][1:], *(moved.get(word, word) for word in container["args"])]
    done = CliRunner().invoke(cli, words)
    assert "no key in /keys/scaler.secret" in str(done.exception or done.stderr)


@pytest.mark.parametrize(
    ("config", "given", "error"),
    [
        (Config(), options(), r"no section \[pool.NAME\]"),
        (Config(pool=_FARM.pool), options(), "a pod's localhost is the pod"),
        (_FARM, options(image="a b"), "no name of a container image"),
        (_FARM, options(namespace="a/b"), "no name of a namespace"),
        (_FARM, options(control="ipc:///run/x"), "is not tcp://HOST:PORT"),
    ],
)
def test_what_cannot_be_printed_is_one_line(
    config: Config, given: KubernetesOptions, error: str
) -> None:
    with pytest.raises(PiwheelsError, match=error):
        printed(config, given)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    with kubernetes_api(tmp_path) as (found, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        monkeypatch.setenv("HOME", str(tmp_path))
        yield found


@pytest.fixture
def system(tmp_path: Path) -> Kubernetes:
    for pool in _FARM.pool:
        (tmp_path / f"{pool}.yaml").write_text(render_kubernetes_job(_FARM, _OPTIONS, pool))
    return Kubernetes(tmp_path)


@requires_kubectl()
def test_kubectl_starts_the_slots_of_a_pool_and_lists_those_that_have_not_ended(
    api: KubernetesApi, system: Kubernetes
) -> None:
    assert system.jobs("arm64") == []
    system.start("arm64", _FARM.pool["arm64"], [1, 4])
    system.start("large", _FARM.pool["large"], [1])
    assert not api.wrong
    assert len(api.jobs) == 3
    assert any("fieldValidation=Strict" in line for line in api.requests)
    first, second = sorted(system.jobs("arm64"), key=lambda job: job.slot)
    assert (first.slot, first.is_pending, second.slot) == (1, True, 4)
    names = {job["metadata"]["labels"]["piwheels/slot"]: name for name, job in api.jobs.items()}
    api.change(names["4"], ready=1)
    assert [job.is_pending for job in system.jobs("arm64") if job.slot == 4] == [False]
    done = [{"type": "Complete", "status": "True"}]
    api.change(names["4"], ready=0, conditions=done)
    assert [job.slot for job in system.jobs("arm64")] == [1]


@requires_kubectl()
def test_a_job_that_has_started_meanwhile_is_not_canceled(
    api: KubernetesApi, system: Kubernetes
) -> None:
    system.start("arm64", _FARM.pool["arm64"], [1, 2, 3])
    listed = system.jobs("arm64")
    by_slot = {job.slot: job.id for job in listed}
    started, gone = (by_slot[slot].partition("/")[2].partition("@")[0] for slot in (2, 3))
    api.change(started, ready=1)
    del api.jobs[gone]
    system.cancel("arm64", [job.id for job in listed])
    assert [(job.slot, job.is_pending) for job in system.jobs("arm64")] == [(2, False)]


@requires_kubectl()
def test_a_job_that_the_server_refuses_is_one_line(
    api: KubernetesApi, system: Kubernetes, tmp_path: Path
) -> None:
    file = tmp_path / "arm64.yaml"
    file.write_text(file.read_text().replace("backoffLimit", "backofLimit"))
    with pytest.raises(BatchSystemError, match="backofLimit") as raised:
        system.start("arm64", _FARM.pool["arm64"], [1])
    assert "\n" not in str(raised.value)
    assert not api.jobs
    file.unlink()
    with pytest.raises(BatchSystemError, match="prints the Job of each pool"):
        system.start("arm64", _FARM.pool["arm64"], [1])


def test_a_job_that_is_being_deleted_keeps_its_slot_and_others_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = """#!/bin/sh
cat <<END
{"items": [
 {"metadata": {"name": "a", "namespace": "n", "resourceVersion": "7",
   "deletionTimestamp": "2026-01-01T00:00:00Z", "labels": {"piwheels/slot": "2"}}},
 {"metadata": {"name": "b", "namespace": "n", "resourceVersion": "8",
   "labels": {"piwheels/slot": "two"}}, "status": {}}
]}
END
"""
    program = tmp_path / "kubectl"
    program.write_text(answer)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert Kubernetes(tmp_path).jobs("arm") == [BatchJob(2, "n/a@7", is_pending=False)]
    program.write_text("#!/bin/sh\necho '{}'\n")
    with pytest.raises(BatchSystemError, match="cannot be read"):
        Kubernetes(tmp_path).jobs("arm")


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], "name either SCRIPT, for Slurm, or --kubernetes DIR"),
        (["--kubernetes", ".", "--connect", "ipc:///x"], "is not tcp://HOST:PORT"),
    ],
)
def test_a_scaler_that_lacks_something_says_what(words: list[str], error: str) -> None:
    done = CliRunner().invoke(cli, ["builder", "scale", *words])
    assert error in str(done.exception or "") + done.stderr
