//! C1: every malformed form of section 2.1 is refused, by the one reader.

use super::*;

fn refused<T: Decode + fmt::Debug>(bytes: &[u8]) -> Problem {
    T::from_sce(bytes).expect_err("malformed").problem
}

#[test]
fn integers_are_big_endian_and_of_fixed_width() {
    assert_eq!(0x0102u16.to_sce(), [1, 2]);
    assert_eq!((-2i64).to_sce(), [255, 255, 255, 255, 255, 255, 255, 254]);
    assert_eq!(i64::from_sce(&(-2i64).to_sce()), Ok(-2));
    assert_eq!(u128::from_sce(&u128::MAX.to_sce()), Ok(u128::MAX));
    assert_eq!(refused::<u64>(&[0; 7]), Problem::Truncated { missing: 1 });
}

#[test]
fn trailing_bytes_are_refused() {
    assert_eq!(refused::<u8>(&[1, 2]), Problem::Trailing { count: 1 });
    assert_eq!(refused::<Text<4>>(&[0, 0, 0, 1, b'a', b'b']), Problem::Trailing { count: 1 });
}

#[test]
fn option_and_truth_bytes_are_0_or_1() {
    for byte in 2..=255 {
        assert_eq!(refused::<Option<u8>>(&[byte, 0]), Problem::OptionByte(byte));
        assert_eq!(refused::<bool>(&[byte]), Problem::BoolByte(byte));
    }
}

#[test]
fn lengths_above_the_limit_are_refused_before_anything_is_kept() {
    let at_most = List::<u8, 3>::new([1, 2, 3]).unwrap().to_sce();
    assert!(List::<u8, 3>::from_sce(&at_most).is_ok());
    assert_eq!(refused::<List<u8, 2>>(&at_most), Problem::TooLong { found: 3, max: 2 });
    assert_eq!(refused::<Blob<2>>(&at_most), Problem::TooLong { found: 3, max: 2 });
    assert_eq!(refused::<Text<2>>(b"\0\0\0\x03abc"), Problem::TooLong { found: 3, max: 2 });
    // A count that the bytes could not hold.
    let claimed = u32::MAX.to_sce();
    assert!(matches!(refused::<List<u64, { usize::MAX }>>(&claimed), Problem::Truncated { .. }));
    assert!(matches!(refused::<Blob<{ usize::MAX }>>(&claimed), Problem::Truncated { .. }));
    let large = vec![0; VALUE_BYTES_MAX + 1];
    assert!(matches!(refused::<u8>(&large), Problem::TooLong { .. }));
}

#[test]
fn texts_are_utf8_without_nul() {
    assert_eq!(refused::<Text<9>>(b"\0\0\0\x01\xff"), Problem::NotUtf8);
    assert_eq!(refused::<Text<9>>(b"\0\0\0\x03a\0b"), Problem::Nul);
    assert_eq!(Text::<9>::new("a\0b"), Err(TooMany::Nul));
}

#[test]
fn maps_and_sets_rise_strictly_by_encoded_key() {
    // Shorter texts come first: their length is written first.
    let map: Map<Text<9>, u8, 9> =
        Map::new(["b", "aa", "a"].map(|key| (Text::new(key).unwrap(), 1))).unwrap();
    let keys: Vec<&str> = map.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["a", "b", "aa"]);
    assert_eq!(Map::from_sce(&map.to_sce()), Ok(map));

    let set = |values: &[u8]| List::<u8, 9>::new(values).unwrap().to_sce();
    assert_eq!(Set::<u8, 9>::from_sce(&set(&[1, 2, 9])), Set::new([9, 1, 2]).map_err(|_| unreachable!()));
    assert_eq!(refused::<Set<u8, 9>>(&set(&[2, 1])), Problem::Order);
    assert_eq!(refused::<Set<u8, 9>>(&set(&[1, 1])), Problem::Duplicate);
    assert_eq!(Set::<u8, 9>::new([1, 1]), Err(TooMany::Duplicate));
    let pair = |key: u8| [key, 0];
    let pairs: Vec<u8> = [vec![0, 0, 0, 2], pair(1).to_vec(), pair(1).to_vec()].concat();
    assert_eq!(refused::<Map<u8, u8, 9>>(&pairs), Problem::Duplicate);
}

choice! {
    pub enum Shape {
        Point(u8) = 1,
        Line(u16) = 2,
    }
}
codes! {
    pub enum Colour: u8 {
        Red = 1,
        Blue = 3,
    }
}

#[test]
fn unknown_tags_are_refused() {
    assert_eq!(Shape::Line(7).to_sce(), [0, 2, 0, 7]);
    assert_eq!((Shape::Line(7).name(), Shape::Point(0).name()), ("Line", "Point"));
    assert_eq!(Colour::ALL.iter().map(|colour| colour.code()).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(Shape::from_sce(&[0, 1, 9]), Ok(Shape::Point(9)));
    for tag in (0..=u16::MAX).filter(|tag| !Shape::TAGS.contains(tag)) {
        let bytes = [tag.to_sce(), vec![0, 0]].concat();
        assert_eq!(refused::<Shape>(&bytes), Problem::UnknownTag { of: "Shape", tag: tag.into() });
    }
    for code in (0..=u8::MAX).filter(|code| Colour::from_code(*code).is_none()) {
        assert_eq!(refused::<Colour>(&[code]), Problem::UnknownTag { of: "Colour", tag: code.into() });
    }
}
