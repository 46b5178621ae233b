//! Addresses, routes and slots, with the vectors for other languages.

use super::*;
use crate::committed;
use crate::value::Value;
use proptest::prelude::*;

fn normal(text: &str) -> String {
    Address::parse(text).map_or_else(|error| format!("! {error}"), |address| address.to_string())
}

#[test]
fn addresses_have_one_form() {
    for (text, expected) in [
        ("/unit/9", "/unit/9"),
        ("warp://host/unit/9", "/unit/9"),
        ("http://host:7777/unit/9", "/unit/9"),
        ("warp://host", "/"),
        ("/", "/"),
        ("/a/", "/a/"),
        ("//a", "//a"),
        ("/a//b", "/a//b"),
        ("/A/a", "/A/a"),
        ("/%41%7e%2d", "/A~-"),
        ("/a%2fb", "/a%2Fb"),
        ("/%24/$", "/$/$"),
        ("/tag/bob%40example.com", "/tag/bob@example.com"),
        ("/%2b%3D%26%3a%3B%2C%24%21%27%28%29%2A%40", "/+=&:;,$!'()*@"),
        (
            "/%3F%23%2F%25%20%5B%5D%22%3C%3E%5C%5E%60%7B%7C%7D",
            "/%3F%23%2F%25%20%5B%5D%22%3C%3E%5C%5E%60%7B%7C%7D",
        ),
        ("/!$&'()*+,;=:@", "/!$&'()*+,;=:@"),
        ("/a b/\u{e9}", "/a%20b/%C3%A9"),
        ("/\u{6771}\u{4eac}", "/%E6%9D%B1%E4%BA%AC"),
        ("/%e6%9d%b1%E4%BA%AC", "/%E6%9D%B1%E4%BA%AC"),
        ("/e\u{301}", "/e%CC%81"),
        ("/%00", "/%00"),
        ("/a/./b/../c", "/a/c"),
        ("/a/b/.", "/a/b/"),
        ("/a/b/..", "/a/"),
        ("/a/%2e%2E/b", "/b"),
        ("/../../a", "/a"),
        ("/..", "/"),
        ("/...", "/..."),
        ("/.hidden", "/.hidden"),
        ("/a//../b", "/a/b"),
        ("/a:b", "/a:b"),
        ("", "! an address begins with `/`, which `` does not"),
        ("unit/9", "! an address begins with `/`, which `unit/9` does not"),
        ("://h/a", "! an address begins with `/`, which `://h/a` does not"),
        ("/a?lane=b", "! an address has no `?`"),
        ("http://h/a#b", "! an address has no `#`"),
        ("/a%", "! `%` in an address is followed by two hexadecimal digits"),
        ("/a%4", "! `%` in an address is followed by two hexadecimal digits"),
        ("/a%/41", "! `%` in an address is followed by two hexadecimal digits"),
        ("/%+1", "! `%` in an address is followed by two hexadecimal digits"),
        ("/%ff", "! `%ff` is no UTF-8"),
        ("/%e6/%9d", "! `%e6` is no UTF-8"),
    ] {
        assert_eq!(normal(text), expected, "{text}");
    }
}

#[test]
fn addresses_have_limits() {
    let segment = |bytes: usize| "a".repeat(bytes);
    for (text, expected) in [
        ("/a".repeat(16), true),
        ("/a".repeat(17), false),
        (format!("/{}", segment(256)), true),
        (format!("/{}", segment(257)), false),
        (format!("/{}", "%C3%A9".repeat(128)), true),
        (format!("/{}", "%C3%A9".repeat(129)), false),
        (format!("/{}", segment(255)).repeat(4), true),
        (format!("/{}/", segment(255)).repeat(4), false),
        (format!("/{}", "%41".repeat(256)), true),
        (format!("/a{}", "/../a".repeat(5000)), true),
    ] {
        assert_eq!(Address::parse(&text).is_ok(), expected, "{} bytes: {text:.40}", text.len());
    }
}

