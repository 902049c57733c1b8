//! Changes that are safe to repeat, with the client that progenitor makes. To be copied.

use std::time::Duration;

use crm_client::{Error, ResponseValue, types::ErrorBody};
use uuid::Uuid;

const PAUSES_MS: [u64; 3] = [200, 1000, 5000];

pub type Reply<T> = Result<ResponseValue<T>, Error<ErrorBody>>;

/// Makes one change: its request id is set here, and stays the same over all attempts. `read` gets the resource where an earlier
/// attempt made the change and only its reply was lost (409).
pub async fn send_once<T>(
    send: impl AsyncFn(Uuid) -> Reply<T>,
    read: impl AsyncFn(Uuid) -> Reply<T>,
) -> Result<T, Error<ErrorBody>> {
    let request_id = Uuid::new_v4();
    for pause in PAUSES_MS {
        match send(request_id).await {
            Ok(done) => return Ok(done.into_inner()),
            Err(Error::ErrorResponse(refused)) if refused.status() == 409 && refused.resource.is_some() => {
                let made = refused.into_inner().resource.map(|resource| resource.id).unwrap_or_default();
                return read(made).await.map(ResponseValue::into_inner);
            }
            Err(Error::ErrorResponse(refused)) if refused.status() != 503 => return Err(Error::ErrorResponse(refused)),
            // 503; and no reply, or half of one.
            Err(Error::ErrorResponse(_) | Error::CommunicationError(_) | Error::ResponseBodyError(_)) => {}
            Err(other) => return Err(other),
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    send(request_id).await.map(ResponseValue::into_inner)
}

/// The version that was read.
pub fn entity_tag<T>(reply: &ResponseValue<T>) -> String {
    reply.headers().get("ETag").and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned()
}

/// Changes what was read only if nobody else has changed it since; else reads it again (412). `change` gets the resource and its
/// entity tag for `If-Match`, and looks whether the change is still wanted.
pub async fn change_unchanged<T>(
    mut read: impl AsyncFnMut() -> Reply<T>,
    change: impl AsyncFn(&T, String) -> Reply<T>,
) -> Result<T, Error<ErrorBody>> {
    let mut attempts = 0;
    loop {
        let current = read().await?;
        match change(&current, entity_tag(&current)).await {
            Err(refused) if refused.status().is_some_and(|status| status == 412) && attempts < PAUSES_MS.len() => {
                attempts += 1;
            }
            changed => return changed.map(ResponseValue::into_inner),
        }
    }
}
