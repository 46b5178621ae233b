//! Durations in plans: hours, minutes and seconds, each once at most, as the pattern of the field has it.

/// The longest one: a hundred years.
const SECONDS_MAX: u64 = 100 * 8_760 * 3_600;

/// From a second to a hundred years.
pub fn millis(text: &str) -> Option<u64> {
    let seconds = seconds(text).filter(|seconds| (1..=SECONDS_MAX).contains(seconds))?;
    Some(seconds * 1_000)
}

fn seconds(text: &str) -> Option<u64> {
    let mut sum: u64 = 0;
    for part in text.split_inclusive(['h', 'm', 's']) {
        let (number, unit) = part.split_at_checked(part.len() - 1)?;
        let unit = match unit {
            "h" => 3_600,
            "m" => 60,
            _ => 1,
        };
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    #[test]
    fn durations_have_hours_minutes_and_seconds() {
        for (text, millis) in [
            ("1s", Some(1_000)),
            ("1h30m", Some(5_400_000)),
            ("24h", Some(86_400_000)),
            ("2h3m4s", Some(7_384_000)),
            ("876000h", Some(3_153_600_000_000)),
            ("876000h1s", None),
            ("0s", None),
            ("9999999h999999999m9999999999s", None),
            ("1", None),
            ("h", None),
        ] {
            assert_eq!(super::millis(text), millis, "{text}");
        }
    }
}
