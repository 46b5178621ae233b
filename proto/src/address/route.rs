//! Routes: which addresses belong to a kind of agents, and what of them is hashed.

use super::{Address, Error, RESERVED, RESERVED_PREFIX, SEGMENTS_MAX, decoded, is_reserved};
use crate::value::{Text, Value};
use std::borrow::Cow;

/// A parsed route: `/airport/:code`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    Literal(String),
    /// Its name.
    Parameter(String),
}

impl Route {
    pub fn parse(text: &str) -> Result<Route, Error> {
        let error = |error: String| Err(Error(error));
        let Some(rest) = text.strip_prefix('/') else {
            return error(format!("a route begins with `/`, which `{text}` does not"));
        };
        let segments = rest.split('/').map(Segment::parse).collect::<Result<Vec<_>, _>>()?;
        if text.len() > 256 || segments.len() > SEGMENTS_MAX {
            return error(format!("a route has at most 256 bytes and {SEGMENTS_MAX} segments"));
        }
        if let Segment::Literal(first) = &segments[0]
            && is_reserved(first)
        {
            let names = RESERVED.join(", ");
            return error(format!(
                "`{first}` is reserved: the first segment is none of {names}, and does not begin with {RESERVED_PREFIX}"
            ));
        }
        let route = Route { text: text.into(), segments };
        let doubled = route.parameters().find(|(place, name)| route.place(name) != Some(*place));
        match doubled {
            Some((_, name)) => error(format!("the parameter `:{name}` is there twice")),
            None => Ok(route),
        }
    }

    /// Whether the address is one of this route's. First segments that are reserved belong to no route.
    pub fn matches(&self, address: &Address) -> bool {
        let mut segments = address.segments();
        let all = self.segments.iter().all(|mine| segments.next().is_some_and(|theirs| mine.matches(theirs)));
        all && segments.next().is_none() && !address.segments().next().is_some_and(is_reserved)
    }

    /// Places of the parameters among the segments, and their names.
    pub fn parameters(&self) -> impl Iterator<Item = (usize, &str)> {
        self.segments.iter().enumerate().filter_map(|(place, segment)| match segment {
            Segment::Parameter(name) => Some((place, name.as_str())),
            Segment::Literal(_) => None,
        })
    }

    /// The segment that a parameter is.
    pub fn place(&self, parameter: &str) -> Option<usize> {
        self.parameters().find(|(_, name)| *name == parameter).map(|(place, _)| place)
    }

    /// The parameters of an address that matches: a record of decoded texts.
    pub fn values(&self, address: &Address) -> Value {
        let members: Vec<(Text, Value)> = self
            .segments
            .iter()
            .zip(address.segments())
            .filter_map(|(mine, theirs)| match mine {
                Segment::Parameter(name) => Some((Text::new(name), Value::text(&decoded(theirs)))),
                Segment::Literal(_) => None,
            })
            .collect();
        Value::record(members)
    }

    /// The same for routes that match the same addresses.
    pub fn shape(&self) -> String {
        self.segments.iter().fold(String::new(), |shape, segment| match segment {
            Segment::Literal(literal) => shape + "/" + literal,
            Segment::Parameter(_) => shape + "/:",
        })
    }

    /// The lower key of two routes that match an address says which one has it: at the first difference from the left
    /// the literal wins.
    pub fn precedence(&self) -> impl Ord + use<> {
        let parameter = |segment: &Segment| matches!(segment, Segment::Parameter(_));
        self.segments.iter().map(parameter).collect::<Vec<_>>()
    }
}

/// What of an address decides its slot: these segments of it, or all.
pub fn hash_input<'a>(address: &'a Address, places: &[usize]) -> Cow<'a, str> {
    if places.is_empty() {
        return address.as_str().into();
    }
    let segments: Vec<&str> = address.segments().collect();
    let pick = |input: String, place: &usize| input + "/" + segments.get(*place).copied().unwrap_or_default();
    places.iter().fold(String::new(), pick).into()
}

impl Segment {
    fn parse(text: &str) -> Result<Segment, Error> {
        let name = text.strip_prefix(':');
        let (first, more, longest): (fn(&u8) -> bool, &[u8], usize) = match name {
            Some(_) => (u8::is_ascii_alphabetic, b"_", 32),
            None => (u8::is_ascii_alphanumeric, b"._~-", 64),
        };
        let bytes = name.unwrap_or(text).as_bytes();
        let well = |byte: &u8| byte.is_ascii_alphanumeric() || more.contains(byte);
        if bytes.len() > longest || !bytes.first().is_some_and(first) || !bytes.iter().all(well) {
            return Err(Error(format!(
                "`{text}` is no segment of a route: letters, digits and `._~-`, or `:` and a name"
            )));
        }
        Ok(name.map_or_else(|| Segment::Literal(text.into()), |name| Segment::Parameter(name.into())))
    }

    fn matches(&self, segment: &str) -> bool {
        match self {
            Segment::Literal(literal) => literal == segment,
            Segment::Parameter(_) => !segment.is_empty(),
        }
    }
}
