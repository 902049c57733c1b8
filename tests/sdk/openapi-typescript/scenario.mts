// One walk through the API with openapi-fetch and the types of openapi-typescript.
import assert from "node:assert/strict";
import {
  CustomerStatus,
  ErrorCode,
  HealthStatus,
  OpportunityStage,
  OpportunityStatus,
  type CustomerCreate,
  type ErrorBody,
  type Event,
  type paths,
} from "crm-client";
import createClient from "openapi-fetch";
import { losingTheFirstReply } from "../lost-reply.mjs";
import { changeUnchanged, sendOnce, type Reply } from "./recipe.mjs";

const { CRM_URL: baseUrl = "", CRM_TOKEN = "" } = process.env;
const headers = { Authorization: `Bearer ${CRM_TOKEN}` };
const types = "crm.customer.created,crm.opportunity.closed";
const key = (): string => crypto.randomUUID();
const crm = createClient<paths>({ baseUrl, headers });

async function accepted<T>(call: Promise<Reply<T>>): Promise<T> {
  const { data, error } = await call;
  return data ?? assert.fail(JSON.stringify(error));
}

async function refused(call: Promise<Reply<unknown>>, status: number): Promise<ErrorBody> {
  const { error, response } = await call;
  assert.equal(response.status, status);
  return error ?? assert.fail(`no body of ${status}`);
}

const change = (requestId = key()) => ({ header: { "X-Request-ID": requestId } });

const firstKey = key();
const acme: CustomerCreate = { name: "Café 北京 🚀", contactPhone: null, contactEmail: "li.lei@example.com" };
const customer = await accepted(crm.POST("/customers", { params: change(firstKey), body: acme }));
assert.deepEqual([customer.name, customer.contactPhone, customer.contactEmail], Object.values(acme));
const { customerId } = customer;
const liLei = { customerId, name: "李雷", phone: "13812345678", email: null };
const contact = await accepted(crm.POST("/contacts", { params: change(), body: liLei }));
assert.deepEqual([contact.name, contact.phone, contact.email], ["李雷", "13812345678", null]);
const stage = OpportunityStage.OPPORTUNITY_STAGE_PROPOSAL;
const licence = { customerId, title: "Licence", amountCents: 1250000, stage };
const opportunity = await accepted(crm.POST("/opportunities", { params: change(), body: licence }));
assert.deepEqual([opportunity.stage, opportunity.amountCents], [OpportunityStage.OPPORTUNITY_STAGE_PROPOSAL, 1250000]);
const called = { opportunityId: opportunity.opportunityId, content: "Called:\nwants an offer" };
const followUp = await accepted(crm.POST("/follow-ups", { params: change(), body: called }));
assert.deepEqual([followUp.customerId, followUp.contactId], [customerId, null]);
console.log("1 created all four");

const conflict = await refused(crm.POST("/customers", { params: change(firstKey), body: acme }), 409);
assert.equal(conflict.code, ErrorCode.ERROR_CODE_IDEMPOTENT_CONFLICT);
assert.deepEqual(conflict.resource, { type: "customer", id: customerId });
console.log("2 a repeated request is 409 with its resource");

const losing = losingTheFirstReply();
const fragile = createClient<paths>({ baseUrl, headers, fetch: losing.fetch });
const second = await accepted(
  sendOnce(
    (id) => fragile.POST("/customers", { params: change(id), body: { name: "Second" } }),
    (id) => fragile.GET("/customers/{customer_id}", { params: { path: { customer_id: id } } }),
  ),
);
assert.equal(second.name, "Second");
assert.deepEqual(losing.statuses, [201, 409, 200]);
const third = await accepted(crm.POST("/customers", { params: change(), body: { name: "Third" } }));
const page = await accepted(crm.GET("/customers", { params: { query: { page: 1, pageSize: 2 } } }));
assert.equal(page.total, 3);
assert.deepEqual(page.data.map((item) => item.customerId), [third.customerId, second.customerId]);
const last = await accepted(crm.GET("/customers", { params: { query: { page: 2, pageSize: 2 } } }));
assert.deepEqual([last.total, ...last.data.map((item) => item.name)], [3, acme.name]);
console.log("3 a lost reply made no second customer; three are listed by two");

