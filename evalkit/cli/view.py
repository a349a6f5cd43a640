"""``evalkit view``."""

from __future__ import annotations

import click

from evalkit.cli.common import get_project

__all__ = ["command"]


@click.command("view")
@click.option("--port", type=click.IntRange(0, 65_535), default=8378, show_default=True, help="0 takes a free one.")
@click.option("--open", "open_", is_flag=True, help="Open the first page in a browser.")
def command(port: int, open_: bool) -> None:
    """Show the latest verdicts and the history of every gate in a browser, until Ctrl-C.

    Served on 127.0.0.1 only, read only, without scripts: `/` the latest verdicts, `/workflows/NAME` the trend of each
    rule by commit and all judged runs, `/reports/…` their reports, `/api/…` the same as JSON.
    """
    import signal

    from evalkit.view import ViewServer, serve

    def stop(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    server = ViewServer(get_project(), port)
    before = signal.signal(signal.SIGTERM, stop)
    click.echo(f"{server.url} (Ctrl-C stops)")
    if open_:
        click.launch(server.url)
    try:
        serve(server)
    except KeyboardInterrupt:  # how it is stopped
        click.echo("stopped", err=True)
    finally:
        signal.signal(signal.SIGTERM, before)
