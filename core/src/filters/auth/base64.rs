//! base64url without padding, as the parts of a token are written (RFC 7515, section 2).

const INVALID: u8 = 0xff;

const DIGITS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut digits = [INVALID; 256];
    let mut value = 0;
    while value < alphabet.len() {
        digits[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// Decodes a part; `None` where it is not base64url, or not in its one canonical form: were spare
/// bits ignored, one signed token could be written in several ways.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (groups, rest) = text.as_chunks::<4>();
    for group in groups {
        let [a, b, c, d] = group.map(|byte| DIGITS[usize::from(byte)]);
        if (a | b | c | d) == INVALID {
            return None;
        }
        bytes.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
    }
    let digit = |byte: u8| Some(DIGITS[usize::from(byte)]).filter(|digit| *digit != INVALID);
    match *rest {
        [] => {}
        [a, b] => {
            let (a, b) = (digit(a)?, digit(b)?);
            bytes.push(a << 2 | b >> 4);
            return (b << 4 == 0).then_some(bytes);
        }
        [a, b, c] => {
            let (a, b, c) = (digit(a)?, digit(b)?, digit(c)?);
            bytes.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2]);
            return (c << 6 == 0).then_some(bytes);
        }
        _ => return None,
    }
    Some(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::decode;

    pub(in crate::filters::auth) fn encode(bytes: &[u8]) -> String {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let mut padded = [0; 4];
            padded[1..=group.len()].copy_from_slice(group);
            let number = u32::from_be_bytes(padded);
            for place in 0..=group.len() {
                text.push(char::from(alphabet[(number >> (18 - 6 * place) & 63) as usize]));
            }
        }
        text
    }

    #[test]
    fn known_texts_decode() {
        assert_eq!(decode(b"").as_deref(), Some(&b""[..]));
        assert_eq!(decode(b"Zm9vYmFy").as_deref(), Some(&b"foobar"[..]));
        assert_eq!(decode(b"-_8").as_deref(), Some(&[0xfb, 0xff][..]));
    }

    #[test]
    fn padding_other_alphabets_and_spare_bits_are_refused() {
        for text in ["Zg==", "+/8", "Zm9v Zm9v", "Z", "Zm9vY", "Zh", "Zm9", "Zm9vé", "Zm\n9"] {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_decodes_to_itself(bytes in vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn what_decodes_has_one_text_only(text in "[A-Za-z0-9_-]{0,12}") {
            if let Some(bytes) = decode(text.as_bytes()) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
