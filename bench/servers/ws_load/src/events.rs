//! Server-sent events over HTTP/1.1: the body's chunks are taken apart, its lines of data told.

/// Reads an answer's body behind its head.
#[derive(Default)]
pub struct Events {
    chunk: Chunk,
    /// A line that was cut off.
    line: Vec<u8>,
}

/// Where in the framing of chunks the next byte is (RFC 9112, section 7.1).
#[derive(Default)]
enum Chunk {
    /// The size's hexadecimal digits so far.
    #[default]
    Start,
    Size(usize),
    Data(usize),
    End,
}

impl Events {
    /// Gives the data of every line that is whole now to `seen`.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut seen: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        while let Some((&first, rest)) = bytes.split_first() {
            match &mut self.chunk {
                Chunk::Data(left) => {
                    let (data, rest) = bytes.split_at(bytes.len().min(*left));
                    *left -= data.len();
                    if *left == 0 {
                        self.chunk = Chunk::End;
                    }
                    self.lines(data, &mut seen)?;
                    bytes = rest;
                    continue;
                }
                Chunk::Start => self.chunk = Chunk::Size(digit(first)?),
                Chunk::Size(0) if first == b'\n' => return Err("the events ended".into()),
                Chunk::Size(size) if first == b'\n' => self.chunk = Chunk::Data(*size),
                Chunk::Size(_) if first == b'\r' => {}
                Chunk::Size(size) => *size = *size * 16 + digit(first)?,
                Chunk::End if first == b'\n' => self.chunk = Chunk::Start,
                Chunk::End if first == b'\r' => {}
                Chunk::End => return Err("a chunk is longer than it says".into()),
            }
            bytes = rest;
        }
        Ok(())
    }

    fn lines(
        &mut self,
        mut data: &[u8],
        seen: &mut impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        while let Some(end) = memchr::memchr(b'\n', data) {
            let (line, rest) = data.split_at(end);
            data = &rest[1..];
            let line = if self.line.is_empty() {
                line
            } else {
                self.line.extend_from_slice(line);
                &self.line
            };
            if let Some(told) = line.strip_prefix(b"data:") {
                std::str::from_utf8(told).map_err(|_| "an event is not UTF-8")?;
                seen(told)?;
            }
            self.line.clear();
        }
        self.line.extend_from_slice(data);
        Ok(())
    }
}

fn digit(byte: u8) -> Result<usize, String> {
    let digit = char::from(byte).to_digit(16).ok_or("a chunk has no size")?;
    Ok(digit as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_wherever_they_are_cut() {
        let body = b"b\r\ndata: one\n\n\r\n1b\r\nid: e:2\ndata: two\n\n: ping\n\n\r\n6\r\ndata:x\r\n1\r\n\n\r\n";

        for cut in 0..body.len() {
            let (mut events, mut seen) = (Events::default(), Vec::new());
            for part in [&body[..cut], &body[cut..]] {
                let told = |data: &[u8]| {
                    seen.push(String::from_utf8_lossy(data).trim().to_owned());
                    Ok(())
                };
                events.feed(part, told).unwrap();
            }
            assert_eq!(seen, ["one", "two", "x"], "{cut}");
        }
    }

    #[test]
    fn the_end_and_wrong_chunks_are_told() {
        for wrong in [&b"0\r\n\r\n"[..], b"z\r\n", b"1\r\nab"] {
            assert!(Events::default().feed(wrong, |_| Ok(())).is_err());
        }
    }
}
