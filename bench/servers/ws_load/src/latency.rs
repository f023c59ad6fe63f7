//! Times, counted by microseconds to within 1.6 %, so that a million a second cost nothing to note.

/// How often each time was seen.
pub struct Latency {
    counts: Vec<u64>,
    all: u64,
}

/// Microseconds below this have a place of their own; above it each doubling has so many places.
const FINE: u32 = 64;

impl Latency {
    pub fn new() -> Self {
        Self { counts: vec![0; (FINE * 27) as usize], all: 0 }
    }

    pub fn note(&mut self, micros: u32, times: u64) {
        self.counts[place(micros)] += times;
        self.all += times;
    }

    /// Milliseconds that a share of the times is at most; 0 where nothing was noted.
    pub fn percentile(&self, share: f64) -> f64 {
        let wanted = (self.all as f64 * share).ceil() as u64;
        let mut below = 0;
        for (place, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= wanted && below > 0 {
                return f64::from(micros(place as u32)) / 1e3;
            }
        }
        0.0
    }
}

fn place(micros: u32) -> usize {
    let shift = (u32::BITS - micros.leading_zeros()).saturating_sub(FINE.ilog2() + 1);
    ((shift * FINE) + (micros >> shift)) as usize
}

fn micros(place: u32) -> u32 {
    let shift = (place / FINE).saturating_sub(1);
    (place - shift * FINE) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_found_again_to_within_its_place() {
        for time in [0, 1, 63, 64, 127, 128, 129, 1000, 65_537, 1_000_000, 4_000_000_000] {
            let found = micros(place(time) as u32);

            assert!(found <= time && time - found <= time / 64, "{time}: {found}");
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_noted() {
        let mut latency = Latency::new();
        for time in 1..=100 {
            latency.note(time * 10, 1);
        }

        assert!((latency.percentile(0.5) - 0.5).abs() < 0.01);
        assert!((latency.percentile(0.99) - 0.99).abs() < 0.02);
        assert_eq!(Latency::new().percentile(0.5), 0.0);
    }
}
