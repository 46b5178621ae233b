//! Who may speak: decides about the first words of a stream between two nodes.

use super::{FORMAT, Hello, Identity};
use sha2::{Digest as _, Sha256};

/// A plan's token. Comparing takes the same time wherever the difference is.
#[derive(Clone)]
pub struct Token {
    text: String,
    digest: [u8; 32],
}

impl Token {
    pub fn new(text: &str) -> Token {
        Token { text: text.to_owned(), digest: Sha256::digest(text.as_bytes()).into() }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn is(&self, text: &str) -> bool {
        let other: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        let differs = self.digest.iter().zip(other).fold(0, |sum, (ours, theirs)| sum | (ours ^ theirs));
        std::hint::black_box(differs) == 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    #[error("the token is not the plan's")]
    Token,
    #[error("it speaks format {theirs}, and this node {FORMAT}; update the older of the two")]
    Format { theirs: u32 },
    #[error("it is of the plan with uid {theirs}, and this node of {ours}")]
    Plan { theirs: String, ours: String },
    #[error("it is node {theirs}, and node {wanted} was looked for; its address is wrong")]
    Ordinal { theirs: u16, wanted: u16 },
    #[error(
        "store {store} was seen with incarnation {seen}, and this start has {theirs}: a copy or an old process"
    )]
    Older { store: String, seen: u64, theirs: u64 },
}

/// What the other side is held against.
pub struct Seen<'a> {
    pub token: &'a Token,
    pub ours: &'a Identity,
    /// The node that was called, when it was we who called.
    pub called: Option<u16>,
    /// The highest incarnation of that store that we know of.
    pub incarnation: u64,
}

/// The token comes first: nothing else is answered to who does not have it.
pub fn check(hello: &Hello, seen: &Seen) -> Result<(), Rejected> {
    let Identity { plan_uid, ordinal, store, incarnation } = &hello.identity;
    if !seen.token.is(&hello.token) {
        return Err(Rejected::Token);
    }
    if hello.format != FORMAT {
        return Err(Rejected::Format { theirs: hello.format });
    }
    if *plan_uid != seen.ours.plan_uid {
        return Err(Rejected::Plan { theirs: plan_uid.clone(), ours: seen.ours.plan_uid.clone() });
    }
    if let Some(wanted) = seen.called.filter(|called| called != ordinal) {
        return Err(Rejected::Ordinal { theirs: *ordinal, wanted });
    }
    if *incarnation < seen.incarnation {
        let (store, seen, theirs) = (store.to_string(), seen.incarnation, *incarnation);
        return Err(Rejected::Older { store, seen, theirs });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::ring::StoreId;

    fn identity(ordinal: u16, incarnation: u64) -> Identity {
        Identity { plan_uid: "uid".into(), ordinal, store: StoreId(u128::from(ordinal) + 7), incarnation }
    }

    #[test]
    fn a_stranger_is_told_what_is_wrong_and_the_token_goes_first() {
        let (token, ours) = (Token::new("open"), identity(0, 1));
        let good = Hello { token: "open".into(), identity: identity(1, 5), format: FORMAT };
        let other_plan = Identity { plan_uid: "other".into(), ..identity(1, 5) };
        for (hello, called, incarnation, expected) in [
            (good.clone(), None, 0, None),
            (good.clone(), Some(1), 5, None),
            (Hello { token: "opem".into(), format: 9, ..good.clone() }, None, 0, Some("token")),
            (Hello { token: String::new(), ..good.clone() }, None, 0, Some("token")),
            (Hello { format: 2, ..good.clone() }, None, 0, Some("format 2")),
            (Hello { identity: other_plan, ..good.clone() }, None, 0, Some("uid other")),
            (good.clone(), Some(2), 0, Some("is node 1")),
            (good, None, 6, Some("incarnation 6")),
        ] {
            let seen = Seen { token: &token, ours: &ours, called, incarnation };
            let said = check(&hello, &seen).err().map(|why| why.to_string());
            match expected {
                None => assert_eq!(said, None),
                Some(part) => assert!(said.as_ref().is_some_and(|said| said.contains(part)), "{said:?}"),
            }
        }
    }
}
