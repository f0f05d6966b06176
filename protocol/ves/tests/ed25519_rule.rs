//! The one Ed25519 rule (section 8.2): tables and the shared inversion agree with the plain single check of an
//! independent implementation, on honest and on adversarial signatures.

use std::sync::LazyLock;

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use ed25519_dalek::Verifier as _;
use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest as _, Sha512};
use ves::ed25519::{Check, CheckKey, KeyTable, PublicKey, PublicKeyError, SigningKey, verify_many};

/// Group order, little-endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

struct Owner {
    secret: Scalar,
    signing: SigningKey,
    public: PublicKey,
    table: KeyTable,
}

static OWNERS: LazyLock<Vec<Owner>> = LazyLock::new(|| {
    let owner = |seed: u8| {
        let seed = [seed; 32];
        let expanded = Sha512::digest(seed);
        let clamped = clamp_integer(expanded[..32].try_into().unwrap());
        let signing = SigningKey::from_seed(seed);
        let public = PublicKey::from_bytes(&signing.public_key()).unwrap();
        Owner {
            secret: Scalar::from_bytes_mod_order(clamped),
            signing,
            public,
            table: KeyTable::new(&public),
        }
    };
    (1..=3).map(owner).collect()
});

fn challenge(r: &[u8; 32], owner: &Owner, message: &[u8]) -> Scalar {
    let hash =
        Sha512::new().chain_update(r).chain_update(owner.public.as_bytes()).chain_update(message).finalize();
    Scalar::from_bytes_mod_order_wide(&hash.into())
}

/// What the owner of a key can make with nonce point encoding `r` and nonce `nonce`.
fn forge(owner: &Owner, message: &[u8], r: [u8; 32], nonce: Scalar) -> [u8; 64] {
    let s = nonce + challenge(&r, owner, message) * owner.secret;
    join(r, s.to_bytes())
}

fn join(r: [u8; 32], s: [u8; 32]) -> [u8; 64] {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&r);
    signature[32..].copy_from_slice(&s);
    signature
}

/// `a + b` as 256-bit little-endian integers, cut.
fn add(a: &[u8], b: &[u8; 32]) -> [u8; 32] {
    let mut carry = 0;
    std::array::from_fn(|i| {
        let sum = u16::from(a[i]) + u16::from(b[i]) + carry;
        carry = sum >> 8;
        sum as u8
    })
}

/// Encodings that do not print again as they are: y at or above p, and x = 0 with the sign set.
fn non_canonical_points() -> Vec<[u8; 32]> {
    let mut found = Vec::new();
    for low in 0xed..=0xffu8 {
        for sign in [0x7f, 0xff] {
            let mut bytes = [0xff; 32];
            (bytes[0], bytes[31]) = (low, sign);
            found.push(bytes);
        }
    }
    for y in [1u8, 0xec] {
        let mut bytes = if y == 1 { [0; 32] } else { [0xff; 32] };
        (bytes[0], bytes[31]) = (y, if y == 1 { 0x80 } else { 0xff });
        found.push(bytes);
    }
    found
}

#[derive(Debug, Clone)]
enum Kind {
    Honest,
    FlippedBit(usize),
    OtherMessage,
    OtherKey,
    PlusOrder,
    HugeS([u8; 32]),
    ZeroS,
    SmallOrderR(usize),
    TorsionInR(usize, u64),
    NonCanonicalR(usize),
    Noise([u8; 32], [u8; 32]),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => Just(Kind::Honest),
        2 => (0..512usize).prop_map(Kind::FlippedBit),
        1 => Just(Kind::OtherMessage),
        1 => Just(Kind::OtherKey),
        1 => Just(Kind::PlusOrder),
        1 => any::<[u8; 32]>().prop_map(Kind::HugeS),
        1 => Just(Kind::ZeroS),
        2 => (0..8usize).prop_map(Kind::SmallOrderR),
        2 => (0..8usize, any::<u64>()).prop_map(|(t, nonce)| Kind::TorsionInR(t, nonce)),
        1 => (0..40usize).prop_map(Kind::NonCanonicalR),
        1 => (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(r, s)| Kind::Noise(r, s)),
    ]
}

fn signature(owner: &Owner, message: &[u8], kind: &Kind) -> [u8; 64] {
    let honest = owner.signing.sign(message);
    let r: [u8; 32] = honest[..32].try_into().unwrap();
    match kind {
        Kind::Honest => honest,
        Kind::FlippedBit(bit) => {
            let mut flipped = honest;
            flipped[bit / 8] ^= 1 << (bit % 8);
            flipped
        }
        Kind::OtherMessage => owner.signing.sign(&[message, b"!"].concat()),
        Kind::OtherKey => SigningKey::from_seed([99; 32]).sign(message),
        Kind::PlusOrder => join(r, add(&honest[32..], &L)),
        Kind::HugeS(s) => join(r, std::array::from_fn(|i| s[i] | if i == 31 { 0x20 } else { 0 })),
        Kind::ZeroS => join(r, [0; 32]),
        Kind::SmallOrderR(t) => forge(owner, message, EIGHT_TORSION[*t].compress().0, Scalar::ZERO),
        Kind::TorsionInR(t, nonce) => {
            let nonce = Scalar::from(*nonce);
            let r = ED25519_BASEPOINT_POINT * nonce + EIGHT_TORSION[*t];
            forge(owner, message, r.compress().0, nonce)
        }
        Kind::NonCanonicalR(i) => {
            let points = non_canonical_points();
            forge(owner, message, points[i % points.len()], Scalar::ZERO)
        }
        Kind::Noise(r, s) => join(*r, *s),
    }
}

