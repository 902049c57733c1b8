// One walk through the API with the client that openapi-generator makes for fetch.
import assert from "node:assert/strict";
import {
  Configuration,
  ContactsApi,
  CustomersApi,
  CustomerStatus,
  ErrorCode,
  EventsApi,
  FollowUpsApi,
  HealthApi,
  HealthStatus,
  OpportunitiesApi,
  OpportunityStage,
  OpportunityStatus,
  ResponseError,
  type Customer,
  type ErrorBody,
  type Event,
} from "crm-client";
import { losingTheFirstReply } from "../lost-reply.mjs";
import { changeUnchanged, errorOf, sendOnce } from "./recipe.mjs";

const { CRM_URL: basePath = "", CRM_TOKEN: accessToken = "" } = process.env;
const types = "crm.customer.created,crm.opportunity.closed";
const key = () => crypto.randomUUID();

async function refusal(call: Promise<unknown>, status: number): Promise<ErrorBody> {
  try {
    await call;
  } catch (fault) {
    assert(fault instanceof ResponseError, String(fault));
    assert.equal(fault.response.status, status);
    return errorOf(fault);
  }
  return assert.fail(`no ${status}`);
}

const configuration = new Configuration({ basePath, accessToken });
const customers = new CustomersApi(configuration);
const contacts = new ContactsApi(configuration);
const opportunities = new OpportunitiesApi(configuration);
const followUps = new FollowUpsApi(configuration);

const firstKey = key();
const acme = { name: "Café 北京 🚀", contactPhone: null, contactEmail: "li.lei@example.com" };
const customer = await customers.createCustomer({ xRequestID: firstKey, customerCreate: acme });
assert.deepEqual([customer.name, customer.contactPhone, customer.contactEmail], Object.values(acme));
const { customerId } = customer;
const liLei = { customerId, name: "李雷", phone: "13812345678", email: null };
const contact = await contacts.createContact({ xRequestID: key(), contactCreate: liLei });
assert.deepEqual([contact.name, contact.phone, contact.email], ["李雷", "13812345678", null]);
const opportunity = await opportunities.createOpportunity({
  xRequestID: key(),
  opportunityCreate: {
    customerId,
    title: "Licence",
    amountCents: 1250000,
    stage: OpportunityStage.OPPORTUNITY_STAGE_PROPOSAL,
  },
});
assert.equal(opportunity.stage, OpportunityStage.OPPORTUNITY_STAGE_PROPOSAL);
assert.equal(opportunity.amountCents, 1250000);
const followUp = await followUps.createFollowUp({
  xRequestID: key(),
  followUpCreate: { opportunityId: opportunity.opportunityId, content: "Called:\nwants an offer" },
});
assert.equal(followUp.customerId, customerId);
assert.equal(followUp.contactId, null);
console.log("1 created all four");

const conflict = await refusal(customers.createCustomer({ xRequestID: firstKey, customerCreate: acme }), 409);
assert.equal(conflict.code, ErrorCode.ERROR_CODE_IDEMPOTENT_CONFLICT);
assert.deepEqual(conflict.resource, { type: "customer", id: customerId });
console.log("2 a repeated request is 409 with its resource");

const losing = losingTheFirstReply();
const fragile = new CustomersApi(new Configuration({ basePath, accessToken, fetchApi: losing.fetch }));
const second = await sendOnce(
  (xRequestID) => fragile.createCustomer({ xRequestID, customerCreate: { name: "Second" } }),
  (id) => fragile.getCustomer({ customerId: id }),
);
assert.equal(second.name, "Second");
assert.deepEqual(losing.statuses, [201, 409, 200]);
const third = await customers.createCustomer({ xRequestID: key(), customerCreate: { name: "Third" } });
const page = await customers.listCustomers({ page: 1, pageSize: 2 });
assert.equal(page.total, 3);
assert.deepEqual(page.data.map((item) => item.customerId), [third.customerId, second.customerId]);
const last = await customers.listCustomers({ page: 2, pageSize: 2 });
assert.deepEqual([last.total, ...last.data.map((item) => item.name)], [3, acme.name]);
console.log("3 a lost reply made no second customer; three are listed by two");

const changed = await customers.updateCustomer({ customerId, xRequestID: key(), customerUpdate: { contactEmail: null } });
assert.deepEqual([changed.contactEmail, changed.name], [null, acme.name]);
console.log("4 null clears a field, and what is left out stays");

const rename = (name: string, ifMatch: string): Promise<Customer> =>
  customers.updateCustomer({ customerId, xRequestID: key(), ifMatch, customerUpdate: { name } });
const read = () => customers.getCustomerRaw({ customerId });
const before = await read();
const old = before.raw.headers.get("ETag") ?? "";
await rename("Meanwhile", old);
const stale = await refusal(rename("Stale", old), 412);
assert.equal(stale.code, ErrorCode.ERROR_CODE_PRECONDITION_FAILED);
const reads = [before];
const renamed = await changeUnchanged(
  async () => reads.pop() ?? read(),
  (_, ifMatch) => rename("Renamed", ifMatch),
);
assert.equal(renamed.name, "Renamed");
console.log("5 an old version is 412; read again, it is changed");

const unknown = { customerId: "019c1363-0000-7000-8000-000000000000", xRequestID: "asked-for" };
const missing = await refusal(customers.getCustomer(unknown), 404);
assert.equal(missing.code, ErrorCode.ERROR_CODE_NOT_FOUND);
assert.deepEqual([missing.requestId, missing.resource ?? null], ["asked-for", null]);
assert(missing.message.length > 0 && missing.details !== "");
console.log("6 an unknown id is 404");

const closed = await opportunities.createOpportunity({
  xRequestID: key(),
  opportunityCreate: { customerId, title: "Won", stage: OpportunityStage.OPPORTUNITY_STAGE_WON },
});
assert.equal(closed.status, OpportunityStatus.OPPORTUNITY_STATUS_WON);
assert.equal(customer.status, CustomerStatus.CUSTOMER_STATUS_PROSPECT);
const events = new EventsApi(configuration);
let feed = await events.listEvents({ types });
const seen: Event[] = [...feed.data];
while (seen.length < 4) {
  feed = await events.listEvents({ types, after: feed.cursor, wait: 5 });
  assert(feed.data.length > 0, JSON.stringify(seen));
  seen.push(...feed.data);
}
assert.deepEqual([seen[0]?.data.resource["customerId"], seen[0]?.data.version], [customerId, 1]);
assert.deepEqual(seen.map((event) => event.eventType), [...Array(3).fill("crm.customer.created"), "crm.opportunity.closed"]);
assert.equal((await new HealthApi(configuration).getHealth()).status, HealthStatus.HEALTH_STATUS_UP);
console.log("7 enums have names, events their resources, and the service is up");

const { contactId } = contact;
const { opportunityId } = opportunity;
const { followUpId } = followUp;
assert.equal((await followUps.deleteFollowUpRaw({ followUpId })).raw.status, 204);
assert.equal((await opportunities.deleteOpportunityRaw({ opportunityId })).raw.status, 204);
assert.equal((await contacts.deleteContactRaw({ contactId })).raw.status, 204);
assert.equal((await customers.deleteCustomerRaw({ customerId })).raw.status, 204);
await refusal(followUps.getFollowUp({ followUpId }), 404);
await refusal(opportunities.getOpportunity({ opportunityId }), 404);
await refusal(contacts.getContact({ contactId }), 404);
await refusal(customers.getCustomer({ customerId }), 404);
console.log("8 deleted all four");
