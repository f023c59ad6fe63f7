//! PEM as tools write it: with text around the blocks (`Bag Attributes`, `openssl x509 -text`, comments), byte order
//! marks, blanks before a boundary, or in UTF-16. Everything that reads PEM reads it through [`clean`].

use std::borrow::Cow;

const BEGIN: &[u8] = b"-----BEGIN ";
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The same blocks, each boundary at the beginning of its line, in ASCII where the file was UTF-16.
pub(crate) fn clean(file: &[u8]) -> Cow<'_, [u8]> {
    let text = decode(file);
    let is_clean = text.split(|byte| *byte == b'\n').all(|line| line.len() == stripped(line).len());
    if is_clean {
        return text;
    }
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').map(stripped).collect();
    Cow::Owned(lines.join(&b'\n'))
}

/// The labels of the blocks in a cleaned file, in their order: `PUBLIC KEY`, `CERTIFICATE`, ...
pub(crate) fn labels(pem: &[u8]) -> impl Iterator<Item = &[u8]> {
    pem.split(|byte| *byte == b'\n')
        .filter_map(|line| line.trim_ascii_end().strip_prefix(BEGIN)?.strip_suffix(b"-----"))
}

/// The first block of a cleaned file whose label ends so, with its boundaries.
pub(crate) fn block<'a>(pem: &'a [u8], label: &[u8]) -> Option<&'a [u8]> {
    let mut begin = None;
    let mut at = 0;
    for line in pem.split_inclusive(|byte| *byte == b'\n') {
        let boundary = line.trim_ascii_end();
        let is_end = boundary.starts_with(b"-----END ");
        if boundary.starts_with(BEGIN) {
            begin = boundary
                .strip_suffix(b"-----")
                .filter(|boundary| boundary.ends_with(label))
                .map(|_| at);
        }
        at += line.len();
        if let (true, Some(begin)) = (is_end, begin) {
            return pem.get(begin..at);
        }
    }
    None
}

/// Blanks and byte order marks before a boundary go; other lines stay as they are.
fn stripped(line: &[u8]) -> &[u8] {
    let mut rest = line.trim_ascii_start();
    while let Some(more) = rest.strip_prefix(BYTE_ORDER_MARK) {
        rest = more.trim_ascii_start();
    }
    if rest.starts_with(b"-----") { rest } else { line }
}

fn decode(file: &[u8]) -> Cow<'_, [u8]> {
    let unit: fn([u8; 2]) -> u16 = match file {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return Cow::Borrowed(file),
    };
    let (pairs, _) = file.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().skip(1).map(|pair| unit(*pair)).collect();
    Cow::Owned(String::from_utf16_lossy(&units).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "-----BEGIN PUBLIC KEY-----\nQUJD\n-----END PUBLIC KEY-----\n";

    #[test]
    fn blocks_are_found_behind_text_marks_and_blanks() {
        let wide = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            format!("\u{feff}{PLAIN}").encode_utf16().flat_map(bytes).collect()
        };
        for file in [
            PLAIN.as_bytes().to_vec(),
            format!("\u{feff}{PLAIN}").into_bytes(),
            format!("# a comment\r\n\r\n{}", PLAIN.replace('\n', "\r\n")).into_bytes(),
            format!("Bag Attributes\n    localKeyID: 01\nKey Attributes: <No>\n  {PLAIN}").into(),
            format!("text\n\u{feff}{PLAIN}more text").into_bytes(),
            [b"\xff\xfb no text\n", PLAIN.as_bytes()].concat(),
            wide(u16::to_le_bytes),
            wide(u16::to_be_bytes),
        ] {
            let clean = clean(&file);

            let found = block(&clean, b"PUBLIC KEY").map(String::from_utf8_lossy);
            let found = found.unwrap_or_default().replace("\r\n", "\n");
            assert_eq!(found, PLAIN, "{}", String::from_utf8_lossy(&file));
            assert_eq!(labels(&clean).collect::<Vec<_>>(), [&b"PUBLIC KEY"[..]]);
        }
    }

    #[test]
    fn a_block_without_its_end_is_none() {
        let cut = PLAIN.replace("-----END PUBLIC KEY-----\n", "");

        assert_eq!(block(cut.as_bytes(), b"PUBLIC KEY"), None);
        assert_eq!(block(PLAIN.as_bytes(), b"CERTIFICATE"), None);
        assert!(matches!(clean(PLAIN.as_bytes()), Cow::Borrowed(_)));
    }
}