#[test]
fn slots_are_the_top_bits() {
    for (input, hash, of_4096) in [
        ("/airport/JFK", 0xfc70_7916_448c_1562, 4039),
        ("/airport/%E6%9D%B1%E4%BA%AC", 0x97b1_cac8_3cc9_84dd, 2427),
        ("/acme", 0xa49b_0ece_5e23_602a, 2633),
    ] {
        assert_eq!(xxhash_rust::xxh3::xxh3_64(input.as_bytes()), hash, "{input}");
        assert_eq!(slot(input, 4096), of_4096, "{input}");
        assert_eq!(slot(input, 1), 0);
    }
}

#[test]
fn the_vectors_for_other_languages_are_as_committed() {
    let texts = [
        "/",
        "/a",
        "/a/",
        "//a",
        "/A",
        "/unit/9",
        "warp://host/unit/9",
        "/airport/JFK",
        "/%61irport/%4aFK",
        "/airport/\u{6771}\u{4eac}",
        "/airport/%e6%9d%b1%e4%ba%ac",
        "/acme",
        "/vehicle/acme/7",
        "/a%2fb",
        "/%24",
        "/$",
        "/a b",
        "/50%25",
        "/e\u{301}",
        "/\u{e9}",
        "/a/./b/../c",
        "/a/%2E%2e/b",
        "/../a",
        "/a/b/..",
        "/room/a:b@c",
        "/~user/.x",
        "/room/\u{1f600}",
        "/x/!$&'()*+,;=:@",
        "/x/%21%24%26%27%28%29%2A%2b%2C%3B%3D%3a%40",
        "/tag/bob%40example.com",
        "/tag/bob@example.com",
    ];
    let line = |text: &str| {
        let address = Address::parse(text).unwrap();
        let hash = xxhash_rust::xxh3::xxh3_64(address.as_str().as_bytes());
        format!("{text}\t{address}\t{hash:016x}\t{}\n", slot(address.as_str(), 4096))
    };
    let head = "# address\tnormal form\txxh3_64\tslot of 4096\n";
    committed::check("proto/vectors/addresses.tsv", &(head.to_owned() + &texts.map(line).concat()));
}

#[test]
fn a_segment_is_escaped_so_that_it_comes_back() {
    for (text, expected) in [
        ("JFK", "JFK"),
        ("a/b", "a%2Fb"),
        ("50%", "50%25"),
        ("a b?#", "a%20b%3F%23"),
        ("\u{6771}", "%E6%9D%B1"),
        ("a+b:c@d", "a+b:c@d"),
        ("", ""),
    ] {
        assert_eq!(segment(text), expected);
    }
}

#[test]
fn routes_are_parsed() {
    for (text, expected) in [
        ("/airport/:code", ""),
        ("/a", ""),
        ("/:a/b/:c_1", ""),
        ("/1.5~x-y_z", ""),
        ("/:shoal", ""),
        ("/a/console", ""),
        ("", "begins with `/`"),
        ("airport", "begins with `/`"),
        ("/", "no segment"),
        ("/a/", "no segment"),
        ("//a", "no segment"),
        ("/a b", "no segment"),
        ("/:", "no segment"),
        ("/:1", "no segment"),
        ("/:a-b", "no segment"),
        ("/_a", "no segment"),
        ("/.a", "no segment"),
        ("/:a/:b/:a", "`:a` is there twice"),
        ("/console", "reserved"),
        ("/openapi.json/x", "reserved"),
        ("/shoalx", "reserved"),
    ] {
        match Route::parse(text) {
            Ok(route) => assert_eq!((route.text.as_str(), expected), (text, "")),
            Err(error) => assert!(!expected.is_empty() && error.0.contains(expected), "{text}: {error}"),
        }
    }
    assert!(Route::parse(&"/a".repeat(17)).is_err());
    assert!(Route::parse(&format!("/{}", "a".repeat(65))).is_err());
    assert!(Route::parse(&format!("/:{}", "a".repeat(33))).is_err());
}

