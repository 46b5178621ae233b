//! The same with real threads: one that changes lanes as fast as it can, and streams that wait for them.

use super::*;
use tokio::time::timeout;

const LANES: u32 = 8;
const CHANGES: i64 = 30_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn no_stream_misses_the_last_value_however_fast_it_comes() {
    let (node, serving) = Node::start();
    let streams: Vec<Links> = (0..6).map(|_| Links::new(&serving)).collect();
    for links in &streams {
        for link in 0..LANES {
            links.open(link, &format!("/{link}"), "value", None, None);
        }
    }
    let attachments: Vec<u64> = node.asked().into_iter().map(|(_, attachment, _)| attachment).collect();
    assert_eq!(attachments.len(), LANES as usize);
    let changing = serving.clone();
    let owner = std::thread::spawn(move || {
        for attachment in &attachments {
            whole(&changing, *attachment, 1, vec![set(1, 0)]);
        }
        for n in 1..=CHANGES {
            for attachment in &attachments {
                change(&changing, *attachment, vec![set(n as u64 + 1, n)]);
            }
        }
    });
    let readers: Vec<_> = streams.into_iter().map(|links| tokio::spawn(until_last(links))).collect();
    for reader in readers {
        let told = timeout(Duration::from_mins(1), reader).await.expect("the last value comes").unwrap();
        assert!(told <= u64::from(LANES) * (CHANGES as u64 + 2));
    }
    owner.join().unwrap();
}

/// Reads until all links have the last value, and holds that none of them goes back.
async fn until_last(links: Links) -> u64 {
    let (mut values, mut out, mut told) = (vec![-1; LANES as usize], Vec::new(), 0);
    while values.iter().any(|value| *value < CHANGES) {
        links.next(&mut out, async || {}).await;
        for output in out.drain(..) {
            let LinkOutput::Event { link, event } = output else { panic!("{output:?}") };
            told += 1;
            if event.kind == EventKind::Set {
                let value: i64 = std::str::from_utf8(&event.value).unwrap().parse().unwrap();
                assert!(value > values[link as usize]);
                values[link as usize] = value;
            }
        }
    }
    told
}
