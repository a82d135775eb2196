"""A W&B server on the loopback that speaks enough of the protocol for the real client to upload runs and reports.

It keeps what a run's record on a real server would hold: history rows by line offset (a chunk sent twice replaces
itself), the configuration, the summary, files and the exit code. Faults are injected per request.
"""

from __future__ import annotations

import contextlib
import gc
import gzip
import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

KEY = "local-" + "k3y" * 13 + "x"
"""A key of the right form that no server gave out."""


@dataclass
class RunRecord:
    """What the server knows of one run."""

    name: str
    project: str
    fields: dict[str, Any] = field(default_factory=dict)
    lines: dict[int, str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_codes: list[int | None] = field(default_factory=list)

    @property
    def history(self) -> list[dict[str, Any]]:
        """Rows in the order of their offsets."""
        return [json.loads(self.lines[offset]) for offset in sorted(self.lines)]

    @property
    def config(self) -> dict[str, Any]:
        return {key: entry.get("value") for key, entry in json.loads(self.fields.get("config") or "{}").items()}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    operation: str
    """Name of the GraphQL operation, empty for other requests."""
    run: str
    body: bytes


Fault = Callable[[Request], "str | float | None"]
"""Decides about a request: "500", "cut" (connection closed without an answer), seconds to wait, or None."""


class WandbServer:
    """Loopback server; `url` is what WANDB_BASE_URL takes. Use through `serving`."""

    def __init__(self) -> None:
        self.runs: dict[str, RunRecord] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.uploads: dict[str, bytes] = {}
        """Every file that was put anywhere, by path below `/put/`."""
        self.requests: list[Request] = []
        self.fault: Fault | None = None
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"server_state": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def operations(self, name: str) -> list[Request]:
        return [request for request in self.requests if request.operation == name]

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of one operation's answer; what is not known here does not exist."""
        name = _operation(query)
        answer = getattr(self, f"_{name}", None)
        return answer(variables) if answer else {"project": None}

    def _UpsertBucket(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["name"]
        inserted = name not in self.runs
        run = self.runs.setdefault(name, RunRecord(name, variables.get("project") or "uncategorized"))
        run.fields.update({key: value for key, value in variables.items() if value is not None})
        return {"upsertBucket": {"bucket": self._bucket(run), "inserted": inserted}}

    def _RunResumeStatus(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = self.runs.get(variables.get("name", ""))
        if run is None:
            return {"model": {"id": "project", "name": "p", "entity": {"id": "e", "name": "e"}, "bucket": None}}
        return {
            "model": {
                "id": "project",
                "name": run.project,
                "entity": {"id": "entity-id", "name": "entity"},
                "bucket": {
                    **self._bucket(run),
                    "summaryMetrics": json.dumps(run.summary),
                    "logLineCount": 0,
                    "eventsLineCount": 0,
                    "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
                    "eventsTail": "[]",
                    "config": run.fields.get("config") or "{}",
                    "tags": run.fields.get("tags") or [],
                    "wandbConfig": "{}",
                },
            }
        }

    def _Runs(self, variables: dict[str, Any]) -> dict[str, Any]:
        """A page of a project's runs, of one group where that is asked for."""
        group = json.loads(variables["filters"]).get("group")
        project_runs = [run for run in self.runs.values() if run.project == variables["project"]]
        found = [run for run in project_runs if group in (None, run.fields.get("groupName"))]
        start, size = int(variables.get("cursor") or 0), variables["perPage"]
        edges = [
            {"node": self._public(run), "cursor": str(start + index + 1)}
            for index, run in enumerate(found[start : start + size])
        ]
        page = {"endCursor": None, "hasNextPage": start + size < len(found)}
        project = {
            "internalId": "1",
            "runCount": len(found),
            "readOnly": False,
            "runs": {"edges": edges, "pageInfo": page},
        }
        return {"project": project if project_runs else None}

    def _public(self, run: RunRecord) -> dict[str, Any]:
        ended = run.exit_codes[-1] if run.exit_codes else None
        state = "running" if not run.exit_codes else "finished" if ended == 0 else "failed"
        empty = dict.fromkeys(("sweepName", "commit", "description", "notes"))
        return {
            **self._bucket(run),
            **empty,
            "projectId": "1",
            "tags": run.fields.get("tags") or [],
            "state": state,
            "group": run.fields.get("groupName"),
            "jobType": run.fields.get("jobType"),
            "readOnly": False,
            "createdAt": "2026-01-01T00:00:00Z",
            "heartbeatAt": "2026-01-01T00:00:00Z",
            "summaryMetrics": json.dumps(run.summary),
            "systemMetrics": "{}",
            "historyKeys": None,
        }

    def _RunFiles(self, variables: dict[str, Any]) -> dict[str, Any]:
        run = self.runs[variables["name"]]
        start, size = int(variables.get("fileCursor") or 0), variables["fileLimit"]
        names = sorted(run.files)
        edges = []
        for index, name in enumerate(names[start : start + size], start=start + 1):
            url = f"{self.url}/put/{run.name}/{name}"
            node = {"id": name, "name": name, "url": url, "directUrl": url, "sizeBytes": str(len(run.files[name]))}
            edges.append({"node": {**node, "mimetype": "", "updatedAt": "", "md5": ""}, "cursor": str(index)})
        files = {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": start + size < len(names)}}
        return {"project": {"internalId": "1", "run": {"fileCount": len(names), "files": files}}}

    def _CreateRunFiles(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables.get("run") or variables.get("name")
        files = [{"name": file, "uploadUrl": f"{self.url}/put/{name}/{file}"} for file in variables["files"]]
        return {"createRunFiles": {"runID": name, "uploadHeaders": [], "files": files}}

    def _UpsertView2(self, variables: dict[str, Any]) -> dict[str, Any]:
        project = {"id": "project", "name": variables["projectName"], "entityName": variables["entityName"]}
        view = {name: variables.get(name) for name in ("name", "type", "displayName", "description")}
        return {"upsertView": {"view": {"id": "view", **view, "project": project}, "inserted": True}}

    _upsertView = _UpsertView2

    def _ProjectInternalId(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"id": "project", "internalId": "UHJvamVjdEludGVybmFsSWQ6MQ=="}}

    def _GetProjects(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"models": {"pageInfo": {"endCursor": None, "hasNextPage": False}, "edges": []}}

    def _ServerFeaturesQuery(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _CreateArtifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        wanted = variables["input"]
        artifact = {"id": f"artifact-{len(self.artifacts)}", "state": "PENDING", "committed": False, **wanted}
        self.artifacts[artifact["id"]] = artifact
        sequence = {"latestArtifact": None}
        return {"createArtifact": {"artifact": {**_some(artifact, "id", "state"), "artifactSequence": sequence}}}

    def _CreateArtifactManifest(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = f"{variables['artifactID']}/{variables['name']}"
        file = {"id": f"file-{name}", "uploadUrl": f"{self.url}/put/{name}", "uploadHeaders": []}
        return {"createArtifactManifest": {"artifactManifest": {"id": f"manifest-{name}", "file": file}}}

    def _UpdateArtifactManifest(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables["artifactManifestID"].removeprefix("manifest-")
        file = {"id": f"file-{name}", "uploadUrl": f"{self.url}/put/{name}", "uploadHeaders": []}
        return {"updateArtifactManifest": {"artifactManifest": {"id": f"manifest-{name}", "file": file}}}

    def _CreateArtifactFiles(self, variables: dict[str, Any]) -> dict[str, Any]:
        edges = []
        for file in variables["input"]["artifactFiles"]:
            path = f"{file['artifactID']}/files/{file['name']}"
            node: dict[str, Any] = {
                "storagePath": path,
                "uploadUrl": f"{self.url}/put/{path}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": file["artifactID"]},
            }
            edges.append({"node": {"id": path, "name": file["name"], "displayName": file["name"], **node}})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _CommitArtifact(self, variables: dict[str, Any]) -> dict[str, Any]:
        artifact = self.artifacts[variables["artifactID"]]
        artifact["committed"] = True
        return {"commitArtifact": {"artifact": _some(artifact, "id", "digest")}}

    def _Viewer(self, variables: dict[str, Any]) -> dict[str, Any]:
        return {"viewer": {"id": "user", "entity": "entity", "username": "user", "flags": "{}", "teams": {"edges": []}}}

    _GetDefaultEntity = _Viewer

    def _bucket(self, run: RunRecord) -> dict[str, Any]:
        return {
            "id": f"bucket-{run.name}",
            "name": run.name,
            "displayName": run.fields.get("displayName") or run.name,
            "description": "",
            "config": run.fields.get("config") or "{}",
            "sweepName": None,
            "historyLineCount": len(run.lines),
            "project": {"id": "project", "name": run.project, "entity": {"id": "entity-id", "name": "entity"}},
        }

    def stream(self, name: str, body: dict[str, Any]) -> None:
        """One file_stream request: numbered lines of history, the summary, the exit code."""
        run = self.runs.setdefault(name, RunRecord(name, "uncategorized"))
        files = body.get("files") or {}
        chunk = files.get("wandb-history.jsonl")
        if chunk:
            for number, line in enumerate(chunk["content"]):
                run.lines[chunk["offset"] + number] = line
        for line in (files.get("wandb-summary.json") or {}).get("content", []):
            run.summary = json.loads(line)
        if body.get("complete"):
            run.exit_codes.append(body.get("exitcode"))


class _Handler(BaseHTTPRequestHandler):
    server_state: WandbServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/graphql":
            call = json.loads(body)
            variables = call.get("variables") or {}
            run = variables.get("name") or variables.get("run") or ""
            if self._faulty(Request("POST", self.path, _operation(call["query"]), str(run), body)):
                return
            with self.server_state.lock:
                data = self.server_state.graphql(call["query"], variables)
            self._answer({"data": data})
        elif self.path.endswith("/file_stream"):
            name = self.path.split("/")[-2]
            if self._faulty(Request("POST", self.path, "", name, body)):
                return
            with self.server_state.lock:
                self.server_state.stream(name, json.loads(body))
            self._answer({"exitcode": None, "limits": {}})
        else:
            self._answer({})

    def do_PUT(self) -> None:
        body = self._body()
        _, _, name, *file = self.path.split("/")
        if self._faulty(Request("PUT", self.path, "", name, body)):
            return
        with self.server_state.lock:
            self.server_state.uploads["/".join([name, *file])] = body
            if name in self.server_state.runs:
                self.server_state.runs[name].files["/".join(file)] = body
        self._answer({})

    def do_GET(self) -> None:
        if self._faulty(Request("GET", self.path, "", "", b"")):
            return
        content = self.server_state.uploads.get(unquote(self.path.removeprefix("/put/")))
        self._answer({} if content is None else content)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _faulty(self, request: Request) -> bool:
        with self.server_state.lock:
            self.server_state.requests.append(request)
            fault = self.server_state.fault(request) if self.server_state.fault else None
        if isinstance(fault, (int, float)):
            time.sleep(fault)
        elif fault == "500":
            self._answer({"error": "injected"}, 500)
            return True
        elif fault == "cut":
            self.close_connection = True
            self.connection.close()
            return True
        return False

    def _answer(self, content: dict[str, Any] | bytes, status: int = 200) -> None:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):  # the client went away, or a fault closed the connection
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def _some(mapping: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: mapping[name] for name in names}


def _operation(query: str) -> str:
    """`mutation UpsertBucket (...` -> `UpsertBucket`."""
    words = query.removeprefix("#graphql").replace("(", " ").replace("{", " ").split()
    return words[1] if len(words) > 1 and words[0] in ("query", "mutation") else ""


@contextmanager
def serving() -> Iterator[WandbServer]:
    server = WandbServer()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()


def restart_service() -> None:
    """The client reads server and key once per process; it leaves the old service to the garbage collector."""
    import wandb

    with warnings.catch_warnings(), contextlib.suppress(ConnectionError, TimeoutError):
        warnings.simplefilter("ignore", ResourceWarning)
        wandb.teardown()
        gc.collect()
