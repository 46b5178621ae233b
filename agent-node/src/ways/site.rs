//! Whether a request may be answered at all, by the host that it was meant for and the web page that it came from: one
//! rule for every way in. Decides, and waits for nothing.
//!
//! A browser sends what any page tells it to, with the reach of whoever sits before it: into a cluster, or to a plan
//! under development on the same machine. It names the page's host in `Origin`, and a page cannot change that. A page
//! whose host was made to resolve to this machine has that host in `Host`.

use crate::refusal::Refusal;
use hyper::{
    HeaderMap, Uri,
    header::{self, HeaderName, HeaderValue},
};
use proto::origin::{Host, Origin};

/// The hosts for which a port answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    Any,
    /// Names and addresses of loopback, by which a plan under development is reached.
    ThisMachine,
}

/// Gives the origin of a page of another host that may ask, which has to be told so, or nothing where no such page
/// asks. `may_ask` says which pages of other hosts may.
pub fn admit(
    hosts: Hosts,
    uri: &Uri,
    headers: &HeaderMap,
    may_ask: impl FnOnce(&Origin) -> bool,
) -> Result<Option<HeaderValue>, Refusal> {
    let host = meant_host(uri, headers)?;
    if hosts == Hosts::ThisMachine && !host.is_this_machine() {
        let text = "this port answers only requests to localhost or a loopback address, as a protection against DNS \
                    rebinding: use localhost or 127.0.0.1 in the address";
        return Err(Refusal::new(403, text, "host"));
    }
    let Some(value) = single(headers, &header::ORIGIN)? else { return Ok(None) };
    let foreign = || {
        let text =
            "a web page of another host may ask only where the plan names its origin in spec.http.origins";
        Refusal::new(403, text, "origin")
    };
    let origin = value.to_str().ok().and_then(Origin::parse).ok_or_else(foreign)?;
    if origin.is_of(host) {
        return Ok(None);
    }
    if may_ask(&origin) { Ok(Some(value.clone())) } else { Err(foreign()) }
}

/// The target's host where it names one, as all targets of HTTP/2 do, else the one in `Host`; two are one and the same.
fn meant_host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<Host<'a>, Refusal> {
    let bad = |text| Refusal::bad(text, "host");
    let parse = |text| Host::parse(text).ok_or_else(|| bad("the host of the request is broken"));
    let named = single(headers, &header::HOST)?.map(|value| parse(value.to_str().unwrap_or_default()));
    match (uri.authority().map(|authority| parse(authority.as_str())), named) {
        (None, None) => Err(bad("a request names its host")),
        (Some(host), None) | (None, Some(host)) => host,
        (Some(target), Some(host)) if target.as_ref().ok() == host.as_ref().ok() => target,
        (Some(_), Some(_)) => Err(bad("the request names two hosts")),
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let (first, second) = (values.next(), values.next());
    match second {
        None => Ok(first),
        Some(_) => Err(Refusal::bad("a header that stands there twice", name.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "/a/1?lane=x";

    fn said(
        hosts: Hosts,
        target: &str,
        headers: &[(&'static str, &'static str)],
    ) -> Result<bool, (u16, String)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let shop = Origin::parse("https://shop.example").unwrap();
        let admitted = admit(hosts, &target.parse().unwrap(), &map, |origin| *origin == shop);
        admitted.map(|page| page.is_some()).map_err(|refusal| (refusal.code, refusal.at))
    }

    #[test]
    fn a_page_of_another_host_asks_only_where_the_plan_says_so() {
        for (origin, expected) in [
            ("http://a.example:7777", Ok(false)),
            ("http://A.example:7777", Ok(false)),
            ("https://shop.example", Ok(true)),
            ("https://shop.example:443", Ok(true)),
            ("http://shop.example", Err(403)),
            ("https://shop.example:8443", Err(403)),
            ("https://evil.example", Err(403)),
            ("https://a.example.evil", Err(403)),
            ("http://a.example:3000", Err(403)),
            ("http://a.example", Err(403)),
            ("null", Err(403)),
            ("", Err(403)),
            ("*", Err(403)),
            ("http://a.example:7777, https://evil.example", Err(403)),
        ] {
            let said = said(Hosts::Any, TARGET, &[("host", "a.example:7777"), ("origin", origin)]);
            assert_eq!(said, expected.map_err(|code| (code, "origin".into())), "{origin}");
        }
        let twice = [("host", "a"), ("origin", "http://a"), ("origin", "https://evil.example")];
        assert_eq!(said(Hosts::Any, TARGET, &twice), Err((400, "origin".into())));
    }

    #[test]
    fn a_request_names_one_host() {
        for (target, headers, expected) in [
            (TARGET, &[("host", "a:7777")][..], Ok(false)),
            ("http://a:7777/a/1", &[], Ok(false)),
            ("http://a:7777/a/1", &[("host", "A:7777")], Ok(false)),
            (TARGET, &[], Err(400)),
            (TARGET, &[("host", "")], Err(400)),
            (TARGET, &[("host", "a b")], Err(400)),
            (TARGET, &[("host", "me@a")], Err(400)),
            (TARGET, &[("host", "a"), ("host", "a")], Err(400)),
            ("http://a:7777/a/1", &[("host", "b:7777")], Err(400)),
            ("http://me@a/a/1", &[], Err(400)),
        ] {
            let said = said(Hosts::Any, target, headers);
            assert_eq!(said, expected.map_err(|code| (code, "host".into())), "{target} {headers:?}");
        }
    }

    #[test]
    fn a_plan_under_development_answers_for_this_machine_only() {
        for (host, expected) in [
            ("localhost:7777", Ok(false)),
            ("127.0.0.1:7777", Ok(false)),
            ("[::1]:7777", Ok(false)),
            ("rebound.example:7777", Err(403)),
            ("localhost.evil.example", Err(403)),
            ("10.0.0.1:7777", Err(403)),
        ] {
            let said = said(Hosts::ThisMachine, TARGET, &[("host", host)]);
            assert_eq!(said, expected.map_err(|code| (code, "host".into())), "{host}");
        }
    }
}
