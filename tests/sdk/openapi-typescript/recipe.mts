// Changes that are safe to repeat, with openapi-fetch and the types of openapi-typescript. To be copied.
import type { ErrorBody } from "crm-client";

/** What openapi-fetch answers: `data` of a 2xx, `error` of all else. */
export type Reply<T> = { data?: T; error?: ErrorBody; response: Response };

const pauses = [200, 1000, 5000];
const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Makes one change: its request id is set here, and stays the same over all attempts. `read` gets the resource where an
 * earlier attempt made the change and only its reply was lost (409).
 */
export async function sendOnce<T>(
  send: (requestId: string) => Promise<Reply<T>>,
  read: (id: string) => Promise<Reply<T>>,
): Promise<Reply<T>> {
  const requestId = crypto.randomUUID();
  for (const pause of pauses) {
    try {
      const reply = await send(requestId);
      const made = reply.response.status === 409 ? reply.error?.resource : null;
      if (made) return read(made.id);
      if (reply.response.status !== 503) return reply;
    } catch (fault) {
      if (!(fault instanceof TypeError)) throw fault; // that is fetch's: no reply, or half of one
    }
    await sleep(pause);
  }
  return send(requestId);
}

/**
 * Changes what was read only if nobody else has changed it since; else reads it again (412). `change` gets the resource and
 * its entity tag for `If-Match`, and looks whether the change is still wanted.
 */
export async function changeUnchanged<T>(
  read: () => Promise<Reply<T>>,
  change: (current: T, ifMatch: string) => Promise<Reply<T>>,
): Promise<Reply<T>> {
  for (let attempt = 1; ; attempt++) {
    const current = await read();
    if (current.data === undefined) return current;
    const reply = await change(current.data, current.response.headers.get("ETag") ?? "");
    if (reply.response.status !== 412 || attempt > pauses.length) return reply;
  }
}
