// Changes that are safe to repeat, with the client that openapi-generator makes for fetch. To be copied.
import { ErrorBodyFromJSON, FetchError, ResponseError, type ApiResponse, type ErrorBody } from "crm-client";

const pauses = [200, 1000, 5000];
const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The body of a refusal. The client throws the reply itself. */
export async function errorOf(refused: ResponseError): Promise<ErrorBody> {
  return ErrorBodyFromJSON(await refused.response.clone().json());
}

/**
 * Makes one change: its request id is set here, and stays the same over all attempts. `read` gets the resource where an
 * earlier attempt made the change and only its reply was lost (409).
 */
export async function sendOnce<T>(send: (requestId: string) => Promise<T>, read: (id: string) => Promise<T>): Promise<T> {
  const requestId = crypto.randomUUID();
  for (const pause of pauses) {
    try {
      return await send(requestId);
    } catch (fault) {
      if (fault instanceof ResponseError) {
        const resource = fault.response.status === 409 ? (await errorOf(fault)).resource : null;
        if (resource) return read(resource.id);
        if (fault.response.status !== 503) throw fault;
      } else if (!(fault instanceof FetchError || fault instanceof TypeError)) {
        throw fault; // those two: no reply, or half of one
      }
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
  read: () => Promise<ApiResponse<T>>,
  change: (current: T, ifMatch: string) => Promise<T>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const current = await read();
    try {
      return await change(await current.value(), current.raw.headers.get("ETag") ?? "");
    } catch (fault) {
      const stale = fault instanceof ResponseError && fault.response.status === 412;
      if (!stale || attempt > pauses.length) throw fault;
    }
  }
}
