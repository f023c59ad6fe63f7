//! Filters that wait, such as one that asks another server. They stand in the chain where the
//! description has them; a chain without them runs as one loop that never waits.

use std::future::Future;
use std::pin::Pin;

use super::{Context, Filter};
use crate::reject::Rejection;

/// A decision that is being made. Allocated once for each filter that waits.
pub(crate) type Applying<'c> =
    Pin<Box<dyn Future<Output = Result<(), Box<Rejection>>> + Send + 'c>>;

/// A filter that waits. It ends at the deadline of the request.
pub(crate) trait WaitingFilter: Send + Sync {
    /// Runs the filter on a request.
    fn apply<'c, 'r>(&'c self, context: &'c mut Context<'r>) -> Applying<'c>
    where
        'r: 'c;
}

/// A filter that waits, and how many of the others come before it.
pub(crate) type Waiting = (usize, Box<dyn WaitingFilter>);

/// Runs a chain with filters that wait, in order; the first refusal ends it.
pub(crate) async fn apply_all(
    filters: &[Filter],
    waiting: &[Waiting],
    context: &mut Context<'_>,
) -> Result<(), Box<Rejection>> {
    let mut rest = filters;
    let mut applied = 0;
    for (before, filter) in waiting {
        let (now, later) = rest.split_at(before.saturating_sub(applied).min(rest.len()));
        Filter::apply_all(now, context).map_err(|(_, rejection)| rejection)?;
        filter.apply(context).await?;
        applied += now.len();
        rest = later;
    }
    Filter::apply_all(rest, context).map_err(|(_, rejection)| rejection)
}
