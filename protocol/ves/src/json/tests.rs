use proptest::prelude::*;

use super::text::compare_utf16;
use super::*;

fn refused(text: &str) -> JsonError {
    canonicalize(text).expect_err(text)
}

#[test]
fn a_repeated_member_is_named_by_its_path() {
    for (text, path) in [
        (r#"{"a":1,"a":2}"#, "a"),
        (r#"{"b":1,"a":2,"b":3}"#, "b"),
        (r#"{"items":[{"sku":1,"qty":2,"sku":3}]}"#, "items[0].sku"),
        (r#"[[0],{"x":{"a b":1,"a b":1}}]"#, r#"[1].x["a b"]"#),
        (r#"{"":{"":1,"":2}}"#, r#"[""][""]"#),
        // The same name under two spellings.
        (r#"{"\u0061":1,"a":2}"#, "a"),
    ] {
        assert_eq!(refused(text), JsonError::Duplicate { path: path.to_owned() }, "{text}");
        assert!(canonicalize_strict(text).is_err());
    }
    let error = refused(r#"{"items":[{"sku":1,"sku":3}]}"#);
    assert_eq!(error.path_under("payload"), "payload.items[0].sku");
    assert_eq!(refused(r#"[{"a":1,"a":1}]"#).path_under("payload"), "payload[0].a");
}

#[test]
fn what_is_not_json_is_refused() {
    for text in [
        "",
        " ",
        "nul",
        "tru",
        "NaN",
        "Infinity",
        "-Infinity",
        "-",
        "+1",
        ".5",
        "1.",
        "1.e3",
        "1e",
        "1e+",
        "01",
        "-01",
        "0x1",
        "00",
        "{",
        "[",
        "[1,]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "[1 2]",
        "\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u+123\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800x\"",
        "\"\u{1}\"",
        "\"\n\"",
        "1 2",
        "{} x",
        "[]]",
        "'a'",
        "\u{feff}1",
        "\u{a0}1",
        "truefalse",
        "nullx",
    ] {
        assert!(matches!(canonicalize(text), Err(JsonError::Syntax { .. })), "{text:?}");
    }
    assert_eq!(refused(r#"{"a":[0,1e400]}"#), JsonError::Number { path: "a[1]".to_owned() });
}

#[test]
fn nesting_is_bounded_and_the_bound_itself_is_accepted() {
    let nested =
        |open: &str, close: &str, depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
    assert!(canonicalize(&nested("[", "]", DEPTH_MAX)).is_ok());
    assert!(canonicalize(&nested("[ ", "]", DEPTH_MAX)).is_ok());
    assert!(!is_too_deep(&nested("[", "]", DEPTH_MAX)));
    for depth in [DEPTH_MAX + 1, 100_000] {
        assert_eq!(refused(&nested("[", "]", depth)), JsonError::TooDeep);
        assert_eq!(refused(&nested("[ ", "]", depth)), JsonError::TooDeep);
        assert_eq!(refused(&"{\"a\":".repeat(depth)), JsonError::TooDeep);
        assert!(is_too_deep(&nested("[", "]", depth)) && is_too_deep(&"{\"a\":".repeat(depth)));
        assert!(!is_too_deep(&format!("\"\\\"{}\"", "[".repeat(depth))));
        assert!(!is_too_deep(&"[]{}".repeat(depth)));
    }
}

#[test]
fn strict_refuses_exactly_the_integers_that_have_no_double() {
    for exact in [
        "9007199254740992",
        "-9007199254740992",
        "9007199254740994",
        "1e22",
        "1e300",
        "1.5",
        "0.1",
        "123456789.123456789",
        "0e999999999999",
        "9007199254740993.5",
        "18446744073709551616",
        "-0",
        "1e-400",
        "90071992547409920e-1",
        "100e-2",
    ] {
        // 1e300 is written as an integer that its double does not equal.
        let inexact = matches!(exact, "1e300");
        assert_eq!(canonicalize_strict(exact).is_err(), inexact, "{exact}");
    }
    for inexact in [
        "9007199254740993",
        "-9007199254740993",
        "18446744073709551615",
        "9223372036854775807",
        "9007199254740993.0",
        "9007199254740993e0",
        "90071992547409930e-1",
    ] {
        assert!(matches!(canonicalize_strict(inexact), Err(JsonError::Inexact { .. })), "{inexact}");
        assert!(canonicalize(inexact).is_ok());
    }
    assert_eq!(
        canonicalize_strict(r#"{"a":[9007199254740993]}"#),
        Err(JsonError::Inexact { path: "a[0]".to_owned() })
    );
}

#[test]
fn canonical_text_is_borrowed() {
    for text in [
        r#"{"a":[1,-2,4.5,"é\n",true,null],"b":{"c":"","d":{}}}"#,
        "0",
        "0.000001",
        "-0.5",
        "123456789012345",
        "[]",
        "{}",
    ] {
        assert!(matches!(canonicalize(text), Ok(Cow::Borrowed(_))), "{text}");
    }
    assert_eq!(canonicalize(" [ 1 , 2 ] ").unwrap(), "[1,2]");
}

/// JSON texts in every spelling: odd spaces, escapes, numbers, member orders.
fn any_json_text() -> impl Strategy<Value = String> {
    let space = prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\n\t\r ")];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        any_number_text(),
        any_string_text(),
    ];
    let leaf = (space, leaf).prop_map(|(space, leaf)| format!("{space}{leaf}{space}"));
    leaf.prop_recursive(5, 48, 6, |inner| {
        let name = prop_oneof![3 => "\"[a-e]{0,2}\"", 1 => any_string_text()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((name, inner), 0..6).prop_map(|members| {
                let members: Vec<String> =
                    members.into_iter().map(|(name, value)| format!("{name}:{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn any_number_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        "-?(0|[1-9][0-9]{0,6})(\\.[0-9]{1,9})?",
        "-?0\\.0{0,8}[0-9]{1,4}",
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(|x| format!("{x:e}")),
    ]
}

fn any_string_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "\"[ -!#-\\[\\]-~éß日🎉\u{ffee}\u{fb33}\u{2028}]{0,8}\"",
        "\"(\\\\[\"\\\\/bfnrt]|\\\\u00[0-7][0-9a-fA-F]|\\\\ud83d\\\\ude0[0-9]|[a-z]){0,6}\"",
    ]
}

/// A canonical printer that shares nothing with the one under test: serde_json's tree, printed by hand.
fn print_with_serde_json(value: &serde_json::Value, out: &mut String) {
    match value {
        serde_json::Value::Number(number) => {
            let double = number.as_f64().unwrap();
            out.push_str(ryu_js::Buffer::new().format(double));
        }
        serde_json::Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                print_with_serde_json(item, out);
            }
            out.push(']');
        }
        serde_json::Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<_>>());
            out.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(name).unwrap());
                out.push(':');
                print_with_serde_json(member, out);
            }
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_the_scanner_accepts_the_printer_prints(text in any_json_text()) {
        let printed = rewrite::rewrite(&text, false);
        if scan::is_canonical(&text) {
            prop_assert_eq!(printed.as_deref(), Ok(text.as_str()));
        }
        // Canonical texts are where the scanner says yes most: mutate one of those too.
        if let Ok(printed) = printed {
            prop_assert_eq!(rewrite::rewrite(&printed, false), Ok(printed.clone()));
            if scan::is_canonical(&printed) {
                prop_assert_eq!(rewrite::rewrite(&printed, true), Ok(printed.clone()));
            }
        }
    }

    #[test]
    fn one_changed_byte_never_misleads_the_scanner(text in any_json_text(), at in any::<prop::sample::Index>(), byte in 0u8..128) {
        if let Ok(canonical) = rewrite::rewrite(&text, false) {
            let mut bytes = canonical.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(changed) = String::from_utf8(bytes) && scan::is_canonical(&changed) {
                prop_assert_eq!(rewrite::rewrite(&changed, false), Ok(changed.clone()));
            }
        }
    }

    #[test]
    fn canonicalising_twice_changes_nothing(text in any_json_text()) {
        if let Ok(once) = canonicalize(&text) {
            let twice = canonicalize(&once).map(Cow::into_owned);
            prop_assert_eq!(twice, Ok(once.into_owned()));
        }
    }

    #[test]
    fn the_printer_agrees_with_an_independent_one(text in any_json_text()) {
        if let Ok(canonical) = canonicalize(&text) {
            let tree: serde_json::Value = serde_json::from_str(&text).unwrap();
            let mut expected = String::new();
            print_with_serde_json(&tree, &mut expected);
            prop_assert_eq!(canonical.as_ref(), expected);
        }
    }

    #[test]
    fn numbers_print_as_ecmascript_prints_their_double(double in any::<f64>()) {
        prop_assume!(double.is_finite());
        let mut buffer = ryu_js::Buffer::new();
        let expected = buffer.format(double);
        for spelling in [format!("{double:e}"), format!("{double}"), format!("{double:.30e}")] {
            if spelling.parse::<f64>() == Ok(double) {
                let printed = canonicalize(&spelling).unwrap().into_owned();
                prop_assert_eq!(printed, expected, "{}", spelling);
            }
        }
    }

    #[test]
    fn names_are_ordered_as_their_utf16_units(a in "\\PC{0,4}", b in "\\PC{0,4}", both in any::<bool>()) {
        let (a, b) = if both { (format!("x{a}"), format!("x{b}")) } else { (a, b) };
        let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
        prop_assert_eq!(compare_utf16(&a, &b), units(&a).cmp(&units(&b)));
    }

    #[test]
    fn hostile_text_never_panics(text in "[\\[\\]{}\",:\\\\u0-9eE+.ntfa \\-\\PC]{0,40}") {
        let _ = canonicalize(&text);
        let _ = canonicalize_strict(&text);
        let _ = string_value(&text);
    }

    #[test]
    fn a_written_string_reads_back(value in any::<String>()) {
        let mut text = String::new();
        write_string(&mut text, &value);
        let read = string_value(&text);
        prop_assert_eq!(read.as_deref(), Some(value.as_str()));
        prop_assert_eq!(serde_json::from_str::<String>(&text).unwrap(), value);
    }
}
