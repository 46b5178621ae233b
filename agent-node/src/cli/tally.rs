//! How far a feed has come, in words and as an object.

use super::feed::Ended;
use proto::shown::Output;
use std::fmt::Write as _;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub struct Tally {
    pub ended: Ended,
    /// Lines still to be sent at the start; unknown of standard input.
    pub total: Option<u64>,
    pub elapsed: Duration,
}

impl Tally {
    /// On the way.
    pub fn line(&self, output: Output) -> String {
        let Ended { done, refused } = self.ended;
        match (output, self.total) {
            (Output::Json, total) => {
                serde_json::json!({"done": done, "refused": refused, "total": total, "perSecond": self.rate()}).to_string()
            }
            (Output::Text, Some(total)) => {
                format!("{done} of {} done{}, {}/s", lines(total), self.refused(), self.rate())
            }
            (Output::Text, None) => format!("{} done{}, {}/s", lines(done), self.refused(), self.rate()),
        }
    }

    /// In the end.
    pub fn summary(&self, output: Output, client: &str) -> String {
        let Ended { done, refused } = self.ended;
        let seconds = self.elapsed.as_millis() as f64 / 1e3;
        match output {
            Output::Json => {
                serde_json::json!({"done": done, "refused": refused, "seconds": seconds, "client": client})
                    .to_string()
            }
            Output::Text => {
                let refused = self.refused();
                let done = lines(done);
                format!("{done} done{refused} in {seconds:.1} s, {}/s, as {client}", self.rate())
            }
        }
    }

    fn refused(&self) -> String {
        let mut text = String::new();
        if self.ended.refused > 0 {
            let _ = write!(text, ", {} refused", self.ended.refused);
        }
        text
    }

    fn rate(&self) -> u64 {
        let lines = (self.ended.done + self.ended.refused) as f64;
        (lines / self.elapsed.as_secs_f64().max(0.001)).round() as u64
    }
}

fn lines(count: u64) -> String {
    format!("{count} line{}", if count == 1 { "" } else { "s" })
}

/// What is said of a run that has not come to its end.
pub fn go_on(output: Output, why: &str, line: u64) -> String {
    match output {
        Output::Json => serde_json::json!({"error": why, "fromLine": line}).to_string(),
        Output::Text => {
            format!(
                "{why}: to continue, run the same command with --from-line {line}, or run it again from the start: \
                 lines that were done are not done twice"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_is_told_to_people_and_to_programs() {
        let tally = |total, refused| Tally {
            ended: Ended { done: 9_000, refused },
            total,
            elapsed: Duration::from_millis(1_500),
        };
        for (tally, text, json) in [
            (
                tally(Some(27_004), 0),
                "9000 of 27004 lines done, 6000/s",
                r#"{"done":9000,"perSecond":6000,"refused":0,"total":27004}"#,
            ),
            (
                tally(None, 3),
                "9000 lines done, 3 refused, 6002/s",
                r#"{"done":9000,"perSecond":6002,"refused":3,"total":null}"#,
            ),
        ] {
            assert_eq!((tally.line(Output::Text).as_str(), tally.line(Output::Json).as_str()), (text, json));
        }
        let end = tally(Some(9_001), 1);
        assert_eq!(
            end.summary(Output::Text, "file-1"),
            "9000 lines done, 1 refused in 1.5 s, 6001/s, as file-1"
        );
        assert_eq!(
            end.summary(Output::Json, "file-1"),
            r#"{"client":"file-1","done":9000,"refused":1,"seconds":1.5}"#
        );
        let text = "interrupted: to continue, run the same command with --from-line 7, ";
        assert!(go_on(Output::Text, "interrupted", 7).starts_with(text));
        assert_eq!(go_on(Output::Json, "interrupted", 7), r#"{"error":"interrupted","fromLine":7}"#);
    }

    #[test]
    fn no_time_at_all_is_no_fault() {
        let tally = Tally { ended: Ended::default(), total: Some(0), elapsed: Duration::ZERO };
        assert_eq!(tally.line(Output::Text), "0 of 0 lines done, 0/s");
    }
}
