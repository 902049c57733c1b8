// A `fetch` that loses the first reply: the change is done, and whoever asked for it does not know.

/** The function, and the statuses that the service answered: the first of them arrives nowhere. */
export function losingTheFirstReply(): { fetch: typeof fetch; statuses: number[] } {
  const statuses: number[] = [];
  return {
    statuses,
    fetch: async (input, init) => {
      const reply = await fetch(input, init);
      if (statuses.push(reply.status) === 1) {
        await reply.body?.cancel();
        throw new TypeError("fetch failed");
      }
      return reply;
    },
  };
}
