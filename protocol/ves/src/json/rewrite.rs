//! Parses a JSON text and prints its canonical form in one pass.
//!
//! Members are printed where they are found; when an object closes and its names were not ascending, its printed
//! members are moved into order. No tree is built, so memory stays linear in the text.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::text::{compare_utf16, read_string, write_string};
use super::{DEPTH_MAX, JsonError, number};

/// The canonical form of `text`; with `strict`, integers without an exact double are refused.
pub(super) fn rewrite(text: &str, strict: bool) -> Result<String, JsonError> {
    let out = String::with_capacity(text.len());
    let mut rewriter = Rewriter { text, at: 0, out, members: Vec::new(), scratch: String::new(), strict };
    rewriter.skip_space();
    rewriter.value(0)?;
    rewriter.skip_space();
    if rewriter.at < text.len() {
        return Err(rewriter.syntax("text follows the JSON value"));
    }
    Ok(rewriter.out)
}

/// One printed member: its name, and where in `out` it stands.
struct Member<'a> {
    name: Cow<'a, str>,
    start: usize,
    end: usize,
}

struct Rewriter<'a> {
    text: &'a str,
    at: usize,
    out: String,
    /// Members of the objects that are open, outermost first.
    members: Vec<Member<'a>>,
    scratch: String,
    strict: bool,
}

impl<'a> Rewriter<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn syntax(&self, problem: &'static str) -> JsonError {
        JsonError::Syntax { at: self.at, problem }
    }

    fn expect(&mut self, byte: u8, problem: &'static str) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.syntax(problem));
        }
        self.at += 1;
        Ok(())
    }

    /// `depth` arrays and objects are open around the value; recursion is bounded by [`DEPTH_MAX`].
    fn value(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{' | b'[') if depth == DEPTH_MAX => Err(JsonError::TooDeep),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            Some(_) => Err(self.syntax("a JSON value is expected")),
            None => Err(self.syntax("the text ends before its value")),
        }
    }

    fn literal(&mut self, word: &'static str) -> Result<(), JsonError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.syntax("a JSON value is expected"));
        }
        self.at += word.len();
        self.out.push_str(word);
        Ok(())
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let end = number::number_end(self.text.as_bytes(), self.at)?;
        number::write_number(&mut self.out, &self.text[self.at..end], self.strict)?;
        self.at = end;
        Ok(())
    }

    fn string(&mut self) -> Result<(), JsonError> {
        let (value, end) = read_string(self.text, self.at)?;
        match value {
            // Without an escape the text is its own canonical form.
            Cow::Borrowed(_) => self.out.push_str(&self.text[self.at..end]),
            Cow::Owned(value) => write_string(&mut self.out, &value),
        }
        self.at = end;
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        self.at += 1;
        self.out.push('[');
        self.skip_space();
        let mut index = 0;
        if self.peek() != Some(b']') {
            loop {
                self.skip_space();
                self.value(depth).map_err(|error| error.under_index(index))?;
                self.skip_space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
                self.out.push(',');
                index += 1;
            }
        }
        self.expect(b']', "a comma or the end of the array is expected")?;
        self.out.push(']');
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), JsonError> {
        self.at += 1;
        self.out.push('{');
        let (opened_at, first) = (self.out.len(), self.members.len());
        let mut ascending = true;
        self.skip_space();
        if self.peek() != Some(b'}') {
            loop {
                self.skip_space();
                ascending &= self.member(first, depth)?;
                self.skip_space();
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
                self.out.push(',');
            }
        }
        self.expect(b'}', "a comma or the end of the object is expected")?;
        if !ascending {
            self.reorder(opened_at, first)?;
        }
        self.members.truncate(first);
        self.out.push('}');
        Ok(())
    }

    /// Prints one member and says whether its name comes after the one before it.
    fn member(&mut self, first: usize, depth: usize) -> Result<bool, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.syntax("a member name is expected"));
        }
        let (name, end) = read_string(self.text, self.at)?;
        let ascending = match self.members[first..].last().map(|last| compare_utf16(&last.name, &name)) {
            Some(Ordering::Equal) => return Err(repeated(&name)),
            Some(order) => order == Ordering::Less,
            None => true,
        };
        self.at = end;
        let start = self.out.len();
        write_string(&mut self.out, &name);
        self.out.push(':');
        self.skip_space();
        self.expect(b':', "a colon is expected after a member name")?;
        self.skip_space();
        if let Err(error) = self.value(depth) {
            return Err(error.under_member(&name));
        }
        self.members.push(Member { name, start, end: self.out.len() });
        Ok(ascending)
    }

    /// Moves the printed members of one object into the order of their names.
    fn reorder(&mut self, opened_at: usize, first: usize) -> Result<(), JsonError> {
        let members = &mut self.members[first..];
        members.sort_unstable_by(|a, b| compare_utf16(&a.name, &b.name));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(repeated(&pair[0].name));
        }
        self.scratch.clear();
        for member in members.iter() {
            if !self.scratch.is_empty() {
                self.scratch.push(',');
            }
            self.scratch.push_str(&self.out[member.start..member.end]);
        }
        self.out.truncate(opened_at);
        self.out.push_str(&self.scratch);
        Ok(())
    }
}

fn repeated(name: &str) -> JsonError {
    JsonError::Duplicate { path: String::new() }.under_member(name)
}
