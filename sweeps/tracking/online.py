"""Is there a W&B server to talk to? Decided in seconds, before any run starts: the client alone waits for minutes."""

from __future__ import annotations

import base64
import http.client
import json
import netrc
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

OLD_SERVER = "https://api.wandb.ai"
"""The client's default has moved; keys that it stored under the old name still count."""
PROBE_SECONDS = 3.0


def server_url(environ: Mapping[str, str] = os.environ) -> str:
    """The server that the W&B client would talk to, unless a settings file of the client's says otherwise."""
    return (environ.get("WANDB_BASE_URL") or _default_server()).rstrip("/")


def _default_server() -> str:
    try:
        from wandb.sdk.lib.urls import DEFAULT_BASE_URL  # imports the client: only where no server is named
    except ImportError:
        return OLD_SERVER
    return str(DEFAULT_BASE_URL)


def find_key(environ: Mapping[str, str] = os.environ) -> str | None:
    """The API key from WANDB_API_KEY or the netrc file that `wandb login` writes.

    The key goes into a request header and nowhere else: never print, log or store it.
    """
    if key := environ.get("WANDB_API_KEY"):
        return key
    servers = [server_url(environ)] + ([] if environ.get("WANDB_BASE_URL") else [OLD_SERVER])
    try:
        stored = netrc.netrc(environ.get("NETRC"))
    except (OSError, netrc.NetrcParseError):
        return None
    entries = (stored.authenticators(urlsplit(url).hostname or "") for url in servers)
    entry = next((entry for entry in entries if entry), None)
    return entry[2] if entry else None


def problem(environ: Mapping[str, str] = os.environ, timeout: float = PROBE_SECONDS) -> str | None:
    """Why W&B cannot be used online, as one line; None if a key is there and the server accepts it."""
    url, key = server_url(environ), find_key(environ)
    if not key:
        if environ.get("WANDB_IDENTITY_TOKEN_FILE"):
            return None
        return f"there is no W&B key for {url} (run `wandb login` or set WANDB_API_KEY)"
    try:
        viewer = _ask("query Viewer { viewer { id } }", {}, environ, timeout).get("viewer")
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return f"the W&B server {url} refused the key"
        return f"the W&B server {url} answered with HTTP {error.code}"
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return f"the W&B server {url} cannot be reached ({str(reason) or type(error).__name__})"
    return None if viewer else f"the W&B server {url} does not know the key"


def rows_on_server(
    run_id: str, project: str, entity: str | None, environ: Mapping[str, str] = os.environ, timeout: float = 30.0
) -> int:
    """Rows of history that the server holds of a run; 0 if it does not know the run. Asked as the client itself asks.

    Raises:
        OSError: the server cannot be reached or refuses.
        ValueError: its answer makes no sense.
    """
    query = """query RunResumeStatus($project: String, $entity: String, $name: String!) {
        model(name: $project, entityName: $entity) { bucket(name: $name, missingOk: true) { historyLineCount } } }"""
    model = _ask(query, {"project": project, "entity": entity, "name": run_id}, environ, timeout).get("model") or {}
    return int((model.get("bucket") or {}).get("historyLineCount") or 0)


def _ask(query: str, variables: dict[str, Any], environ: Mapping[str, str], timeout: float) -> dict[str, Any]:
    credentials = base64.b64encode(f"api:{find_key(environ)}".encode()).decode()
    request = urllib.request.Request(
        f"{server_url(environ)}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json", "Authorization": f"Basic {credentials}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            content = json.load(answer)
    except http.client.HTTPException as error:
        raise ConnectionError(str(error) or type(error).__name__) from None
    return (content.get("data") if isinstance(content, dict) else None) or {}
