"""Changes that are safe to repeat, with the client that openapi-python-client makes. To be copied."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID, uuid4

from crm_client.models import ErrorBody, ErrorResource
from crm_client.types import Response
from httpx import TransportError

T = TypeVar("T")
PAUSES = (0.2, 1.0, 5.0)


def send_once(
    send: Callable[[str], Response[T | ErrorBody]], read: Callable[[UUID], Response[T | ErrorBody]]
) -> Response[T | ErrorBody]:
    """Makes one change: its request id is set here, and stays the same over all attempts.

    `read` gets the resource where an earlier attempt made the change and only its reply was lost (409).
    """
    request_id = str(uuid4())
    for pause in PAUSES:
        try:
            reply = send(request_id)
        except TransportError:  # no reply, or half of one
            time.sleep(pause)
            continue
        refused = reply.parsed
        if reply.status_code == 409 and isinstance(refused, ErrorBody) and isinstance(refused.resource, ErrorResource):
            return read(refused.resource.id)
        if reply.status_code != 503:
            return reply
        time.sleep(pause)
    return send(request_id)


def change_unchanged(
    read: Callable[[], Response[T | ErrorBody]], change: Callable[[T, str], Response[T | ErrorBody]]
) -> Response[T | ErrorBody]:
    """Changes what was read only if nobody else has changed it since; else reads it again (412).

    `change` gets the resource and its entity tag for `If-Match`, and looks whether the change is still wanted.
    """
    for _ in PAUSES:
        current = read()
        if current.parsed is None or isinstance(current.parsed, ErrorBody):
            return current
        reply = change(current.parsed, current.headers["ETag"])
        if reply.status_code != 412:
            return reply
    return reply
