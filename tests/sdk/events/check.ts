// Reads the feed of a running service as the types of the events say it is, and leaves it in a file for the other languages.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { CrmEvent } from "./CrmEvent";
import { Opportunity } from "./Opportunity";
import { OpportunityStage } from "./OpportunityStage";

const { CRM_URL, CRM_TOKEN, EVENTS = "" } = process.env;

async function send(method: string, path: string, body?: object): Promise<any> {
  const headers = {
    Authorization: `Bearer ${CRM_TOKEN}`,
    "Content-Type": "application/json",
    "X-Request-ID": crypto.randomUUID(),
  };
  const reply = await fetch(`${CRM_URL}${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
  assert(reply.ok, `${method} ${path}: ${reply.status}`);
  return reply.status === 204 ? undefined : reply.json();
}

// The compiler says which fields there are; the service, whether it sends those.
const ofEvent: Record<keyof CrmEvent, true> = {
  eventId: true,
  eventType: true,
  timestamp: true,
  source: true,
  traceId: true,
  data: true,
};
const ofOpportunity: Record<keyof Opportunity, true> = {
  opportunityId: true,
  tenantId: true,
  customerId: true,
  title: true,
  amountCents: true,
  currency: true,
  stage: true,
  status: true,
  createdAt: true,
  updatedAt: true,
};
const same = (object: object, fields: object) => assert.deepEqual(Object.keys(object).sort(), Object.keys(fields).sort());

/** What a consumer does: it goes by the type of the event, and the compiler knows what is in it. */
function described(event: CrmEvent): string {
  same(event, ofEvent);
  switch (event.eventType) {
    case "crm.customer.created":
      return `${event.data.resource.name} ${event.data.resource.contactPhone}`;
    case "crm.contact.created":
      return `${event.data.resource.name} ${event.data.resource.isPrimary}`;
    case "crm.opportunity.created":
    case "crm.opportunity.closed":
      same(event.data.resource, ofOpportunity);
      return `${event.data.resource.title} ${OpportunityStage[event.data.resource.stage]} ${event.data.resource.amountCents}`;
    case "crm.followup.created":
      return `${event.data.resource.content} ${event.data.resource.contactId}`;
    default:
      return event.eventType;
  }
}

async function main(): Promise<void> {
  const { customerId } = await send("POST", "/customers", { name: "Café 北京" });
  await send("POST", "/contacts", { customerId, name: "李雷", email: "li.lei@example.com" });
  const opportunity = await send("POST", "/opportunities", { customerId, title: "Licence", amountCents: 3_000_000_000 });
  await send("POST", "/follow-ups", { customerId, content: "Called" });
  await send("PATCH", `/opportunities/${opportunity.opportunityId}`, { stage: OpportunityStage.WON });
  await send("PATCH", `/customers/${customerId}`, { contactPhone: "13812345678" });

  const events: CrmEvent[] = [];
  for (let after = ""; events.length < 6; ) {
    const feed = await send("GET", `/events?wait=5${after}`);
    assert(feed.data.length > 0, "an event is missing");
    events.push(...feed.data);
    after = `&after=${encodeURIComponent(feed.cursor)}`;
  }
  assert.deepEqual(events.map(described), [
    "Café 北京 null",
    "李雷 false",
    "Licence NEW 3000000000",
    "Called null",
    "Licence WON 3000000000",
    "crm.customer.updated",
  ]);
  writeFileSync(EVENTS, JSON.stringify(events));
  console.log(`TypeScript: ${events.length} events of the feed are as their types say`);
}

void main().catch((fault: unknown) => {
  console.error(fault);
  process.exitCode = 1;
});
