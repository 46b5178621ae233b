//! Which certificate opens what, and when.

use super::verify::certificates;
use super::*;
use rustls::pki_types::CertificateDer;

const PLAN: &str = "3f0e1c52-9a40-4d0b-8e57-4a1c7a1a6f10";
/// In 2026.
const NOW: u64 = 1_780_000_000;
const YEAR: u64 = LIFE_S;

fn der(pem: &str) -> CertificateDer<'static> {
    certificates(pem, CERTIFICATE).unwrap().remove(0)
}

/// A CA of a plan, and what it makes.
struct Plan {
    pair: Pair,
    authority: Authority,
}

impl Plan {
    fn new(uid: &str) -> Plan {
        let pair = Authority::make(uid, NOW).unwrap();
        Plan { authority: Authority::load(uid, &pair).unwrap(), pair }
    }

    fn issue(&self, role: Role) -> Pair {
        self.authority.issue(role, NOW).unwrap()
    }

    fn pems(&self, role: Role) -> Pems {
        Pems { pair: self.issue(role), bundle: self.pair.certificate.clone() }
    }
}

#[test]
fn a_certificate_opens_its_own_plan_in_its_own_role_and_time_refuses_no_node() {
    let (ours, other_ca, other_plan) = (Plan::new(PLAN), Plan::new(PLAN), Plan::new("another"));
    let bundle = Bundle::parse(&ours.pair.certificate, BUNDLE).unwrap();
    let verifier = Verifier::new(PLAN, bundle).unwrap();
    let (node, operator) = (ours.issue(Role::Node), ours.issue(Role::Operator));
    // Made by our CA's key for another plan, as if someone had taken the key along.
    let stolen = Authority::load("another", &ours.pair);
    assert_eq!(stolen.err(), Some(Error::OtherAuthority));
    let ended = Refused::Ended { until_s: NOW - 24 * 60 * 60 + YEAR };
    let not_yet = Refused::NotYet { from_s: NOW - 24 * 60 * 60 };
    for (name, pair, now, client, server) in [
        ("node", &node, NOW, Ok(Role::Node), Ok(())),
        ("node, a year later", &node, NOW + YEAR, Ok(Role::Node), Ok(())),
        ("node, ten years later", &node, NOW + 10 * YEAR, Ok(Role::Node), Ok(())),
        ("node, before it was made", &node, NOW - YEAR, Ok(Role::Node), Ok(())),
        ("operator", &operator, NOW, Ok(Role::Operator), Err(Refused::Broken)),
        (
            "operator, clock late by hours",
            &operator,
            NOW - 23 * 60 * 60,
            Ok(Role::Operator),
            Err(Refused::Broken),
        ),
        ("operator, a year later", &operator, NOW + YEAR, Err(ended), Err(Refused::Broken)),
        ("operator, before it was made", &operator, NOW - YEAR, Err(not_yet), Err(Refused::Broken)),
        (
            "another CA",
            &other_ca.issue(Role::Node),
            NOW,
            Err(Refused::UnknownAuthority),
            Err(Refused::UnknownAuthority),
        ),
        (
            "another CA, ended",
            &other_ca.issue(Role::Node),
            NOW + YEAR,
            Err(Refused::UnknownAuthority),
            Err(Refused::UnknownAuthority),
        ),
        (
            "another plan",
            &other_plan.issue(Role::Node),
            NOW,
            Err(Refused::UnknownAuthority),
            Err(Refused::UnknownAuthority),
        ),
        ("the CA itself", &ours.pair, NOW, Err(Refused::Broken), Err(Refused::Broken)),
    ] {
        let certificate = der(&pair.certificate);
        assert_eq!(verifier.role_of_client(&certificate, now), client, "{name}, as a client");
        assert_eq!(verifier.is_node(&certificate, now), server, "{name}, as a server");
    }
    assert_eq!(verifier.role_of_client(&CertificateDer::from(vec![1, 2, 3]), NOW), Err(Refused::Broken));
}

#[test]
fn the_name_decides_even_where_the_ca_is_trusted() {
    let (ours, theirs) = (Plan::new(PLAN), Plan::new("another"));
    let both = format!("{}{}", ours.pair.certificate, theirs.pair.certificate);
    let verifier = Verifier::new(PLAN, Bundle::parse(&both, BUNDLE).unwrap()).unwrap();
    let certificate = der(&theirs.issue(Role::Node).certificate);
    assert_eq!(verifier.role_of_client(&certificate, NOW), Err(Refused::OtherName));
    assert_eq!(verifier.role_of_client(&der(&ours.issue(Role::Node).certificate), NOW), Ok(Role::Node));
}

