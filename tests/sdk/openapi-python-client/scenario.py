"""One walk through the API with the client that openapi-python-client makes."""

from __future__ import annotations

import os
from typing import TypeVar
from uuid import UUID, uuid4

from crm_client import AuthenticatedClient
from crm_client.api.contacts import create_contact, delete_contact, get_contact
from crm_client.api.customers import create_customer, delete_customer, get_customer, list_customers, update_customer
from crm_client.api.events import list_events
from crm_client.api.follow_ups import create_follow_up, delete_follow_up, get_follow_up
from crm_client.api.health import get_health
from crm_client.api.opportunities import create_opportunity, delete_opportunity, get_opportunity
from crm_client.models import (
    Contact,
    ContactCreate,
    Customer,
    CustomerCreate,
    CustomerList,
    CustomerStatus,
    CustomerUpdate,
    ErrorBody,
    ErrorCode,
    ErrorResource,
    Event,
    EventList,
    FollowUp,
    FollowUpCreate,
    Health,
    HealthStatus,
    Opportunity,
    OpportunityCreate,
    OpportunityStage,
    OpportunityStatus,
)
from crm_client.types import Response
from lost_reply import losing_the_first_reply
from recipe import change_unchanged, send_once

URL, TOKEN = os.environ["CRM_URL"], os.environ["CRM_TOKEN"]
TYPES = "crm.customer.created,crm.opportunity.closed"
T = TypeVar("T")


def accepted(kind: type[T], parsed: object) -> T:
    assert isinstance(parsed, kind), parsed
    return parsed


def refused(reply: Response[T], status: int) -> ErrorBody:
    assert reply.status_code == status, reply
    return accepted(ErrorBody, reply.parsed)


def key() -> str:
    return str(uuid4())


crm = AuthenticatedClient(URL, TOKEN)

first_key = key()
acme = CustomerCreate(name="Café 北京 🚀", contact_phone=None, contact_email="li.lei@example.com")
customer = accepted(Customer, create_customer.sync(client=crm, x_request_id=first_key, body=acme))
assert (customer.name, customer.contact_phone, customer.contact_email) == (acme.name, None, acme.contact_email)
li_lei = ContactCreate(customer_id=customer.customer_id, name="李雷", phone="13812345678", email=None)
contact = accepted(Contact, create_contact.sync(client=crm, x_request_id=key(), body=li_lei))
assert (contact.name, contact.phone, contact.email) == ("李雷", "13812345678", None)
licence = OpportunityCreate(
    customer_id=customer.customer_id,
    title="Licence",
    amount_cents=1250000,
    stage=OpportunityStage.OPPORTUNITY_STAGE_PROPOSAL,
)
opportunity = accepted(Opportunity, create_opportunity.sync(client=crm, x_request_id=key(), body=licence))
assert opportunity.stage is OpportunityStage.OPPORTUNITY_STAGE_PROPOSAL and opportunity.amount_cents == 1250000
called = FollowUpCreate(opportunity_id=opportunity.opportunity_id, content="Called:\nwants an offer")
follow_up = accepted(FollowUp, create_follow_up.sync(client=crm, x_request_id=key(), body=called))
assert follow_up.customer_id == customer.customer_id and follow_up.contact_id is None
print("1 created all four")

conflict = refused(create_customer.sync_detailed(client=crm, x_request_id=first_key, body=acme), 409)
assert conflict.code is ErrorCode.ERROR_CODE_IDEMPOTENT_CONFLICT
made = accepted(ErrorResource, conflict.resource)
assert made.type_ == "customer" and made.id == customer.customer_id
print("2 a repeated request is 409 with its resource")

with losing_the_first_reply(URL) as (lossy, replies), AuthenticatedClient(lossy, TOKEN) as fragile:
    second = accepted(
        Customer,
        send_once(
            lambda id: create_customer.sync_detailed(client=fragile, x_request_id=id, body=CustomerCreate(name="Second")),
            lambda id: get_customer.sync_detailed(id, client=fragile),
        ).parsed,
    )
    assert second.name == "Second" and replies == [201, 409, 200], replies
