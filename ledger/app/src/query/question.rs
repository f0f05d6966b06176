//! What stands behind the question mark of a path: where a page begins, and how many rows it has at most.

/// Most rows of one answer (section 14).
pub(super) const ROWS_MAX: usize = 500;

/// `from=PLACE` or `after=ID`, and `limit=N`: each may be left out, none may be given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question<'a> {
    pub from: Option<&'a str>,
    pub after: Option<&'a str>,
    /// 1 to [`ROWS_MAX`].
    pub limit: usize,
}

impl<'a> Question<'a> {
    /// `None` for what is no such question.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (mut from, mut after, mut limit) = (None, None, None);
        for part in text.split('&').filter(|_| !text.is_empty()) {
            let (name, value) = part.split_once('=')?;
            let place = match name {
                "from" => &mut from,
                "after" => &mut after,
                "limit" => &mut limit,
                _ => return None,
            };
            if value.is_empty() || place.replace(value).is_some() {
                return None;
            }
        }
        if from.is_some() && after.is_some() {
            return None;
        }
        let limit = limit.map_or(Some(ROWS_MAX), |limit: &str| limit.parse().ok())?;
        Some(Self { from, after, limit: limit.clamp(1, ROWS_MAX) })
    }

    /// Whether nothing is asked.
    pub fn is_plain(&self) -> bool {
        *self == Self { from: None, after: None, limit: ROWS_MAX }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_a_place_and_a_limit_and_each_once() {
        let parse = |text| Question::parse(text).map(|asked| (asked.from, asked.after, asked.limit));
        assert_eq!(parse(""), Some((None, None, 500)));
        assert_eq!(parse("after=7"), Some((None, Some("7"), 500)));
        assert_eq!(parse("limit=3&from=1/2/3"), Some((Some("1/2/3"), None, 3)));
        assert_eq!(parse("limit=0"), Some((None, None, 1)));
        assert_eq!(parse("limit=501"), Some((None, None, 500)));
        for text in [
            "&",
            "after",
            "after=",
            "limit=x",
            "limit=-1",
            "after=1&after=2",
            "from=1&after=2",
            "other=1",
            "after=1&",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
