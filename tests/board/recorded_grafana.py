"""A Grafana that answers as a real one was recorded to, over HTTP on loopback, holding what it is given.

Status codes and bodies come from the recorded exchanges, with the uid, title and content that were asked for put in;
requests are checked against the API document of the same version. Three questions were not recorded and are answered
as its source does: `/api/user` (401 to nobody in particular), `/api/plugins/…/settings` (404 for a plugin that isn't
there) and `/api/access-control/user/permissions` (the actions that the role allows). Alerting is in `recorded_alerting`.
"""

from __future__ import annotations

import base64
import copy
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator

from dashboards.data_source import PLUGIN, PLUGIN_VERSION
from tests.board.recorded_alerting import Alerting, mended

Answer = tuple[int, Any]

_DOCUMENTED = {
    ("POST", r"/api/folders"): "CreateFolderCommand",
    ("PUT", r"/api/folders/[^/]+"): "UpdateFolderCommand",
    ("POST", r"/api/datasources"): "AddDataSourceCommand",
    ("PUT", r"/api/datasources/uid/[^/]+"): "UpdateDataSourceCommand",
    ("POST", r"/api/dashboards/db"): "SaveDashboardCommand",
    ("POST", r"/api/v1/provisioning/alert-rules"): "ProvisionedAlertRule",
    ("PUT", r"/api/v1/provisioning/alert-rules/[^/]+"): "ProvisionedAlertRule",
    ("PUT", r"/api/v1/provisioning/folder/[^/]+/rule-groups/[^/]+"): "AlertRuleGroup",
    ("POST", r"/api/v1/provisioning/contact-points"): "EmbeddedContactPoint",
    ("PUT", r"/api/v1/provisioning/contact-points/[^/]+"): "EmbeddedContactPoint",
    ("PUT", r"/api/v1/provisioning/policies"): "Route",
    ("POST", r"/api/v1/provisioning/mute-timings"): "MuteTimeInterval",
    ("PUT", r"/api/v1/provisioning/mute-timings/[^/]+"): "MuteTimeInterval",
}
_ADMIN = (
    "folders:create",
    "datasources:create",
    "datasources:write",
    "dashboards:create",
    "dashboards:write",
    "alert.provisioning:write",
)


