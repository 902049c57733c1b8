//! From a request as hyper reads it to a reply as hyper writes it: [`Answering`].

use std::{net::SocketAddr, sync::Arc};

use hyper::body::{Body, Incoming};
use poem::{
    Endpoint, Request, Response,
    http::{
        self, HeaderMap, HeaderValue, StatusCode, Version,
        header::{CONNECTION, CONTENT_LENGTH, EXPECT},
        uri::Scheme,
    },
    web::{LocalAddr, RemoteAddr},
};
use tokio_util::sync::CancellationToken;

use super::{activity::Exchange, reply::ReplyBody, unread::SharedBody};
use crate::http::{
    error::ErrorResponse,
    head::{self, Refused},
    limits::Limits,
};

/// Answers the requests of all connections.
pub(super) struct Answering<E> {
    pub(super) endpoint: E,
    pub(super) address: SocketAddr,
    pub(super) limits: Arc<Limits>,
    /// Cancelled when each reply is to be its connection's last.
    pub(super) stopping: CancellationToken,
}

impl<E: Endpoint<Output = Response> + 'static> Answering<E> {
    pub(super) async fn answer(
        &self,
        request: http::Request<Incoming>,
        remote: SocketAddr,
        exchange: Arc<Exchange>,
    ) -> http::Response<ReplyBody> {
        let multiplexed = request.version() == Version::HTTP_2;
        let (body_follows, waits) = (!request.body().is_end_stream(), waits_for_100(request.headers()));
        let (head, body) = request.into_parts();
        let refused = head::judge(&head, &self.limits).err();
        // What is refused so may not have been understood: nothing after it may be.
        let mut is_last = refused.is_some();
        let mut request = self.request(http::Request::from_parts(head, body), remote);
        if let Some(refused) = refused {
            request.extensions_mut().insert(refused);
        }
        let body = body_follows.then(|| SharedBody::new(request.take_body(), Arc::clone(&exchange)));
        if let Some(body) = &body {
            request.set_body(body.reader());
        }
        let mut response = self.endpoint.get_response(request).await;
        is_last |= self.stopping.is_cancelled() || response.status() == StatusCode::REQUEST_TIMEOUT;
        // The end of a stream of HTTP/2 is not that of its connection.
        if !multiplexed {
            if !is_last && let Some(body) = &body {
                is_last = !body.end(self.limits.body_size, waits).await;
            }
            if is_last {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        exchange.replied();
        let response: http::Response<_> = response.into();
        response.map(|body| ReplyBody::new(body, exchange))
    }

    fn request(&self, request: http::Request<Incoming>, remote: SocketAddr) -> Request {
        Request::from((request, LocalAddr(self.address.into()), RemoteAddr(remote.into()), Scheme::HTTP))
    }

    /// The reply to what hyper could not read, from the head of its own: as bytes, which are a connection's last.
    pub(super) async fn refuse(&self, head: &[u8], only_first_line: bool) -> Vec<u8> {
        let head = String::from_utf8_lossy(head);
        let status = head.split(' ').nth(1).unwrap_or_default();
        let refused = match status {
            "414" => Refused(ErrorResponse::uri_too_long(self.limits.url_size)),
            "431" if only_first_line => Refused(ErrorResponse::uri_too_long(self.limits.url_size)),
            "431" => head::too_large(&self.limits),
            _ => head::malformed("the head of the request is malformed"),
        };
        let mut request = Request::default();
        request.extensions_mut().insert(refused);
        let mut response = self.endpoint.get_response(request).await;
        let body = response.take_body().into_vec().await.unwrap_or_default();
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let status = response.status();
        let mut reply = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default());
        // hyper knows the time.
        let dates = head.lines().filter(|line| line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case("date:")));
        dates.for_each(|line| reply.extend([line, "\r\n"]));
        let mut reply = reply.into_bytes();
        for (name, value) in response.headers() {
            [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].iter().for_each(|part| reply.extend(*part));
        }
        reply.extend(b"\r\n");
        reply.extend(body);
        reply
    }
}

/// Whether the client may not send its body before it is asked for it.
fn waits_for_100(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}
