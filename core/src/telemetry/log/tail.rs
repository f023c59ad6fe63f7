//! The tail of the log: the newest lines of each level, for those who read along.
//!
//! It is filled by the writer's thread, never by a request, and it is bounded: no level crowds out another, so that a
//! flood of `info` leaves the errors in place. What is left out is counted. What looks like a secret is not told.

use std::borrow::Cow;
use std::collections::VecDeque;

use parking_lot::Mutex;

use super::redact::redacted;
use crate::plan::Level;

/// Lines that are kept of each level.
const KEPT: usize = 50;
/// Bytes of a line that is kept; a longer one is left out.
const LONGEST: usize = 16 << 10;
/// Bytes that are told at once.
const TOLD: usize = 192 << 10;
const LEVELS: [Level; 4] = [Level::Debug, Level::Info, Level::Warning, Level::Error];

/// Where a line ends among those that wait for the writer, and its level.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) end: usize,
    pub(super) level: Level,
}

/// The newest lines that were not told yet.
#[derive(Default)]
pub struct Tail {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By level, the oldest first.
    rings: [VecDeque<Line>; LEVELS.len()],
    /// Lines that have come.
    count: u64,
    left_out: u64,
}

struct Line {
    place: u64,
    json: Box<[u8]>,
}

// === impl Tail ===

impl Tail {
    /// Takes what the writer is about to write.
    pub(super) fn take(&self, bytes: &[u8], marks: &[Mark]) {
        let mut kept = self.kept.lock();
        let first = kept.count;
        kept.count += marks.len() as u64;
        // From the newest back, so that of a long batch only what is kept is copied.
        let mut taken = [0; LEVELS.len()];
        let mut places = Vec::new();
        for (place, mark) in marks.iter().enumerate().rev() {
            let ring = &mut taken[mark.level as usize];
            let start = place.checked_sub(1).map_or(0, |before| marks[before].end);
            if *ring < KEPT && mark.end - start <= LONGEST {
                *ring += 1;
                places.push((place, start));
                if taken.iter().all(|ring| *ring == KEPT) {
                    break;
                }
            }
        }
        kept.left_out += (marks.len() - places.len()) as u64;
        for (place, start) in places.into_iter().rev() {
            let Mark { end, level } = marks[place];
            let json = bytes[start..end].trim_ascii_end().into();
            kept.push(level, Line { place: first + place as u64, json });
        }
    }

    /// Forgets how many lines were left out while nobody listened.
    pub fn begin(&self) {
        self.kept.lock().left_out = 0;
    }

    /// What came since the last telling, as `{"lines": [...], "left_out": n}`; none where nothing did.
    pub fn tell(&self) -> Option<Vec<u8>> {
        let (mut lines, mut left_out) = self.kept.lock().drain();
        if lines.is_empty() && left_out == 0 {
            return None;
        }
        lines.sort_unstable_by_key(|line| line.place);
        // The newest are told where not all can be.
        let mut bytes = 0;
        let told = lines.iter().rev().take_while(|line| {
            bytes += line.json.len() + 1;
            bytes <= TOLD
        });
        let first = lines.len() - told.count();
        left_out += first as u64;
        let mut out = b"{\"lines\":[".to_vec();
        for (place, line) in lines[first..].iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            let text = String::from_utf8_lossy(&line.json);
            let text: Cow<'_, str> = redacted(&text);
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(format!("],\"left_out\":{left_out}}}").as_bytes());
        Some(out)
    }
}

// === impl Kept ===

impl Kept {
    fn push(&mut self, level: Level, line: Line) {
        let ring = &mut self.rings[level as usize];
        if ring.len() == KEPT {
            ring.pop_front();
            self.left_out += 1;
        }
        ring.push_back(line);
    }

    fn drain(&mut self) -> (Vec<Line>, u64) {
        let lines = self.rings.iter_mut().flat_map(|ring| ring.drain(..)).collect();
        (lines, std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn take(tail: &Tail, lines: &[(Level, String)]) {
        let (mut bytes, mut marks) = (Vec::new(), Vec::new());
        for (level, text) in lines {
            bytes.extend_from_slice(serde_json::json!({"message": text}).to_string().as_bytes());
            bytes.push(b'\n');
            marks.push(Mark { end: bytes.len(), level: *level });
        }
        tail.take(&bytes, &marks);
    }

    fn told(tail: &Tail) -> (Vec<String>, u64) {
        let all: serde_json::Value = serde_json::from_slice(&tail.tell().unwrap()).unwrap();
        let lines = all["lines"].as_array().unwrap();
        let lines = lines.iter().map(|line| line["message"].as_str().unwrap().to_owned());
        (lines.collect(), all["left_out"].as_u64().unwrap())
    }

    #[test]
    fn a_flood_of_one_level_leaves_the_others_in_place_and_is_counted() {
        let tail = Tail::default();
        take(&tail, &[(Level::Error, "broken".into())]);
        let flood: Vec<_> = (0..1000).map(|n| (Level::Info, n.to_string())).collect();
        take(&tail, &flood[..500]);
        take(&tail, &flood[500..]);

        let (lines, left_out) = told(&tail);

        assert_eq!(lines.len(), 1 + KEPT);
        assert_eq!((&*lines[0], &*lines[1], &*lines[KEPT]), ("broken", "950", "999"));
        assert_eq!(left_out, 950);
        assert!(tail.tell().is_none(), "each line is told once");
    }

    #[test]
    fn lines_of_several_levels_are_told_in_the_order_they_came() {
        let tail = Tail::default();
        let levels = [Level::Error, Level::Debug, Level::Warning, Level::Info];
        let lines: Vec<_> = (0..12).map(|n| (levels[n % levels.len()], format!("{n}"))).collect();
        take(&tail, &lines);

        let expected: Vec<_> = lines.into_iter().map(|(_, text)| text).collect();
        assert_eq!(told(&tail), (expected, 0));
    }

    #[test]
    fn what_is_too_long_is_left_out_and_so_is_what_is_too_much() {
        let tail = Tail::default();
        take(&tail, &[(Level::Error, "x".repeat(LONGEST)), (Level::Error, "short".into())]);
        assert_eq!(told(&tail), (vec!["short".into()], 1));

        let long: Vec<_> = (0..20).map(|_| (Level::Error, "x".repeat(LONGEST - 100))).collect();
        take(&tail, &long);
        let text = tail.tell().unwrap();
        assert!(text.len() <= TOLD + 100, "{}", text.len());
    }

    #[test]
    fn what_nobody_listened_to_is_not_counted_as_left_out() {
        let tail = Tail::default();
        take(&tail, &(0..80).map(|n| (Level::Info, n.to_string())).collect::<Vec<_>>());
        tail.begin();

        let (lines, left_out) = told(&tail);

        assert_eq!((lines.len(), left_out), (KEPT, 0));
    }
}
