//! The bytes of values.

use super::*;
use crate::value;
use proptest::prelude::*;

fn bytes(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode(value, &mut out);
    out
}

/// What is on disks stays readable.
#[test]
fn each_value_has_these_bytes() {
    let long = "x".repeat(64);
    for (value, expected) in [
        (Value::Null, vec![0]),
        (Value::Bool(false), vec![1]),
        (Value::Bool(true), vec![2]),
        (Value::Int(0), vec![0x80]),
        (Value::Int(127), vec![0xff]),
        (Value::Int(128), vec![3, 0x80, 2]),
        (Value::Int(-1), vec![3, 1]),
        (Value::Int(i64::MIN), vec![3, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        (Value::Double(0.5), vec![4, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f]),
        (Value::text("hi"), vec![0x42, b'h', b'i']),
        (Value::text(&long), [&[5, 64], long.as_bytes()].concat()),
        (Value::list([Value::Int(1), Value::Null]), vec![6, 2, 0x81, 0]),
        (Value::record([("a".into(), Value::Int(1))]), vec![7, 1, 1, b'a', 0x81]),
    ] {
        assert_eq!(bytes(&value), expected, "{value:?}");
        assert_eq!(decode(&mut &expected[..]), Ok(value));
    }
}

#[test]
fn what_is_broken_is_said() {
    let deep = [[LIST, 1].repeat(129), vec![NULL]].concat();
    for (bytes, expected) in [
        (&[][..], "it ends too early"),
        (&[8], "an unknown tag"),
        (&[0x3f], "an unknown tag"),
        (&[0x41], "it ends too early"),
        (&[0x41, 0xff], "a text is no UTF-8"),
        (&[4, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f], "a number that is not finite"),
        (&[5, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], "it ends too early"),
        (&[6, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], "a length or integer of more than 64 bits"),
        (&[6, 255, 255, 255, 255, 15, 0], "it ends too early"),
        (&[7, 2, 1, b'a', 0, 1, b'a', 0], "a member is there twice"),
        (&deep, "too many levels"),
    ] {
        assert_eq!(decode(&mut &bytes[..]), Err(Error(expected)), "{bytes:?}");
    }
}

#[test]
fn a_number_that_nobody_would_write_gets_its_one_form() {
    let whole = [&[DOUBLE][..], &2.0_f64.to_le_bytes()].concat();
    assert!(matches!(decode(&mut &whole[..]), Ok(Value::Int(2))));
}

proptest! {
    #[test]
    fn values_come_back_in_the_same_form(first in value::tests::stored(), second in value::tests::stored()) {
        let mut both = bytes(&first);
        encode(&second, &mut both);
        let mut rest = &both[..];
        for value in [first, second] {
            let back = decode(&mut rest).unwrap();
            prop_assert_eq!(format!("{:?}", back), format!("{:?}", value));
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop_oneof![0_u8..9, any::<u8>()], 0..60)) {
        let _ = decode(&mut &bytes[..]);
    }

    #[test]
    fn a_cut_is_seen(value in value::tests::stored(), at in any::<prop::sample::Index>()) {
        let whole = bytes(&value);
        let cut = at.index(whole.len());
        prop_assert!(decode(&mut &whole[..cut]).is_err());
    }
}