#[test]
fn routes_match_segment_by_segment() {
    for (route, address, matches) in [
        ("/airport/:code", "/airport/JFK", true),
        ("/airport/:code", "/airport/%E6%9D%B1", true),
        ("/airport/:code", "/%61irport/JFK", true),
        ("/airport/:code", "/airport/a%2Fb", true),
        ("/airport/:code", "/airport", false),
        ("/airport/:code", "/airport/", false),
        ("/airport/:code", "/airport/JFK/", false),
        ("/airport/:code", "/airport//JFK", false),
        ("/airport/:code", "/Airport/JFK", false),
        ("/:a/b", "/x/b", true),
        ("/:a/b", "/x/c", false),
        ("/:a", "/console", false),
        ("/:a", "/shoals", false),
        ("/:a", "/.well-known", false),
        ("/:a", "/_x", false),
        ("/:a", "/a_x", true),
        ("/x/:a", "/x/console", true),
    ] {
        let route = Route::parse(route).unwrap();
        assert_eq!(route.matches(&Address::parse(address).unwrap()), matches, "{} {address}", route.text);
    }
}

#[test]
fn parameters_are_decoded() {
    let route = Route::parse("/vehicle/:fleet/:id").unwrap();
    let address = Address::parse("/vehicle/a%2Fb/\u{6771}").unwrap();
    let expected = [("fleet".into(), Value::text("a/b")), ("id".into(), Value::text("\u{6771}"))];
    assert_eq!(route.values(&address), Value::record(expected));
}

#[test]
fn a_partition_hashes_only_its_parameters() {
    let input = |route: &str, by: &[&str], address: &str| {
        let route = Route::parse(route).unwrap();
        let places: Vec<_> = by.iter().map(|name| route.place(name).unwrap()).collect();
        hash_input(&Address::parse(address).unwrap(), &places).into_owned()
    };
    assert_eq!(input("/vehicle/:fleet/:id", &["fleet"], "/vehicle/acme/7"), "/acme");
    assert_eq!(input("/fleet/:fleet", &["fleet"], "/fleet/acme"), "/acme");
    assert_eq!(input("/v/:a/:b", &["b", "a"], "/v/%C3%A9/2"), "/2/%C3%A9");
    assert_eq!(input("/v/:a/:b", &[], "/v/1/2"), "/v/1/2");
}

proptest! {
    #[test]
    fn a_normal_form_is_its_own(text in "/[a-c./%0-9A-F\u{e9} $~]{0,40}") {
        if let Ok(address) = Address::parse(&text) {
            prop_assert_eq!(&Address::parse(address.as_str()).unwrap(), &address);
            prop_assert_eq!(&Address::parse(&format!("warp://host{text}")).unwrap(), &address);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}", path in "/[./%a-f0-9]{0,60}") {
        let _ = (Address::parse(&text), Address::parse(&path), Route::parse(&text));
    }

    #[test]
    fn one_decoded_text_is_one_address(text in "[ -~\u{e9}]{1,20}", escaped in any::<u64>()) {
        prop_assume!(text != "." && text != "..");
        let one = |(place, byte): (usize, u8)| match byte {
            b'%' | b'/' | b'?' | b'#' => format!("%{byte:02X}"),
            _ if escaped >> (place % 64) & 1 == 1 || !byte.is_ascii() => format!("%{byte:02x}"),
            _ => char::from(byte).to_string(),
        };
        let spelt: String = text.bytes().enumerate().map(one).collect();
        let address = Address::parse(&format!("/a/{spelt}")).unwrap();
        prop_assert_eq!(address.as_str(), format!("/a/{}", segment(&text)));
    }

    #[test]
    fn segments_come_back(text in "\\PC{1,40}") {
        prop_assume!(text != "." && text != "..");
        let address = Address::parse(&format!("/a/{}", segment(&text))).unwrap();
        prop_assert_eq!(address.as_str(), format!("/a/{}", segment(&text)));
        prop_assert_eq!(decoded(address.segments().nth(1).unwrap()), text);
    }

    #[test]
    fn every_address_has_a_slot_in_range_and_twice_as_many_slots_split_it(
        text in "/[a-z/]{0,20}", bits in 8_u32..14
    ) {
        let few = slot(&text, 1 << bits);
        prop_assert!(u32::from(few) < 1 << bits);
        prop_assert_eq!(slot(&text, 2 << bits) >> 1, few);
    }
}
