"""A server on a free port for tests, and plain HTTP to it."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from digitlab.serving import Settings, make_app, open_port, serve


def run_info(**changes: Any) -> str:
    """A whole run.json, of the run that is kept in the tests."""
    kept = json.loads((Path(__file__).parents[1] / "data" / "run-format-1" / "run.json").read_text("utf-8"))
    return json.dumps({**kept, **changes})


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Server(NamedTuple):
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        connection.close()
        return answer

    def form(self, path: str, files: list[tuple[str, bytes]], **fields: str) -> Answer:
        parts = [
            f'--edge\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode() + content
            for name, content in files
        ]
        parts += [
            f'--edge\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}'.encode()
            for key, value in fields.items()
        ]
        body = b"\r\n".join([*parts, b"--edge--\r\n"])
        return self.ask("POST", path, body, Content_Type="multipart/form-data; boundary=edge")


@contextlib.contextmanager
def running(settings: Settings | None = None) -> Iterator[Server]:
    listening, stop = open_port(port=0), threading.Event()
    port = listening.getsockname()[1]
    app = make_app(settings)
    thread = threading.Thread(target=serve, args=(app, listening), kwargs={"stop": stop})
    thread.start()
    try:
        yield Server(port)
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def png(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def page_with(images: np.ndarray) -> np.ndarray:
    """Digits of MNIST in a row, dark on white, twice their size."""
    row = np.concatenate([np.pad(image, 6) for image in images], axis=1)
    return np.pad(255 - row.repeat(2, axis=0).repeat(2, axis=1), 30, constant_values=255)
