//! A response body that keeps something alive until its last byte is taken or the client has gone.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};

/// `body` with `guard`, which is dropped with it.
#[derive(Debug)]
pub(crate) struct GuardedBody<G> {
    body: Body,
    guard: G,
    on_last: Option<fn(&mut G)>,
}

impl<G> GuardedBody<G> {
    pub(crate) fn new(body: Body, guard: G) -> Self {
        Self { body, guard, on_last: None }
    }

    /// As [`new`](Self::new); `on_last` learns when the body has been taken to its end, so that the guard can tell a
    /// complete response from one whose client went away.
    pub(crate) fn with_notice(body: Body, mut guard: G, on_last: fn(&mut G)) -> Self {
        let is_over = body.is_end_stream();
        if is_over {
            on_last(&mut guard);
        }
        Self { body, guard, on_last: (!is_over).then_some(on_last) }
    }
}

impl<G: Unpin> HttpBody for GuardedBody<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let is_over = match &frame {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => self.body.is_end_stream(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        if is_over && let Some(on_last) = self.on_last.take() {
            on_last(&mut self.guard);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