/// The independent check: not strict, cofactorless, S below the order.
fn oracle(owner: &Owner, message: &[u8], signature: &[u8; 64]) -> bool {
    let key = ed25519_dalek::VerifyingKey::from_bytes(owner.public.as_bytes()).unwrap();
    key.verify(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Every verdict of a mixed batch is that of the single plain check: tables agree, and none touches another.
    #[test]
    fn many_at_once_agree_with_the_single_check(
        batch in vec((0..3usize, vec(any::<u8>(), 0..80), kind(), any::<bool>()), 0..24)
    ) {
        let made: Vec<_> = batch
            .iter()
            .map(|(owner, message, kind, by_table)| {
                let owner = &OWNERS[*owner];
                (owner, message, signature(owner, message, kind), *by_table)
            })
            .collect();
        let checks: Vec<Check<'_>> = made
            .iter()
            .map(|(owner, message, signature, by_table)| {
                let key = if *by_table { CheckKey::Table(&owner.table) } else { CheckKey::Plain(&owner.public) };
                Check { key, message, signature }
            })
            .collect();
        for ((verdict, (owner, message, signature, _)), (.., kind, _)) in
            verify_many(&checks).into_iter().zip(&made).zip(&batch)
        {
            prop_assert_eq!(verdict, oracle(owner, message, signature), "{:?}", kind);
            prop_assert_eq!(verdict, owner.public.verify(message, signature));
            if matches!(kind, Kind::Honest) {
                prop_assert!(verdict);
            }
            if matches!(kind, Kind::PlusOrder | Kind::HugeS(_) | Kind::FlippedBit(_) | Kind::TorsionInR(1.., _) | Kind::NonCanonicalR(_)) {
                prop_assert!(!verdict);
            }
        }
    }
}

#[test]
fn torsion_in_r_is_refused_by_every_path_and_every_torsion_point() {
    let owner = &OWNERS[0];
    for nonce in 1..17u64 {
        for (t, torsion) in EIGHT_TORSION.iter().enumerate() {
            let r = ED25519_BASEPOINT_POINT * Scalar::from(nonce) + torsion;
            let signature = forge(owner, b"m", r.compress().0, Scalar::from(nonce));
            let expected = t == 0;
            let by_table = Check { key: CheckKey::Table(&owner.table), message: b"m", signature: &signature };
            assert_eq!(verify_many(&[by_table]), [expected]);
            assert_eq!(owner.public.verify(b"m", &signature), expected);
        }
    }
}

#[test]
fn one_bad_signature_changes_no_neighbour() {
    let messages: Vec<[u8; 32]> = (0..100).map(|i| [i; 32]).collect();
    let mut signatures: Vec<[u8; 64]> =
        messages.iter().enumerate().map(|(i, m)| OWNERS[i % 3].signing.sign(m)).collect();
    signatures[17][3] ^= 1;
    signatures[44] = join([0xff; 32], [0xff; 32]);
    let checks: Vec<Check<'_>> = (0..100)
        .map(|i| Check {
            key: CheckKey::Table(&OWNERS[i % 3].table),
            message: &messages[i],
            signature: &signatures[i],
        })
        .collect();
    for (i, verdict) in verify_many(&checks).into_iter().enumerate() {
        assert_eq!(verdict, i != 17 && i != 44, "{i}");
    }
}

#[test]
fn no_signatures_are_no_verdicts() {
    assert!(verify_many(&[]).is_empty());
}

#[test]
fn keys_of_small_order_with_torsion_or_in_another_spelling_are_not_registered() {
    for torsion in EIGHT_TORSION {
        assert_eq!(PublicKey::from_bytes(&torsion.compress().0), Err(PublicKeyError::SmallOrder));
    }
    for (t, torsion) in EIGHT_TORSION.iter().enumerate().skip(1) {
        let mixed: EdwardsPoint = ED25519_BASEPOINT_POINT * Scalar::from(7u8) + torsion;
        assert_eq!(PublicKey::from_bytes(&mixed.compress().0), Err(PublicKeyError::Torsion), "{t}");
    }
    for bytes in non_canonical_points() {
        let refusal = PublicKey::from_bytes(&bytes).unwrap_err();
        let decodes = CompressedEdwardsY(bytes).decompress().is_some();
        assert_eq!(refusal, if decodes { PublicKeyError::NonCanonical } else { PublicKeyError::Undecodable });
    }
    let mut undecodable = [0; 32];
    undecodable[0] = 2;
    assert_eq!(PublicKey::from_bytes(&undecodable), Err(PublicKeyError::Undecodable));
}

/// RFC 8032, section 7.1, tests 1 and 2.
#[test]
fn the_published_signatures_are_reproduced() {
    let cases: [(&str, &str, &[u8], &str); 2] = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            b"",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            b"\x72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ];
    for (seed, public, message, expected) in cases {
        let bytes = |text: &str| ves::hex::decode_vec(text).unwrap();
        let key = SigningKey::from_seed(bytes(seed).try_into().unwrap());
        assert_eq!(key.public_key().to_vec(), bytes(public));
        let signature = key.sign(message);
        assert_eq!(signature.to_vec(), bytes(expected));
        let public = PublicKey::from_bytes(&key.public_key()).unwrap();
        assert!(public.verify(message, &signature));
        let table = KeyTable::new(&public);
        assert_eq!(
            verify_many(&[Check { key: CheckKey::Table(&table), message, signature: &signature }]),
            [true]
        );
    }
}
