//! How many requests are answered at once, and how long each may take: [`InFlightLimit`], [`InFlight`].
//!
//! A request has a place while the service works for it: not while its body is on its way, nor while it waits for something to
//! happen, nor while its reply is read. All of these last as long as the client likes, and cost no more than their connection,
//! so nobody can hold a place with them. A tenant may have half of the places, so that it cannot take them from all others.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use poem::{Request, Response};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Duration, Instant, timeout_at},
};

use super::{error::ErrorResponse, limits::RequestLimits};
use crate::{
    error::Error,
    telemetry::metrics::{HttpLimit, Metrics},
    values::Tenant,
};

/// The places for requests.
#[derive(Clone)]
pub struct InFlightLimit {
    places: Arc<Semaphore>,
    /// How many places each tenant has that has any.
    tenants: Arc<Mutex<HashMap<String, usize>>>,
    /// How many it may have.
    share: usize,
    limits: RequestLimits,
    metrics: Arc<Metrics>,
}

/// A request that is being answered, until its reply is made. Attached to the request.
#[derive(Clone)]
pub struct InFlight(Arc<Answering>);

struct Answering {
    limit: InFlightLimit,
    began: Instant,
    state: Mutex<State>,
}

struct State {
    place: Option<Permit>,
    /// Whose request it is, once that is known, and the tenant's part in it while it has a place.
    tenant: Option<Tenant>,
    part: Option<Part>,
    /// When it must be answered.
    deadline: Instant,
}

/// Counted as long as it is held.
struct Permit {
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
}

/// A place of a tenant's, counted as long as it is held.
struct Part {
    tenant: Tenant,
    tenants: Arc<Mutex<HashMap<String, usize>>>,
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = tenants.get_mut(self.tenant.as_str()) {
            *count -= 1;
            if *count == 0 {
                tenants.remove(self.tenant.as_str());
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.metrics.http.requests_in_flight.dec();
    }
}

impl InFlightLimit {
    /// So many requests at once.
    #[must_use]
    pub fn new(requests: usize, limits: RequestLimits, metrics: Arc<Metrics>) -> Self {
        let share = requests.div_ceil(2);
        metrics.http.requests_in_flight_max.set(i64::try_from(requests).unwrap_or(i64::MAX));
        Self { places: Arc::new(Semaphore::new(requests)), tenants: Arc::default(), share, limits, metrics }
    }

    /// Begins to answer a request.
    ///
    /// # Errors
    /// 503 if too many are being answered.
    pub fn begin(&self) -> Result<InFlight, ErrorResponse> {
        let (place, began) = (self.place()?, Instant::now());
        let state = Mutex::new(State {
            place: Some(place),
            tenant: None,
            part: None,
            deadline: began + self.limits.request_time,
        });
        Ok(InFlight(Arc::new(Answering { limit: self.clone(), began, state })))
    }

    fn place(&self) -> Result<Permit, ErrorResponse> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let error = ErrorResponse::from(Error::unavailable("too many requests are being answered"));
            error.because_of(HttpLimit::requests_in_flight)
        })?;
        self.metrics.http.requests_in_flight.inc();
        Ok(Permit { metrics: Arc::clone(&self.metrics), _permit: permit })
    }

    fn part(&self, tenant: &Tenant) -> Result<Part, Error> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let count = tenants.entry(tenant.as_str().to_owned()).or_default();
        if *count >= self.share {
            self.metrics.refuse(HttpLimit::tenant_requests_in_flight);
            return Err(Error::too_many(format!("at most {} requests of a tenant are answered at once", self.share)));
        }
        *count += 1;
        Ok(Part { tenant: tenant.clone(), tenants: Arc::clone(&self.tenants) })
    }
}

impl InFlight {
    /// Has it answered by its deadline, or refused with 503; of one that `changes` something it is not known then whether it did.
    pub(super) async fn answered(&self, changes: bool, answer: impl Future<Output = Response>) -> Response {
        tokio::pin!(answer);
        loop {
            let deadline = self.state().deadline;
            if let Ok(response) = timeout_at(deadline, answer.as_mut()).await {
                return response;
            }
            // It may have been moved meanwhile.
            if self.state().deadline <= Instant::now() {
                let make = if changes { Error::outcome_unknown } else { Error::unavailable };
                let error = ErrorResponse::from(make("a request was not answered in time"));
                return poem::Error::from(error.because_of(HttpLimit::request_time)).into_response();
            }
        }
    }

    /// The request is this tenant's.
    ///
    /// # Errors
    /// Too many, if the tenant has as many places as it may.
    pub(super) fn belongs_to(&self, tenant: &Tenant) -> Result<(), Error> {
        let part = self.0.limit.part(tenant)?;
        let mut state = self.state();
        state.tenant = Some(tenant.clone());
        state.part = Some(part);
        Ok(())
    }

    /// From now on the request waits, so long at most, for something that is not the service's work: it gives its place back,
    /// and its deadline is that much later. What it does afterwards must be little.
    pub fn waits(&self, at_most: Duration) {
        let mut state = self.state();
        state.deadline = Instant::now() + at_most + self.0.limit.limits.request_time;
        (state.place, state.part) = (None, None);
    }

    /// Has something done that may wait for others than the service: while it waits, the request has no place.
    ///
    /// # Errors
    /// Unavailable or too many, if there is no place any more.
    pub(super) async fn outside<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::pin!(work);
        if let Poll::Ready(done) = futures_util::poll!(work.as_mut()) {
            return Ok(done);
        }
        {
            let mut state = self.state();
            (state.place, state.part) = (None, None);
        }
        let done = work.await;
        let place = self.0.limit.place().map_err(|_| {
            self.0.limit.metrics.refuse(HttpLimit::requests_in_flight);
            Error::unavailable("too many requests are being answered")
        })?;
        let mut state = self.state();
        let part = state.tenant.as_ref().map(|tenant| self.0.limit.part(tenant)).transpose()?;
        (state.place, state.part) = (Some(place), part);
        Ok(done)
    }

    /// Waits for the rest of the request's body, without a place.
    ///
    /// # Errors
    /// 408 if it does not arrive in time, 503 or 429 if there is no place any more.
    pub(super) async fn arrival<T>(&self, body: impl Future<Output = T>) -> Result<T, ErrorResponse> {
        let RequestLimits { body_time, request_time } = self.0.limit.limits;
        let end = self.0.began + body_time;
        {
            let mut state = self.state();
            state.deadline = end + request_time;
            (state.place, state.part) = (None, None);
        }
        let late = |_| {
            let details = format!("the body did not arrive within {} seconds", body_time.as_secs());
            ErrorResponse::request_timeout(details).because_of(HttpLimit::body_time)
        };
        let body = timeout_at(end, body).await.map_err(late)?;
        let place = self.0.limit.place()?;
        let mut state = self.state();
        let part = state.tenant.as_ref().map(|tenant| self.0.limit.part(tenant)).transpose()?;
        state.deadline = Instant::now() + request_time;
        (state.place, state.part) = (Some(place), part);
        Ok(body)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request as one that is being answered.
///
/// # Errors
/// The request did not come through the service stack.
pub fn of(request: &Request) -> Result<&InFlight, Error> {
    let in_flight = request.extensions().get::<InFlight>();
    in_flight.ok_or_else(|| Error::internal("an operation was reached around the service stack"))
}
