"""One walk through the API with the client that openapi-generator makes for Python."""

from __future__ import annotations

import os
from collections.abc import Callable
from uuid import UUID, uuid4

from crm_client import (
    ApiClient,
    ApiException,
    ApiResponse,
    Configuration,
    ContactCreate,
    ContactsApi,
    Customer,
    CustomerCreate,
    CustomersApi,
    CustomerStatus,
    CustomerUpdate,
    ErrorBody,
    ErrorCode,
    Event,
    EventsApi,
    FollowUpCreate,
    FollowUpsApi,
    HealthApi,
    HealthStatus,
    OpportunitiesApi,
    OpportunityCreate,
    OpportunityStage,
    OpportunityStatus,
)
from crm_client.exceptions import ConflictException, NotFoundException
from lost_reply import losing_the_first_reply
from recipe import change_unchanged, entity_tag, send_once

URL, TOKEN = os.environ["CRM_URL"], os.environ["CRM_TOKEN"]
TYPES = "crm.customer.created,crm.opportunity.closed"


def client(url: str) -> ApiClient:
    return ApiClient(Configuration(host=url, access_token=TOKEN))


def refusal(call: Callable[[], object], status: int) -> ErrorBody:
    try:
        call()
    except ApiException as refused:
        assert refused.status == status, refused
        assert isinstance(refused.data, ErrorBody), refused.data
        return refused.data
    raise AssertionError(f"no {status}")


api = client(URL)
customers, contacts = CustomersApi(api), ContactsApi(api)
opportunities, follow_ups = OpportunitiesApi(api), FollowUpsApi(api)

key = str(uuid4())
acme = CustomerCreate(name="Café 北京 🚀", contact_phone=None, contact_email="li.lei@example.com")
customer = customers.create_customer(key, acme)
assert (customer.name, customer.contact_phone, customer.contact_email) == (acme.name, None, acme.contact_email)
li_lei = ContactCreate(customer_id=customer.customer_id, name="李雷", phone="13812345678", email=None)
contact = contacts.create_contact(str(uuid4()), li_lei)
assert (contact.name, contact.phone, contact.email) == ("李雷", "13812345678", None)
licence = OpportunityCreate(
    customer_id=customer.customer_id,
    title="Licence",
    amount_cents=1250000,
    stage=OpportunityStage.OPPORTUNITY_STAGE_PROPOSAL,
)
opportunity = opportunities.create_opportunity(str(uuid4()), licence)
assert opportunity.stage is OpportunityStage.OPPORTUNITY_STAGE_PROPOSAL and opportunity.amount_cents == 1250000
called = FollowUpCreate(opportunity_id=opportunity.opportunity_id, content="Called:\nwants an offer")
follow_up = follow_ups.create_follow_up(str(uuid4()), called)
assert follow_up.customer_id == customer.customer_id and follow_up.contact_id is None
print("1 created all four")

try:
    customers.create_customer(key, acme)
    raise AssertionError("no 409")
except ConflictException as conflict:
    assert isinstance(conflict.data, ErrorBody) and conflict.data.code is ErrorCode.ERROR_CODE_IDEMPOTENT_CONFLICT
    assert conflict.data.resource and conflict.data.resource.type == "customer"
    assert conflict.data.resource.id == customer.customer_id
print("2 a repeated request is 409 with its resource")

with losing_the_first_reply(URL) as (lossy, replies):
    fragile = CustomersApi(client(lossy))
    second = send_once(lambda id: fragile.create_customer(id, CustomerCreate(name="Second")), fragile.get_customer)
    assert second.name == "Second" and replies == [201, 409, 200], replies
third = send_once(lambda id: customers.create_customer(id, CustomerCreate(name="Third")), customers.get_customer)
page = customers.list_customers(page=1, page_size=2)
assert page.total == 3 and [item.customer_id for item in page.data] == [third.customer_id, second.customer_id]
last = customers.list_customers(page=2, page_size=2)
assert last.total == 3 and [item.name for item in last.data] == [acme.name]
print("3 a lost reply made no second customer; three are listed by two")

changed = customers.update_customer(customer.customer_id, str(uuid4()), CustomerUpdate(contact_email=None))
assert changed.contact_email is None and changed.name == acme.name
print("4 null clears a field, and what is left out stays")


def rename(name: str, etag: str) -> Customer:
    return customers.update_customer(customer.customer_id, str(uuid4()), CustomerUpdate(name=name), if_match=etag)


def read() -> ApiResponse[Customer]:
    return customers.get_customer_with_http_info(customer.customer_id)


before = read()
rename("Meanwhile", entity_tag(before))
stale = refusal(lambda: rename("Stale", entity_tag(before)), 412)
assert stale.code is ErrorCode.ERROR_CODE_PRECONDITION_FAILED
reads = [before]
renamed = change_unchanged(lambda: reads.pop() if reads else read(), lambda _, etag: rename("Renamed", etag))
assert renamed.name == "Renamed"
print("5 an old version is 412; read again, it is changed")

unknown = UUID("019c1363-0000-7000-8000-000000000000")
missing = refusal(lambda: customers.get_customer(unknown, x_request_id="asked-for"), 404)
assert missing.code is ErrorCode.ERROR_CODE_NOT_FOUND and missing.request_id == "asked-for" and missing.resource is None
assert missing.message and (missing.details is None or missing.details)
print("6 an unknown id is 404")

won = OpportunityCreate(
    customer_id=customer.customer_id, title="Won", stage=OpportunityStage.OPPORTUNITY_STAGE_WON
)
closed = opportunities.create_opportunity(str(uuid4()), won)
assert closed.status is OpportunityStatus.OPPORTUNITY_STATUS_WON
assert customer.status is CustomerStatus.CUSTOMER_STATUS_PROSPECT
events: list[Event] = []
feed = EventsApi(api).list_events(types=TYPES)
while len(events := events + feed.data) < 4:
    feed = EventsApi(api).list_events(after=feed.cursor, types=TYPES, wait=5)
    assert feed.data, events
assert events[0].data.resource["customerId"] == str(customer.customer_id) and events[0].data.version == 1
assert [event.event_type for event in events] == ["crm.customer.created"] * 3 + ["crm.opportunity.closed"]
assert HealthApi(api).get_health().status is HealthStatus.HEALTH_STATUS_UP
print("7 enums have names, events their resources, and the service is up")

follow_ups.delete_follow_up(follow_up.follow_up_id)
opportunities.delete_opportunity(opportunity.opportunity_id)
contacts.delete_contact(contact.contact_id)
assert customers.delete_customer_with_http_info(customer.customer_id).status_code == 204
for gone in (
    lambda: follow_ups.get_follow_up(follow_up.follow_up_id),
    lambda: opportunities.get_opportunity(opportunity.opportunity_id),
    lambda: contacts.get_contact(contact.contact_id),
    lambda: customers.get_customer(customer.customer_id),
):
    try:
        gone()
        raise AssertionError("it is still there")
    except NotFoundException:
        pass
print("8 deleted all four")
