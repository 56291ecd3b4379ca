"""Whether an ONNX file may be opened at all: its operators and where its weights lie, read off the file's own bytes.

ONNX is Protocol Buffers. What matters here (a graph's nodes, a tensor's place) is reached by walking fields and
lengths; `onnx` itself would take longer to import than an image takes to read.
"""

from __future__ import annotations

from collections.abc import Iterator

from digitlab.files import printable

# Whose operators ONNX Runtime brings along; another domain would be somebody's own library.
DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft"))
# A network over 28 x 28 pixels has some megabytes.
MAX_BYTES = 256 << 20
MAX_NODES = 20_000


def check_file(content: bytes) -> None:
    """Refuse what could run for ever, or read other files.

    Args:
        content: of an ONNX file.

    Raises:
        ValueError: why not.

    Example:
        >>> check_file(b"no model")
        Traceback (most recent call last):
        ValueError: damaged
    """
    graphs = [value for field, value in _fields(content) if field == 7]
    if len(graphs) != 1 or not isinstance(graphs[0], bytes):
        raise ValueError("damaged")
    if any(field == 25 for field, _ in _fields(content)):
        raise ValueError("functions of its own in it, expected ONNX's operators only")
    nodes = 0
    for field, value in _fields(graphs[0]):
        if field == 1:
            nodes += 1
            _check_node(_message(value))
        elif field == 5:
            _check_tensor(_message(value))
        elif field == 15:
            raise ValueError("sparse weights in it, expected plain ones")
    if nodes > MAX_NODES:
        raise ValueError(f"{nodes:,} operators, at most {MAX_NODES:,} are run")


def _check_node(node: bytes) -> None:
    name, domain = "", ""
    for field, value in _fields(node):
        if field == 4:
            name = _message(value).decode("utf-8", "replace")
        elif field == 7:
            domain = _message(value).decode("utf-8", "replace")
    if domain not in DOMAINS:
        raise ValueError(f"operator {printable(domain)[:40]}.{printable(name)[:40]}, expected ONNX's own")
    for field, value in _fields(node):
        if field != 5:
            continue
        for inner, part in _fields(_message(value)):
            if inner in (6, 11):  # graphs inside an attribute: Loop, If, Scan
                raise ValueError(f"operator {printable(name)[:40]}, which can run for ever, expected a plain network")
            if inner in (5, 10):
                _check_tensor(_message(part))


def _check_tensor(tensor: bytes) -> None:
    for field, value in _fields(tensor):
        if field == 13 or (field == 14 and value == 1):
            raise ValueError("weights in another file, expected all in one. Save it with save_as_external_data=False")


def _message(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("damaged")
    return value


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of a message's fields.

    Raises:
        ValueError: the bytes are no such message.
    """
    at, end = 0, len(content)
    while at < end:
        key, at = _number(content, at)
        field, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _number(content, at)
            yield field, value
            continue
        if kind == 2:
            size, at = _number(content, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError("damaged")
        if at + size > end:
            raise ValueError("damaged")
        yield field, content[at : at + size]
        at += size


def _number(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise ValueError("damaged")
        byte = content[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
