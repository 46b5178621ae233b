//! Files as feeds: what is a line, what is none, and what makes two files one feed.

use super::*;
use flate2::{Compression, write::GzEncoder};
use std::io::Write as _;
use tempfile::NamedTempFile;

fn file(content: &[u8]) -> (NamedTempFile, Source) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(content).unwrap();
    let source = Source::File(file.path().to_owned());
    (file, source)
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(content).unwrap();
    packed.finish().unwrap()
}

fn line(n: usize) -> String {
    format!(r#"{{"agent":"/a/{n}","lane":"x","body":{n}}}"#)
}

/// Numbers of lines, numbers of what is none, the number after the last, and why it ended early.
fn all(source: Source, from: u64, survey: Option<Survey>) -> (Vec<u64>, Vec<u64>, u64, Option<String>) {
    let mut reading = source.read(from, survey).unwrap();
    let (mut lines, mut wrong, mut next, mut why) = (Vec::new(), Vec::new(), 0, None);
    while let Some(batch) = reading.batches.blocking_recv() {
        match batch {
            Ok(batch) => {
                lines.extend(batch.lines.iter().map(|line| line.number));
                wrong.extend(batch.wrong.iter().map(|(number, _)| *number));
                next = batch.next;
            }
            Err(error) => why = Some(error),
        }
    }
    reading.end();
    (lines, wrong, next, why)
}

#[test]
fn plain_and_gzipped_files_of_one_content_are_one_feed() {
    let content: String = (1..=1_000).map(|n| line(n) + "\n").collect();
    let (_plain, plain) = file(content.as_bytes());
    // A gzip file may have several members.
    let (_packed, packed) =
        file(&[gzip(&content.as_bytes()[..777]), gzip(&content.as_bytes()[777..])].concat());
    let survey = plain.survey().unwrap();
    assert_eq!((survey.lines, &survey), (1_000, &packed.survey().unwrap()));
    assert_eq!(survey.client.len(), "file-".len() + 16);
    for source in [plain, packed] {
        let (lines, wrong, next, why) = all(source, 1, Some(survey.clone()));
        assert_eq!((lines, wrong, next, why), ((1..=1_000).collect(), vec![], 1_001, None));
    }
}

#[test]
fn the_name_of_a_feed_is_the_sum_of_its_content() {
    let (_empty, empty) = file(b"");
    let survey = empty.survey().unwrap();
    assert_eq!((survey.client.as_str(), survey.lines), ("file-e3b0c44298fc1c14", 0));
    assert_eq!(all(empty, 1, Some(survey)), (vec![], vec![], 1, None));
}

#[test]
fn empty_lines_count_what_is_no_line_is_named_and_the_last_needs_no_end() {
    let (_file, source) = file(format!("{}\n\n{{\n{}", line(1), line(4)).as_bytes());
    assert_eq!(source.survey().unwrap().lines, 4);
    assert_eq!(all(source.clone(), 1, None), (vec![1, 4], vec![3], 5, None));
    assert_eq!(all(source, 4, None), (vec![4], vec![], 5, None));
}

#[test]
fn a_line_that_is_too_long_is_refused_and_the_next_one_read() {
    let long = format!(r#"{{"agent":"/a/1","lane":"x","body":"{}"}}"#, "x".repeat(2 * LINE_MAX));
    let (_file, source) = file(format!("{long}\n{}\n", line(2)).as_bytes());
    assert_eq!(all(source, 1, None), (vec![2], vec![1], 3, None));
}

#[test]
fn what_cannot_be_read_is_told_after_what_could() {
    let nowhere = Source::File("/nowhere/feed".into());
    assert!(nowhere.survey().unwrap_err().contains("/nowhere/feed can't be read"));
    let content: String = (1..=9_000).map(|n| line(n) + "\n").collect();
    let packed = gzip(content.as_bytes());
    let (_file, cut) = file(&packed[..packed.len() - 100]);
    assert!(cut.survey().unwrap_err().contains("can't be read"));
    let (lines, _, _, why) = all(cut, 1, None);
    assert!(!lines.is_empty() && lines.len() < 9_000 && why.is_some(), "{} {why:?}", lines.len());
}

#[test]
fn a_file_that_changes_is_told() {
    let (mut file, source) = file((line(1) + "\n").as_bytes());
    let survey = source.survey().unwrap();
    writeln!(file, "{}", line(2)).unwrap();
    let (_, _, _, why) = all(source, 1, Some(survey));
    assert!(why.is_some_and(|why| why.contains("was changed")));
}

#[test]
fn a_reader_without_a_listener_ends() {
    let content: String = (1..=100_000).map(|n| line(n) + "\n").collect();
    let (_file, source) = file(content.as_bytes());
    source.read(1, None).unwrap().end();
}
