"""Builders as Jobs of Kubernetes: a Job for each slot, by kubectl.

kubectl knows the cluster, the namespace and its rights: from a kubeconfig, or in a pod from the
pod's service account.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from piwheels.config import PoolSection
from piwheels.scaling.batch_system import BatchSystemError, run
from piwheels.scaling.rule import BatchJob

#: The labels of a builder's Job; `piw config kubernetes` prints them.
NAME_LABEL, POOL_LABEL, SLOT_LABEL = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/component",
    "piwheels/slot",
)
BUILDER_NAME = "piwheels-builder"
_KUBECTL = ("kubectl", "--request-timeout=30s")
_ENDED = frozenset({"Complete", "Failed"})
#: What the server says of a Job that is another one by now, or is gone.
_CHANGED = ("(Conflict)", "(NotFound)")


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """Kubernetes; `folder` has the Job of each pool as POOL.yaml, with $SLOT for its slot."""

    folder: Path

    def jobs(self, pool: str) -> list[BatchJob]:
        """See `BatchSystem.jobs`; those of the namespace."""
        labels = f"{NAME_LABEL}={BUILDER_NAME},{POOL_LABEL}={pool},{SLOT_LABEL}"
        text = run([*_KUBECTL, "get", "jobs", "--selector", labels, "--output=json"])
        try:
            found = [_parse(item) for item in json.loads(text)["items"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BatchSystemError("kubectl: what it says about Jobs cannot be read") from None
        return [job for job in found if job is not None]

    def start(self, pool: str, settings: PoolSection, slots: Sequence[int]) -> None:  # noqa: ARG002 - the Job says it
        """See `BatchSystem.start`."""
        file = self.folder / f"{pool}.yaml"
        try:
            job = Template(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError):
            raise BatchSystemError(
                f"{file} cannot be read: `piw config kubernetes` prints the Job of each pool"
            ) from None
        documents = [job.safe_substitute(SLOT=slot) for slot in slots]
        run([*_KUBECTL, "create", "--filename=-", "--output=name"], "\n---\n".join(documents))

    def cancel(self, pool: str, ids: Sequence[str]) -> None:  # noqa: ARG002 - an id says it
        """See `BatchSystem.cancel`: a Job that changed since it was listed may have started."""
        for each in ids:
            place, _, version = each.partition("@")
            namespace, _, name = place.partition("/")
            options = {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "propagationPolicy": "Background",
                "preconditions": {"resourceVersion": version},
            }
            path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}"
            try:
                run([*_KUBECTL, "delete", "--raw", path, "--filename=-"], json.dumps(options))
            except BatchSystemError as error:
                if not any(word in str(error) for word in _CHANGED):
                    raise


def _parse(item: dict[str, Any]) -> BatchJob | None:
    """The job of a slot; None if it has ended, or is of no slot."""
    meta, status = item["metadata"], item.get("status", {})
    slot = meta["labels"][SLOT_LABEL]
    conditions = status.get("conditions") or []
    if any(it["type"] in _ENDED and it["status"] == "True" for it in conditions):
        return None
    if not slot.isdecimal():
        return None
    # One that is being deleted has its slot until its pod is gone.
    is_pending = not status.get("ready") and "deletionTimestamp" not in meta
    job_id = f"{meta['namespace']}/{meta['name']}@{meta['resourceVersion']}"
    return BatchJob(int(slot), job_id, is_pending)
