//! Publishing: what is asked for is sent in the order in which it was, as many at once as have gathered while the ones
//! before were on their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::{Shared, is_unavailable, refused, unreadable, wire};
use crate::hub::broker::{BrokerError, Draft, Keep, Position};

/// Publications that wait at most, and their bytes.
pub(super) const WAITING: usize = 8_192;
const WAITING_BYTES: usize = 64 << 20;
/// Publications in one write.
const BATCH: usize = 256;

type Answer = Result<Position, BrokerError>;

/// A publication that waits.
pub(super) struct Request {
    channel: Arc<str>,
    draft: Draft,
    keep: Keep,
    deadline: Instant,
    answer: oneshot::Sender<Answer>,
}

/// Bytes that wait.
#[derive(Default)]
pub(super) struct Waiting(AtomicUsize);

/// Puts a publication into the queue, now: the order of calls is the order of publications.
pub(super) fn request(
    requests: &mpsc::Sender<Request>,
    waiting: &Waiting,
    channel: &Arc<str>,
    draft: Draft,
    keep: Keep,
    deadline: Instant,
) -> Result<oneshot::Receiver<Answer>, BrokerError> {
    let size = draft.data.len();
    if waiting.0.fetch_add(size, Ordering::Relaxed) + size > WAITING_BYTES {
        waiting.0.fetch_sub(size, Ordering::Relaxed);
        return Err(BrokerError::Busy);
    }
    let (answer, answered) = oneshot::channel();
    let channel = Arc::clone(channel);
    requests.try_send(Request { channel, draft, keep, deadline, answer }).map_err(|error| {
        waiting.0.fetch_sub(size, Ordering::Relaxed);
        match error {
            mpsc::error::TrySendError::Full(_) => BrokerError::Busy,
            mpsc::error::TrySendError::Closed(_) => BrokerError::Away,
        }
    })?;
    Ok(answered)
}

/// Publishes for as long as somebody asks.
pub(super) async fn publish_all(
    shared: Arc<Shared>,
    mut requests: mpsc::Receiver<Request>,
    waiting: Arc<Waiting>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while requests.recv_many(&mut batch, BATCH).await > 0 {
        let size: usize = batch.iter().map(|one| one.draft.data.len()).sum();
        publish(&shared, &mut batch).await;
        waiting.0.fetch_sub(size, Ordering::Relaxed);
    }
}

async fn publish(shared: &Shared, batch: &mut Vec<Request>) {
    let now = Instant::now();
    for late in batch.extract_if(.., |one| one.deadline <= now) {
        let _ = late.answer.send(Err(BrokerError::Busy));
    }
    let Some(deadline) = batch.iter().map(|one| one.deadline).min() else { return };
    let answers = publish_batch(shared, batch, deadline).await;
    for (request, answer) in batch.drain(..).zip(answers) {
        let _ = request.answer.send(answer); // who no longer waits needs no answer
    }
}

async fn publish_batch(shared: &Shared, batch: &[Request], deadline: Instant) -> Vec<Answer> {
    let mut link = match shared.linked(deadline).await {
        Ok(link) => link,
        Err(error) => return batch.iter().map(|_| Err(error.clone())).collect(),
    };
    let commands: Vec<_> = batch
        .iter()
        .map(|one| shared.scripts.publish(&link.life, &one.channel, &one.draft, one.keep))
        .collect();
    match shared.scripts.run(&mut link.connection, &commands).await {
        Ok(answers) => {
            // Its session cannot be opened again until it accepts writes.
            if answers.iter().filter_map(|answer| answer.as_ref().err()).any(is_unavailable) {
                link.broken.notify_one();
            }
            answers
                .into_iter()
                .map(|answer| {
                    let answer = answer.map_err(|error| refused(&error))?;
                    wire::read_position(answer).ok_or_else(unreadable)
                })
                .collect()
        }
        Err(error) => {
            // A server that does not answer one batch would keep all that follow waiting.
            link.broken.notify_one();
            let error = refused(&error);
            batch.iter().map(|_| Err(error.clone())).collect()
        }
    }
}
