//! Byte classes of RFC 9110 section 5.6.2 (token) and section 5.5 (field content), and the
//! runs of them that a head is made of. Sixteen bytes at a time with SSE2, which every
//! x86-64 has; byte by byte elsewhere. Knows nothing of lines or fields.

const TOKEN: u8 = 1;
const TEXT: u8 = 2;
const HOST: u8 = 4;

/// For each byte the classes it belongs to.
static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let byte = i as u8;
        let alnum = byte.is_ascii_alphanumeric();
        if alnum
            || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
            || matches!(byte, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
        {
            table[i] |= TOKEN;
        }
        if byte == b'\t' || (byte >= 0x20 && byte != 0x7f) {
            table[i] |= TEXT;
        }
        if alnum
            || matches!(byte, b'-' | b'.' | b'_' | b'~')
            || matches!(
                byte,
                b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='
            )
        {
            table[i] |= HOST;
        }
        i += 1;
    }
    table
}

/// A token character (tchar).
#[inline]
pub fn is_token(byte: u8) -> bool {
    CLASS[byte as usize] & TOKEN != 0
}

/// A byte that a field value may hold: visible ASCII, space, tab, obs-text.
#[inline]
pub fn is_text(byte: u8) -> bool {
    CLASS[byte as usize] & TEXT != 0
}

/// A byte of a host name: RFC 3986's reg-name without `%` and `,`. No name in the DNS has
/// these two, and two readers of one Host may disagree on them.
#[inline]
pub fn is_host(byte: u8) -> bool {
    CLASS[byte as usize] & HOST != 0
}

/// Index of the first byte at or after `at` that is not a token character.
#[inline]
pub fn token_end(bytes: &[u8], mut at: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    while let Some(block) = simd::load(bytes, at) {
        let run = simd::name_run(block);
        at += run;
        if run < 16 {
            match bytes.get(at) {
                Some(&byte) if is_token(byte) => at += 1,
                _ => return at,
            }
        }
    }
    while bytes.get(at).is_some_and(|&byte| is_token(byte)) {
        at += 1;
    }
    at
}

/// Index of the first byte at or after `at` that no field value may hold, tab included.
/// It is a CR, a tab or an invalid byte.
#[inline]
pub fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    while let Some(block) = simd::load(bytes, at) {
        let run = simd::plain_run(block);
        at += run;
        if run < 16 {
            return at;
        }
    }
    while bytes
        .get(at)
        .is_some_and(|&byte| is_text(byte) && byte != b'\t')
    {
        at += 1;
    }
    at
}

/// Index of the first byte at or after `at` that no field value may hold.
#[inline]
pub fn text_end(bytes: &[u8], at: usize) -> usize {
    let mut at = plain_end(bytes, at);
    while bytes.get(at) == Some(&b'\t') {
        at = plain_end(bytes, at + 1);
    }
    at
}

/// Whether the word of `len` bytes at the front of `line` has capitals at its beginning and after
/// hyphens, and nowhere else.
#[inline]
pub fn is_capitalised(line: &[u8], len: usize) -> bool {
    let (mut at, mut first) = (0, true);
    #[cfg(target_arch = "x86_64")]
    while at < len
        && let Some(block) = simd::load(line, at)
    {
        let [upper, lower, hyphens] = simd::letters(block);
        let firsts = hyphens << 1 | u32::from(first);
        let within = (1 << (len - at).min(16)) - 1;
        if (upper & !firsts | lower & firsts) & within != 0 {
            return false;
        }
        first = hyphens & 1 << 15 != 0;
        at += 16;
    }
    line[at.min(len)..len].iter().all(|byte| {
        let fits = match first {
            true => !byte.is_ascii_lowercase(),
            false => !byte.is_ascii_uppercase(),
        };
        first = *byte == b'-';
        fits
    })
}

/// Makes capitals of the small letters at the beginning of a word and after its hyphens.
#[inline]
pub fn capitalise(word: &mut [u8]) {
    let mut at = 0;
    let mut first = true;
    while let Some(block) = word[at..].first_chunk_mut() {
        *block = capitalised(u64::from_le_bytes(*block), first).to_le_bytes();
        first = block[7] == b'-';
        at += 8;
    }
    // The last block may overlap with the one before: what is a capital already stays one.
    if at > 0
        && at < word.len()
        && let [.., before] = word[..word.len() - 8]
        && let Some(block) = word.last_chunk_mut()
    {
        *block = capitalised(u64::from_le_bytes(*block), before == b'-').to_le_bytes();
        return;
    }
    for byte in &mut word[at..] {
        if first {
            byte.make_ascii_uppercase();
        }
        first = *byte == b'-';
    }
}

/// The same for eight bytes at once; `first`: the word begins with them, or a hyphen is before.
#[inline(always)]
fn capitalised(block: u64, first: bool) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let low = block & !HIGH;
    let is_at_least = |byte: u8| (low + EACH * (0x80 - u64::from(byte))) & !block & HIGH;
    let letters = is_at_least(b'a') & !is_at_least(b'z' + 1);
    let hyphens = is_at_least(b'-') & !is_at_least(b'-' + 1);
    let firsts = hyphens << 8 | u64::from(first) << 7;
    // A small letter differs from its capital by 0x20.
    block ^ (letters & firsts) >> 2
}

