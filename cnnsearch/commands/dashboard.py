"""`cnnsearch dashboard`: Optuna's pages over the studies of a storage."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from cnnsearch.commands.options import storage_option


@click.command("dashboard")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="0: any that is free. Default: 8080, or any that is free.",
)
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
@storage_option
def command(port: int | None, opens: bool, storage: str) -> None:
    """Look at studies in Optuna's dashboard, while searches run too.

    Its pages are served on 127.0.0.1, to this machine alone, until Ctrl-C. They only read: notes,
    new studies and deleting are refused there; cnnsearch note and cnnsearch rm do that.

    Optuna knows fewer states than cnnsearch: diverged trials are "Pruned" there, killed ones
    "Fail", and what a dead search left is "Running". Verdicts are among the user attributes.

    It needs optuna-dashboard: pip install 'cnnsearch[dashboard]'.

    \b
    Example:
      cnnsearch dashboard
      cnnsearch dashboard --port 9000 --open
    """
    from cnnsearch.study.dashboard import HOST, serve

    with serve(storage, port) as server:
        address = f"http://{HOST}:{server.server_port}/dashboard"
        click.echo(f"{address}  (Ctrl-C ends it)", err=True)
        if opens:
            import webbrowser

            webbrowser.open(address)
        signal.signal(signal.SIGTERM, _end)
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            click.echo(err=True)  # ends the line that shows ^C


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    sys.exit(128 + number)