third = accepted(Customer, create_customer.sync(client=crm, x_request_id=key(), body=CustomerCreate(name="Third")))
page = accepted(CustomerList, list_customers.sync(client=crm, page=1, page_size=2))
assert page.total == 3 and [item.customer_id for item in page.data] == [third.customer_id, second.customer_id]
last = accepted(CustomerList, list_customers.sync(client=crm, page=2, page_size=2))
assert last.total == 3 and [item.name for item in last.data] == [acme.name]
print("3 a lost reply made no second customer; three are listed by two")

cleared = update_customer.sync(
    customer.customer_id, client=crm, x_request_id=key(), body=CustomerUpdate(contact_email=None)
)
changed = accepted(Customer, cleared)
assert changed.contact_email is None and changed.name == acme.name
print("4 null clears a field, and what is left out stays")


def rename(name: str, etag: str) -> Response[Customer | ErrorBody]:
    update = CustomerUpdate(name=name)
    return update_customer.sync_detailed(customer.customer_id, client=crm, x_request_id=key(), body=update, if_match=etag)


def read() -> Response[Customer | ErrorBody]:
    return get_customer.sync_detailed(customer.customer_id, client=crm)


before = read()
accepted(Customer, rename("Meanwhile", before.headers["ETag"]).parsed)
stale = refused(rename("Stale", before.headers["ETag"]), 412)
assert stale.code is ErrorCode.ERROR_CODE_PRECONDITION_FAILED
reads = [before]
renamed = change_unchanged(lambda: reads.pop() if reads else read(), lambda _, etag: rename("Renamed", etag))
assert accepted(Customer, renamed.parsed).name == "Renamed"
print("5 an old version is 412; read again, it is changed")

unknown = UUID("019c1363-0000-7000-8000-000000000000")
missing = refused(get_customer.sync_detailed(unknown, client=crm, x_request_id="asked-for"), 404)
assert missing.code is ErrorCode.ERROR_CODE_NOT_FOUND and missing.request_id == "asked-for" and not missing.resource
assert missing.message and (missing.details is None or missing.details)
print("6 an unknown id is 404")

won = OpportunityCreate(
    customer_id=customer.customer_id, title="Won", stage=OpportunityStage.OPPORTUNITY_STAGE_WON
)
closed = accepted(Opportunity, create_opportunity.sync(client=crm, x_request_id=key(), body=won))
assert closed.status is OpportunityStatus.OPPORTUNITY_STATUS_WON
assert customer.status is CustomerStatus.CUSTOMER_STATUS_PROSPECT
events: list[Event] = []
feed = accepted(EventList, list_events.sync(client=crm, types=TYPES))
while len(events := events + feed.data) < 4:
    feed = accepted(EventList, list_events.sync(client=crm, types=TYPES, after=feed.cursor, wait=5))
    assert feed.data, events
assert events[0].data.resource["customerId"] == str(customer.customer_id) and events[0].data.version == 1
assert [event.event_type for event in events] == ["crm.customer.created"] * 3 + ["crm.opportunity.closed"]
assert accepted(Health, get_health.sync(client=crm)).status is HealthStatus.HEALTH_STATUS_UP
print("7 enums have names, events their resources, and the service is up")

assert delete_follow_up.sync_detailed(follow_up.follow_up_id, client=crm).status_code == 204
assert delete_opportunity.sync_detailed(opportunity.opportunity_id, client=crm).status_code == 204
assert delete_contact.sync_detailed(contact.contact_id, client=crm).status_code == 204
assert delete_customer.sync_detailed(customer.customer_id, client=crm).status_code == 204
refused(get_follow_up.sync_detailed(follow_up.follow_up_id, client=crm), 404)
refused(get_opportunity.sync_detailed(opportunity.opportunity_id, client=crm), 404)
refused(get_contact.sync_detailed(contact.contact_id, client=crm), 404)
refused(get_customer.sync_detailed(customer.customer_id, client=crm), 404)
print("8 deleted all four")
crm.get_httpx_client().close()