const path = { customer_id: customerId };
const clear = { params: { path, ...change() }, body: { contactEmail: null } };
const changed = await accepted(crm.PATCH("/customers/{customer_id}", clear));
assert.deepEqual([changed.contactEmail, changed.name], [null, acme.name]);
console.log("4 null clears a field, and what is left out stays");

const rename = (name: string, ifMatch: string) =>
  crm.PATCH("/customers/{customer_id}", {
    params: { path, header: { "X-Request-ID": key(), "If-Match": ifMatch } },
    body: { name },
  });
const read = () => crm.GET("/customers/{customer_id}", { params: { path } });
const before = await read();
const old = before.response.headers.get("ETag") ?? "";
await accepted(rename("Meanwhile", old));
const stale = await refused(rename("Stale", old), 412);
assert.equal(stale.code, ErrorCode.ERROR_CODE_PRECONDITION_FAILED);
const reads = [before];
const renamed = changeUnchanged(
  async () => reads.pop() ?? read(),
  (_, ifMatch) => rename("Renamed", ifMatch),
);
assert.equal((await accepted(renamed)).name, "Renamed");
console.log("5 an old version is 412; read again, it is changed");

const unknown = { path: { customer_id: "019c1363-0000-7000-8000-000000000000" }, header: { "X-Request-ID": "asked-for" } };
const missing = await refused(crm.GET("/customers/{customer_id}", { params: unknown }), 404);
assert.equal(missing.code, ErrorCode.ERROR_CODE_NOT_FOUND);
assert.deepEqual([missing.requestId, missing.resource ?? null], ["asked-for", null]);
assert(missing.message.length > 0 && missing.details !== "");
console.log("6 an unknown id is 404");

const won = { customerId, title: "Won", stage: OpportunityStage.OPPORTUNITY_STAGE_WON };
const closed = await accepted(crm.POST("/opportunities", { params: change(), body: won }));
assert.equal(closed.status, OpportunityStatus.OPPORTUNITY_STATUS_WON);
assert.equal(customer.status, CustomerStatus.CUSTOMER_STATUS_PROSPECT);
let feed = await accepted(crm.GET("/events", { params: { query: { types } } }));
const seen: Event[] = [...feed.data];
while (seen.length < 4) {
  feed = await accepted(crm.GET("/events", { params: { query: { types, after: feed.cursor, wait: 5 } } }));
  assert(feed.data.length > 0, JSON.stringify(seen));
  seen.push(...feed.data);
}
assert.deepEqual([seen[0]?.data.resource["customerId"], seen[0]?.data.version], [customerId, 1]);
assert.deepEqual(seen.map((event) => event.eventType), [...Array(3).fill("crm.customer.created"), "crm.opportunity.closed"]);
assert.equal((await accepted(crm.GET("/health"))).status, HealthStatus.HEALTH_STATUS_UP);
console.log("7 enums have names, events their resources, and the service is up");

const ofContact = { params: { path: { contact_id: contact.contactId } } };
const ofOpportunity = { params: { path: { opportunity_id: opportunity.opportunityId } } };
const ofFollowUp = { params: { path: { follow_up_id: followUp.followUpId } } };
assert.equal((await crm.DELETE("/follow-ups/{follow_up_id}", ofFollowUp)).response.status, 204);
assert.equal((await crm.DELETE("/opportunities/{opportunity_id}", ofOpportunity)).response.status, 204);
assert.equal((await crm.DELETE("/contacts/{contact_id}", ofContact)).response.status, 204);
assert.equal((await crm.DELETE("/customers/{customer_id}", { params: { path } })).response.status, 204);
await refused(crm.GET("/follow-ups/{follow_up_id}", ofFollowUp), 404);
await refused(crm.GET("/opportunities/{opportunity_id}", ofOpportunity), 404);
await refused(crm.GET("/contacts/{contact_id}", ofContact), 404);
await refused(read(), 404);
console.log("8 deleted all four");