@dataclass
class RecordedGrafana:
    """What it holds, how it behaves, and every request that changed something."""

    exchanges: dict[str, Any]
    document: dict[str, Any]
    credentials: str = "Basic " + base64.b64encode(b"admin:right").decode()
    permissions: tuple[str, ...] = _ADMIN
    has_plugin: bool = True
    version: str = "11.0.0"
    database: str = "ok"
    starting: int = 0
    start: Answer = (503, {"message": "starting"})
    """What the next `starting` requests are answered with."""
    unanswered: str = ""
    """A path whose next change is carried out, and answered with 504 by whoever stands in between."""
    tried: int = 0
    """How often the data source was tried."""
    health: Answer = (200, {"message": "Data source is working", "status": "OK"})
    folders: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    boards: dict[str, Any] = field(default_factory=dict)
    writes: list[tuple[str, str, Any]] = field(default_factory=list)
    refusing: dict[str, Answer] = field(default_factory=dict)
    """By a part of the path: what it answers to every change there."""
    url: str = ""
    alerting: Alerting = field(init=False)

    def __post_init__(self) -> None:
        self.alerting = Alerting(self._recorded, lambda uid: uid in self.folders)

    def answer(self, method: str, path: str, headers: Any, body: Any) -> Answer:
        if self.starting:
            self.starting -= 1
            return self.start
        if method != "GET":
            if method != "DELETE":
                self.hold_to_document(method, path, body)
            self.writes.append((method, path, body))
            refused = [answer for part, answer in self.refusing.items() if part in path]
            if refused:
                return refused[0]
        for pattern, handler in self._routes().items():
            if match := re.fullmatch(pattern, f"{method} {path}"):
                answer: Answer = handler(*match.groups(), *([] if method in ("GET", "DELETE") else [body]))
                if method != "GET" and path == self.unanswered:
                    self.unanswered = ""
                    return 504, {"message": "gateway timeout"}
                return answer
        if path.startswith("/api/v1/provisioning/"):
            return self.alerting.answer(method, path, "X-Disable-Provenance" in headers, body)
        if path == "/api/user":
            known = headers.get("Authorization") == self.credentials
            return (200, {"login": "admin"}) if known else (401, {"message": "Unauthorized"})
        raise AssertionError(f"nothing was recorded for {method} {path}")

    def _routes(self) -> dict[str, Any]:
        return {
            r"GET /api/health": lambda: (
                200,
                self._recorded("health")[1] | {"version": self.version, "database": self.database},
            ),
            rf"GET /api/plugins/{PLUGIN}/settings": self._plugin,
            r"GET /api/access-control/user/permissions": lambda: (200, {action: ["*"] for action in self.permissions}),
            r"GET /api/folders/([^/]+)": lambda uid: self._held(self.folders, uid, "folder missing"),
            r"POST /api/folders": self._create_folder,
            r"PUT /api/folders/([^/]+)": self._update_folder,
            r"GET /api/datasources/uid/([^/]+)": lambda uid: self._held(self.sources, uid, "datasource missing"),
            r"GET /api/datasources/uid/[^/]+/health": self._try_source,
            r"POST /api/datasources": self._create_source,
            r"PUT /api/datasources/uid/([^/]+)": self._update_source,
            r"GET /api/dashboards/uid/([^/]+)": lambda uid: self._held(self.boards, uid, "dashboard missing"),
            r"POST /api/dashboards/db": self._save_board,
            r"DELETE /api/dashboards/uid/([^/]+)": self._delete_board,
            r"GET /api/search\?tag=([^&]+)&type=dash-db": self._search,
        }

    def _recorded(self, case: str) -> Answer:
        response = copy.deepcopy(self.exchanges[case]["response"])
        return response["status"], response["body"]

    def hold_to_document(self, method: str, path: str, body: Any) -> None:
        name = next(
            name for (verb, pattern), name in _DOCUMENTED.items() if verb == method and re.fullmatch(pattern, path)
        )
        definitions = mended(self.document["definitions"])
        Draft4Validator({"$ref": f"#/definitions/{name}", "definitions": definitions}).validate(body)
        unknown = set(body) - set(definitions[name]["properties"])
        assert not unknown, f"{method} {path} does not know {unknown}"

    def _held(self, things: dict[str, Any], uid: str, missing: str) -> Answer:
        return (200, copy.deepcopy(things[uid])) if uid in things else self._recorded(missing)

    def _plugin(self) -> Answer:
        if not self.has_plugin:
            return 404, {"message": "Plugin not found, no installed plugin with that id"}
        return 200, {"id": PLUGIN, "info": {"version": PLUGIN_VERSION}}

    def _create_folder(self, body: Any) -> Answer:
        if body["uid"] in self.folders:
            return self._recorded("folder create again")
        status, recorded = self._recorded("folder create")
        self.folders[body["uid"]] = recorded | body
        return status, self.folders[body["uid"]]

    def _update_folder(self, uid: str, body: Any) -> Answer:
        if not body.get("overwrite") and body.get("version") != self.folders[uid]["version"]:
            return self._recorded("folder update stale version")
        self.folders[uid] |= {"title": body["title"], "version": self.folders[uid]["version"] + 1}
        return 200, self.folders[uid]

    def _try_source(self) -> Answer:
        self.tried += 1
        return self.health

    def _create_source(self, body: Any) -> Answer:
        if any(held["name"] == body["name"] for held in self.sources.values()):
            return self._recorded("datasource create again")
        return self._store_source(self._recorded("datasource create"), body)

    def _update_source(self, uid: str, body: Any) -> Answer:
        if uid not in self.sources:
            return self._recorded("datasource missing")
        return self._store_source(self._recorded("datasource update"), body)

    def _store_source(self, recorded: Answer, body: Any) -> Answer:
        status, answer = recorded
        uid = body["uid"]
        self.secrets[uid] = self.secrets.get(uid, {}) | body.get("secureJsonData", {})
        shown = {key: value for key, value in body.items() if key != "secureJsonData"}
        kept = {"secureJsonFields": {name: True for name, value in self.secrets[uid].items() if value}}
        self.sources[uid] = answer["datasource"] | shown | kept
        return status, answer | {"datasource": self.sources[uid]}

    def _save_board(self, body: Any) -> Answer:
        board, held = body["dashboard"], self.boards.get(body["dashboard"]["uid"])
        if "dashboards:write" not in self.permissions:
            return self._recorded("viewer may not write a dashboard")
        if body["folderUid"] not in self.folders:
            return self._recorded("dashboard in missing folder")
        if held is not None and not body["overwrite"]:
            return self._recorded("dashboard create again without overwrite")
        namesakes = [
            other
            for uid, other in self.boards.items()
            if uid != board["uid"] and other["dashboard"]["title"] == board["title"]
        ]
        if namesakes:
            return self._recorded("dashboard same title, other uid")
        status, recorded = self._recorded("dashboard get")
        version = held["dashboard"]["version"] + 1 if held else 1
        meta = recorded["meta"] | {"folderUid": body["folderUid"], "version": version}
        self.boards[board["uid"]] = {"meta": meta, "dashboard": board | {"id": 4, "version": version}}
        return status, self._recorded("dashboard create")[1] | {"uid": board["uid"], "version": version}

    def _delete_board(self, uid: str) -> Answer:
        if uid not in self.boards:
            return self._recorded("dashboard missing")
        title = self.boards.pop(uid)["dashboard"]["title"]
        return 200, self._recorded("dashboard delete")[1] | {"title": title}

    def _search(self, tag: str) -> Answer:
        status, (found,) = self._recorded("search by tag")
        shown = []
        for uid, held in self.boards.items():
            if tag in held["dashboard"]["tags"]:
                of = {"uid": uid, "title": held["dashboard"]["title"], "folderUid": held["meta"]["folderUid"]}
                shown.append(found | of)
        return status, shown


def recorded(folder: Path) -> RecordedGrafana:
    exchanges = json.loads((folder / "exchanges-11.0.0.json").read_text())
    document = json.loads((folder / "openapi-11.0.0.json").read_text())
    return RecordedGrafana({exchange["case"]: exchange for exchange in exchanges}, document)


@contextmanager
def serving(grafana: RecordedGrafana) -> Iterator[RecordedGrafana]:
    """The Grafana behind HTTP on a free port of loopback, until the block ends."""
    failures: list[BaseException] = []

    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            try:
                status, answer = grafana.answer(self.command, self.path, self.headers, body)
            except BaseException as failure:  # whatever it is, the test's own thread raises it
                failures.append(failure)
                status, answer = 500, {"message": repr(failure)}
            content = b"" if status == 204 else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _respond

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    grafana.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield grafana
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    if failures:
        raise failures[0]
