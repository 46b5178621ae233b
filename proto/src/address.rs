//! Addresses of agents in normal form, the routes that they match, and the slots that they lie in.

use crate::value::Text;
use std::fmt;
use std::sync::Arc;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// In normal form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(Arc<str>);

impl Address {
    pub fn parse(text: &str) -> Result<Address, Error> {
        let _ = text;
        unimplemented!()
    }

    /// What is known to be in normal form: it came out of a log or a peer.
    pub fn trusted(text: &str) -> Address {
        Address(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A hash partition.
pub type Slot = u16;

/// The slot of a hash input, for a power of two of slots.
pub fn slot(input: &str, slots: u32) -> Slot {
    let _ = (input, slots);
    unimplemented!()
}

/// Escapes a text, so that it is one segment of an address.
pub fn segment(text: &str) -> Text {
    let _ = text;
    unimplemented!()
}

/// A parsed route: `/airport/:code`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub text: String,
}
