//! Values: their forms, their order, their size.

use super::*;
use proptest::prelude::*;
use std::hash::{DefaultHasher, Hasher};

/// Any value that can be stored; numbers lie where it matters.
pub fn stored() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number(),
        "[a-c\u{0}\u{e9}\u{1f600}\"\\\\]{0,3}".prop_map(|text| Value::text(&text)),
        "\\PC{0,40}".prop_map(|text| Value::text(&text)),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::list),
            prop::collection::btree_map("[a-f]{0,2}", inner, 0..60)
                .prop_map(|map| map.into_iter().map(|(name, value)| (name.into(), value)).collect::<Vec<_>>())
                .prop_shuffle()
                .prop_map(Value::record),
        ]
    })
    .boxed()
}

fn number() -> BoxedStrategy<Value> {
    let edges = [
        0,
        1,
        1 << 53,
        (1 << 53) + 1,
        (1 << 62) + 1,
        i64::MAX - 512,
        i64::MAX - 1,
        i64::MAX,
        i64::MIN + 1,
        i64::MIN,
    ];
    let edge = prop::sample::select(edges.to_vec());
    let near = (edge, -2_i64..3).prop_map(|(edge, by)| edge.saturating_add(by));
    let of = |number: f64| Value::number(number).unwrap_or(Value::Null);
    prop_oneof![
        near.clone().prop_map(Value::Int),
        near.prop_map(move |number| of(number as f64)),
        any::<i64>().prop_map(Value::Int),
        any::<f64>().prop_map(of),
        (-40_i32..40).prop_map(move |number| of(f64::from(number) / 8.0)),
    ]
    .boxed()
}

fn hash(value: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What a number is, exactly: whole and fraction in units of 2^-1074 would be too much; 2^-60 is enough here.
fn exact(value: &Value) -> Option<i128> {
    let scale = 2_f64.powi(60);
    match value {
        Value::Int(number) => Some(i128::from(*number) << 60),
        Value::Double(number) if number.abs() < 2_f64.powi(64) && number.abs() > 2_f64.powi(-7) => {
            Some(((number.trunc() as i128) << 60) + (number.fract() * scale) as i128)
        }
        _ => None,
    }
}

#[test]
fn a_value_takes_24_bytes() {
    assert_eq!(size_of::<Value>(), 24);
}

#[test]
fn numbers_have_one_form() {
    let int = |number| Some(Value::Int(number));
    for (number, expected) in [
        (0.0, int(0)),
        (-0.0, int(0)),
        (1.0, int(1)),
        (9_007_199_254_740_992.0, int(1 << 53)),
        (-9_007_199_254_740_992.0, int(-1 << 53)),
        (1e16, int(10_000_000_000_000_000)),
        (1e18, int(1_000_000_000_000_000_000)),
        (-9_223_372_036_854_775_808.0, int(i64::MIN)),
        (9_223_372_036_854_774_784.0, int(i64::MAX - 1023)),
        (f64::NAN, None),
        (f64::INFINITY, None),
        (f64::NEG_INFINITY, None),
    ] {
        assert_eq!(Value::number(number), expected, "{number}");
    }
    for number in
        [0.5, -0.5, 9_223_372_036_854_775_808.0, -9_223_372_036_854_777_856.0, 1e300, f64::MIN_POSITIVE]
    {
        assert!(matches!(Value::number(number), Some(Value::Double(_))), "{number}");
    }
}

#[test]
fn keys_stand_in_their_order() {
    let double = |number| Value::number(number).unwrap();
    let two63 = 9_223_372_036_854_775_808.0;
    let ordered = [
        Value::Null,
        Value::Bool(false),
        Value::Bool(true),
        double(-1e300),
        Value::Int(i64::MIN),
        Value::Int(i64::MIN + 1),
        double(-3.5),
        Value::Int(-3),
        double(-0.5),
        Value::Int(0),
        double(5e-324),
        double(0.5),
        Value::Int(1),
        Value::Int(1 << 53),
        Value::Int((1 << 53) + 1),
        double(9_007_199_254_740_994.0),
        Value::Int((1 << 53) + 3),
        Value::Int(i64::MAX - 1),
        Value::Int(i64::MAX),
        double(two63),
        Value::text(""),
        Value::text("A"),
        Value::text("a"),
        Value::text("aa"),
        Value::text("\u{e9}"),
        Value::list([]),
        Value::list([Value::Null]),
        Value::list([Value::Null, Value::Null]),
        Value::list([Value::Int(1)]),
        Value::record([]),
        Value::record([("a".into(), Value::Int(1))]),
        Value::record([("a".into(), Value::Int(2))]),
        Value::record([("b".into(), Value::Int(1))]),
    ];
    for (i, a) in ordered.iter().enumerate() {
        for (j, b) in ordered.iter().enumerate() {
            assert_eq!(a.cmp(b), i.cmp(&j), "{a:?} {b:?}");
        }
    }
    assert_eq!(Value::Int(i64::MIN), double(-two63));
    assert_eq!(hash(&Value::Int(i64::MIN)), hash(&double(-two63)));
    assert_eq!(Value::Int(1_000_000_000_000_000_000), double(1e18));
}

#[test]
fn a_record_finds_its_members_whatever_their_number() {
    for count in [0, 1, 32, 33, 500] {
        let member = |n: usize| (Text::from(format!("m{n}")), Value::Int(n as i64));
        let members: Vec<_> = (0..count).rev().map(member).collect();
        let record = Record::new(members.clone()).unwrap();
        assert_eq!(record.members(), members);
        assert!((0..count).all(|n| record.get(&format!("m{n}")) == Some(&Value::Int(n as i64))));
        assert_eq!((record.get("m"), record.get("m500")), (None, None));
        for place in 0..count {
            let mut twice = members.clone();
            twice.insert(count / 2, members[place].clone());
            let second = (count / 2).max(place + usize::from(place >= count / 2));
            assert_eq!(Record::new(twice).err(), Some(second), "{count} {place}");
        }
    }
}

#[test]
fn depth_counts_what_lies_within_each_other() {
    let nested = Value::list([Value::Int(1), Value::record([("a".into(), Value::list([]))])]);
    assert_eq!((Value::Null.depth(), Value::list([]).depth(), nested.depth()), (0, 1, 3));
}

proptest! {
    #[test]
    fn the_order_is_total_and_hashes_agree(a in stored(), b in stored(), c in stored()) {
        prop_assert_eq!(a.cmp(&a.clone()), Ordering::Equal);
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
        if a == b {
            prop_assert_eq!(hash(&a), hash(&b));
        }
    }

    #[test]
    fn numbers_compare_as_what_they_are(a in number(), b in number(), c in number()) {
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
        if let (Some(x), Some(y)) = (exact(&a), exact(&b)) {
            prop_assert_eq!(a.cmp(&b), x.cmp(&y), "{:?} {:?}", a, b);
        }
        if a == b {
            prop_assert_eq!(hash(&a), hash(&b));
        }
    }

    #[test]
    fn serde_gives_back_the_same_form(value in stored()) {
        let theirs = serde_yaml_ng::to_value(&value).unwrap();
        let back: Value = serde_yaml_ng::from_value(theirs).unwrap();
        prop_assert_eq!(format!("{:?}", back), format!("{:?}", value));
    }
}
