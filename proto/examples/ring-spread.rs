//! Prints how evenly slots lie on 1 to 100 nodes, and how many move when one node comes or goes.
//!
//! `cargo run --release --example ring-spread [SLOTS]`

use proto::ring::{moved, place};

fn main() {
    let slots: usize = std::env::args().nth(1).map_or(4096, |text| text.parse().expect("a number of slots"));
    println!("{slots} slots; moved: when one node is added to so many, and when the last of so many goes");
    println!("nodes  fewest  most  most/mean  added  share  removed  between others");
    let mut owners = place(&[0], &vec![None; slots]);
    for count in 1..=100_u16 {
        let nodes: Vec<u16> = (0..count).collect();
        let more = place(&(0..=count).collect::<Vec<_>>(), &kept(&owners));
        let back = place(&nodes, &kept(&more));
        let stray = |from: &[u16], to: &[u16]| {
            from.iter().zip(to).filter(|(a, b)| a != b && **a != count && **b != count).count()
        };
        let load = |node: &u16| owners.iter().filter(|owner| *owner == node).count();
        let (least, most) =
            (nodes.iter().map(load).min().unwrap_or(0), nodes.iter().map(load).max().unwrap_or(0));
        println!(
            "{count:5}  {least:6}  {most:4}  {:9.4}  {:5}  {:5}  {:7}  {:14}",
            most as f64 * f64::from(count) / slots as f64,
            moved(&owners, &more),
            slots.div_ceil(usize::from(count) + 1),
            moved(&more, &back),
            stray(&owners, &more) + stray(&more, &back),
        );
        owners = more;
    }
}

fn kept(owners: &[u16]) -> Vec<Option<u16>> {
    owners.iter().copied().map(Some).collect()
}
