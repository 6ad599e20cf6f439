//! Where JSON values end, found much faster than by a parser: text of megabytes is full of escapes,
//! and nobody asks what they stand for before it is written again. Accepts less than serde does,
//! never more: what is doubtful gives nothing, and is left to serde.

use serde::de::IgnoredAny;

/// The length of the string without escapes that begins here, quotes included.
pub(crate) fn plain_string(json: &[u8]) -> Option<usize> {
    let [b'"', inner @ ..] = json else {
        return None;
    };
    let end = first_special(inner)?;
    (inner[end] == b'"').then_some(end + 2)
}

/// The length of the string that begins here, quotes included. It has a text: none of its escapes is
/// a surrogate.
pub(crate) fn string(json: &[u8]) -> Option<usize> {
    if let Some(length) = plain_string(json) {
        return Some(length);
    }
    let mut place = 1;
    loop {
        // All at once, so that no place has to wait until the one before is known.
        let block = place;
        let mut specials = specials(json.get(block..).filter(|rest| !rest.is_empty())?);
        place += BLOCK;
        while specials != 0 {
            let found = specials.trailing_zeros() as usize;
            let special = block + found;
            match json[special] {
                b'"' => return Some(special + 1),
                b'\\' => check_escape(&json[special + 1..])?,
                _ => return None,
            }
            // Nor is what stands behind the backslash special.
            specials &= !(0b11 << found);
            place = place.max(special + 2);
        }
    }
}

/// The length of the object that begins here. Such a value is rare in events, and short.
pub(crate) fn object(json: &[u8]) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(values.byte_offset())
}

/// Nothing unless these bytes, behind a backslash, are an escape that stands for a character.
fn check_escape(bytes: &[u8]) -> Option<()> {
    match bytes {
        [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Some(()),
        [b'u', digits @ ..] => {
            let digits = digits.first_chunk::<4>()?;
            let surrogate = matches!(
                digits,
                [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]
            );
            (digits.iter().all(u8::is_ascii_hexdigit) && !surrogate).then_some(())
        }
        _ => None,
    }
}

/// The place of the first quote, backslash or control character, if there is one.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks();
    for (index, word) in words.iter().enumerate() {
        let found = special_bytes(*word);
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let place = rest
        .iter()
        .position(|&byte| byte < b' ' || byte == b'"' || byte == b'\\')?;
    Some(bytes.len() - rest.len() + place)
}

const BLOCK: usize = 64;

/// A bit for each quote, backslash and control character in the first 64 bytes.
fn specials(bytes: &[u8]) -> u64 {
    let Some(block) = bytes.first_chunk::<BLOCK>() else {
        let mut block = [b' '; BLOCK];
        block[..bytes.len()].copy_from_slice(bytes);
        return specials(&block);
    };
    let words = block.as_chunks().0.iter().enumerate();
    words.fold(0, |mask, (index, word)| {
        // Brings the highest bits of all bytes together in the uppermost byte.
        let bits = (special_bytes(*word) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask | bits << (index * 8)
    })
}

/// The highest bit of each byte that is a quote, a backslash or a control character. In the
/// difference to these the highest bit falls where the byte is below; set before, it lets no byte
/// borrow from the next.
fn special_bytes(bytes: [u8; 8]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let below = |word: u64, limit: u8| !((word | HIGH) - ONES * u64::from(limit)) & !word & HIGH;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let word = u64::from_le_bytes(bytes);
    below(word, b' ') | equal(word, b'"') | equal(word, b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length of a string, as serde has it.
    fn by_serde(json: &str) -> Option<usize> {
        let mut values = serde_json::Deserializer::from_str(json).into_iter::<String>();
        values.next()?.ok()?;
        Some(values.byte_offset())
    }

    #[test]
    fn a_string_ends_where_serde_says_so_wherever_its_bytes_stand() {
        let pairs = (0..=127).map(|byte: u8| format!("\\{}", char::from(byte)));
        let alone = (0..=255).map(|byte: u8| char::from(byte).to_string());
        let hex = [
            "\\u00e4",
            "\\uD7fF",
            "\\u12g4",
            "\\u123",
            "\\u\"",
            "\\\\u12",
            "\\\\\\\"x",
        ];
        for middle in pairs.chain(alone).chain(hex.map(str::to_owned)) {
            for length in 0..2 * BLOCK {
                for after in ["\"", "\",\"more\"", ""] {
                    let json = format!("\"{}{middle}{after}", "x".repeat(length));
                    assert_eq!(string(json.as_bytes()), by_serde(&json), "{json:?}");
                }
            }
        }
    }

    #[test]
    fn many_escapes_follow_one_another() {
        for length in 0..BLOCK {
            for escapes in 0..BLOCK {
                let text = "x".repeat(length) + &"\\\"".repeat(escapes) + &"\\\\".repeat(escapes);
                let json = format!("\"{text}\",1");
                assert_eq!(string(json.as_bytes()), Some(json.len() - 2), "{json}");
            }
        }
    }

    #[test]
    fn surrogates_are_left_to_serde() {
        for escapes in [r"\ud83d\ude00", r"\ud83d", r"\uDFFF", r"\uD800x"] {
            assert_eq!(string(format!("\"{escapes}\"").as_bytes()), None);
        }
        assert_eq!(string(br#""\ud799\ue000","#), Some(14));
    }

    #[test]
    fn a_plain_string_has_no_escapes() {
        assert_eq!(plain_string(br#""node_title":1"#), Some(12));
        for none in [r#""a\u0062":1"#, "\"a", "a", ""] {
            assert_eq!(plain_string(none.as_bytes()), None);
        }
    }
}
