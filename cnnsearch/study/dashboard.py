"""Optuna's dashboard over a storage that it can read and not write."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from sqlalchemy.exc import DBAPIError

from cnnsearch.errors import InputError, MissingExtraError
from cnnsearch.study import read
from cnnsearch.study.backends import backend, failure, without_studies

HOST = "127.0.0.1"
PORT = 8080
"""As Optuna's own command has it."""
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def application(storage: str) -> Application:
    """The dashboard's pages, and its API for reading.

    The database refuses each attempt to write, so that a search which runs is not disturbed.

    Raises:
        MissingExtraError: optuna-dashboard is not installed.
        CnnsearchError: there is nothing to show, or it cannot be read.
    """
    try:
        import optuna_dashboard
    except ModuleNotFoundError as error:
        if error.name != "optuna_dashboard":
            raise
        raise MissingExtraError(
            "dashboard needs optuna-dashboard. Run: pip install 'cnnsearch[dashboard]'"
        ) from None
    from optuna.storages import RDBStorage

    place = backend(storage)
    if not read.study_names(storage):
        raise InputError(f"{without_studies(place)}.")
    try:
        database = RDBStorage(place.url(), engine_kwargs=place.reading())
    except (DBAPIError, sqlite3.DatabaseError, OSError, RuntimeError) as error:
        raise failure(place, error) from error
    pages: Application = optuna_dashboard.wsgi(database)
    return pages


class _Server(ThreadingMixIn, WSGIServer):
    """Pages and plots are asked for at once."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves is no error."""


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing of each page."""


def serve(storage: str, port: int | None) -> WSGIServer:
    """A server on 127.0.0.1 that is ready to answer; who calls this runs and closes it.

    Args:
        port: 0: any that is free; None: 8080, or any that is free where another program has it.

    Raises:
        InputError: another program has the port.
        CnnsearchError: see `application`.
    """
    pages = application(storage)
    try:
        server = _bound(PORT if port is None else port)
    except OSError as error:
        if port is not None:
            raise InputError(
                f"--port {port}: {error.strerror}. Write another, or 0 for one that is free."
            ) from error
        server = _bound(0)
    server.set_app(_guarded(pages, server.server_port))
    return server


def _bound(port: int) -> _Server:
    def nothing(environ: dict[str, Any], start: Any) -> Iterable[bytes]:  # noqa: ARG001
        return []

    return make_server(HOST, port, nothing, server_class=_Server, handler_class=_Quiet)


def _guarded(pages: Application, port: int) -> Application:
    """The pages for who reads from this machine.

    What would write is refused before the database has to; and so is a page of another site that
    has its name point to this machine, by the name.
    """
    names = {f"{HOST}:{port}", f"localhost:{port}"}

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_HOST") not in names:
            return _refused(start, "403 Forbidden", f"ask for http://{HOST}:{port}")
        if environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return _refused(start, "405 Method Not Allowed", "this dashboard only reads")
        return pages(environ, start)

    return answer


def _refused(start: Callable[..., Any], status: str, reason: str) -> Iterable[bytes]:
    start(status, [("Content-Type", "application/json")])
    return [json.dumps({"reason": reason}).encode()]
