"""Changes that are safe to repeat, with the client that openapi-generator makes. To be copied."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID, uuid4

from crm_client import ApiException, ApiResponse, ErrorBody
from urllib3.exceptions import HTTPError

T = TypeVar("T")
PAUSES = (0.2, 1.0, 5.0)


def send_once(send: Callable[[str], T], read: Callable[[UUID], T]) -> T:
    """Makes one change: its request id is set here, and stays the same over all attempts.

    `read` gets the resource where an earlier attempt made the change and only its reply was lost (409).
    """
    request_id = str(uuid4())
    for pause in PAUSES:
        try:
            return send(request_id)
        except HTTPError:  # no reply, or half of one
            time.sleep(pause)
        except ApiException as refused:
            if refused.status == 409 and isinstance(refused.data, ErrorBody) and refused.data.resource:
                return read(refused.data.resource.id)
            if refused.status != 503:
                raise
            time.sleep(pause)
    return send(request_id)


def entity_tag(reply: ApiResponse[T]) -> str:
    """The version that was read. The client keeps the names of headers as they arrive, in lower case or not."""
    return next(value for name, value in (reply.headers or {}).items() if name.lower() == "etag")


def change_unchanged(read: Callable[[], ApiResponse[T]], change: Callable[[T, str], T]) -> T:
    """Changes what was read only if nobody else has changed it since; else reads it again (412).

    `change` gets the resource and its entity tag for `If-Match`, and looks whether the change is still wanted.
    """
    for _ in PAUSES:
        current = read()
        try:
            return change(current.data, entity_tag(current))
        except ApiException as refused:
            if refused.status != 412:
                raise
    current = read()
    return change(current.data, entity_tag(current))
