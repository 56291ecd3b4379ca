"""`digitlab serve`: the page where one draws, the page of runs, and the HTTP API."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "Examples: [bold]digitlab serve[/]; [bold]digitlab serve --model my-run --port 9000[/]; "
    "[bold]digitlab serve --host 0.0.0.0[/]"
)


def serve(
    model: Annotated[
        str | None, typer.Option(help="A run, a group, or an .onnx file. (default: the network inside)")
    ] = None,
    port: Annotated[int, typer.Option(help="0 for any free one.", min=0, max=65535)] = 8000,
    host: Annotated[str, typer.Option(help="0.0.0.0 to be seen by other machines.")] = "127.0.0.1",
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    cors: Annotated[
        list[str] | None, typer.Option(help="A page elsewhere that may ask, as https://example.org; repeatable.")
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="Folder of the runs.", show_default=False)] = None,
) -> None:
    """Open a page to draw on, and answer over HTTP."""
    from digitlab.cli.read_command import model_of
    from digitlab.serving import Settings, make_app, open_port
    from digitlab.serving import serve as answer
    from digitlab.serving.server import addresses, is_local

    with open_port(host, port) as listening:
        local = is_local(listening)
        app = make_app(Settings(model_of(model, runs), runs, local, tuple(origin.rstrip("/") for origin in cors or ())))
        places = addresses(listening)

        def ready() -> None:
            print("\n".join(places), flush=True)
            who = "Only this machine reaches it." if local else "Whoever reaches this machine may use it."
            print(f"Open it in a browser and write a number. {who} Ctrl-C ends it.", file=sys.stderr, flush=True)
            if open_page:
                import webbrowser

                webbrowser.open(places[0])

        answer(app, listening, ready=ready)
    print("digitlab: stopped", file=sys.stderr)