#[cfg(target_arch = "x86_64")]
mod simd {
    //! The `unsafe` of this module: the intrinsics of SSE2 and SSE may only be called where the
    //! processor has them. Every x86-64 does: both belong to the architecture's base, which
    //! the `cfg` selects. No pointers are involved.
    #![allow(unsafe_code)]

    use core::arch::x86_64::*;

    /// The sixteen bytes at `at`, if there are as many.
    #[inline(always)]
    pub(super) fn load(bytes: &[u8], at: usize) -> Option<__m128i> {
        let block: &[u8; 16] = bytes.get(at..)?.first_chunk()?;
        let value = u128::from_le_bytes(*block);
        // SAFETY: SSE2 is available; see above.
        Some(unsafe { _mm_set_epi64x((value >> 64) as i64, value as i64) })
    }

    /// How many leading bytes are letters, digits or `-`, which almost all names are made of.
    #[inline(always)]
    pub(super) fn name_run(block: __m128i) -> usize {
        // SAFETY: SSE2 is available; see above.
        let good = unsafe {
            let lower = _mm_or_si128(block, _mm_set1_epi8(0x20));
            let letter = _mm_sub_epi8(lower, _mm_set1_epi8(b'a' as i8));
            let letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
            let digit = _mm_sub_epi8(block, _mm_set1_epi8(b'0' as i8));
            let digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
            let dash = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'-' as i8));
            _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letter, digit), dash))
        };
        (good as u32).trailing_ones() as usize
    }

    /// Which bytes are capitals, small letters and hyphens, a bit each.
    #[inline(always)]
    pub(super) fn letters(block: __m128i) -> [u32; 3] {
        // SAFETY: SSE2 is available; see above.
        unsafe {
            let within = |first: u8| {
                let place = _mm_sub_epi8(block, _mm_set1_epi8(first as i8));
                let letter = _mm_cmpeq_epi8(_mm_min_epu8(place, _mm_set1_epi8(25)), place);
                _mm_movemask_epi8(letter) as u32
            };
            let hyphens = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'-' as i8));
            [
                within(b'A'),
                within(b'a'),
                _mm_movemask_epi8(hyphens) as u32,
            ]
        }
    }

    /// How many leading bytes are no control characters.
    #[inline(always)]
    pub(super) fn plain_run(block: __m128i) -> usize {
        // SAFETY: SSE2 is available; see above.
        let bad = unsafe {
            let low = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
            let del = _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f));
            _mm_movemask_epi8(_mm_or_si128(low, del))
        };
        (bad as u32 | 1 << 16).trailing_zeros() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_are_seen_in_blocks_and_byte_by_byte() {
        for (word, fits) in [
            ("Host", true),
            ("X-2-B", true),
            ("-A", true),
            ("A--B", true),
            ("X_y", true),
            ("Host-", true),
            ("host", false),
            ("HOst", false),
            ("X-y", false),
            ("A--b", false),
            ("Access-Control-Allow-Origin-And-More", true),
            ("Access-Control-allow-Origin-And-More", false),
            ("Access-Control-AlLow-Origin-And-More", false),
            // A block ends with a hyphen.
            ("Abcdefghijklmno-Pq", true),
            ("Abcdefghijklmno-pq", false),
        ] {
            assert_eq!(is_capitalised(word.as_bytes(), word.len()), fits, "{word}");
            let line = format!("{word}: aB-c and some more");
            assert_eq!(is_capitalised(line.as_bytes(), word.len()), fits, "{line}");
        }
    }

    #[test]
    fn capitals_are_made_in_blocks_as_byte_by_byte() {
        // Every byte at every place of words of every length, hyphens before some of them.
        for len in 0..36 {
            for place in 0..len {
                for byte in 0..=255u8 {
                    let mut word: Vec<u8> = (0..len)
                        .map(|at| [b'a', b'-', b'z', b'Q', b'7'][(at * at + len) % 5])
                        .collect();
                    word[place] = byte;
                    let mut first = true;
                    let mut expected = word.clone();
                    for byte in &mut expected {
                        if first {
                            byte.make_ascii_uppercase();
                        }
                        first = *byte == b'-';
                    }
                    capitalise(&mut word);
                    assert_eq!(word, expected, "{}", expected.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn vector_and_table_agree_on_every_byte_at_every_place() {
        for byte in 0..=255u8 {
            for place in 0..40 {
                let mut bytes = [b'a'; 40];
                bytes[place] = byte;
                let token = bytes.iter().position(|&b| !is_token(b)).unwrap_or(40);
                let text = bytes.iter().position(|&b| !is_text(b)).unwrap_or(40);
                assert_eq!(token_end(&bytes, 0), token, "token {byte:#x} at {place}");
                assert_eq!(text_end(&bytes, 0), text, "text {byte:#x} at {place}");
            }
        }
    }
}
