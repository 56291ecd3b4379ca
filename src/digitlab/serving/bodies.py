"""The body of a request that brings JSON: its content type checked, and no more of it taken than is allowed."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request


async def json_body(request: Request, most: int, remedy: str = "") -> bytes:
    """Take the body, as long as it is no longer than allowed.

    Args:
        request: whose content type must be JSON; that also keeps a page from elsewhere from sending one unasked.
        most: bytes.
        remedy: what whoever sent more can do.

    Returns:
        The bytes; whether they are JSON is not looked at.

    Raises:
        HTTPException: 415 of another content type, 413 longer.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "content type: expected application/json")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise HTTPException(413, f"body: more than {most:,} bytes" + (f". {remedy}" if remedy else ""))
    return body
