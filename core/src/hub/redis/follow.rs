//! Following a channel: what arrives is delivered in the order of offsets and once; what does not arrive is read from
//! the history; and what is not there either is told.

use std::sync::Arc;

use crate::hub::broker::{Event, History, Position};

/// What a publication is, seen from the last one that was delivered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The next.
    Next,
    /// Delivered before.
    Known,
    /// Others should have come before it, or the numbering is another: the history knows.
    Gap,
}

pub(super) fn arrival(last: Option<&Position>, position: &Position) -> Arrival {
    match last {
        None => Arrival::Next,
        Some(last) if last.epoch != position.epoch => Arrival::Gap,
        Some(last) if position.offset <= last.offset => Arrival::Known,
        Some(last) if position.offset == last.offset + 1 => Arrival::Next,
        Some(_) => Arrival::Gap,
    }
}

/// Delivers what the history has after the last that was delivered; whether more is to be read. `limit` is what the
/// history was asked for. Where nothing was delivered yet, what was published before is not missed.
pub(super) fn catch_up(
    channel: &Arc<str>,
    last: &mut Option<Position>,
    history: History,
    limit: u32,
) -> (Vec<Event>, bool) {
    let Some(reached) = last else {
        *last = Some(history.newest);
        return (Vec::new(), false);
    };
    let mut events = Vec::new();
    let read = history.items.len();
    if reached.epoch != history.newest.epoch || reached.offset > history.newest.offset {
        let first = history.items.first().map(|item| item.position.offset.saturating_sub(1));
        reached.epoch = Arc::clone(&history.newest.epoch);
        reached.offset = first.unwrap_or(history.newest.offset);
        let position = reached.clone();
        events.push(Event::Missed { channel: Arc::clone(channel), count: None, position });
    }
    for publication in history.items {
        let offset = publication.position.offset;
        if offset > reached.offset {
            pass_over(channel, reached, offset - 1, &mut events);
            reached.offset = offset;
            events.push(Event::Publication { channel: Arc::clone(channel), publication });
        }
    }
    let more = reached.offset < history.newest.offset && limit > 0 && read >= limit as usize;
    if !more {
        pass_over(channel, reached, history.newest.offset, &mut events);
    }
    (events, more)
}

/// Tells that nothing up to `offset` comes any more.
fn pass_over(channel: &Arc<str>, reached: &mut Position, offset: u64, events: &mut Vec<Event>) {
    if offset > reached.offset {
        let count = Some(offset - reached.offset);
        reached.offset = offset;
        let position = reached.clone();
        events.push(Event::Missed { channel: Arc::clone(channel), count, position });
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrival, arrival, catch_up};
    use crate::hub::broker::{Draft, Event, History, Position, Publication};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn at(epoch: &str, offset: u64) -> Position {
        Position { epoch: epoch.into(), offset }
    }

    fn history(epoch: &str, offsets: &[u64], newest: u64) -> History {
        let item = |offset: &u64| Publication {
            position: at(epoch, *offset),
            timestamp_ms: 0,
            draft: Draft::default(),
        };
        let items = offsets.iter().map(item).collect();
        History { newest: at(epoch, newest), items, complete: true }
    }

    /// Events in short: an offset delivered, or a number of lost ones before a place.
    fn short(events: &[Event]) -> Vec<String> {
        let one = |event: &Event| match event {
            Event::Publication { publication, .. } => publication.position.offset.to_string(),
            Event::Missed { count, position, .. } => format!("-{count:?} to {}", position.offset),
            other => format!("{other:?}"),
        };
        events.iter().map(one).collect()
    }

    #[test]
    fn what_comes_next_is_told_from_what_came_and_from_what_is_ahead() {
        assert_eq!(arrival(None, &at("e", 9)), Arrival::Next);
        assert_eq!(arrival(Some(&at("e", 8)), &at("e", 9)), Arrival::Next);
        assert_eq!(arrival(Some(&at("e", 9)), &at("e", 9)), Arrival::Known);
        assert_eq!(arrival(Some(&at("e", 7)), &at("e", 9)), Arrival::Gap);
        assert_eq!(arrival(Some(&at("d", 8)), &at("e", 9)), Arrival::Gap);
    }

    #[test]
    fn a_gap_is_filled_and_its_lost_part_is_told() {
        let channel: Arc<str> = "c".into();
        let mut last = Some(at("e", 3));

        let (events, more) = catch_up(&channel, &mut last, history("e", &[6, 7], 9), 10);

        assert_eq!(short(&events), ["-Some(2) to 5", "6", "7", "-Some(2) to 9"]);
        assert!(!more);
        assert_eq!(last, Some(at("e", 9)));
    }

    #[test]
    fn another_numbering_is_told_before_its_messages() {
        let channel: Arc<str> = "c".into();
        let mut last = Some(at("d", 30));

        let (events, _) = catch_up(&channel, &mut last, history("e", &[1, 2], 2), 10);

        assert_eq!(short(&events), ["-None to 0", "1", "2"]);
    }

    #[test]
    fn a_numbering_that_went_back_is_another() {
        let channel: Arc<str> = "c".into();
        let mut last = Some(at("e", 30));

        let (events, _) = catch_up(&channel, &mut last, history("e", &[], 12), 10);

        assert_eq!(short(&events), ["-None to 12"]);
        assert_eq!(last, Some(at("e", 12)));
    }

    proptest! {
        #[test]
        fn every_offset_is_delivered_or_counted_as_lost(
            start in 0u64..20,
            kept in prop::collection::btree_set(1u64..60, 0..60),
            ahead in 0u64..60,
            limit in 1usize..12,
        ) {
            let newest = start.max(kept.last().copied().unwrap_or(0)) + ahead;
            let channel: Arc<str> = "c".into();
            let mut last = Some(at("e", start));
            let (mut reached, mut delivered, mut more) = (start, Vec::new(), true);
            while more {
                let after = last.as_ref().map_or(0, |last| last.offset);
                let page: Vec<u64> = kept.range(after + 1..).take(limit).copied().collect();
                let (events, again) =
                    catch_up(&channel, &mut last, history("e", &page, newest), limit as u32);
                for event in events {
                    match event {
                        Event::Publication { publication, .. } => {
                            reached += 1;
                            prop_assert_eq!(publication.position.offset, reached);
                            delivered.push(reached);
                        }
                        Event::Missed { count, position, .. } => {
                            reached += count.unwrap_or(u64::MAX);
                            prop_assert_eq!(position.offset, reached);
                        }
                        other => prop_assert!(false, "{:?}", other),
                    }
                }
                more = again;
            }

            prop_assert_eq!(reached, newest);
            let expected: Vec<u64> = kept.range(start + 1..).copied().collect();
            prop_assert_eq!(delivered, expected);
        }
    }
}
