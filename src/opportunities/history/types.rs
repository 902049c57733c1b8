//! Contract types of the stage history.

use poem_openapi::Object;
use serde::Serialize;

use super::entity::Model;
use crate::{
    opportunities::stage::OpportunityStage,
    values::{Nullable, Shown, Timestamp, figure::Seconds, page::NextCursor, shown::ActorName},
};

/// A page of the stages that an opportunity was in, the latest first.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct StageHistory {
    /// The stages; each move into a stage is one, also back into one.
    #[oai(validator(max_items = 100))]
    pub data: Vec<StageStay>,
    /// From when on the history is complete. What was before comes from the opportunity itself, and its times are estimated.
    /// `null` while the history of an older opportunity is not filled in yet, for a while after an upgrade: then there is none.
    pub since: Nullable<Timestamp>,
    /// `after` of the next page; `null` at the end.
    pub next_cursor: NextCursor,
}

/// A stage that an opportunity was in.
#[derive(Debug, Object, Serialize)]
#[oai(rename_all = "camelCase")]
#[serde(rename_all = "camelCase")]
pub struct StageStay {
    /// The stage.
    pub stage: OpportunityStage,
    /// When the opportunity came into it.
    pub entered_at: Timestamp,
    /// When it left it; `null` in the stage that it is in.
    pub left_at: Nullable<Timestamp>,
    /// For how long it was in the stage, in whole seconds, rounded down; `null` in the stage that it is in.
    pub duration_seconds: Nullable<Seconds>,
    /// Who moved it there: the token's `sub`, else its client, else `unknown`; `null` where that is not known, or not yet, because
    /// it was done by a process of an earlier version.
    pub actor: Nullable<Shown<ActorName>>,
}

impl StageStay {
    pub(super) fn from_row(row: Model) -> Self {
        let Model {
            tenant_id: _,
            opportunity_id: _,
            entered_at,
            stage,
            left_at,
            next_stage: _,
            actor,
            needs_actor: _,
            is_estimated: _,
        } = row;
        let duration = left_at.map(|left_at| Seconds((left_at - entered_at).num_seconds()));
        Self {
            stage,
            entered_at: Timestamp(entered_at),
            left_at: Nullable(left_at.map(Timestamp)),
            duration_seconds: Nullable(duration),
            actor: Nullable(actor.map(Into::into)),
        }
    }
}
