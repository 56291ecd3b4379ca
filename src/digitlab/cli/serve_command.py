"""`digitlab serve`: the page where one draws, the page of runs, and the HTTP API."""

from __future__ import annotations

import secrets
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
    name: Annotated[
        list[str] | None, typer.Option(help="With --host: another name of this machine, as pc7.school; repeatable.")
    ] = None,
    token: Annotated[
        bool, typer.Option("--token", help="Answer only whoever opens the printed address, which has a token in it.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds that one image may take.", min=0.1)] = 30.0,
    runs: Annotated[Path | None, typer.Option(help="Folder of the runs.", show_default=False)] = None,
    trainings: Annotated[int, typer.Option(help="Runs that may train at the same time.", min=1)] = 1,
    train_anywhere: Annotated[
        bool, typer.Option("--train-from-anywhere", help="Other machines may start and stop training too.")
    ] = False,
    data: Annotated[
        str | None, typer.Option(help="What the page for training trains on, as for train. (default: MNIST)")
    ] = None,
    collect: Annotated[
        Path | None,
        typer.Option(help="Keep digits corrected on the page in this folder of own digits. (default: keep nothing)"),
    ] = None,
) -> None:
    """Open a page to draw on, and answer over HTTP."""
    from digitlab.cli.read_command import model_of
    from digitlab.serving.jobs import reading_pool
    from digitlab.serving.server import addresses, is_local, open_port
    from digitlab.serving.server import serve as answer

    with open_port(host, port) as listening:
        pool = reading_pool(model_of(model, runs), seconds=timeout)
        pool.launch()
        from digitlab.serving.app import Settings, make_app  # while the workers start

        settings = Settings(
            model_of(model, runs),
            runs,
            is_local(listening),
            tuple(origin.rstrip("/") for origin in cors or ()),
            names=tuple(name or ()),
            token=secrets.token_urlsafe(16) if token else None,
            timeout=timeout,
            trainings=trainings,
            train_anywhere=train_anywhere,
            data=data,
            collect=collect,
        )
        try:
            app = make_app(settings, pool)
            pool.start()
        except BaseException:
            pool.end()
            raise
        places = addresses(listening)
        if settings.token is not None:
            places = [f"{place}/?token={settings.token}" for place in places]

        def ready() -> None:
            print("\n".join(places), flush=True)
            who = "Only this machine reaches it." if settings.local else "Whoever reaches this machine may use it."
            if settings.token is not None:
                who = "Whoever has an address with its token may use it."
            print(f"Open it in a browser and write a number. {who} Ctrl-C ends it.", file=sys.stderr, flush=True)
            if settings.collect is not None:
                print(f"Digits corrected on the page are kept in {settings.collect}.", file=sys.stderr, flush=True)
            if open_page:
                import webbrowser

                webbrowser.open(places[0])

        answer(app, listening, ready=ready)
    print("digitlab: stopped", file=sys.stderr)
