//! Rust source with everything but the code blanked out, so that words in comments and texts are not mistaken for it.

/// The source with comments, text and character literals replaced by spaces; lines stay where they are.
pub fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = at
            + match &bytes[at..] {
                [b'/', b'/', ..] => until(&bytes[at..], b"\n").saturating_sub(1).max(1),
                [b'/', b'*', ..] => block_comment(&bytes[at..]),
                [b'"', ..] => quoted(&bytes[at..]),
                [b'\'', ..] => character(&bytes[at..]),
                [b'r' | b'b' | b'c', ..] if at == 0 || !is_word(bytes[at - 1]) => {
                    raw_text(&bytes[at..]).unwrap_or(0)
                }
                _ => 0,
            };
        if end == at {
            out.push(bytes[at]);
            at += 1;
        } else {
            let end = end.min(bytes.len());
            out.extend(bytes[at..end].iter().map(|&b| if b == b'\n' { b'\n' } else { b' ' }));
            at = end;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The part of the code that ships: without the test module at the end of the file.
pub fn without_tests(code: &str) -> &str {
    code.find("#[cfg(test)]\nmod tests {").map_or(code, |at| &code[..at])
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Length up to and with `end`; the rest of the text when it does not occur.
fn until(text: &[u8], end: &[u8]) -> usize {
    text.windows(end.len()).position(|window| window == end).map_or(text.len() + 1, |at| at + end.len())
}

fn block_comment(text: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// A character literal; 0 when the quote begins a lifetime.
fn character(text: &[u8]) -> usize {
    if let [b'\'', b'\\', rest @ ..] = text {
        return 3 + until(rest.get(1..).unwrap_or_default(), b"'");
    }
    // One character of up to four bytes, then the closing quote.
    let close = text.iter().skip(1).take(5).position(|&b| b == b'\'').map(|at| at + 1);
    match close {
        Some(close)
            if close > 1 && std::str::from_utf8(&text[1..close]).is_ok_and(|c| c.chars().count() == 1) =>
        {
            close + 1
        }
        _ => 0,
    }
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`, `b'…'`; `None` when the letters are an ordinary word.
fn raw_text(text: &[u8]) -> Option<usize> {
    let letters = text.iter().take_while(|b| matches!(b, b'r' | b'b' | b'c')).count();
    let rest = &text[letters..];
    if letters > 2 {
        return None;
    }
    if text[..letters].contains(&b'r') {
        let hashes = rest.iter().take_while(|&&b| b == b'#').count();
        if rest.get(hashes) != Some(&b'"') {
            return None;
        }
        let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
        return Some(letters + hashes + 1 + until(&rest[hashes + 1..], &close));
    }
    match rest.first()? {
        b'"' => Some(letters + quoted(rest)),
        b'\'' if character(rest) > 0 => Some(letters + character(rest)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let source = "let a = \"todo!()\"; // dbg!()\n/* x /* y */ unsafe */ let b = 'u'; let c: &'static str = r#\"un\"safe\"#;\nlet d = b\"x\"; rest(b'\\'', '\\u{1f600}', '\"'); end";
        let code = code_only(source);
        for word in ["todo", "dbg", "unsafe", "'u'", "safe", "1f600"] {
            assert!(!code.contains(word), "{word} is left in {code}");
        }
        for word in ["let a", "let b", "&'static str", "let d", "rest(", "end"] {
            assert!(code.contains(word), "{word} is missing in {code}");
        }
        assert_eq!(code.lines().count(), source.lines().count());
        assert_eq!(code_only("a // to the end"), "a              ");
    }

    #[test]
    fn the_test_module_is_cut_off() {
        assert_eq!(without_tests("fn a() {}\n#[cfg(test)]\nmod tests {\n}\n"), "fn a() {}\n");
    }
}