#[test]
fn a_ca_is_exchanged_by_way_of_a_bundle_that_has_both() {
    let (old, new) = (Plan::new(PLAN), Plan::new(PLAN));
    let both = format!("{}{}", new.pair.certificate, old.pair.certificate);
    for (bundle, takes_old, takes_new) in
        [(&old.pair.certificate, true, false), (&both, true, true), (&new.pair.certificate, false, true)]
    {
        let verifier = Verifier::new(PLAN, Bundle::parse(bundle, BUNDLE).unwrap()).unwrap();
        for (plan, takes) in [(&old, takes_old), (&new, takes_new)] {
            let certificate = der(&plan.issue(Role::Node).certificate);
            assert_eq!(verifier.is_node(&certificate, NOW).is_ok(), takes);
        }
    }
}

#[test]
fn a_certificate_is_made_again_after_a_third_of_its_life() {
    let certificate = der(&Plan::new(PLAN).issue(Role::Node).certificate);
    let validity = Validity::of(&certificate).unwrap();
    let day = 24 * 60 * 60;
    assert_eq!(validity, Validity { from_s: NOW - day, until_s: NOW - day + YEAR });
    for (now, due, ended) in [
        (NOW, false, false),
        (NOW - YEAR, false, false),
        (NOW - day + YEAR / 3 - 1, false, false),
        (NOW - day + YEAR / 3, true, false),
        (NOW - day + YEAR, true, false),
        (NOW - day + YEAR + 1, true, true),
        (u64::MAX, true, true),
    ] {
        assert_eq!((validity.is_due(now), validity.has_ended(now)), (due, ended), "{now}");
    }
    assert!(Validity::of(&CertificateDer::from(vec![0x30])).is_err());
}

#[test]
fn what_does_not_fit_together_is_refused_with_what_is_wrong() {
    let (ours, other) = (Plan::new(PLAN), Plan::new(PLAN));
    let good = ours.pems(Role::Node);
    let credentials = Credentials::load(PLAN, Role::Node, &good).unwrap();
    assert_eq!(credentials.digests, Credentials::load(PLAN, Role::Node, &good).unwrap().digests);
    assert_ne!(
        credentials.digests.certificate,
        Credentials::load(PLAN, Role::Node, &ours.pems(Role::Node)).unwrap().digests.certificate
    );
    let pair = |certificate: &str, key: &str| Pair { certificate: certificate.into(), key: key.into() };
    let with = |pair: Pair| Pems { pair, ..good.clone() };
    let bundled = |bundle: String| Pems { bundle, ..good.clone() };
    let (certificate, key) = (&good.pair.certificate, &good.pair.key);
    for (pems, said) in [
        (with(pair("", key)), "tls.crt holds no certificate"),
        (with(pair("-----BEGIN CERTIFICATE-----\n!\n", key)), "tls.crt is not PEM"),
        (with(pair(certificate, "")), "tls.key is not PEM"),
        (with(pair(certificate, &other.issue(Role::Node).key)), "tls.key is not the key"),
        (with(ours.issue(Role::Operator)), "names another plan or another role"),
        (with(other.issue(Role::Node)), "no CA that is trusted has made it"),
        (bundled(other.pair.certificate.clone()), "no CA that is trusted has made it"),
        (bundled(String::new()), "ca.crt holds no certificate"),
        (bundled(ours.pair.certificate.repeat(17)), "ca.crt holds more than 16"),
    ] {
        let error = Credentials::load(PLAN, Role::Node, &pems).unwrap_err().to_string();
        assert!(error.contains(said), "{error}: {said}");
    }
    let another = Credentials::load("another", Role::Node, &good).unwrap_err().to_string();
    assert!(another.contains("the plan another"), "{another}");
    for uid in ["", "a.b", "a b", &"x".repeat(64)] {
        assert_eq!(Role::Node.name(uid), Err(Error::PlanUid(uid.to_owned())));
    }
    let mixed = pair(&ours.pair.certificate, &other.pair.key);
    assert_eq!(Authority::load(PLAN, &mixed).err(), Some(Error::OtherAuthority));
}

#[test]
fn no_key_is_shown_where_values_are_printed() {
    let ours = Plan::new(PLAN);
    let shown = format!("{:?} {:?}", ours.pair, ours.pems(Role::Node));
    assert!(shown.contains("BEGIN CERTIFICATE") && !shown.contains("PRIVATE KEY"), "{shown}");
}
