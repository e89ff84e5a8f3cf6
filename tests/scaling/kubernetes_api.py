"""The part of a Kubernetes API server that kubectl needs for Jobs; it checks what it is given."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema

_SCHEMA = Path(__file__).with_name("kubernetes_1_37.json")
_JOBS = "/apis/batch/v1/namespaces/builders/jobs"
_VERBS = ["create", "delete", "get", "list"]


def validate(document: dict[str, Any]) -> None:
    """Check an object; the schema knows no fields that Kubernetes does not know."""
    schema = json.loads(_SCHEMA.read_text())
    schema["$ref"] = f"#/$defs/{document['kind']}"
    jsonschema.Draft202012Validator(schema).validate(document)


@dataclass(slots=True)
class KubernetesApi:
    """The Jobs of a namespace; `wrong` is what was refused by the schema."""

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _version: int = 0

    def create(self, job: dict[str, Any]) -> dict[str, Any]:
        validate(job)
        meta = job["metadata"]
        self._version += 1
        meta["name"] = meta.get("name") or f"{meta['generateName']}{self._version:05}"
        meta |= {"namespace": "builders", "uid": f"uid-{self._version}"}
        meta["resourceVersion"] = str(self._version)
        job["status"] = {"active": 1, "ready": 0}
        self.jobs[meta["name"]] = job
        return job

    def change(self, name: str, **status: Any) -> None:
        """What its controller writes into a Job."""
        self._version += 1
        self.jobs[name]["metadata"]["resourceVersion"] = str(self._version)
        self.jobs[name]["status"] |= status

    def listed(self, selector: str) -> list[dict[str, Any]]:
        found = list(self.jobs.values())
        for term in selector.split(","):
            name, _, value = term.partition("=")
            labels = [(job, job["metadata"].get("labels", {})) for job in found]
            found = [
                job for job, has in labels if name in has and (not value or has[name] == value)
            ]
        return found

    def delete(self, name: str, options: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        job = self.jobs.get(name)
        if job is None:
            return 404, _failure(404, "NotFound", f'jobs.batch "{name}" not found')
        wanted = options.get("preconditions", {}).get("resourceVersion")
        if wanted not in {None, job["metadata"]["resourceVersion"]}:
            return 409, _failure(409, "Conflict", "the resourceVersion in the precondition is old")
        del self.jobs[name]
        return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """The status and the object of a request."""
        self.requests.append(f"{method} {path}")
        url = urlsplit(path)
        if method == "GET" and url.path == _JOBS:
            selector = parse_qs(url.query).get("labelSelector", [""])[0]
            items = self.listed(selector)
            meta = {"resourceVersion": str(self._version)}
            return 200, {"kind": "JobList", "apiVersion": "batch/v1", "metadata": meta} | {
                "items": items
            }
        if method == "POST" and url.path == _JOBS:
            try:
                return 201, self.create(json.loads(body))
            except jsonschema.ValidationError as error:
                self.wrong.append(error.message)
                return 400, _failure(400, "BadRequest", error.message)
        if method == "DELETE" and url.path.startswith(f"{_JOBS}/"):
            return self.delete(url.path.rpartition("/")[2], json.loads(body or b"{}"))
        found = _DISCOVERY.get(url.path) if method == "GET" else None
        return (200, found) if found else (404, _failure(404, "NotFound", "no such path"))


def _failure(code: int, reason: str, message: str) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


_BATCH = {"groupVersion": "batch/v1", "version": "v1"}
_DISCOVERY: dict[str, dict[str, Any]] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": "batch", "versions": [_BATCH], "preferredVersion": _BATCH}],
    },
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis/batch/v1": {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "batch/v1",
        "resources": [
            {
                "name": "jobs",
                "singularName": "job",
                "namespaced": True,
                "kind": "Job",
                "verbs": _VERBS,
            }
        ],
    },
    # Where kubectl sees that the server itself checks fields.
    "/openapi/v3": {
        "paths": {"apis/batch/v1": {"serverRelativeURL": "/openapi/v3/apis/batch/v1?hash=1"}}
    },
    "/openapi/v3/apis/batch/v1": {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.37.0"},
        "paths": {
            "/apis/batch/v1/namespaces/{namespace}/jobs": {
                verb: {
                    "parameters": [{"name": "fieldValidation", "in": "query"}],
                    "responses": {},
                    "x-kubernetes-group-version-kind": {
                        "group": "batch",
                        "version": "v1",
                        "kind": "Job",
                    },
                }
                for verb in ("post", "patch")
            }
        },
    },
}


@contextmanager
def kubernetes_api(folder: Path) -> Iterator[tuple[KubernetesApi, Path]]:
    """A server, and a kubeconfig for it."""
    api = KubernetesApi()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return found

        def _answer(self) -> None:
            body = self._body()
            status, found = api.answer(self.command, self.path, body)
            text = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - as http.server names them

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    config = folder / "kubeconfig"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {
                        "name": "c",
                        "cluster": {"server": f"http://127.0.0.1:{server.server_address[1]}"},
                    }
                ],
                "contexts": [
                    {"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "builders"}}
                ],
                "users": [{"name": "u", "user": {}}],
                "current-context": "c",
            }
        )
    )
    try:
        yield api, config
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
