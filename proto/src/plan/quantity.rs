//! Kubernetes' quantities: `10Gi`, `1500m`, or a bare integer, which a Pod would accept as well.

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;

/// As it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Quantity(pub String);

/// Powers of ten beyond it are more than anything that is counted in bytes.
const EXPONENT_MAX: i32 = 30;

impl Quantity {
    /// Rounded up, or `None` if it is not well-formed, negative, or more than anybody has.
    pub fn value(&self) -> Option<u128> {
        self.times(1)
    }

    /// Thousandths of it, rounded up.
    pub fn milli(&self) -> Option<u128> {
        self.times(1000)
    }

    fn times(&self, count: u128) -> Option<u128> {
        let text = self.0.strip_prefix('+').unwrap_or(&self.0);
        let end = text.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || digits.len() > 27 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (factor, divisor) = scale(suffix)?;
        let digits: u128 = digits.parse().ok()?;
        let divisor = divisor.checked_mul(10_u128.checked_pow(fraction.len() as u32)?)?;
        Some(digits.checked_mul(factor)?.checked_mul(count)?.div_ceil(divisor))
    }
}

/// What a suffix multiplies by, and what it divides by.
fn scale(suffix: &str) -> Option<(u128, u128)> {
    let exponent = |text: &str| text.parse::<i32>().ok().filter(|power| power.abs() <= EXPONENT_MAX);
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (1000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => match exponent(suffix.strip_prefix(['e', 'E'])?)? {
            power @ 0.. => (10_u128.pow(power.unsigned_abs()), 1),
            power => (1, 10_u128.pow(power.unsigned_abs())),
        },
    })
}

impl fmt::Display for Quantity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl From<&Quantity> for k8s_openapi::apimachinery::pkg::api::resource::Quantity {
    fn from(quantity: &Quantity) -> Self {
        Self(quantity.0.clone())
    }
}

impl schemars::JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": true
        })
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
        struct IntegerOrText;

        impl Visitor<'_> for IntegerOrText {
            type Value = Quantity;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a quantity")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Quantity, E> {
                Ok(Quantity(value.to_string()))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Quantity, E> {
                Ok(Quantity(value.to_string()))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Quantity, E> {
                Ok(Quantity(value.to_owned()))
            }
        }

        deserializer.deserialize_any(IntegerOrText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_a_value() {
        for (text, expected) in [
            ("1Gi", Some(1 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("+1k", Some(1000)),
            ("1024", Some(1024)),
            ("1500m", Some(2)),
            ("1e3", Some(1000)),
            ("12E", Some(12_000_000_000_000_000_000)),
            ("1E3", Some(1000)),
            ("5e-1", Some(1)),
            (".5Ki", Some(512)),
            ("5.", Some(5)),
            ("100000n", Some(1)),
            ("", None),
            (".", None),
            ("Gi", None),
            ("-1Gi", None),
            ("1gi", None),
            ("1 Gi", None),
            ("1.2.3", None),
            ("1e99", None),
            ("99999999999999999999999999999999999999999", None),
        ] {
            assert_eq!(Quantity(text.into()).value(), expected, "{text}");
        }
    }

    #[test]
    fn integers_are_quantities_too() {
        let read = |json: &str| serde_json::from_str::<Quantity>(json).ok().map(|quantity| quantity.0);
        assert_eq!(read("\"2\""), Some("2".into()));
        assert_eq!(read("2"), Some("2".into()));
        assert_eq!(read("0.5"), None);
    }
}
