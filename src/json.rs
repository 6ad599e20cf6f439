//! Where JSON values end, found much faster than by a parser: text of megabytes is full of escapes,
//! and nobody asks what they stand for before it is written again. Accepts less than serde does,
//! never more: what is doubtful gives nothing, and is left to serde.

use serde::de::IgnoredAny;

/// The length of the string without escapes that begins here, quotes included.
pub(crate) fn plain_string(json: &[u8]) -> Option<usize> {
    let mut rest = json.strip_prefix(b"\"")?;
    loop {
        let word = word(rest);
        let specials = Specials::of(word);
        if specials.any() {
            let end = first(specials.controls | specials.quotes | specials.backslashes);
            return (word[end] == b'"').then_some(json.len() - rest.len() + end + 1);
        }
        rest = rest.get(word.len()..)?;
    }
}

/// The length of the string that begins here, quotes included. It has a text: none of its escapes is
/// a surrogate.
#[inline(never)]
pub(crate) fn string(json: &[u8]) -> Option<usize> {
    let mut rest = json.strip_prefix(b"\"")?;
    // The last byte before was a backslash that begins an escape: the first one here is escaped.
    let mut open = 0;
    loop {
        let word = word(rest);
        let Specials {
            controls,
            quotes,
            backslashes,
        } = Specials::of(word);
        if controls | quotes | backslashes | open != 0 {
            let mut escaped = backslashes << 8 | open;
            let mut openers = backslashes;
            if escaped & backslashes != 0 {
                (escaped, openers) = runs(backslashes, open);
            }
            // `\"` and `\\`, which are most of them in JSON inside JSON, need no closer look.
            let others = escaped & !(quotes | backslashes);
            let stops = controls | quotes & !escaped;
            if stops != 0 {
                let end = first(stops);
                check_escapes(others & (lowest(stops) - 1), rest)?;
                return (word[end] == b'"').then_some(json.len() - rest.len() + end + 1);
            }
            check_escapes(others, rest)?;
            open = openers >> 56;
        }
        rest = rest.get(word.len()..)?;
    }
}

/// The first eight bytes; spaces, which mean nothing, where there are less.
#[inline]
fn word(bytes: &[u8]) -> [u8; 8] {
    bytes
        .first_chunk()
        .map_or_else(|| padded(bytes), |word| *word)
}

#[cold]
fn padded(bytes: &[u8]) -> [u8; 8] {
    std::array::from_fn(|place| bytes.get(place).copied().unwrap_or(b' '))
}

/// The length of the object that begins here. Such a value is rare in events, and short.
pub(crate) fn object(json: &[u8]) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_slice(json).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(values.byte_offset())
}

/// Eight bytes are looked at together, and what is found of them is the highest bit of each.
const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// Which of eight bytes mean something in a JSON string.
struct Specials {
    controls: u64,
    quotes: u64,
    backslashes: u64,
}

impl Specials {
    #[inline]
    fn of(word: [u8; 8]) -> Self {
        let word = u64::from_le_bytes(word);
        // In the difference to the limit the highest bit falls where the byte is below; set before,
        // it lets no byte borrow from the next.
        let below =
            |word: u64, limit: u8| !((word | HIGH) - ONES * u64::from(limit)) & !word & HIGH;
        let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        Self {
            controls: below(word, b' '),
            quotes: equal(b'"'),
            backslashes: equal(b'\\'),
        }
    }

    #[inline]
    fn any(&self) -> bool {
        self.controls | self.quotes | self.backslashes != 0
    }
}

/// The place of the first byte that is marked. The product brings one byte of the factor to the top;
/// to count zeros takes longer on many a processor, where code is to be small.
#[inline]
fn first(marks: u64) -> usize {
    ((lowest(marks) >> 7).wrapping_mul(0x0001_0203_0405_0607) >> 56) as usize
}

fn lowest(marks: u64) -> u64 {
    marks & marks.wrapping_neg()
}

/// Where backslashes follow one another: which bytes are escaped, and which begin an escape. Every
/// second one of a run does, and a byte behind such is escaped; a table knows it for all eight bytes.
#[cold]
fn runs(backslashes: u64, open: u64) -> (u64, u64) {
    // The highest bits of all bytes, brought together in one, and spread again.
    let run = (backslashes >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    let escaped = ESCAPED[usize::from(open != 0)][run as usize];
    let bytes = std::array::from_fn(|bit| (escaped >> bit & 1) << 7);
    let escaped = u64::from_le_bytes(bytes);
    (escaped, backslashes & !escaped)
}

static ESCAPED: [[u8; 256]; 2] = [escaped_by_run(false), escaped_by_run(true)];

const fn escaped_by_run(open: bool) -> [u8; 256] {
    let mut table = [0; 256];
    let mut run = 0;
    while run < 256 {
        let mut is_escaped = open;
        let mut bit = 0;
        while bit < 8 {
            if is_escaped {
                table[run] |= 1 << bit;
            }
            is_escaped = !is_escaped && run >> bit & 1 == 1;
            bit += 1;
        }
        run += 1;
    }
    table
}

/// Nothing unless each marked byte, behind its backslash, makes an escape that stands for a
/// character.
#[inline]
fn check_escapes(mut marks: u64, bytes: &[u8]) -> Option<()> {
    while marks != 0 {
        let (&byte, after) = bytes.get(first(marks)..)?.split_first()?;
        // By a table: of a match the compiler makes jumps, and one for each escape is dear.
        if !IS_ESCAPE[usize::from(byte)] {
            check_digits(after).filter(|()| byte == b'u')?;
        }
        marks &= marks - 1;
    }
    Some(())
}

/// What makes an escape of one byte, but for the quote and the backslash.
static IS_ESCAPE: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest: &[u8] = b"/bfnrt";
    while let [byte, after @ ..] = rest {
        table[*byte as usize] = true;
        rest = after;
    }
    table
};

/// Of `\u`.
fn check_digits(digits: &[u8]) -> Option<()> {
    let digits = digits.first_chunk::<4>()?;
    let surrogate = matches!(
        digits,
        [b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..]
    );
    (digits.iter().all(u8::is_ascii_hexdigit) && !surrogate).then_some(())
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
            for length in 0..20 {
                for after in ["\"", "\",\"more\"", ""] {
                    let json = format!("\"{}{middle}{after}", "x".repeat(length));
                    assert_eq!(string(json.as_bytes()), by_serde(&json), "{json:?}");
                }
            }
        }
    }

    #[test]
    fn many_escapes_follow_one_another() {
        for length in 0..20 {
            for escapes in 0..20 {
                let text = "x".repeat(length) + &"\\\"".repeat(escapes) + &"\\\\".repeat(escapes);
                let json = format!("\"{text}\",1");
                assert_eq!(string(json.as_bytes()), Some(json.len() - 2), "{json}");
            }
        }
    }

    #[test]
    fn all_short_sequences_end_where_serde_says_so() {
        const WORDS: [&str; 6] = ["\\", "\"", "n", "u00e4", "x", "\u{1}"];
        for count in 0..WORDS.len().pow(6) {
            let digits = (0..6).map(|place| count / WORDS.len().pow(place) % WORDS.len());
            let text: String = digits.map(|digit| WORDS[digit]).collect();
            let json = format!("\"{}{text}\"", "x".repeat(count % 8));
            assert_eq!(string(json.as_bytes()), by_serde(&json), "{json:?}");
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
