"""Reads events of the feed with the types of the events."""

from __future__ import annotations

import sys
from pathlib import Path

from crm_events import CrmEvent, CustomerCreated, CustomerUpdated, OpportunityClosed
from crm_events.opportunity_stage import OpportunityStage
from pydantic import TypeAdapter, ValidationError

feed: TypeAdapter[list[CrmEvent]] = TypeAdapter(list[CrmEvent])
events = feed.validate_json(Path(sys.argv[1]).read_bytes())

created, closed, updated = events[0], events[4], events[5]
assert isinstance(created, CustomerCreated) and created.data.resource.name == "Café 北京"
assert created.data.resource.contact_phone is None and created.data.version == 1
assert isinstance(closed, OpportunityClosed) and closed.data.resource.stage is OpportunityStage.WON
assert closed.data.resource.amount_cents == 3_000_000_000
assert isinstance(updated, CustomerUpdated) and updated.data.changed_fields == ["contactPhone"]
assert updated.data.resource.contact_phone == "138****5678"
try:
    feed.validate_python([{"eventType": "crm.customer.created"}])
    raise AssertionError("half an event is read as a whole one")
except ValidationError:
    pass
print(f"Python: {len(events)} events of the feed are as their types say")
