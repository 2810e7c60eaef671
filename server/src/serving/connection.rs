//! One connection: HTTP/1.1 or HTTP/2 (with prior knowledge) on a socket, closed when its state has lasted too long.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, Version, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;
use tower::ServiceExt;
use tracing::debug;

use super::ConnectionLimits;
use super::activity::{Activity, Verdict, WatchedStream};
use crate::guarded_body::GuardedBody;
use crate::lifecycle::{Lifecycle, Phase};

/// What a connection needs to know.
pub(super) struct Connection {
    pub(super) router: Router,
    pub(super) limits: ConnectionLimits,
    pub(super) lifecycle: Arc<Lifecycle>,
    /// Becomes true when the listener has closed.
    pub(super) on_closing: watch::Receiver<bool>,
}

impl Connection {
    /// Serves requests until either side closes.
    pub(super) async fn run(self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            debug!("TCP_NODELAY cannot be set: {error}");
        }
        let activity = Activity::new(Instant::now());
        let io = TokioIo::new(WatchedStream::new(stream, activity.clone()));
        let mut builder = Builder::new(TokioExecutor::new());
        // Times are kept here; hyper's own bound on heads would also end connections that are merely idle.
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(self.limits.idle_timeout / 2);
        let service = service_fn(|request: Request<Incoming>| self.answer(request, &activity));
        let mut connection = pin!(builder.serve_connection(io, service));

        let mut on_closing = self.on_closing.clone();
        let mut closing = pin!(async {
            // An error means that the server is gone, which is a reason to close, too.
            let _ = on_closing.wait_for(|closing| *closing).await;
        });
        let mut alarm = pin!(tokio::time::sleep(self.limits.header_timeout));
        let mut is_closing = false;
        poll_fn(|context| {
            if let Poll::Ready(ended) = connection.as_mut().poll(context) {
                if let Err(error) = ended {
                    debug!("a connection ended: {error}");
                }
                return Poll::Ready(());
            }
            if !is_closing && closing.as_mut().poll(context).is_ready() {
                is_closing = true;
                activity.begin_closing(Instant::now());
            }
            loop {
                match activity.judge(&self.limits, Instant::now()) {
                    Verdict::Wait => return Poll::Pending,
                    Verdict::WaitUntil(deadline) => {
                        if alarm.deadline() != deadline {
                            alarm.as_mut().reset(deadline);
                        }
                        if alarm.as_mut().poll(context).is_pending() {
                            return Poll::Pending;
                        }
                    }
                    Verdict::Close => {
                        activity.asked_to_close(Instant::now());
                        connection.as_mut().graceful_shutdown();
                        if connection.as_mut().poll(context).is_ready() {
                            return Poll::Ready(());
                        }
                    }
                    Verdict::Abort => return Poll::Ready(()),
                }
            }
        })
        .await;
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        activity: &Activity,
    ) -> impl Future<Output = Result<Response<GuardedBody<super::activity::InFlight>>, Infallible>> + use<> {
        let version = request.version();
        let in_flight = activity.take_request(version == Version::HTTP_2);
        let (router, lifecycle) = (self.router.clone(), self.lifecycle.clone());
        async move {
            let mut response = router.oneshot(request.map(Body::new)).await?;
            if version != Version::HTTP_2 && lifecycle.phase() == Phase::Draining {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response.map(|body| GuardedBody::new(body, in_flight)))
        }
    }
}
