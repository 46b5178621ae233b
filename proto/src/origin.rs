//! Web origins and hosts: who a page belongs to, as browsers name it, and whom a request was meant for.

use std::net::{IpAddr, Ipv6Addr};

/// The origin of a web page: `https://shop.example`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    name: String,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

/// A host and a port, as they stand in `Host` and `:authority`.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// A name or an address; an IPv6 address stands in brackets.
    name: &'a str,
    port: Option<u16>,
}

impl Origin {
    /// `None` for `null`, which is the origin of pages that hide theirs, and for what is no origin at all.
    pub fn parse(text: &str) -> Option<Origin> {
        let (scheme, host) = text.split_once("://")?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return None,
        };
        let Host { name, port } = Host::parse(host)?;
        Some(Origin { scheme, name: name.to_owned(), port: port.unwrap_or(scheme.port()) })
    }

    /// Whether a page of this origin came from that host. What ends TLS before a node hides the scheme of a request, so
    /// a host without a port has the port of the origin's scheme.
    pub fn is_of(&self, host: Host<'_>) -> bool {
        self.name.eq_ignore_ascii_case(host.name) && self.port == host.port.unwrap_or(self.scheme.port())
    }
}

impl Scheme {
    fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl<'a> Host<'a> {
    pub fn parse(text: &'a str) -> Option<Host<'a>> {
        let name_end = match text.strip_prefix('[') {
            Some(rest) => rest.find(']')? + 2,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (name, rest) = text.split_at(name_end);
        let port = match rest.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
            None if rest.is_empty() => None,
            _ => return None,
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_good = match name.strip_prefix('[') {
            Some(address) => address.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
            None => !name.is_empty() && name.bytes().all(is_plain),
        };
        is_good.then_some(Host { name, port })
    }

    /// Whether it can mean nothing but this machine, whoever answers questions about names.
    pub fn is_this_machine(self) -> bool {
        let name = self.name.strip_suffix('.').unwrap_or(self.name).to_ascii_lowercase();
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(&name);
        name == "localhost"
            || name.ends_with(".localhost")
            || address.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
    }
}

impl PartialEq for Host<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name.eq_ignore_ascii_case(other.name) && self.port == other.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_of_the_host_that_its_page_came_from() {
        for (origin, host, expected) in [
            ("http://a.example:7777", "a.example:7777", true),
            ("http://A.example:7777", "a.EXAMPLE:7777", true),
            ("http://a.example", "a.example", true),
            ("https://a.example", "a.example", true),
            ("https://a.example", "a.example:443", true),
            ("http://a.example:80", "a.example", true),
            ("http://[::1]:7777", "[::1]:7777", true),
            ("http://a.example", "a.example:7777", false),
            ("http://a.example:3000", "a.example:7777", false),
            ("http://b.example", "a.example", false),
            ("http://a.example.evil", "a.example", false),
            ("https://a.example:80", "a.example", false),
        ] {
            let is_of = Origin::parse(origin).unwrap().is_of(Host::parse(host).unwrap());
            assert_eq!(is_of, expected, "{origin} {host}");
        }
    }

    #[test]
    fn what_is_no_origin_is_none() {
        for text in [
            "null",
            "",
            "a.example",
            "ftp://a.example",
            "file://",
            "http://",
            "http://a b",
            "http://a/path",
            "http://user@a",
            "HTTP://a",
            "http://a:",
            "http://a:99999",
            "http://a:8x",
            "http://[::1",
            "http://[x]",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_names_and_addresses_of_loopback_are_this_machine() {
        for (host, expected) in [
            ("localhost", true),
            ("LocalHost:7777", true),
            ("localhost.:7777", true),
            ("a.localhost", true),
            ("127.0.0.1:7777", true),
            ("127.1.2.3", true),
            ("[::1]:7777", true),
            ("[::ffff:127.0.0.1]", true),
            ("evil.example:7777", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("notlocalhost", false),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("[2001:db8::1]:7777", false),
        ] {
            assert_eq!(Host::parse(host).unwrap().is_this_machine(), expected, "{host}");
        }
    }
}
