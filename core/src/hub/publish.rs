//! Publishing: a message is checked, gets its place here or from the broker, and subscribers are woken once for all that
//! was published meanwhile.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use super::Hub;
use super::broker::{BoxFuture, BrokerError, Draft, Position};
use super::channel::{Channel, Gone};
use super::policy::{Namespace, Refused};
use crate::json;
use crate::reject::{
    DEADLINE_EXCEEDED, INTERNAL_ERROR, PAYLOAD_TOO_LARGE, SERVICE_UNAVAILABLE, VALIDATION_ERROR,
};

/// What becomes of a publication.
pub(crate) enum Publishing {
    /// It has its place.
    Done(Position),
    /// The broker gives it one.
    Waiting(BoxFuture<Result<Position, Refused>>),
}

/// Channels whose subscribers are still to be woken: once for all that was published meanwhile. Dropped, it wakes them.
#[derive(Default)]
pub(crate) struct Touched {
    channels: Vec<Arc<Channel>>,
    /// A round that was begun, and how far it has to go until all are woken.
    behind: Option<(Arc<Channel>, u64)>,
}

// === impl Touched ===

impl Touched {
    pub(crate) fn add(&mut self, channel: &Arc<Channel>) {
        if !self.channels.iter().any(|known| Arc::ptr_eq(known, channel)) {
            self.channels.push(Arc::clone(channel));
        }
    }

    pub(crate) fn wake(&mut self) {
        for channel in self.channels.drain(..) {
            if let Some(end) = channel.wake()
                && self.behind.is_none()
            {
                self.behind = Some((channel, end));
            }
        }
    }

    /// Whether all are woken that the first publication since the last time was for.
    pub(crate) fn is_through(&mut self) -> bool {
        self.behind.take_if(|(channel, end)| channel.has_passed(*end)).is_some()
            || self.behind.is_none()
    }

    /// Waits until it is so: whoever publishes much goes no faster than its subscribers are written to.
    pub(crate) fn poll_through(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some((channel, end)) = &self.behind {
            ready!(channel.poll_passed(*end, context));
            self.behind = None;
        }
        Poll::Ready(())
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        self.wake();
    }
}

// === impl Hub ===

impl Hub {
    /// Publishes; whether somebody may is asked before.
    pub(crate) fn publish(
        self: &Arc<Self>,
        namespace: &Arc<Namespace>,
        name: &str,
        draft: Draft,
        touched: &mut Touched,
    ) -> Result<Publishing, Refused> {
        check_data(namespace, &draft.data)?;
        let Some(broker) = self.broker(namespace) else {
            return self.publish_here(namespace, name, &draft, touched).map(Publishing::Done);
        };
        let (hub, namespace, name) = (Arc::clone(self), Arc::clone(namespace), Arc::from(name));
        let answer = broker.publish(&name, draft.clone(), namespace.keep);
        Ok(Publishing::Waiting(Box::pin(async move {
            match answer.await {
                Ok(position) => {
                    namespace.counters.published.fetch_add(1, Ordering::Relaxed);
                    Ok(position)
                }
                Err(BrokerError::Away) => {
                    hub.publish_here(&namespace, &name, &draft, &mut Touched::default())
                }
                Err(error) => Err(refused(&error)),
            }
        })))
    }

    fn publish_here(
        &self,
        namespace: &Arc<Namespace>,
        name: &str,
        draft: &Draft,
        touched: &mut Touched,
    ) -> Result<Position, Refused> {
        loop {
            let channel = self.channels.obtain(name, namespace, &self.figures)?;
            match channel.publish(draft.clone(), &self.kept) {
                Ok(position) => {
                    touched.add(&channel);
                    if let Some(broker) = self.broker.get().filter(|_| namespace.shared) {
                        broker.published_alone(&channel.name);
                    }
                    return Ok(position);
                }
                Err(Gone) => self.channels.forget(&channel),
            }
        }
    }
}

/// Refuses data that is too large, or that some decoder would not read: every way to publish comes here.
fn check_data(namespace: &Namespace, data: &[u8]) -> Result<(), Refused> {
    if data.len() > namespace.max_bytes {
        let most = namespace.max_bytes;
        let sentence = format!("the data has {} bytes, {most} are accepted", data.len());
        return Err(Refused::new(&PAYLOAD_TOO_LARGE, sentence));
    }
    json::check(data).map_err(|fault| {
        Refused::new(&VALIDATION_ERROR, format!("the data is not JSON that is accepted: {fault}"))
    })
}

/// What a caller is told of a broker's failure.
pub(crate) fn refused(error: &BrokerError) -> Refused {
    let later = |kind, sentence: &'static str| Refused {
        retry_after: Some(1),
        ..Refused::new(kind, sentence)
    };
    match error {
        BrokerError::Away => later(&SERVICE_UNAVAILABLE, "the broker cannot be reached"),
        BrokerError::Busy => later(&SERVICE_UNAVAILABLE, "too much waits for the broker"),
        BrokerError::Unknown => {
            later(&DEADLINE_EXCEEDED, "the broker did not answer in time: it may have been done")
        }
        BrokerError::Refused(_) => Refused::new(&INTERNAL_ERROR, "the broker refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::policy::Policy;
    use crate::hub::tests::{open, plan};
    use crate::plan;

    #[test]
    fn data_that_is_too_large_or_too_deep_is_refused() {
        let policy = Policy::build(&plan::Hub { namespaces: vec![open("*")], ..plan() }).unwrap();
        let namespace = policy.find("c").unwrap();
        let code = |data: &str| check_data(namespace, data.as_bytes()).map_err(|why| why.kind.code);

        assert_eq!(code(&format!("\"{}\"", "[".repeat(900))), Ok(()));
        assert_eq!(code(&format!("{}1{}", "[".repeat(100), "]".repeat(100))), Ok(()));
        assert_eq!(
            code(&format!("{}1{}", "[".repeat(101), "]".repeat(101))),
            Err("validation_error")
        );
        assert_eq!(code(r#"{"a":1e400}"#), Err("validation_error"));
        assert_eq!(code(r#""\ud800""#), Err("validation_error"));
        assert_eq!(code(&"1".repeat(1001)), Err("payload_too_large"));
    }
}
