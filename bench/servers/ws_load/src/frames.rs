//! Frames as RFC 6455 has them: what the server sends is checked, what the publisher sends is masked.

/// A frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame<'b> {
    pub opcode: u8,
    pub payload: &'b [u8],
}

pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// Cuts what is read into frames, keeping what is cut off at the end.
#[derive(Default)]
pub struct Frames {
    held: Vec<u8>,
}

impl Frames {
    /// Gives every frame that is whole now to `seen`.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut seen: impl FnMut(Frame<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        while !self.held.is_empty() {
            let missing = length(&self.held).wanted() - self.held.len();
            let (now, rest) = bytes.split_at(missing.min(bytes.len()));
            self.held.extend_from_slice(now);
            bytes = rest;
            if now.len() < missing {
                return Ok(());
            }
            if let Some((frame, _)) = read(&self.held)? {
                seen(frame)?;
                self.held.clear();
            }
        }
        while let Some((frame, length)) = read(bytes)? {
            seen(frame)?;
            bytes = &bytes[length..];
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }
}

/// How long a frame is, as far as its head tells.
enum Length {
    /// The head has at least so many bytes.
    Head(usize),
    /// The head's bytes, and the payload's.
    Known(usize, usize),
}

impl Length {
    fn wanted(&self) -> usize {
        match self {
            Self::Head(head) => *head,
            Self::Known(head, payload) => head + payload,
        }
    }
}

fn length(bytes: &[u8]) -> Length {
    match bytes {
        [_, short @ 0..=125, ..] => Length::Known(2, *short as usize),
        [_, 126, a, b, ..] => Length::Known(4, u16::from_be_bytes([*a, *b]).into()),
        [_, 126, ..] => Length::Head(4),
        [_, 127, a, b, c, d, e, f, g, h, ..] => {
            Length::Known(10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]) as usize)
        }
        [_, 127, ..] => Length::Head(10),
        // The mask bit is refused before the length matters.
        [_, _, ..] => Length::Known(2, 0),
        _ => Length::Head(2),
    }
}

/// The first frame of `bytes` and its length, when it is whole.
fn read(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, String> {
    let [first, second, ..] = *bytes else { return Ok(None) };
    let opcode = first & 0x0f;
    if first & 0xf0 != 0x80 {
        return Err(format!("a frame begins with {first:#x}: not final, or reserved bits"));
    }
    if !matches!(opcode, 1 | 2 | 8 | 9 | 10) {
        return Err(format!("opcode {opcode}"));
    }
    if second & 0x80 != 0 {
        return Err("a frame of the server is masked".into());
    }
    let Length::Known(head, payload) = length(bytes) else { return Ok(None) };
    if head == 4 && payload < 126 || head == 10 && payload < 65_536 {
        return Err("a length is not written in its shortest form".into());
    }
    if opcode >= CLOSE && head > 2 {
        return Err("a control frame is too long".into());
    }
    let Some(payload) = bytes.get(head..head + payload) else { return Ok(None) };
    if opcode == TEXT && std::str::from_utf8(payload).is_err() {
        return Err("a text is not UTF-8".into());
    }
    Ok(Some((Frame { opcode, payload }, head + payload.len())))
}

/// A frame of a client, with a mask of its own.
pub fn masked(opcode: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 8);
    frame.push(0x80 | opcode);
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        medium => {
            let medium = u16::try_from(medium).expect("messages of the load are short");
            frame.push(0x80 | 126);
            frame.extend(medium.to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(parts: &[&[u8]]) -> Result<Vec<(u8, Vec<u8>)>, String> {
        let (mut frames, mut seen) = (Frames::default(), Vec::new());
        for part in parts {
            frames.feed(part, |frame| {
                seen.push((frame.opcode, frame.payload.to_vec()));
                Ok(())
            })?;
        }
        Ok(seen)
    }

    #[test]
    fn frames_are_read_wherever_they_are_cut() {
        let mut bytes = vec![0x81, 2, b'a', b'b', 0x89, 0, 0x82, 126, 0, 200];
        bytes.extend([7; 200]);

        let whole = fed(&[&bytes]).unwrap();

        assert_eq!(whole.len(), 3);
        for cut in 0..bytes.len() {
            assert_eq!(fed(&[&bytes[..cut], &bytes[cut..]]).unwrap(), whole, "{cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(fed(&single).unwrap(), whole);
    }

    #[test]
    fn what_the_standard_forbids_is_told() {
        for wrong in [
            &[0x01, 0][..],
            &[0xc1, 0],
            &[0x83, 0],
            &[0x81, 0x80, 0, 0, 0, 0],
            &[0x81, 126, 0, 1, b'a'],
            &[0x89, 126, 0, 126],
            &[0x81, 1, 0xff],
        ] {
            assert!(fed(&[wrong]).is_err(), "{wrong:x?}");
        }
    }

    #[test]
    fn a_masked_frame_is_that_of_the_standard() {
        // RFC 6455, section 5.7.
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];

        assert_eq!(masked(TEXT, b"Hello", [0x37, 0xfa, 0x21, 0x3d]), hello);
    }
}
